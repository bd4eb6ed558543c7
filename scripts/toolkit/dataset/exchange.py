"""Swapping two folders in one step, where the kernel and the file system know how."""

import errno
import os
import sys
from pathlib import Path

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2  # Linux: renameat2(2)
_RENAME_SWAP = 2  # macOS: renamex_np(2)


class CannotExchange(Exception):
    """This system or file system has no such call."""


def exchange(one: Path, other: Path) -> None:
    """Let two existing folders change places in one step: nobody ever sees one of the names missing.

    Args:
        one: A folder.
        other: A folder on the same file system.

    Raises:
        CannotExchange: Not possible here, nothing was changed.
        OSError: It failed otherwise.
    """
    import ctypes

    library = ctypes.CDLL(None, use_errno=True)
    paths = os.fsencode(one), os.fsencode(other)
    if sys.platform == "linux" and hasattr(library, "renameat2"):
        code = library.renameat2(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _RENAME_EXCHANGE)
    elif sys.platform == "darwin":
        code = library.renamex_np(paths[0], paths[1], _RENAME_SWAP)
    else:
        raise CannotExchange
    if code == 0:
        return
    number = ctypes.get_errno()
    if number in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EXDEV, errno.EBUSY, errno.EPERM, errno.EACCES):
        raise CannotExchange
    raise OSError(number, os.strerror(number), str(one))
