"""Unpacking an export: every member is read once, and checked, hashed and written on the way."""

import hashlib
import io
import mmap
import os
import struct
import zipfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import IO, TYPE_CHECKING, NamedTuple

from isal import isal_zlib
from isal.isal_zlib import IsalError

from toolkit.core.files import refused_name
from toolkit.core.images import (
    EXIF_SIZE,
    HEAD_SIZE,
    NoImage,
    expected_format,
    is_turned,
    other_format,
    quick_size,
    read_header,
)
from toolkit.core.sequences import Computed
from toolkit.core.workers import PIPE_SIZE, run_processes, worker_count
from toolkit.dataset.archive import HAS_DESCRIPTOR, Archive, Member, raw_bytes, refused

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)

READ_SIZE = 1024 * 1024
"""Bytes read at once: small enough to stay in a core's cache until they are checked, hashed and written."""

_STREAM_SIZE = 1 << 16
"""The same for a member by itself, which may be asked for its first bytes alone."""

_LOCAL_HEADER = struct.Struct("<4s2x2H4x3L2H")
_LOCAL_SIGNATURE = b"PK\x03\x04"
_FLAGS_THAT_MATTER = 0x1 | 0x8 | 0x40 | 0x800
_ZIP64 = 0xFFFFFFFF
_DIGEST_SIZE = 32


_OTHER_CRC = "its CRC does not match: the archive is damaged"


class Damaged(Exception):
    """A member's data are not what the archive's directory says; the text tells why."""


_TASK_SIZE = 8 * READ_SIZE
_TASK_MEMBERS = 500
_TASKS = 150
"""What a process takes at once at most: enough that asking for more costs little, so little that all end together.

Of very many small members it is the part that each of so many tasks has.
"""
_AHEAD = 0.8
"""The share of the tasks that the processes begin with; the rest goes to those that are faster."""
_TASK_BYTES = 64
"""What a task takes in a pipe at most."""


def _neighbours(members: Sequence[Member], size: int, most: int) -> Iterator[range]:
    """Put neighbours together that take so many bytes of the archive; a larger member is alone in its range."""
    first = start = 0
    for index, member in enumerate(members):
        if index > first and (member.limit - start > size or index - first == most):
            yield range(first, index)
            first = index
        if index == first:
            start = member.offset
    if members:
        yield range(first, len(members))


class Reader:
    """Reads members through a buffer of its own; one for each thread."""

    def __init__(self, archive: Archive, size: int = READ_SIZE) -> None:
        self._archive = archive
        self._skipped = len(archive.prefix)
        self._size = size
        self._buffer = memoryview(bytearray(size))
        self._start = 0
        self._filled = 0

    def load(self, start: int, end: int) -> None:
        """Read a part of the archive ahead, as far as the buffer goes."""
        self._start = start
        wanted = min(end - start, self._size)
        self._filled = 0
        while self._filled < wanted:
            got = self._archive.read_into(self._buffer[self._filled : wanted], start + self._filled)
            if not got:
                break
            self._filled += got

    def _at(self, offset: int, length: int) -> memoryview:
        """Give bytes of the archive, at most a buffer full; fewer at the archive's end or the buffer's."""
        if not self._start <= offset <= offset + length <= self._start + self._filled:
            self.load(offset, offset + length)
        return self._buffer[offset - self._start : min(offset - self._start + length, self._filled)]

    def content(self, member: Member) -> Iterable[bytes | memoryview]:
        """Unpack a member and check it on the way; a piece is valid until the next one is asked for.

        Raises:
            Damaged: The data do not fit the directory. What was given until then is worthless.
        """
        start = self._data_start(member)
        if member.method == zipfile.ZIP_STORED and start + member.packed <= self._start + self._filled:
            piece = self._buffer[start - self._start : start - self._start + member.packed]
            if isal_zlib.crc32(piece) != member.crc:
                raise Damaged(_OTHER_CRC)
            return (piece,)
        return self._unpacked(member, start)

    def _unpacked(self, member: Member, start: int) -> Iterator[bytes | memoryview]:
        pieces = self._packed(start, member.packed)
        crc = size = 0
        for piece in pieces if member.method == zipfile.ZIP_STORED else _inflated(pieces, member.size):
            crc = isal_zlib.crc32(piece, crc)
            size += len(piece)
            yield piece
        if size != member.size:
            raise Damaged(f"unpacks to {size} bytes instead of {member.size}")
        if crc != member.crc:
            raise Damaged(_OTHER_CRC)

    def _data_start(self, member: Member) -> int:
        name, offset, limit, size, packed, crc, method, flags = member
        raw_name = raw_bytes(name[self._skipped :], flags)
        length = _LOCAL_HEADER.size + len(raw_name)
        header = self._at(offset, length)
        if len(header) < _LOCAL_HEADER.size:
            raise Damaged("lies outside the archive")
        signature, own_flags, own_method, own_crc, own_packed, own_size, name_length, extra_length = (
            _LOCAL_HEADER.unpack_from(header)
        )
        if signature != _LOCAL_SIGNATURE:
            raise Damaged("has no header where the archive's directory says")
        if own_method != method or (own_flags ^ flags) & _FLAGS_THAT_MATTER:
            raise Damaged("is packed otherwise than the archive's directory says")
        if name_length != len(raw_name) or header[_LOCAL_HEADER.size :] != raw_name:
            raise Damaged("has another name in its own header")
        if not flags & HAS_DESCRIPTOR and (
            own_crc != crc or own_packed not in (packed, _ZIP64) or own_size not in (size, _ZIP64)
        ):
            raise Damaged("has another size or CRC in its own header")
        start: int = offset + length + extra_length
        if start + packed > limit:
            raise Damaged("overlaps what comes after it in the archive")
        return start

    def _packed(self, start: int, length: int) -> Iterator[memoryview]:
        end = start + length
        while start < end:
            piece = self._at(start, min(end - start, self._size))
            if not piece:
                raise Damaged("ends before its last byte: the archive is cut off")
            yield piece
            start += len(piece)


def _inflated(pieces: Iterator[memoryview], size: int) -> Iterator[bytes]:
    """Inflate without ever making more than the promised size, however the data lie."""
    inflate = isal_zlib.decompressobj(wbits=-15)
    left = size
    try:
        for piece in pieces:
            packed: bytes | memoryview = piece
            while packed and not inflate.eof:
                unpacked = inflate.decompress(packed, min(left + 1, READ_SIZE))
                packed = inflate.unconsumed_tail
                left -= len(unpacked)
                if left < 0:
                    raise Damaged("unpacks to more than the archive's directory says")
                if unpacked:
                    yield unpacked
            if inflate.eof and (packed or inflate.unused_data):
                raise Damaged("has bytes behind its packed data")
        while not inflate.eof and (unpacked := inflate.decompress(b"", min(left + 1, READ_SIZE))):
            left -= len(unpacked)
            if left < 0:
                raise Damaged("unpacks to more than the archive's directory says")
            yield unpacked
    except IsalError as error:  # type: ignore[misc]  # untyped in the package
        raise Damaged(f"cannot be inflated ({error})") from None
    if not inflate.eof:
        raise Damaged("its packed data end too early")


class _MemberStream(io.RawIOBase):
    """A member as a file to read from; its data are checked on the way."""

    def __init__(self, archive: Archive, member: Member) -> None:
        super().__init__()
        self._archive = archive
        self._member = member
        self._rewind()

    def _rewind(self) -> None:
        reader = Reader(self._archive, _STREAM_SIZE)
        reader.load(self._member.offset, self._member.limit)
        self._pieces = iter(reader.content(self._member))
        self._piece = memoryview(b"")
        self._position = 0

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def seekable(self) -> bool:
        """Tell that it can be read again from any place."""
        return True

    def tell(self) -> int:
        """Tell how many bytes were read."""
        return self._position

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Read into a buffer; 0 at the end."""
        target = memoryview(buffer).cast("B")
        if not self._piece:
            self._piece = memoryview(next(self._pieces, b""))
        count = min(len(target), len(self._piece))
        target[:count] = self._piece[:count]
        self._piece = self._piece[count:]
        self._position += count
        return count

    def readall(self) -> bytes:
        """Read to the end."""
        rest = bytearray(self._piece)
        for piece in self._pieces:
            rest += piece
        self._piece = memoryview(b"")
        self._position += len(rest)
        return bytes(rest)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go to a place, by reading from the start where it lies behind."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._member.size}[whence]
        if start + offset < self._position:
            self._rewind()
        while self._position < start + offset and self.read(min(start + offset - self._position, _STREAM_SIZE)):
            pass
        return self._position


def open_member(archive: Archive, member: Member) -> io.BufferedReader:
    """Open a member to read from, at any place and in any thread; bad data are a :class:`Damaged` while reading."""
    return io.BufferedReader(_MemberStream(archive, member), _STREAM_SIZE)


class Hashes(Computed[bytes]):
    """The SHA-256 of each of some files, one behind the other in one piece of memory."""

    def __init__(self, digests: bytes) -> None:
        self.digests = digests

    def __len__(self) -> int:
        return len(self.digests) // _DIGEST_SIZE

    def at(self, index: int) -> bytes:
        """Give the hash of a file."""
        start = _DIGEST_SIZE * index
        if start >= len(self.digests):
            raise IndexError(index)
        return self.digests[start : start + _DIGEST_SIZE]


class Contents(NamedTuple):
    """What was found in an archive's members.

    Attributes:
        hashes: The SHA-256 of each, 32 bytes, in the archive's order.
        formats: By index, the picture format of those whose extension tells another.
        turned: The indices of the pictures that are shown otherwise than they are stored.
        unreadable: The indices of those that are pictures by their extension, but that nothing can open.
    """

    hashes: Hashes
    formats: dict[int, str]
    turned: set[int]
    unreadable: set[int]


def unpack(archive: Archive, tree: str | None, on_done: Callable[[int], None], processes: int) -> Contents:
    """Read every member, check it, hash it, and write it below a folder.

    Args:
        archive: The open archive.
        tree: Folder in which the archive's prefix exists, with all :meth:`Archive.all_folders` in it; None only checks
            and hashes.
        on_done: Called with the number of members that are done since the last call.
        processes: How many to take at most.

    Raises:
        ToolkitError: Members are damaged (all are listed), or have names that the file system refuses.
        OSError: Reading or writing failed.
    """
    folder = None if tree is None else os.open(tree, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return _Unpacking(archive, tree, folder).run(on_done, processes)
    finally:
        if folder is not None:
            os.close(folder)


class _Batch(NamedTuple):
    """What was found in members that lie beside one another."""

    members: range
    formats: dict[int, str]
    turned: list[int]
    unreadable: list[int]
    problems: list[tuple[int, str]]


class _Unpacking:
    """One pass over the archive by some processes."""

    def __init__(self, archive: Archive, tree: str | None, folder: int | None) -> None:
        self._archive = archive
        self._tree = tree
        self._folder = folder
        # Shared with the forked processes; mapping nothing is an error.
        self._digests = mmap.mmap(-1, _DIGEST_SIZE * len(archive.members) or 1)

    def run(self, on_done: Callable[[int], None], processes: int) -> Contents:
        members = self._archive.members
        formats: dict[int, str] = {}
        turned: set[int] = set()
        unreadable: set[int] = set()
        problems: list[tuple[int, str]] = []
        ranges = deque(_neighbours(members, _TASK_SIZE, max(_TASK_MEMBERS, len(members) // _TASKS)))
        count = worker_count(processes, len(ranges))
        ahead = min(int(_AHEAD * len(ranges) / (count or 1)), PIPE_SIZE // _TASK_BYTES)

        def take(process: int) -> range | None:
            # From both ends, so that they seldom write into one folder, which the kernel lets one of them do at a time.
            if not ranges:
                return None
            return ranges.pop() if process % 2 else ranges.popleft()

        def keep(batch: _Batch) -> None:
            formats.update(batch.formats)
            turned.update(batch.turned)
            unreadable.update(batch.unreadable)
            problems.extend(batch.problems)
            on_done(len(batch.members))

        run_processes(self._start, take, count, keep, ahead=ahead or 1)
        if problems:
            raise refused(
                self._archive.path, [f"{members[index].name}: {reason}" for index, reason in sorted(problems)]
            )
        digests = self._digests[: _DIGEST_SIZE * len(members)]
        self._digests.close()
        return Contents(Hashes(digests), formats, turned, unreadable)

    def _start(self) -> Callable[[range], _Batch]:
        reader = Reader(self._archive)

        def take(indices: range) -> _Batch:
            batch = _Batch(indices, {}, [], [], [])
            digests = bytearray()
            members = self._archive.members[indices.start : indices.stop]
            for read in _neighbours(members, READ_SIZE, len(members)):
                reader.load(members[read.start].offset, members[read.stop - 1].limit)
                for place in read:
                    digests += self._take_member(reader, members[place], indices[place], batch)
            start = _DIGEST_SIZE * indices.start
            self._digests[start : start + len(digests)] = digests
            return batch

        return take

    def _take_member(self, reader: Reader, member: Member, index: int, batch: _Batch) -> bytes:
        sha256 = hashlib.sha256()
        head = b""
        is_opened = expected_format(member.name) is None
        target = None
        try:
            if self._folder is not None:
                target = self._create(member.name)
            for piece in reader.content(member):
                sha256.update(piece)
                if len(head) < HEAD_SIZE:
                    is_opened = is_opened or quick_size(piece) is not None
                    head += piece[:EXIF_SIZE]
                if target is not None:
                    _write(target, piece)
            if (found := other_format(member.name, head)) is not None:
                batch.formats[index] = found
            if is_turned(head):
                batch.turned.append(index)
            if not is_opened and not _can_be_opened(open_member(self._archive, member)):
                batch.unreadable.append(index)
        except Damaged as damage:
            batch.problems.append((index, str(damage)))
        finally:
            if target is not None:
                os.close(target)
        return sha256.digest()

    def _create(self, name: str) -> int:
        try:
            return os.open(name, _CREATE, 0o666, dir_fd=self._folder)
        except OSError as error:
            raise refused_name(error, name, self._tree) or error from None


def _can_be_opened(stream: IO[bytes]) -> bool:
    with stream:
        try:
            read_header(stream)
        except NoImage:
            return False
    return True


def _write(target: int, piece: bytes | memoryview) -> None:
    written = os.write(target, piece)
    while written < len(piece):
        piece = piece[written:]
        written = os.write(target, piece)
