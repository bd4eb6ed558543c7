"""The file of a backup: an uncompressed zip with the parts, and a manifest with the SHA-256 of each."""

import fcntl
import hashlib
import json
import os
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, cast

from toolkit.core.errors import ToolkitError
from toolkit.core.files import try_lock

MANIFEST = "manifest.json"
DATABASE = "database.dump"
DATA = "data.tar"
KEYS = "keys.tar"
PARTS = (DATABASE, DATA, KEYS)
FORMAT = "cvat-toolkit-backup-1"

PIECE = 1 << 20

_PART_BEGINS, _PART_ENDS = ".cvat-backup-", ".part"
_OLD_PARTS = ".*.cvat-backup.zip.part"
"""What older versions of this toolkit have called a file that is being written."""
_DUMP_BEGINS_WITH = b"PGDMP"


@dataclass
class Part:
    """One member of the file: its size, and its digest in hexadecimal digits."""

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

    The target must not exist; finish the writer before leaving. Raises ToolkitError where it cannot be written, or what
    was written cannot be read back; nothing is left then.
    """
    taken = f"{target} exists already: name another file"
    if os.path.lexists(target):
        raise ToolkitError(taken)
    beside: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=_PART_BEGINS, suffix=_PART_ENDS, dir=target.parent)
        beside = Path(name)
        with os.fdopen(descriptor, "wb") as file:
            with suppress(OSError):  # a file system without locks: the next backup does not touch it
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
                yield BackupWriter(archive)
            file.flush()
            os.fsync(file.fileno())
            check(beside, called=target)
            _give_name(beside, target)
    except FileExistsError as error:
        raise ToolkitError(taken) from error
    except OSError as error:
        raise ToolkitError(f"the backup cannot be written to {target}: {error.strerror or error}") from error
    finally:
        if beside is not None:
            beside.unlink(missing_ok=True)


def _give_name(beside: Path, target: Path) -> None:
    """Name a file, and leave alone what has got that name meanwhile."""
    try:
        os.link(beside, target)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        if os.path.lexists(target):
            raise FileExistsError(str(target)) from None
        beside.rename(target)


def remove_abandoned_parts(folder: Path) -> list[tuple[Path, int]]:
    """Remove what killed backups of this user have left in a folder, and return each file with its size in bytes.

    That of a living one is locked.
    """
    removed = []
    for part in sorted({*folder.glob(f"{_PART_BEGINS}*{_PART_ENDS}"), *folder.glob(_OLD_PARTS)}):
        with suppress(OSError):
            state = part.lstat()
            if stat.S_ISREG(state.st_mode) and state.st_uid == os.geteuid():
                with try_lock(part):
                    part.unlink()
                removed.append((part, state.st_size))
    return removed


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        if path.exists() and not path.is_file():  # a pipe would have us wait for ever
            raise ToolkitError(f"{path} is no file")
        with zipfile.ZipFile(path) as archive:
            yield archive
    except FileNotFoundError as error:
        raise ToolkitError(f"there is no file {path}") from error
    except (zipfile.BadZipFile, EOFError) as error:
        raise ToolkitError(f"{path} is not a whole backup: {error}") from error
    except OSError as error:
        raise ToolkitError(f"{path} cannot be read: {error.strerror or error}") from error


def read_manifest(path: Path) -> Manifest:
    """Read what a backup is of; raises ToolkitError where the file is no backup of this toolkit."""
    with _opened(path) as archive:
        try:
            manifest = Manifest(**json.loads(archive.read(MANIFEST)))
            manifest.parts = {name: Part(**part) for name, part in manifest.parts.items()}  # type: ignore[arg-type]
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise ToolkitError(f"{path} is no backup made by `make backup`: it has no valid {MANIFEST}") from error
    if manifest.format != FORMAT or set(PARTS) - manifest.parts.keys():
        raise ToolkitError(f"{path} has another layout ({manifest.format}) than this toolkit reads ({FORMAT})")
    return manifest


def check(path: Path, called: Path | None = None) -> Manifest:
    """Read a whole backup and compare it with its manifest.

    Raises ToolkitError where something is missing, damaged or no archive, with one detail line a part; the message
    calls the file by its path, or as ``called`` says.
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
        raise ToolkitError(f"{called or path} is damaged: use another backup", problems)
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
