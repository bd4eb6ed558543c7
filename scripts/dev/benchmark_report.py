"""A benchmark's result as Markdown."""

from dev.benchmark import Facts, Measured, spread
from dev.benchmark_competitors import FILES_ALONE, HASH, OURS

GOALS = {"unzip": 0.35, "reference": 0.40, "unzip+split-folders": 0.20, "datumaro": 0.10, "cp -r": 0.5}
"""What part of a competitor's time ours should take at most."""


def as_markdown(facts: Facts) -> str:
    """Write a benchmark down.

    Args:
        facts: What was found.

    Returns:
        Two tables with a line for each competitor, the least time that is possible, and the circumstances.
    """
    lines = [
        "# How fast is the conversion?",
        "",
        f"{facts.images:,} images, {facts.bytes / 1e6:,.0f} MB, stored; {facts.rounds} rounds, each with every "
        "competitor once; no run left out. Times are wall clock seconds; the ratio is the median of ours to the median "
        "of theirs. Memory is that of the largest process; less than this program's own, some 34 MB, cannot be seen.",
        "",
        "## The first time",
        "",
        *_table(facts.first),
        "",
        *_limit(facts.first),
        "## Again, after the last result was deleted",
        "",
        "ext4 searches through the inodes deleted in the last minutes before it takes one for a new file. Ours has its "
        "folders put elsewhere.",
        "",
        *_table(facts.again),
        "",
        f"Measured on {facts.day}: {facts.machine}. "
        f"Load average {facts.load[0]:.1f} before, {facts.load[1]:.1f} after (the benchmark itself makes 1 to 2).",
        "",
        "`make bench` repeats it.",
    ]
    return "\n".join(lines) + "\n"


def _table(runs: list[Measured]) -> list[str]:
    ours = next(run for run in runs if run.competitor.name == OURS)
    return [
        "| what | does | median | least – most | peak memory | ours / theirs | goal |",
        "|---|---|--:|--:|--:|--:|--:|",
        *(_line(run, ours) for run in runs),
    ]


def _limit(runs: list[Measured]) -> list[str]:
    """Tell how near ours is to what its parts take at the least, if those were measured."""
    medians = {run.competitor.name: spread(run.seconds)[0] for run in runs}
    if not {FILES_ALONE, HASH} <= medians.keys():
        return []
    least = medians[FILES_ALONE] + medians[HASH]
    return [
        "Ours hashes every byte twice, for the proof in manifest.json: each image, and the zip as a whole. On two "
        f"cores that takes as long as `{HASH}` on one. With `{FILES_ALONE}` it makes {least:.2f} s, the least that is "
        f"possible without reading, checking or deciding anything; ours takes {medians[OURS] / least:.2f} of it.",
        "",
    ]


def _line(run: Measured, ours: Measured) -> str:
    median, least, most = spread(run.seconds)
    name = run.competitor.name
    ratio = f"{spread(ours.seconds)[0] / median:.2f}" if run is not ours else ""
    goal = f"≤ {GOALS[name]:.2f}" if name in GOALS else ""
    memory = f"{max(run.memory) / 1e6:.0f} MB"
    return f"| {name} | {run.competitor.does} | {median:.2f} | {least:.2f} – {most:.2f} | {memory} | {ratio} | {goal} |"
