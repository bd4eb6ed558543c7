"""An export as a zip: its members, vetted before one byte of them is unpacked."""

import hashlib
import os
import stat
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, pairwise
from pathlib import Path
from typing import IO, NamedTuple

from toolkit.core.errors import ToolkitError, UsageError
from toolkit.core.safe_names import Lookalikes, is_bomb, unsafe_names
from toolkit.core.sequences import Compact
from toolkit.core.storage import Address, Place
from toolkit.core.text import format_size

SHOWN = 100
"""How many offenders an error lists."""

_END_SIZE = 22
_END64_SIZE = 56
_LONGEST_END = _END_SIZE + 0xFFFF + 20 + _END64_SIZE
"""Bytes that the records at the end of an archive take at most: with the longest comment, and their zip64 forms."""

_ENCRYPTED = 0x1 | 0x40 | 0x2000
_PATCHED = 0x20
_UTF8 = 0x800
HAS_DESCRIPTOR = 0x8
"""The flag of a member whose sizes and CRC stand behind the data instead of in the local header."""


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


def raw_bytes(name: str, flags: int) -> bytes:
    """Give the bytes of a member's name, without the prefix, as the archive has them."""
    return name.encode("utf-8" if flags & _UTF8 or name.isascii() else "cp437")


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
    members: Compact[Member]
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


def may_hold(path: Path, name: str) -> bool:
    """Tell quickly whether a file is a zip whose directory has a name somewhere, in ASCII; OSError if it is not read.

    The archive need not be whole, nor fit to be unpacked.
    """
    with path.open("rb") as stream:
        try:
            start, length, _, _ = _find_directory(stream, path.stat().st_size)
        except _BadDirectory:
            return False
        stream.seek(start)
        return name.encode() in stream.read(length)


@contextmanager
def _open(path: Place) -> Iterator[tuple[IO[bytes], Archive]]:
    """Open an archive; what is known of it then has no members yet."""
    if isinstance(path, Address):
        if (size := path.size()) is None:
            raise UsageError(f"{path} does not exist: name the exported zip (--base-file)")
        with path.open() as stored:
            yield stored, Archive(path, -1, size, path.version(), Compact(Member), [], [])
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
        yield stream, Archive(path, stream.fileno(), state.st_size, str(state.st_mtime_ns), Compact(Member), [], [])


def _read_directory(stream: IO[bytes], found: Archive, prefix: str) -> Archive:
    path, size = found.path, found.size
    members = Compact(Member)
    names: list[str] = []
    folders: list[str] = []
    problems: list[str] = []
    total = 0
    try:
        for entry, attributes in _entries(stream, size):
            if (reason := _refusal(entry, attributes)) is not None:
                problems.append(f"{entry.name}: {reason}")
            elif entry.name[-1] == "/":
                folders.append(entry.name)
            else:
                total += entry.size
                names.append(entry.name)
                members.append(entry._replace(name=prefix + entry.name) if prefix else entry)
    except (_BadDirectory, UnicodeDecodeError, MemoryError) as error:
        raise ToolkitError(
            f"{path} is not a complete zip ({error}): export it again, or fetch it again if it was copied"
        ) from None
    lookalikes: Lookalikes = []
    problems.extend(unsafe_names(chain(folders, names), lookalikes))
    if problems:
        raise refused(path, problems)
    if is_bomb(total, size):
        raise ToolkitError(
            f"{path} would unpack to {format_size(total)} from {format_size(size)}, as a zip bomb does: "
            "CVAT makes no such archive"
        )
    folders = [prefix + folder[:-1] for folder in folders]
    if prefix:
        lookalikes = [(prefix + name, prefix + other) for name, other in lookalikes]
    return found._replace(members=members, folders=folders, lookalikes=lookalikes, prefix=prefix)


# --- The directory of a zip (APPNOTE.TXT 4.3.12 to 4.3.16) ----------------------------------------------------------
# An own reader, for the objects of ``zipfile`` take 540 bytes for each member.

_END = struct.Struct("<4s4x2H2L2x")
_END64 = struct.Struct("<4s28xQQQ")
_LOCATOR = struct.Struct("<4xL8xL")
_ENTRY = struct.Struct("<4s2xBx2H4x3L2H6x2L")
_ENTRY_MARK = b"PK\1\2"
_PLACE = struct.Struct("<4s24x3H8xL")
"""Of an entry what leads to the next one, and where its data are."""
_MANY = 0xFFFF
_LARGE = 0xFFFFFFFF
_ZIP64 = 1
_NEWEST = 63
"""Version of the format, in tenths, that is known here: 6.3."""
_PLACE_BITS = 48


class _BadDirectory(Exception):
    """The directory of an archive is damaged; the text tells how."""


def _entries(stream: IO[bytes], size: int) -> Iterator[tuple[Member, int]]:
    """Read the entries, also those of folders, in the order of their places in the archive; with their attributes."""
    start, length, before, count = _find_directory(stream, size)
    stream.seek(start)
    directory = stream.read(length)
    places: list[int] = []
    at = 0
    while at < length:  # offset and place in one number: pairs of a million are too much memory
        try:
            mark, name_length, extra_length, comment_length, offset = _PLACE.unpack_from(directory, at)
        except struct.error:
            raise _BadDirectory("Truncated central directory") from None
        if mark != _ENTRY_MARK:
            raise _BadDirectory("Bad magic number for central directory")
        if offset == _LARGE:
            offset = _read_entry(directory, at, 0, 0)[0].offset
        places.append((offset + before << _PLACE_BITS) + at)
        at += _ENTRY.size + name_length + extra_length + comment_length
    if at > len(directory):
        raise _BadDirectory("Truncated central directory")
    if count not in (len(places), len(places) & _MANY):
        # A damaged length in one entry can swallow the next one whole.
        raise _BadDirectory("its directory has lost entries")
    places.sort()
    places.append(start << _PLACE_BITS)
    for place, behind in pairwise(places):
        yield _read_entry(directory, place & ((1 << _PLACE_BITS) - 1), before, behind >> _PLACE_BITS)


def _find_directory(stream: IO[bytes], size: int) -> tuple[int, int, int, int]:
    """Find where the directory begins, its bytes, how many come before the archive, and the number of entries.

    The number is the whole one only if it is above 0xFFFF; else it is what is left of it in 16 bits.
    """
    stream.seek(max(size - _LONGEST_END, 0))
    tail = stream.read()
    at = tail[: max(len(tail) - _END_SIZE + 4, 0)].rfind(b"PK\5\6")  # not inside the record: numbers can look the same
    if at < 0:
        raise _BadDirectory("File is not a zip file")
    _, _, count, length, offset = _END.unpack_from(tail, at)
    end = at
    at64 = at - _LOCATOR.size - _END64_SIZE
    if at64 >= 0 and tail.startswith(b"PK\6\7", at - _LOCATOR.size) and tail.startswith(b"PK\6\6", at64):
        if _LOCATOR.unpack_from(tail, at - _LOCATOR.size) > (0, 1):
            raise _BadDirectory("zipfiles that span multiple disks are not supported")
        _, count, length, offset = _END64.unpack_from(tail, at64)
        end = at64
    start = size - len(tail) + end - length
    if start < 0:
        raise _BadDirectory("Bad offset for central directory")
    return start, length, start - offset, count


def _read_entry(directory: bytes, at: int, before: int, limit: int) -> tuple[Member, int]:
    """Read the entry at a place, and its attributes."""
    if at + _ENTRY.size > len(directory):
        raise _BadDirectory("Truncated central directory")
    _, version, flags, method, crc, packed, size, name_length, extra_length, attributes, offset = _ENTRY.unpack_from(
        directory, at
    )
    if version > _NEWEST:
        raise _BadDirectory(f"zip file version {version / 10:.1f}")
    start = at + _ENTRY.size
    end = start + name_length
    name = directory[start:end]
    if extra_length:
        size, packed, offset = _large_numbers(directory[end : end + extra_length], size, packed, offset)
    text = name.decode("utf-8" if flags & _UTF8 or name.isascii() else "cp437")
    return Member(text, offset + before, limit, size, packed, crc, method, flags), attributes


def _large_numbers(extra: bytes, *numbers: int) -> list[int]:
    """Take the numbers that are too large for their fields from the extra field."""
    found = list(numbers)
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<2H", extra)
        content, extra = extra[4 : 4 + length], extra[4 + length :]
        if len(content) < length:
            raise _BadDirectory(f"Corrupt extra field {kind:04x} (size={length})")
        if kind == _ZIP64:
            for index, number in enumerate(found):
                if number == _LARGE:
                    if len(content) < 8:
                        raise _BadDirectory("Corrupt zip64 extra field")
                    found[index], content = int.from_bytes(content[:8], "little"), content[8:]
    return found


def _refusal(entry: Member, attributes: int) -> str | None:
    """Say why an entry cannot be unpacked, as far as the directory tells."""
    if not entry.name:
        return "has no name"
    if entry.flags & _ENCRYPTED:
        return "is encrypted"
    if (reason := _odd_kind(entry, stat.S_IFMT(attributes >> 16))) is not None:
        return reason
    if entry.method not in _METHODS or entry.flags & _PATCHED:
        return f"is packed by a method that exports do not use ({entry.method})"
    if entry.method == zipfile.ZIP_STORED and entry.size != entry.packed:
        return "is stored, but its two sizes differ"
    if entry.offset < 0:
        return "lies outside the archive"
    if is_bomb(entry.size, entry.packed):
        return f"unpacks to {entry.size} bytes from {entry.packed}, as a zip bomb does"
    return None


_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def _odd_kind(entry: Member, kind: int) -> str | None:
    if kind == stat.S_IFLNK:
        return "is a symbolic link"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a device, a pipe or a socket"
    if entry.name[-1] == "/":
        return "is a folder, but has content" if entry.size else None
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
