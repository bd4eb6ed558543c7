"""Measure convert_dataset against what else there is, on data made for it."""

from toolkit.cli.script import run_script

import json
from pathlib import Path
from typing import Annotated

import typer

from dev import benchmark
from dev.benchmark import FILES_ALONE, HASH, OURS, Facts, Measured, spread
from toolkit.cli import console


def main(
    images: Annotated[int, typer.Option(min=100, help="How many images the export holds.")] = 20_000,
    size: Annotated[int, typer.Option(min=100, help="Bytes of an image, on average.")] = 50_000,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds; each runs every competitor once.")] = 5,
    boxes: Annotated[bool, typer.Option("--boxes", help="An export of boxes instead of tags.")] = False,
    only: Annotated[str | None, typer.Option(help="Competitors to run, separated by commas; all if not given.")] = None,
    work_dir: Annotated[Path, typer.Option(help="Folder for data and results; its results are removed.")] = Path(
        "bench-data"
    ),
    environment: Annotated[Path, typer.Option(help="Virtual environment with datumaro and split-folders.")] = Path(
        ".venv-bench"
    ),
    write: Annotated[Path | None, typer.Option(help="Markdown file to write the table to.")] = None,
    as_json: console.Json = False,
    debug: console.Debug = False,
) -> None:
    """Measure convert_dataset against unzip, the reference's algorithm, split-folders, datumaro and cp.

    Every round runs every competitor once, in an order that changes from round to round; no result is dropped. Then
    the rounds are run again, each result deleted before the next run, as when a dataset is made anew. Example:
    `scripts/dev/bench_convert.py --images 2000 --rounds 3`
    """
    archive = benchmark.make_data(work_dir, images, size, boxes)
    chosen = benchmark.competitors(archive, images, size, boxes, environment, only.split(",") if only else None)
    for competitor in chosen:
        if competitor.missing:
            console.warn(f"{competitor.name} is left out: {competitor.missing}")
    with console.status_line() as show:
        first = benchmark.measure(chosen, archive, rounds, delete=False, show=show)
        again = benchmark.measure(chosen, archive, rounds, delete=True, show=show)
    facts = Facts.collect(archive, images, rounds, first, again)
    text = as_markdown(facts, boxes)
    if write is not None:
        write.parent.mkdir(parents=True, exist_ok=True)
        write.write_text(text, encoding="utf-8")
    console.result(json.dumps(facts.as_json()) if as_json else text)


GOALS = {"unzip": 0.36, "reference": 0.40, "unzip+split-folders": 0.20, "datumaro": 0.10, "cp -r": 0.5}
"""What part of a competitor's time ours should take at most."""
GOALS_OF_BOXES = {"datumaro": 0.25}


def as_markdown(facts: Facts, boxes: bool) -> str:
    """Write two tables with a line for each competitor, the least time that is possible, and the circumstances."""
    goals = GOALS_OF_BOXES if boxes else GOALS
    lines = [
        f"## {'Boxes' if boxes else 'Tags'}: one zip, beside other tools",
        "",
        f"{facts.images:,} images{', three boxes each, as COCO 1.0' if boxes else ''}, {facts.bytes / 1e6:,.0f} MB, "
        f"stored; {facts.rounds} rounds, each with every competitor once; no run left out. Times are wall clock "
        "seconds; the ratio is the median of ours to the median of theirs. Memory is that of the largest process; less "
        "than this program's own, some 34 MB, cannot be seen.",
        "",
        "### The first time",
        "",
        *_table(facts.first, goals),
        "",
        *_limit(facts.first),
        "### Again, after the last result was deleted",
        "",
        "ext4 searches through the inodes deleted in the last minutes before it takes one for a new file. Ours has its "
        "folders put elsewhere.",
        "",
        *_table(facts.again, goals),
        "",
        f"Measured on {facts.day}: {facts.machine}. "
        f"Load average {facts.load[0]:.1f} before, {facts.load[1]:.1f} after (the benchmark itself makes 1 to 2).",
        "",
        f"`make bench{' ARGS=--boxes' * boxes}` repeats it.",
    ]
    return "\n".join(lines) + "\n"


def _table(runs: list[Measured], goals: dict[str, float]) -> list[str]:
    ours = next(run for run in runs if run.competitor.name == OURS)
    return [
        "| what | does | median | least – most | peak memory | ours / theirs | goal |",
        "|---|---|--:|--:|--:|--:|--:|",
        *(_line(run, ours, goals) for run in runs),
    ]


def _limit(runs: list[Measured]) -> list[str]:
    """Tell how near ours is to what its parts take at the least, if those were measured."""
    medians = {run.competitor.name: spread(run.seconds)[0] for run in runs}
    if not {FILES_ALONE, HASH} <= medians.keys():
        return []
    limit = medians[FILES_ALONE] + medians[HASH]
    least = medians[FILES_ALONE] + medians[HASH] / 2
    return [
        f"`{FILES_ALONE}` and `{HASH}`, one after the other, make {limit:.2f} s, the limit without checking or "
        f"deciding anything: ours takes {medians[OURS] / limit:.2f} of it (goal: 1.30). Hashing each image once, for "
        f"the proof in manifest.json, is shared by two cores: {least:.2f} s, of which ours takes "
        f"{medians[OURS] / least:.2f}.",
        "",
    ]


def _line(run: Measured, ours: Measured, goals: dict[str, float]) -> str:
    median, least, most = spread(run.seconds)
    name = run.competitor.name
    ratio = f"{spread(ours.seconds)[0] / median:.2f}" if run is not ours else ""
    goal = f"≤ {goals[name]:.2f}" if name in goals else ""
    memory = f"{max(run.memory) / 1e6:.0f} MB"
    return f"| {name} | {run.competitor.does} | {median:.2f} | {least:.2f} – {most:.2f} | {memory} | {ratio} | {goal} |"


if __name__ == "__main__":
    run_script(main)
