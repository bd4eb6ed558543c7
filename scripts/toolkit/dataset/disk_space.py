"""How much room a dataset takes, and whether there is as much."""

import os
from pathlib import Path

from toolkit.core.errors import ToolkitError
from toolkit.dataset.archive import Archive

_BYTES_PER_NAME = 512
"""What a file or link costs besides its content: inode, directory entry, its line in the manifest."""


def needed_space(archive: Archive, copies: bool, block: int = 4096) -> int:
    """Estimate the bytes that a dataset takes on the disk.

    Args:
        archive: The export.
        copies: Whether the sides are copies instead of links.
        block: The file system's block size in bytes.

    Returns:
        Bytes.
    """
    content = sum(-(-member.size // block) * block for member in archive.members)
    return content * (2 if copies else 1) + _BYTES_PER_NAME * len(archive.members)


def check_space(archive: Archive, target: Path, copies: bool) -> None:
    """Check that an export fits on the disk, by the sizes that it declares.

    Args:
        archive: The export.
        target: Folder for the dataset; it need not exist.
        copies: Whether the sides are copies instead of links.

    Raises:
        ToolkitError: There is too little space, or too few free inodes.
    """
    folder = target
    while not folder.is_dir():
        folder = folder.parent
    disk = os.statvfs(folder)
    free = disk.f_bavail * disk.f_frsize
    needed = needed_space(archive, copies, disk.f_frsize)
    if needed > free:
        raise ToolkitError(
            f"{folder} has {free / 1e6:.1f} MB free, the dataset takes {needed / 1e6:.1f} MB: free some space"
        )
    if disk.f_files and len(archive.members) > disk.f_favail:
        raise ToolkitError(f"{folder} has {disk.f_favail} inodes left, the dataset takes {len(archive.members)}")
