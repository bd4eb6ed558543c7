"""The file of a backup: an uncompressed zip with the parts, and a manifest with the SHA-256 of each."""

import hashlib
import json
import os
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, cast

from toolkit.core.errors import ToolkitError

MANIFEST = "manifest.json"
DATABASE = "database.dump"
DATA = "data.tar"
KEYS = "keys.tar"
PARTS = (DATABASE, DATA, KEYS)
FORMAT = "cvat-toolkit-backup-1"

PIECE = 1 << 20
_DUMP_BEGINS_WITH = b"PGDMP"


@dataclass
class Part:
    """One member of the file.

    Attributes:
        bytes: Its size.
        sha256: Its digest, hexadecimal.
    """

    bytes: int
    sha256: str


@dataclass
class Manifest:
    """What a backup is of.

    Attributes:
        created: When, ISO 8601 in UTC.
        project: The Compose project.
        cvat_version: The tag of CVAT's images.
        images: Digest by image.
        versions: Of the programs that wrote it.
        tables: Rows by table of the database.
        frames: Images of all tasks.
        summary: Projects, tasks, frames, annotations and users.
        parts: Size and digest by member.
        format: The layout of the file.
    """

    created: str
    project: str
    cvat_version: str
    images: dict[str, str]
    versions: dict[str, str]
    tables: dict[str, int]
    frames: int
    summary: dict[str, int]
    parts: dict[str, Part] = field(default_factory=dict)
    format: str = FORMAT


class BackupWriter:
    """Writes a backup part by part, each streamed and hashed on its way."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._parts: dict[str, Part] = {}

    def add(self, name: str, pieces: Iterable[bytes]) -> None:
        """Add a part from its pieces."""
        digest, size = hashlib.sha256(), 0
        with self._archive.open(name, "w", force_zip64=True) as member:
            for piece in pieces:
                digest.update(piece)
                size += len(piece)
                member.write(piece)
        self._parts[name] = Part(size, digest.hexdigest())

    def finish(self, manifest: Manifest) -> None:
        """Add the manifest, the last member."""
        manifest.parts = self._parts
        self._archive.writestr(MANIFEST, json.dumps(asdict(manifest), indent=2) + "\n")


@contextmanager
def writing(target: Path) -> Iterator[BackupWriter]:
    """Write a backup beside its place; it gets its name once it was read back and found whole.

    Args:
        target: The file, which must not exist.

    Yields:
        The writer; finish it before leaving.

    Raises:
        ToolkitError: It cannot be written, or what was written cannot be read back. Nothing is left then.
    """
    if target.exists():
        raise ToolkitError(f"{target} exists already: name another file")
    beside = target.with_name(f".{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        beside.unlink(missing_ok=True)
        beside.touch(mode=0o600)
        with zipfile.ZipFile(beside, "w", zipfile.ZIP_STORED) as archive:
            yield BackupWriter(archive)
        check(beside)
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        beside.rename(target)
    except OSError as error:
        raise ToolkitError(f"the backup cannot be written to {target}: {error.strerror or error}") from error
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except FileNotFoundError as error:
        raise ToolkitError(f"there is no file {path}") from error
    except (zipfile.BadZipFile, EOFError) as error:
        raise ToolkitError(f"{path} is not a whole backup: {error}") from error
    except OSError as error:
        raise ToolkitError(f"{path} cannot be read: {error.strerror or error}") from error


def read_manifest(path: Path) -> Manifest:
    """Read what a backup is of.

    Raises:
        ToolkitError: The file is no backup of this toolkit.
    """
    with _opened(path) as archive:
        try:
            manifest = Manifest(**json.loads(archive.read(MANIFEST)))
            manifest.parts = {name: Part(**part) for name, part in manifest.parts.items()}  # type: ignore[arg-type]
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise ToolkitError(f"{path} is no backup made by `make backup`: it has no valid {MANIFEST}") from error
    if manifest.format != FORMAT or set(PARTS) - manifest.parts.keys():
        raise ToolkitError(f"{path} has another layout ({manifest.format}) than this toolkit reads ({FORMAT})")
    return manifest


def check(path: Path) -> Manifest:
    """Read a whole backup and compare it with its manifest.

    Returns:
        The manifest.

    Raises:
        ToolkitError: Something is missing, damaged or no archive; one detail line a part.
    """
    manifest = read_manifest(path)
    problems = []
    with _opened(path) as archive:
        for name, expected in manifest.parts.items():
            try:
                problem = _problem_of(archive, name, expected)
            except (zipfile.BadZipFile, tarfile.TarError, KeyError, EOFError) as error:
                problem = f"damaged ({error})"
            if problem:
                problems.append(f"{name}: {problem}")
    if problems:
        raise ToolkitError(f"{path} is damaged: use another backup", problems)
    return manifest


def _problem_of(archive: zipfile.ZipFile, name: str, expected: Part) -> str | None:
    with archive.open(name) as member:
        hashing = _Hashing(member)
        if name.endswith(".tar"):
            with tarfile.open(fileobj=cast("IO[bytes]", hashing), mode="r|") as tree:
                for _ in tree:
                    pass
        elif hashing.read(len(_DUMP_BEGINS_WITH)) != _DUMP_BEGINS_WITH:
            return "is no dump of pg_dump -Fc"
        while hashing.read(PIECE):
            pass
    found = Part(hashing.size, hashing.digest.hexdigest())
    return None if found == expected else "its SHA-256 is not the manifest's"


class _Hashing:
    """A file that hashes what is read from it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest = hashlib.sha256()
        self.size = 0

    def read(self, count: int = -1) -> bytes:
        piece = self._file.read(count)
        self.digest.update(piece)
        self.size += len(piece)
        return piece


@contextmanager
def reading(path: Path, name: str) -> Iterator[IO[bytes]]:
    """Open one part for reading."""
    with _opened(path) as archive, archive.open(name) as member:
        yield member
