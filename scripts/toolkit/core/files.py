"""Files and folders as a careful program handles them: paths as typed, atomic writes, locks, temporary folders."""

import errno
import fcntl
import glob
import io
import os
import re
import secrets
import shutil
import stat
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.core.errors import ToolkitError, UsageError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_LOCK = ".lock"
_TRIES = 5
_ABANDONED_AFTER = 3600.0
"""Seconds after which nobody writes a part of a small file any more, where locks do not tell."""


@contextmanager
def temporary_folder(place: Path, prefix: str) -> Iterator[Path]:
    """Make a temporary folder, after removing those that killed runs have left in the same place.

    It is removed at the end whatever happens.
    """
    remove_abandoned(place, prefix)
    with ExitStack() as stack:
        for _ in range(_TRIES):
            folder = stack.enter_context(_new_folder(place, prefix))
            try:
                stack.enter_context(try_lock(folder / _LOCK))
                break
            except (BlockingIOError, FileNotFoundError):
                continue  # another run took it for an abandoned one before it was claimed
            except OSError:
                break  # a file system without locks: a killed run's folder is not found by the next
        yield folder


@contextmanager
def _new_folder(place: Path, prefix: str) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=place))
    try:
        yield folder
    finally:
        try:
            shutil.rmtree(folder, ignore_errors=True)
        except KeyboardInterrupt:  # in the middle of tidying up: that comes first
            shutil.rmtree(folder, ignore_errors=True)
            raise


def remove_abandoned(place: Path, prefix: str) -> list[Path]:
    """Remove the temporary folders of one's own that no living process has claimed, and return them."""
    removed = []
    for folder in sorted(place.glob(f"{glob.escape(prefix)}*")):
        with suppress(OSError):
            if _is_own(folder) and _remove(folder):
                removed.append(folder)
    return removed


def _is_own(folder: Path) -> bool:
    state = folder.lstat()
    return stat.S_ISDIR(state.st_mode) and state.st_uid == os.geteuid()


def _remove(folder: Path) -> bool:
    """Remove a folder while holding its lock; a run that has only just made it finds that and makes another."""
    try:
        with try_lock(folder / _LOCK):
            shutil.rmtree(folder, ignore_errors=True)
    except OSError:
        return False
    return True


def write_atomically(path: Path, text: str, is_private: bool = False) -> None:
    """Write a file beside its place and move it there.

    The file beside has a name that nobody can foresee; what a killed run has left is removed. Where it raises OSError,
    what was there before is unchanged. A private file is readable by its owner alone.
    """
    _remove_parts(path)
    part, descriptor = _new_part(path, 0o600 if is_private else 0o666)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as stream:
            if is_private:
                os.fchmod(stream.fileno(), 0o600)
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
            part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _new_part(path: Path, mode: int) -> tuple[Path, int]:
    """Open a new file beside a path and lock it, so that no other run takes it for what a killed one has left."""
    while True:
        part = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
        with suppress(OSError):  # on a file system without locks only the age tells
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return part, descriptor
        os.close(descriptor)  # removed before it was locked


def _remove_parts(path: Path) -> None:
    for part in path.parent.glob(f".{glob.escape(path.name)}.{'[0-9a-f]' * 16}.part"):
        with suppress(OSError):
            state = part.lstat()
            if stat.S_ISREG(state.st_mode) and state.st_uid == os.geteuid() and _is_abandoned(part, state.st_mtime):
                part.unlink()


def _is_abandoned(part: Path, modified: float) -> bool:
    if time.time() - modified > _ABANDONED_AFTER:
        return True
    descriptor = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def read_own(path: Path, largest: int = 16 * 1024**2) -> bytes:
    """Read a file that only we can have written: a regular one of our own, no link, nothing that makes us wait.

    Anything else, one of more than ``largest`` bytes among them, is an OSError; a missing one a FileNotFoundError.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as stream:
        state = os.fstat(stream.fileno())
        if not stat.S_ISREG(state.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        if state.st_uid != os.geteuid():
            raise OSError(errno.EPERM, "it belongs to another user", str(path))
        if state.st_size > largest:
            raise OSError(errno.EFBIG, "too large", str(path))
        return stream.read(largest)


@contextmanager
def try_lock(path: Path) -> Iterator[int]:
    """Lock a file for this process; the system drops the lock when the process ends, by SIGKILL as well.

    Args:
        path: The file, made if missing, readable by its owner alone; it is not removed at the end.

    Yields:
        Its descriptor; a child process that inherits it keeps the lock until it ends, too.

    Raises:
        BlockingIOError: Another living process holds it, or has just removed it.
        OSError: The file cannot be made, or its file system knows no locks.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.fstat(descriptor).st_nlink:
            raise BlockingIOError(f"{path} was removed meanwhile")
        yield descriptor
    finally:
        os.close(descriptor)


def resolve(given: str | os.PathLike[str], folder: Path) -> Path:
    """Make a given path absolute without following any symbolic link; it need not exist.

    Checked is every part of the path that was typed below ``folder``; of an absolute path that leads elsewhere only the
    last part is, because a system's own links (such as ``/tmp`` on macOS) are nobody's mistake.

    Raises UsageError where a part of the path is a symbolic link.
    """
    absolute = Path(os.path.normpath(folder / given))
    for part in _typed_parts(Path(given), folder, absolute):
        if part.is_symlink():
            raise UsageError(f"{part} is a symbolic link, which is not supported: name the real file or folder")
    return absolute


def _typed_parts(given: Path, folder: Path, absolute: Path) -> list[Path]:
    if not given.is_absolute():
        parts = []
        current = folder
        for name in given.parts:
            current = current.parent if name == os.pardir else current / name
            parts.append(current)
        return parts
    if absolute.is_relative_to(folder):
        below = absolute.relative_to(folder).parts
        return [folder.joinpath(*below[: depth + 1]) for depth in range(len(below))]
    return [absolute]


_REFUSALS = (errno.EINVAL, errno.EILSEQ, errno.ENAMETOOLONG)


def refused_name(error: OSError, name: str, folder: str | os.PathLike[str] | None) -> ToolkitError | None:
    """Explain why a file system does not take a name, such as `a:b.jpg` on exFAT; None for any other error."""
    if folder is None:
        return None
    # exFAT by FUSE says of such a name that there is no such file, also when one is to be made.
    is_refusal = error.errno in _REFUSALS or (error.errno == errno.ENOENT and Path(folder, name).parent.is_dir())
    if not is_refusal:
        return None
    where = file_system(Path(folder)) or "the file system"
    return ToolkitError(
        f"{name}: {where} does not take this name ({error.strerror}): "
        "choose a folder on another file system, or rename it in CVAT"
    )


def file_system(folder: Path) -> str | None:
    """Name a folder's file system, such as "exfat at /media/usb"; None where the system does not say."""
    try:
        lines = Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return None
    found: tuple[int, str | None] = (-1, None)
    for line in lines:  # proc(5): the mount point is the fifth field, the type the first behind the dash
        before, _, after = line.partition(" - ")
        place = Path(re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), before.split(" ")[4]))
        if folder.absolute().is_relative_to(place) and len(place.parts) >= found[0]:
            found = len(place.parts), f"{after.split(' ')[0]} at {place}"
    return found[1]


class RangedFile(io.RawIOBase):
    """A file to read from, of which any range can be had."""

    def __init__(
        self, read_range: Callable[[int, int], bytes], size: int, close: Callable[[], None] | None = None
    ) -> None:
        """Read by ``read_range(offset, number of bytes)`` what has ``size`` bytes; ``close`` is called at closing."""
        super().__init__()
        self._read_range = read_range
        self._size = size
        self._close = close
        self._at = 0

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def seekable(self) -> bool:
        """Tell that it can be read from any place."""
        return True

    def tell(self) -> int:
        """Tell where it is read next."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go to a place; one behind the end has nothing to read."""
        self._at = max(0, offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence])
        return self._at

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Read into a buffer; 0 at the end."""
        view = memoryview(buffer).cast("B")
        content = self._read_range(self._at, max(0, min(len(view), self._size - self._at)))
        view[: len(content)] = content
        self._at += len(content)
        return len(content)

    def close(self) -> None:
        """Close it, and what is behind it."""
        if self._close is not None and not self.closed:
            self._close()
        super().close()


_GET_FLAGS = 0x80086601
_SET_FLAGS = 0x40086602
_TOP_OF_HIERARCHIES = 0x00020000
"""Linux: ``FS_IOC_GETFLAGS``, ``FS_IOC_SETFLAGS`` and ``FS_TOPDIR_FL``, ioctl_iflags(2)."""


def make_folders(root: Path, folders: Iterable[str]) -> None:
    """Make folders with all that lead to them, those directly below the root far from each other on the disk.

    ext4 puts a folder beside its parent and a file beside its folder, and looks at each inode that was deleted there in
    the last minutes before it takes one (``recently_deleted`` in the kernel's fs/ext4/ialloc.c). Where a dataset has
    just been replaced, every new file would cost twenty times as much. So the folders get places that depend on a
    random name, which they bear for a moment. Other file systems do not know the wish, and do not need it.

    Folders are paths below the existing root; the empty one is the root itself.
    """
    needed = set(folders)
    for folder in tuple(needed):
        while folder := folder.rpartition("/")[0]:
            needed.add(folder)
    needed.discard("")
    flags = _spread_what_comes(root)
    for folder in sorted(needed):
        try:
            if flags is None or "/" in folder:
                (root / folder).mkdir()
            else:
                somewhere = root / f".{secrets.token_hex(8)}"
                somewhere.mkdir()
                somewhere.rename(root / folder)
        except OSError as error:
            raise refused_name(error, folder, root) or error from None
    if flags is not None:
        _set_flags(root, flags)


def _spread_what_comes(root: Path) -> int | None:
    """Have the file system spread the folders that are made in one; gives the flags from before, None if it cannot."""
    if sys.platform != "linux":
        return None
    try:
        flags = _get_flags(root)
        _set_flags(root, flags | _TOP_OF_HIERARCHIES)
    except OSError:
        return None
    return flags


def _get_flags(folder: Path) -> int:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        answer = fcntl.ioctl(descriptor, _GET_FLAGS, struct.pack("l", 0))
    finally:
        os.close(descriptor)
    flags: int = struct.unpack_from("i", answer)[0]
    return flags


def _set_flags(folder: Path, flags: int) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.ioctl(descriptor, _SET_FLAGS, struct.pack("i", flags))
    finally:
        os.close(descriptor)
