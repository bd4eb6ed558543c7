"""A benchmark's result as Markdown."""

from toolkit.benchmark import Facts, Measured, spread
from toolkit.benchmark_competitors import OURS

GOALS = {"unzip": 0.35, "reference": 0.40, "unzip+split-folders": 0.20, "datumaro": 0.10, "cp -r": 0.5}
"""What part of a competitor's time ours should take at most."""


def as_markdown(facts: Facts) -> str:
    """Write a benchmark down.

    Args:
        facts: What was found.

    Returns:
        A table with a line for each competitor, and the circumstances.
    """
    ours = next(run for run in facts.measured if run.competitor.name == OURS)
    lines = [
        "# How fast is the conversion?",
        "",
        f"{facts.images:,} images, {facts.bytes / 1e6:,.0f} MB, stored; {facts.rounds} rounds, each with every "
        "competitor once; no run left out. Times are wall clock seconds; the ratio is the median of ours to the median "
        "of theirs. Memory is that of the largest process; less than this program's own, some 34 MB, cannot be seen.",
        "",
        "| what | does | median | least – most | peak memory | ours / theirs | goal |",
        "|---|---|--:|--:|--:|--:|--:|",
        *(_line(run, ours) for run in facts.measured),
        "",
        f"Measured on {facts.day}: {facts.machine}. "
        f"Load average {facts.load[0]:.1f} before, {facts.load[1]:.1f} after (the benchmark itself makes 1 to 2).",
        "",
        "`make bench` repeats it. `cp of the zip` is the least that writing the bytes once takes. Ours also hashes "
        "every byte twice, for the proof in manifest.json: each image, and the zip as a whole. That is twice the time "
        "of `SHA-256 of the zip`, spread over the cores.",
    ]
    return "\n".join(lines) + "\n"


def _line(run: Measured, ours: Measured) -> str:
    median, least, most = spread(run.seconds)
    name = run.competitor.name
    ratio = f"{spread(ours.seconds)[0] / median:.2f}" if run is not ours else ""
    goal = f"≤ {GOALS[name]:.2f}" if name in GOALS else ""
    memory = f"{max(run.memory) / 1e6:.0f} MB"
    return f"| {name} | {run.competitor.does} | {median:.2f} | {least:.2f} – {most:.2f} | {memory} | {ratio} | {goal} |"
