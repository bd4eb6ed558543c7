"""An export as a zip: its members, vetted before one byte of them is unpacked."""

import hashlib
import os
import stat
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, NamedTuple

from toolkit.core.errors import ToolkitError, UsageError
from toolkit.core.safe_names import Lookalikes, is_bomb, unsafe_names
from toolkit.core.storage import Address, Place
from toolkit.core.text import format_size

SHOWN = 100
"""How many offenders an error lists."""

_END_SIZE = 22
_LONGEST_END = _END_SIZE + 0xFFFF + 20 + 56
"""Bytes that the records at the end of an archive take at most: with the longest comment, and their zip64 forms."""

_ENCRYPTED = 0x1 | 0x40 | 0x2000
_PATCHED = 0x20
_UTF8 = 0x800
_HAS_DESCRIPTOR = 0x8


class Member(NamedTuple):
    """A file in the archive.

    Attributes:
        name: Where it is unpacked to, separated by slashes: its path inside the archive, behind the archive's prefix.
        offset: Where its local header begins, in bytes.
        limit: Where at the latest its data end: there begins what comes next.
        size: Unpacked size in bytes.
        packed: Size in the archive in bytes.
        crc: CRC-32 of the unpacked bytes.
        method: Compression method, stored or deflated.
        flags: General purpose flags.
    """

    name: str
    offset: int
    limit: int
    size: int
    packed: int
    crc: int
    method: int
    flags: int

    def raw_name(self, prefix: str = "") -> bytes:
        """Give the name's bytes as the archive has them, without the prefix."""
        return self.name[len(prefix) :].encode("utf-8" if self.flags & _UTF8 else "cp437")

    @property
    def has_descriptor(self) -> bool:
        """Whether sizes and CRC stand behind the data instead of in the local header."""
        return bool(self.flags & _HAS_DESCRIPTOR)


class Archive(NamedTuple):
    """An archive.

    Attributes:
        path: The file.
        descriptor: The open file descriptor; worthless once the block that opened it has ended, and -1 at an address.
        size: Bytes of the whole file.
        modified: What is another when it has been written to.
        members: All files in it, in the order of their place in the archive.
        folders: The folders that have an entry of their own, without the slash at the end, behind the prefix.
        lookalikes: Names that are one name where case or Unicode form does not count.
        prefix: Folder that all is unpacked into, with a slash at the end; empty where the archive is the only one.
    """

    path: Place
    descriptor: int
    size: int
    modified: str
    members: list[Member]
    folders: list[str]
    lookalikes: Lookalikes
    prefix: str = ""

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Read from a place on; gives how many bytes came, 0 at the end."""
        if not isinstance(self.path, Address):
            return os.preadv(self.descriptor, [buffer], offset)
        content = self.path.read(offset, min(len(buffer), self.size - offset)) if offset < self.size else b""
        buffer[: len(content)] = content
        return len(content)

    def all_folders(self) -> set[str]:
        """Name the folders that members lie in, and those that have an entry of their own, without the prefix."""
        skipped = len(self.prefix)
        names = {member.name.rpartition("/")[0] for member in self.members} | set(self.folders)
        return {name[skipped:] for name in names} if skipped else names

    def directory_sha256(self) -> str:
        """Identify the content: the SHA-256 of names, sizes and CRCs, in hexadecimal digits."""
        sha256 = hashlib.sha256()
        skipped = len(self.prefix)
        for member in self.members:
            sha256.update(f"{member.size} {member.crc} {member.name[skipped:]}\n".encode("utf-8", "surrogatepass"))
        return sha256.hexdigest()


@contextmanager
def open_archive(path: Place, prefix: str = "") -> Iterator[Archive]:
    """Open an export and vet what its directory says; the data themselves are checked when they are read.

    Args:
        path: The zip.
        prefix: Folder that its members are to be unpacked into, with a slash at the end.

    Yields:
        The archive, open until the end of the block.

    Raises:
        UsageError: There is no such file.
        ToolkitError: It is no zip, is damaged, or has members that cannot be unpacked safely (all are listed).
    """
    with _open(path) as (stream, found):
        yield _read_directory(stream, found, prefix)


@contextmanager
def reopen(archive: Archive) -> Iterator[Archive]:
    """Open an archive again whose directory has been read.

    Raises:
        ToolkitError: It was changed since.
    """
    with _open(archive.path) as (_, found):
        if (found.size, found.modified) != (archive.size, archive.modified):
            raise ToolkitError(f"{archive.path} was changed while it was converted: run again")
        yield archive._replace(descriptor=found.descriptor)


@contextmanager
def _open(path: Place) -> Iterator[tuple[IO[bytes], Archive]]:
    """Open an archive; what is known of it then has no members yet."""
    if isinstance(path, Address):
        if (size := path.size()) is None:
            raise UsageError(f"{path} does not exist: name the exported zip (--base-file)")
        with path.open() as stored:
            yield stored, Archive(path, -1, size, path.version(), [], [], [])
        return
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"{path} does not exist: name the exported zip (--base-file)") from None
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
        raise UsageError(f"{path} is {kind}: name the exported zip (--base-file)")
    with path.open("rb") as stream:
        state = os.fstat(stream.fileno())
        yield stream, Archive(path, stream.fileno(), state.st_size, str(state.st_mtime_ns), [], [], [])


def _read_directory(stream: IO[bytes], found: Archive, prefix: str) -> Archive:
    path, size = found.path, found.size
    try:
        with zipfile.ZipFile(stream) as archive:
            entries = archive.infolist()
            end = archive.start_dir
            archive.NameToInfo.clear()
        if not _is_count(stream, size, len(entries)):
            raise zipfile.BadZipFile("its directory has lost entries")
    except (
        zipfile.BadZipFile,
        NotImplementedError,
        UnicodeDecodeError,
        struct.error,
        ValueError,
        OverflowError,
        EOFError,
        MemoryError,
    ) as error:
        raise ToolkitError(
            f"{path} is not a complete zip ({error}): export it again, or fetch it again if it was copied"
        ) from None
    entries.sort(key=lambda entry: entry.header_offset, reverse=True)
    members: list[Member] = []
    folders: list[str] = []
    problems: list[str] = []
    while entries:  # used up as it is read: twice the directory of a large export is too much memory
        entry = entries.pop()
        limit = entries[-1].header_offset if entries else end
        name = entry.orig_filename
        if (reason := _refusal(entry)) is not None:
            problems.append(f"{name}: {reason}")
        elif name.endswith("/"):
            folders.append(name)
        else:
            members.append(
                Member(
                    name,
                    entry.header_offset,
                    limit,
                    entry.file_size,
                    entry.compress_size,
                    entry.CRC,
                    entry.compress_type,
                    entry.flag_bits,
                )
            )
    lookalikes: Lookalikes = []
    problems.extend(unsafe_names(_all_names(folders, members), lookalikes))
    if problems:
        raise refused(path, problems)
    if is_bomb(total := sum(member.size for member in members), size):
        raise ToolkitError(
            f"{path} would unpack to {format_size(total)} from {format_size(size)}, as a zip bomb does: "
            "CVAT makes no such archive"
        )
    folders = [folder[:-1] for folder in folders]
    if prefix:
        members = [member._replace(name=prefix + member.name) for member in members]
        folders = [prefix + folder for folder in folders]
        lookalikes = [(prefix + name, prefix + other) for name, other in lookalikes]
    return found._replace(members=members, folders=folders, lookalikes=lookalikes, prefix=prefix)


def _is_count(stream: IO[bytes], size: int, found: int) -> bool:
    """Compare the entries found with the number that the end of the directory gives.

    A damaged length in one entry can swallow the next one whole, and ``zipfile`` does not notice that
    (APPNOTE.TXT 4.3.14 and 4.3.16 describe the two records).
    """
    stream.seek(-min(_LONGEST_END, size), os.SEEK_END)
    tail = stream.read()
    at = tail[: len(tail) - _END_SIZE + 4].rfind(b"PK\5\6")  # not inside the record: its numbers can look the same
    told = int.from_bytes(tail[at + 10 : at + 12], "little")
    if told == 0xFFFF and (at := tail[:at].rfind(b"PK\6\6")) >= 0:
        return found == int.from_bytes(tail[at + 32 : at + 40], "little")
    return found & 0xFFFF == told


def _all_names(folders: list[str], members: list[Member]) -> Iterator[str]:
    yield from folders
    for member in members:
        yield member.name


def _refusal(entry: zipfile.ZipInfo) -> str | None:
    """Say why an entry cannot be unpacked, as far as the directory tells."""
    if not entry.orig_filename:
        return "has no name"
    if entry.flag_bits & _ENCRYPTED:
        return "is encrypted"
    if (reason := _odd_kind(entry)) is not None:
        return reason
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or entry.flag_bits & _PATCHED:
        return f"is packed by a method that exports do not use ({entry.compress_type})"
    if entry.compress_type == zipfile.ZIP_STORED and entry.file_size != entry.compress_size:
        return "is stored, but its two sizes differ"
    if entry.header_offset < 0:
        return "lies outside the archive"
    if is_bomb(entry.file_size, entry.compress_size):
        return f"unpacks to {entry.file_size} bytes from {entry.compress_size}, as a zip bomb does"
    return None


def _odd_kind(entry: zipfile.ZipInfo) -> str | None:
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind == stat.S_IFLNK:
        return "is a symbolic link"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a device, a pipe or a socket"
    if entry.orig_filename.endswith("/"):
        return "is a folder, but has content" if entry.file_size else None
    return "is a folder by its attributes, but a file by its name" if kind == stat.S_IFDIR else None


def refused(path: Place, problems: list[str]) -> ToolkitError:
    """Make the error that names the members that cannot be unpacked.

    Args:
        path: The archive.
        problems: One line a member.

    Returns:
        The error, to be raised.
    """
    more = [f"… and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
    count = "1 member" if len(problems) == 1 else f"{len(problems)} members"
    return ToolkitError(f"{path} has {count} that cannot be unpacked safely", [*problems[:SHOWN], *more])
