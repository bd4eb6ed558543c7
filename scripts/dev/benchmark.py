"""Measuring the conversion beside its competitors, round by round."""

import io
import json
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

from toolkit.core.errors import ToolkitError, UsageError
from toolkit.core.secrets import without_secrets

OURS = "convert_dataset"
FILES_ALONE = "files alone"
HASH = "SHA-256 of the zip"
SCRIPTS = Path(__file__).parents[1]

# The reference's convert, said again: unpack everything, shuffle the list, copy every image to its side.
_REFERENCE = """
import json, shutil, sys, zipfile
from pathlib import Path
from toolkit.dataset.split import shuffled
archive, target = Path(sys.argv[1]), Path(sys.argv[2])
exported = target / "cvat_exported"
exported.mkdir(parents=True)
shutil.unpack_archive(archive, exported)
classes = sorted(path.name for path in exported.iterdir() if path.is_dir())
(target / "labels.json").write_text(json.dumps({name: number for number, name in enumerate(classes)}))
images = [path for name in classes for path in sorted((exported / name).iterdir())]
order = shuffled(len(images), 123)
size = int(0.2 * len(images))
for side, numbers in (("training", order[: len(order) - size]), ("validation", order[len(order) - size :])):
    for name in classes:
        (target / side / name).mkdir(parents=True)
    for number in numbers:
        shutil.copyfile(images[number], target / side / images[number].relative_to(exported))
"""

_SHA256 = """
import hashlib, sys
with open(sys.argv[1], "rb") as stream:
    print(hashlib.file_digest(stream, "sha256").hexdigest())
"""

# The least that the kernel takes: as many files of the same size, each with a second name, by two processes.
_FILES_ALONE = """
import os, sys
count, content = int(sys.argv[1]), bytes(int(sys.argv[2]))
for part in ("a", "b"):
    os.mkdir(part)
    os.mkdir(part + "-linked")
def write(part, numbers):
    for number in numbers:
        path = f"{part}/{number}.jpg"
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        os.write(file, content)
        os.close(file)
        os.link(path, f"{part}-linked/{number}.jpg")
child = os.fork()
if child == 0:
    write("a", range(count // 2))
    os._exit(0)
write("b", range(count // 2, count))
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""

_DATUMARO = """
import sys
from datumaro import Dataset
source, target, read, write = sys.argv[1:]
dataset = Dataset.import_from(source, read)
dataset.transform("random_split", splits=[("train", 0.8), ("val", 0.2)], seed=123)
dataset.export(target, write, save_media=True)
"""


_CLASSES = 10


@dataclass(frozen=True)
class Competitor:
    """One way to do all or a part of the work."""

    name: str
    does: str
    command: Callable[[Path], list[list[str]]]  # run one after the other for an empty result folder
    missing: str = ""  # why it cannot run here


@dataclass
class Measured:
    """The runs of one competitor: wall clock seconds and peak memory in bytes of its largest process."""

    competitor: Competitor
    seconds: list[float] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Facts:
    """All that a benchmark found, and the circumstances."""

    images: int
    bytes: int  # of the zip
    rounds: int
    first: list[Measured]  # where nothing was deleted lately; ours first
    again: list[Measured]  # each right after the results of the run before were deleted
    machine: str
    load: tuple[float, float]  # average before and after: above the number of cores something else was at work, too
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
            machine=machine(archive.parent),
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


def make_data(folder: Path, images: int, size: int, boxes: bool = False, first: int = 0) -> Path:
    """Make an export of pictures that do not compress, or take the one made before.

    Args:
        folder: Gets the zip.
        images: How many pictures.
        size: Their bytes, on average; they vary by half.
        boxes: Whether it is one of boxes, in COCO 1.0, instead of tags, in ImageNet 1.0.
        first: The number of the first picture, by which it is named and differs from all others.
    """
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder.absolute() / f"{'boxes' if boxes else 'tags'}-{first}-{images}x{size}.zip"
    if archive.exists():
        return archive
    chance = random.Random(first)
    pictures, noise = _pictures(), chance.randbytes(4 * size)
    unfinished = archive.with_suffix(".unfinished")
    with zipfile.ZipFile(unfinished, "w") as writing:
        for number in range(first, first + images):
            start = chance.randrange(2 * size)
            filling = number.to_bytes(8, "big") + noise[start : start + chance.randrange(size // 2, 3 * size // 2)]
            folder_name = "images/default" if boxes else f"class_{number % _CLASSES}"
            writing.writestr(f"{folder_name}/image_{number:07}.jpg", _filled(pictures[number % len(pictures)], filling))
        if boxes:
            writing.writestr("annotations/instances_default.json", json.dumps(_coco(first, images)))
    return unfinished.rename(archive)


_SIDE = 32


def _pictures() -> list[bytes]:
    """Draw some small pictures of noise."""
    from PIL import Image

    chance = random.Random(1)
    streams = []
    for _ in range(512):
        stream = io.BytesIO()
        small = Image.frombytes("RGB", (4, 4), chance.randbytes(48))
        small.resize((_SIDE, _SIDE)).save(stream, "JPEG", quality=50)
        streams.append(stream.getvalue())
    return streams


def _filled(picture: bytes, filling: bytes) -> bytes:
    """Put bytes into comments of a JPEG, which may have 65,533 each."""
    parts = [picture[:2]]
    for start in range(0, len(filling), 65_533):
        part = filling[start : start + 65_533]
        parts.append(b"\xff\xfe" + (len(part) + 2).to_bytes(2, "big") + part)
    return b"".join([*parts, picture[2:]])


def _coco(first: int, images: int) -> dict[str, Any]:
    """Give each picture three boxes, but every tenth none."""
    names = [f"image_{number:07}.jpg" for number in range(first, first + images)]
    boxes = [
        {
            "id": 3 * index + count + 1,
            "image_id": index + 1,
            "category_id": (index + count) % _CLASSES + 1,
            "bbox": [2.0 + count, 3.0, 10.5, 20.25],
            "area": 212.625,
            "iscrowd": 0,
            "segmentation": [],
        }
        for index in range(images)
        if index % 10
        for count in range(3)
    ]
    return {
        "categories": [{"id": number + 1, "name": f"class_{number}"} for number in range(_CLASSES)],
        "images": [
            {"id": index + 1, "file_name": name, "width": _SIDE, "height": _SIDE} for index, name in enumerate(names)
        ],
        "annotations": boxes,
    }


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
    extracted = _extracted_beside(archive)
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


def machine(folder: Path) -> str:
    """Tell on what is measured: processor, memory, file system, kernel, Python."""
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


def _extracted_beside(archive: Path) -> Path:
    return archive.with_suffix(".extracted")


def competitors(
    archive: Path, images: int, size: int, boxes: bool, environment: Path, only: Sequence[str] | None
) -> list[Competitor]:
    """List the competitors, ours first; ``only`` leaves out all others, but not ours."""
    found = [_ours(archive), *_with_unzip(archive, boxes, environment.absolute()), *_copies(archive)]
    found.append(_files_alone(images, size))
    if only is None:
        return found
    unknown = set(only) - {competitor.name for competitor in found}
    if unknown:
        names = [competitor.name for competitor in found]
        raise UsageError(f"--only: no competitor is called {', '.join(sorted(unknown))}", names)
    return [competitor for competitor in found if competitor.name in {*only, OURS}]


def _ours(archive: Path) -> Competitor:
    script = [sys.executable, str(SCRIPTS / "convert_dataset.py"), "--base-file", str(archive)]
    return Competitor(
        OURS,
        "everything, with checks, hashes and a manifest",
        lambda target: [[*script, "--output-dir", str(target / "dataset"), "--json"]],
    )


def _with_unzip(archive: Path, boxes: bool, environment: Path) -> list[Competitor]:
    no_unzip = "" if shutil.which("unzip") else "there is no unzip here (Debian: apt-get install unzip)"
    split_folders, python = str(environment / "bin" / "splitfolders"), str(environment / "bin" / "python")
    missing = no_unzip or ("" if Path(split_folders).exists() else f"{environment} is not there (make bench makes it)")

    def unpack(target: Path) -> list[str]:
        return ["unzip", "-q", str(archive), "-d", str(target)]

    def split(target: Path) -> list[str]:
        output = str(target / "out")
        return [split_folders, "--output", output, "--seed", "123", "--ratio", ".8", ".2", "--", str(target / "in")]

    formats = ("coco", "yolo_ultralytics") if boxes else ("imagenet", "imagenet_with_subset_dirs")
    both = [
        Competitor("unzip", "unpacking alone", lambda target: [unpack(target)], no_unzip),
        Competitor(
            "datumaro",
            "unpacking, then import, random split and export" + f" as {formats[1]}" * boxes,
            lambda target: [
                unpack(target / "in"),
                [python, "-c", _DATUMARO, str(target / "in"), str(target / "out"), *formats],
            ],
            missing,
        ),
    ]
    tags_only = [
        Competitor(
            "reference",
            "the reference's algorithm: unpack, then copy each image (TensorFlow not counted)",
            lambda target: [[sys.executable, "-c", _REFERENCE, str(archive), str(target)]],
        ),
        Competitor(
            "unzip+split-folders",
            "unpacking, then splitfolders 80:20",
            lambda target: [unpack(target / "in"), split(target)],
            missing,
        ),
    ]
    return both if boxes else both + tags_only


def _copies(archive: Path) -> list[Competitor]:
    tree = str(_extracted_beside(archive))
    return [
        Competitor("cp -r", "copying the unpacked tree", lambda target: [["cp", "-r", tree, str(target / "tree")]]),
        Competitor("cp of the zip", "copying one file", lambda target: [["cp", str(archive), str(target)]]),
        Competitor(
            HASH,
            "hashing every byte once",
            lambda target: [[sys.executable, "-c", _SHA256, str(archive)]],
        ),
    ]


def _files_alone(images: int, size: int) -> Competitor:
    script = f"import os, sys; os.chdir(sys.argv.pop(1))\n{_FILES_ALONE}"
    return Competitor(
        FILES_ALONE,
        "as many files, each with a link, written from memory by two processes: nothing read, checked or hashed",
        lambda target: [[sys.executable, "-c", script, str(target), str(images), str(size)]],
    )
