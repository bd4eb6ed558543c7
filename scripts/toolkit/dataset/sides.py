"""The sides of a dataset on the disk: one set of bytes under two names, folders, links, and the room that they take."""

import errno
import fcntl
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from toolkit.core.errors import ToolkitError, UsageError
from toolkit.core.files import make_folders, temporary_folder
from toolkit.core.safe_names import Lookalikes
from toolkit.core.text import format_size
from toolkit.core.workers import run_together, worker_count
from toolkit.dataset.archive import Member, refused
from toolkit.dataset.exports import Exports
from toolkit.dataset.layout import ALIASES
from toolkit.dataset.selection import Image

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
_Result = TypeVar("_Result")
_Made = TypeVar("_Made")


def _reflink(source: str, target: str) -> None:
    if sys.platform != "linux":
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP), target)

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


def linker(mode: LinkMode) -> Linker:
    """Give the function for a mode, which is not ``auto``."""
    return _LINKERS[mode]


def usable_mode(wanted: LinkMode, folder: Path) -> LinkMode:
    """Try out, in an empty folder, which way of sharing a file system knows; never returns ``auto``.

    ``auto`` takes the first of reflink, hard link and copy that works. Raises UsageError where the mode that was asked
    for does not.
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


def write_sides(
    tree: Path,
    exported: Path,
    images: Sequence[Image],
    sides: Sequence[str],
    classes: Mapping[str, Iterable[str]],
    link: Linker,
    meanwhile: Callable[[], _Made],
    beside: Sequence[Callable[[], _Result]] = (),
) -> tuple[_Made, list[_Result]]:
    """Write the sides of a dataset into its folder, from the unpacked export.

    ``sides`` has the side of each image; ``classes`` the sides that there are, each with its classes: a class has a
    folder there, also an empty one. ``meanwhile`` is what this process does at the same time, ``beside`` what others
    do; their results are given back. Raises OSError where a file could not be linked, or copied.
    """
    for side, names_of_side in classes.items():
        (tree / side).mkdir()
        make_folders(tree / side, names_of_side)

    def link_some(numbers: range) -> None:
        for number in numbers:
            image = images[number]
            place = f"{tree}/{sides[number]}/{image.place}"
            try:
                link(f"{exported}/{image.name}", place)
            except FileNotFoundError:  # a frame in folders that are kept
                Path(place).parent.mkdir(parents=True, exist_ok=True)
                link(f"{exported}/{image.name}", place)

    # Neighbours lie in one folder: of two processes each takes a half of the list, so that they seldom meet.
    half = len(images) // 2
    links: list[Callable[[], Any]] = [partial(link_some, range(half)), partial(link_some, range(half, len(images)))]
    works = [*beside, *links]
    made: list[_Made] = []
    results = run_together(works, worker_count(len(works), len(works)), meanwhile=lambda: made.append(meanwhile()))
    return made[0], results[: len(beside)]


def write_aliases(tree: Path) -> bool:
    """Make the links by which some tools look for the sides; tells whether the file system has links."""
    try:
        for alias, side in ALIASES.items():
            (tree / alias).symlink_to(side, target_is_directory=True)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
        for alias in ALIASES:
            (tree / alias).unlink(missing_ok=True)
        return False
    return True


def merging_names(lookalikes: Lookalikes, folder: Path) -> Lookalikes:
    """Find, by trying in a folder, the pairs that differ in case or Unicode form only and are one name there."""
    if not lookalikes:
        return []
    known: dict[tuple[str, str], bool] = {}
    merging = []
    with temporary_folder(folder, ".probe-") as place:
        for path, other in lookalikes:
            pair = next((a, b) for a, b in zip(path.split("/"), other.split("/"), strict=False) if a != b)
            if pair not in known:
                known[pair] = _merge(place / str(len(known)), *pair)
            if known[pair]:
                merging.append((path, other))
    return merging


def check_names(exports: Exports, folder: Path) -> None:
    """Check that no two members would become one file on a folder's file system.

    Raises ToolkitError where some of an export would; all are listed.
    """
    for archive in exports.archives:
        if merging := merging_names(archive.lookalikes, folder):
            problems = [f"{name}: collides with {other} on this file system" for name, other in merging]
            raise refused(archive.path, problems)


def _merge(place: Path, one: str, other: str) -> bool:
    place.mkdir()
    try:
        (place / one).touch()
    except (OSError, UnicodeEncodeError):  # a name that unpacking will complain of
        return False
    return os.path.lexists(place / other)


_BYTES_PER_NAME = 512
"""What a file or link costs besides its content: inode, directory entry, its line in the manifest."""


class Space(NamedTuple):
    """What a dataset takes on a disk, in bytes: the content once, and what its names cost."""

    content: int
    names: int

    def needed(self, copies: bool) -> int:
        """Add up, for sides that are copies or links."""
        return self.content * (2 if copies else 1) + self.names


def check_space(members: Sequence[Member], target: Path, copies: bool) -> Space:
    """Check that a dataset fits on the disk, by the sizes that the exports declare; the target need not exist.

    Raises ToolkitError where there is too little space, or too few free inodes.
    """
    folder = target
    while not folder.is_dir():
        folder = folder.parent
    disk = os.statvfs(folder)
    free = disk.f_bavail * disk.f_frsize
    block = disk.f_frsize
    space = Space(sum(-(-member.size // block) for member in members) * block, _BYTES_PER_NAME * len(members))
    needed = space.needed(copies)
    if needed > free:
        raise ToolkitError(
            f"{folder} has {format_size(free)} free, the dataset takes {format_size(needed)}: free some space"
        )
    if disk.f_files and len(members) > disk.f_favail:
        raise ToolkitError(f"{folder} has {disk.f_favail} inodes left, the dataset takes {len(members)}")
    return space
