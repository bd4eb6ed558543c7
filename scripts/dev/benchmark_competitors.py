"""What convert_dataset is compared with."""

import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from toolkit.core.errors import UsageError

OURS = "convert_dataset"
FILES_ALONE = "files alone"
HASH = "SHA-256 of the zip"
SCRIPTS = Path(__file__).parents[1]

# The reference's convert, said again: unpack everything, shuffle the list, copy every image to its side.
_REFERENCE = """
import json, shutil, sys, zipfile
from pathlib import Path
from toolkit.dataset.reference_shuffle import shuffled
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
from datumaro.components.environment import DEFAULT_ENVIRONMENT
source, target = sys.argv[1:3]
dataset = Dataset.import_from(source, "imagenet")
dataset.transform("random_split", splits=[("train", 0.8), ("val", 0.2)], seed=123)
dataset.export(target, "imagenet_with_subset_dirs", save_media=True)
"""


@dataclass(frozen=True)
class Competitor:
    """One way to do all or a part of the work.

    Attributes:
        name: What it is called in the table.
        does: What it does of the work.
        command: Makes the command lines for an empty result folder; they are run one after the other.
        missing: Why it cannot run here, or nothing.
    """

    name: str
    does: str
    command: Callable[[Path], list[list[str]]]
    missing: str = ""


def extracted_beside(archive: Path) -> Path:
    """Name the folder in which the unpacked archive lies, for whoever copies it."""
    return archive.with_suffix(".extracted")


def competitors(
    archive: Path, images: int, size: int, environment: Path, only: Sequence[str] | None
) -> list[Competitor]:
    """List the competitors.

    Args:
        archive: The export.
        images: Images in it.
        size: Bytes of each on average.
        environment: Virtual environment with datumaro and split-folders.
        only: Names to take, or None for all; ours is always taken.

    Returns:
        The competitors, ours first.

    Raises:
        UsageError: A name is unknown.
    """
    found = [_ours(archive), *_with_unzip(archive, environment.absolute()), *_copies(archive)]
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


def _with_unzip(archive: Path, environment: Path) -> list[Competitor]:
    no_unzip = "" if shutil.which("unzip") else "there is no unzip here (Debian: apt-get install unzip)"
    split_folders, python = str(environment / "bin" / "splitfolders"), str(environment / "bin" / "python")
    missing = no_unzip or ("" if Path(split_folders).exists() else f"{environment} is not there (make bench makes it)")

    def unpack(target: Path) -> list[str]:
        return ["unzip", "-q", str(archive), "-d", str(target)]

    def split(target: Path) -> list[str]:
        output = str(target / "out")
        return [split_folders, "--output", output, "--seed", "123", "--ratio", ".8", ".2", "--", str(target / "in")]

    return [
        Competitor("unzip", "unpacking alone", lambda target: [unpack(target)], no_unzip),
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
        Competitor(
            "datumaro",
            "unpacking, then import, random split and export",
            lambda target: [unpack(target / "in"), [python, "-c", _DATUMARO, str(target / "in"), str(target / "out")]],
            missing,
        ),
    ]


def _copies(archive: Path) -> list[Competitor]:
    tree = str(extracted_beside(archive))
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
