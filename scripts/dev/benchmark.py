"""Measuring the conversion beside its competitors."""

import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from dev.benchmark_competitors import SCRIPTS, Competitor, extracted_beside
from toolkit.core.errors import ToolkitError
from toolkit.core.secrets import without_secrets

_CLASSES = 10


@dataclass
class Measured:
    """The runs of one competitor: wall clock seconds and peak memory in bytes of its largest process."""

    competitor: Competitor
    seconds: list[float] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Facts:
    """All that a benchmark found, and the circumstances.

    Attributes:
        images: Images in the export.
        bytes: Size of the export.
        rounds: Rounds.
        first: The runs of each competitor where nothing was deleted lately; ours first.
        again: Likewise, each right after the results of the run before were deleted.
        machine: Processor, cores, file system, software.
        load: Load average before and after: above the number of cores something else was at work, too.
        day: When it was measured.
    """

    images: int
    bytes: int
    rounds: int
    first: list[Measured]
    again: list[Measured]
    machine: str
    load: tuple[float, float]
    day: str

    @classmethod
    def collect(cls, archive: Path, images: int, rounds: int, first: "Measurements", again: "Measurements") -> "Facts":
        """Put the circumstances to the results."""
        return cls(
            images=images,
            bytes=archive.stat().st_size,
            rounds=rounds,
            first=first.runs,
            again=again.runs,
            machine=_machine(archive.parent),
            load=(first.load_before, os.getloadavg()[0]),
            day=date.today().isoformat(),
        )

    def as_json(self) -> dict[str, Any]:
        """Give everything to machines, each single run included."""
        return {
            "images": self.images,
            "bytes": self.bytes,
            "rounds": self.rounds,
            "machine": self.machine,
            "load": self.load,
            "day": self.day,
            "seconds": {run.competitor.name: run.seconds for run in self.first},
            "seconds_again": {run.competitor.name: run.seconds for run in self.again},
            "memory": {run.competitor.name: run.memory for run in self.first},
        }


@dataclass(frozen=True)
class Measurements:
    """The runs of all competitors, and the load average before them."""

    runs: list[Measured]
    load_before: float


def make_data(folder: Path, images: int, size: int) -> Path:
    """Make an export of images that do not compress, or take the one made before.

    Args:
        folder: Where it goes.
        images: How many images.
        size: Bytes of each on average; they vary by half.

    Returns:
        The zip.
    """
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder.absolute() / f"{images}x{size}.zip"
    if archive.exists():
        return archive
    numbers = random.Random(1)
    noise = numbers.randbytes(4 * size)
    unfinished = archive.with_suffix(".unfinished")
    with zipfile.ZipFile(unfinished, "w") as writing:
        for number in range(images):
            start = numbers.randrange(2 * size)
            content = number.to_bytes(8, "big") + noise[start : start + numbers.randrange(size // 2, 3 * size // 2)]
            writing.writestr(f"class_{number % _CLASSES}/image_{number:06}.jpg", content)
    return unfinished.rename(archive)


def measure(
    competitors: Sequence[Competitor],
    archive: Path,
    rounds: int,
    *,
    delete: bool,
    show: Callable[[str], None] = lambda text: None,
) -> Measurements:
    """Run all competitors, round by round.

    Every run writes into a folder of its own. ext4 is slow to make files for some minutes after many have been deleted,
    so whether they are deleted between the runs makes two measurements: the first time, and the work done again.

    Args:
        competitors: Those that can run here are run.
        archive: The export; they write beside it, so it should be on a disk of the kind in question.
        rounds: How often each is run.
        delete: Delete what a run wrote right after it; otherwise it is emptied, and deleted at the end.
        show: Called with what goes on.

    Returns:
        All runs, none left out.

    Raises:
        ToolkitError: A competitor failed.
    """
    results = archive.parent / "results"
    _remove(results)
    results.mkdir()
    runs = [Measured(competitor) for competitor in competitors if not competitor.missing]
    load = os.getloadavg()[0]
    if any(run.competitor.name == "cp -r" for run in runs):
        _extract(archive)
    try:
        for number in range(rounds):
            for run in _in_turn(runs, number):
                show(f"round {number + 1} of {rounds}{', again' if delete else ''}: {run.competitor.name}")
                result = results / f"{number} {run.competitor.name}"
                _run_once(run, result)
                (_remove if delete else _empty)(result)
    finally:
        show("removing the results")
        _remove(results)
    return Measurements(runs, load)


def _in_turn(runs: list[Measured], number: int) -> list[Measured]:
    """Let another one begin in each round, and every second round go backwards."""
    turned = runs[number % len(runs) :] + runs[: number % len(runs)]
    return turned if number % 2 == 0 else turned[::-1]


def _extract(archive: Path) -> None:
    extracted = extracted_beside(archive)
    if not extracted.exists():
        with zipfile.ZipFile(archive) as reading:
            reading.extractall(extracted)


def _run_once(run: Measured, target: Path) -> None:
    target.mkdir()
    environment = {**without_secrets(), "PYTHONPATH": str(SCRIPTS)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # nobody compiles a program anew for every run
    seconds = 0.0
    memory = 0
    os.sync()  # so that nobody pays for what the one before left to be written
    for command in run.competitor.command(target):
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment)
        assert process.stderr is not None
        errors = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        seconds += time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        memory = max(memory, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024))
        if process.returncode:
            last = errors.decode(errors="replace").strip().splitlines()[-1:]
            raise ToolkitError(f"{run.competitor.name} failed: {' '.join(last)}", [" ".join(command)[:200]])
    run.seconds.append(seconds)
    run.memory.append(memory)


def _empty(folder: Path) -> None:
    for parent, _, files in os.walk(folder):
        for name in files:
            os.truncate(f"{parent}/{name}", 0)


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def _machine(folder: Path) -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    parts = [_processor(), f"{os.cpu_count()} cores", f"{memory:.0f} GiB", _file_system(folder)]
    return ", ".join([*parts, f"{platform.system()} {platform.release()}", f"Python {platform.python_version()}"])


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _file_system(folder: Path) -> str:
    asked = subprocess.run(["df", "-T", folder], env=without_secrets(), capture_output=True, text=True, check=False)
    return asked.stdout.splitlines()[-1].split()[1] if asked.returncode == 0 else "unknown file system"


def spread(seconds: Sequence[float]) -> tuple[float, float, float]:
    """Give median, least and most."""
    return statistics.median(seconds), min(seconds), max(seconds)
