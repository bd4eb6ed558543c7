"""Measure what large projects take: one zip with very many images, and as many in many zips."""

from toolkit.cli.script import run_script

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from dev.benchmark import SCRIPTS, machine, make_data
from toolkit.cli import console
from toolkit.core.errors import ToolkitError
from toolkit.core.secrets import without_secrets

_EVERY = 0.05
_MACHINES = 10


class Run(NamedTuple):
    """What one command took.

    Attributes:
        what: The command.
        images: How many images it had to do with.
        seconds: Wall clock.
        processor: Seconds of processor time, of all its processes.
        memory: Bytes of all its processes together at the most; what they share counts once.
    """

    what: str
    images: int
    seconds: float
    processor: float
    memory: int


def main(
    images: Annotated[int, typer.Option(min=100, help="How many images in all.")] = 1_000_000,
    size: Annotated[int, typer.Option(min=100, help="Bytes of an image, on average, over and above 700.")] = 300,
    zips: Annotated[int, typer.Option(min=10, help="In how many zips, a multiple of ten.")] = 40,
    shards: Annotated[bool, typer.Option("--shards/--no-shards", help="Write shards, too.")] = True,
    work_dir: Annotated[Path, typer.Option(help="Folder for data and results; its results are removed.")] = Path(
        "bench-data"
    ),
    as_json: console.Json = False,
    debug: console.Debug = False,
) -> None:
    """Measure convert, verify and report on one zip and on many; every command once, in seconds and memory.

    Example: `make bench-scale ARGS="--images 100000"`
    """
    each = images // zips
    one = make_data(work_dir, images, size)
    many = [make_data(work_dir, each, size, first=number * each) for number in range(zips)]
    results = work_dir.absolute() / "results"
    runs: list[Run] = []

    def measure(what: str, count: int, script: str, *arguments: object) -> None:
        console.say(what)
        runs.append(_measure(what, count, [sys.executable, str(SCRIPTS / f"{script}.py"), *map(str, arguments)]))
        last = runs[-1]
        console.say(f"  {last.seconds:.1f} s, {last.processor:.1f} s of processor time, {last.memory / 1e6:.0f} MB")

    def convert(what: str, sources: list[Path], *arguments: object) -> Path:
        result = results / str(len(runs))  # a new one: ext4 takes long for new files where many were deleted lately
        bases = [word for source in sources for word in ("--base-file", source)]
        count = images if len(sources) in (1, zips) else each * len(sources)
        measure(what, count, "convert_dataset", *bases, "--output-dir", result, "--json", *arguments)
        return result

    try:
        convert("one zip, convert --dry-run", [one], "--dry-run")
        result = convert("one zip, convert", [one])
        measure("one zip, verify", images, "verify_dataset", result)
        measure("one zip, report", images, "report_dataset", result, "--output", work_dir / "report.html", "--json")
        (work_dir / "report.html").unlink()
        for workers in (1, 2):
            convert(f"{zips} zips, --workers {workers}", many, "--workers", workers)
        convert(f"{zips // 10} zips, --workers 2", many[: zips // 10], "--workers", 2)
        if shards:
            convert(f"{zips} zips, --workers 2, shards", many, "--workers", 2, "--format", "webdataset")
    finally:
        shutil.rmtree(results, ignore_errors=True)
    if as_json:
        console.result(json.dumps({"machine": machine(work_dir), "runs": [run._asdict() for run in runs]}))
    else:
        console.result(as_markdown(runs, zips, machine(work_dir)))


def _measure(what: str, images: int, command: list[str]) -> Run:
    before, started = os.times(), time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=without_secrets()
    )
    ended = threading.Event()
    peak = [0]

    def watch() -> None:
        while not ended.wait(_EVERY):
            peak[0] = max(peak[0], sum(map(_memory, _family(process.pid))))

    watching = threading.Thread(target=watch)
    watching.start()
    _, errors = process.communicate()
    seconds = time.perf_counter() - started
    ended.set()
    watching.join()
    after = os.times()
    if process.returncode:
        raise ToolkitError(f"{what} failed: {' '.join(errors.splitlines()[-1:])}")
    processor = after.children_user + after.children_system - before.children_user - before.children_system
    return Run(what, images, seconds, processor, peak[0])


def _family(process: int) -> list[int]:
    """List a process and all below it."""
    try:
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except OSError:
        return []
    return [process, *(one for child in children for one in _family(int(child)))]


def _memory(process: int) -> int:
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:  # it has ended, or this is no Linux
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def as_markdown(runs: list[Run], zips: int, circumstances: str) -> str:
    """Write a table with a line for each command, and what follows from it."""
    seconds = {run.what: run.seconds for run in runs}
    one, two = (seconds[f"{zips} zips, --workers {workers}"] for workers in (1, 2))
    tenth = seconds[f"{zips // 10} zips, --workers 2"]
    alone = min(max(2 * two - one, 0.0), one)
    workers = 2 * _MACHINES
    lines = [
        f"## {runs[0].images:,} images, in one zip and in {zips}",
        "",
        "Every command once. Memory is that of all its processes together, what they share counted once.",
        "",
        "| what | images | seconds | of the processor | memory |",
        "|---|--:|--:|--:|--:|",
        *(
            f"| {run.what} | {run.images:,} | {run.seconds:.1f} | {run.processor:.1f} | {run.memory / 1e6:.0f} MB |"
            for run in runs
        ),
        "",
        f"Ten times the zips take {two / tenth:.1f} times as long.",
        "",
        f"By calculation: of the {one:.0f} s with one worker {alone:.0f} s are not shared by two "
        f"(2 × {two:.0f} − {one:.0f}), the other {one - alone:.0f} s are. On {_MACHINES} machines with two cores each, "
        f"that is {workers} workers, it would take {alone:.0f} + {one - alone:.0f} / {workers} = "
        f"{alone + (one - alone) / workers:.0f} s, if the disk that they share can take it.",
        "",
        f"Measured on {circumstances}.",
        "",
        "`make bench-scale` repeats it.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    run_script(main)
