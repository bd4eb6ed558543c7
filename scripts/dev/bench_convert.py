"""Measure convert_dataset against what else there is, on data made for it."""

from toolkit.cli.script import run_script

import json
from pathlib import Path
from typing import Annotated

import typer

from toolkit.cli import console


def main(
    images: Annotated[int, typer.Option(min=100, help="How many images the export holds.")] = 20_000,
    size: Annotated[int, typer.Option(min=100, help="Bytes of an image, on average.")] = 50_000,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds; each runs every competitor once.")] = 5,
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
    from dev import benchmark, benchmark_report
    from dev.benchmark_competitors import competitors

    archive = benchmark.make_data(work_dir, images, size)
    chosen = competitors(archive, images, size, environment, only.split(",") if only else None)
    for competitor in chosen:
        if competitor.missing:
            console.warn(f"{competitor.name} is left out: {competitor.missing}")
    with console.status_line() as show:
        first = benchmark.measure(chosen, archive, rounds, delete=False, show=show)
        again = benchmark.measure(chosen, archive, rounds, delete=True, show=show)
    facts = benchmark.Facts.collect(archive, images, rounds, first, again)
    if write is not None:
        write.parent.mkdir(parents=True, exist_ok=True)
        write.write_text(benchmark_report.as_markdown(facts), encoding="utf-8")
    console.result(json.dumps(facts.as_json()) if as_json else benchmark_report.as_markdown(facts))


if __name__ == "__main__":
    run_script(main)
