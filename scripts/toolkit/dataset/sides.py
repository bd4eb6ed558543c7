"""One set of bytes under two names: reflink, hard link or copy."""

import errno
import os
import shutil
import sys
import threading
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

from toolkit.core.errors import UsageError

_FICLONE = 0x40049409
"""Linux: ``ioctl_ficlone(2)``."""

_CANNOT = {
    errno.EPERM,
    errno.EACCES,
    errno.EXDEV,
    errno.EMLINK,
    errno.ENOSYS,
    errno.EINVAL,
    errno.ENOTTY,
    errno.ENOTSUP,
    errno.EOPNOTSUPP,
}


class LinkMode(StrEnum):
    """How the sides share the bytes of the unpacked export."""

    AUTO = "auto"
    REFLINK = "reflink"
    HARDLINK = "hardlink"
    COPY = "copy"


Linker = Callable[[str, str], None]


def _reflink(source: str, target: str) -> None:
    if sys.platform != "linux":
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP), target)
    import fcntl

    reading = os.open(source, os.O_RDONLY)
    try:
        writing = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            fcntl.ioctl(writing, _FICLONE, reading)
        finally:
            os.close(writing)
    finally:
        os.close(reading)


def _copy(source: str, target: str) -> None:
    shutil.copyfile(source, target)


_LINKERS: dict[LinkMode, Linker] = {
    LinkMode.REFLINK: _reflink,
    LinkMode.HARDLINK: os.link,
    LinkMode.COPY: _copy,
}


def usable_mode(wanted: LinkMode, folder: Path) -> LinkMode:
    """Try out which way of sharing a file system knows.

    Args:
        wanted: What was asked for; ``auto`` takes the first of reflink, hard link and copy that works.
        folder: An empty folder of the file system in question.

    Returns:
        The mode to use, never ``auto``.

    Raises:
        UsageError: The mode that was asked for does not work there.
    """
    candidates = list(_LINKERS) if wanted is LinkMode.AUTO else [wanted]
    for mode in candidates:
        if mode is LinkMode.COPY or _works(_LINKERS[mode], folder):
            return mode
    raise UsageError(f"{folder.parent} is on a file system without {wanted}s: use --link-mode auto or copy")


def _works(link: Linker, folder: Path) -> bool:
    source, target = folder / "probe", folder / "probe-linked"
    try:
        source.write_bytes(b"probe")
        link(str(source), str(target))
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
        return False
    finally:
        source.unlink(missing_ok=True)
        target.unlink(missing_ok=True)
    return True


def link_all(mode: LinkMode, count: int, names: Callable[[int], tuple[str, str]]) -> None:
    """Give many files a second name.

    Args:
        mode: Not ``auto``.
        count: How many files.
        names: Gives the existing file and the new name for each number below ``count``; the folders exist. Neighbours
            should lie in the same folder: of two threads each takes half of the list, and they had better not meet.

    Raises:
        OSError: A file could not be linked, or copied.
    """
    link = _LINKERS[mode]
    half = count // 2
    failures: list[BaseException] = []
    stopped = threading.Event()

    def work(part: range) -> None:
        try:
            for index in part:
                if stopped.is_set():
                    return
                link(*names(index))
        except BaseException as error:  # raised again below
            failures.append(error)

    other = threading.Thread(target=work, args=(range(half, count),), daemon=True)
    other.start()
    try:
        work(range(half))
    finally:
        if sys.exc_info()[0] is not None or failures:
            stopped.set()
        other.join()
    if failures:
        raise failures[0]
