"""Making the folders of a tree, placed so that making files in them is fast."""

import fcntl
import os
import secrets
import struct
import sys
from collections.abc import Iterable
from pathlib import Path

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

    Args:
        root: An existing folder.
        folders: Paths below it, separated by slashes; the empty one is the root itself.

    Raises:
        OSError: A folder could not be made.
    """
    needed = set(folders)
    for folder in tuple(needed):
        while folder := folder.rpartition("/")[0]:
            needed.add(folder)
    needed.discard("")
    flags = _spread_what_comes(root)
    for folder in sorted(needed):
        if flags is None or "/" in folder:
            (root / folder).mkdir()
        else:
            somewhere = root / f".{secrets.token_hex(8)}"
            somewhere.mkdir()
            somewhere.rename(root / folder)
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
