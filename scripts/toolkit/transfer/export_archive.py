"""An export as it comes from the server: a whole zip with something in it, or refused."""

import struct
import zipfile
import zlib
from pathlib import Path

from toolkit.core.errors import ToolkitError
from toolkit.core.formats import IMAGENET
from toolkit.cvat.errors import TransientError

_LARGEST_RATIO = 100
"""How many times its own size an export may unpack to; CVAT stores images as they are."""
_SMALL = 1024**3
_DAMAGE = (
    OSError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
)
"""What the standard library raises for a zip that is none."""


class DamagedExport(TransientError):
    """What was downloaded is not what the server made, or no whole zip."""


def check_archive(path: Path, format_name: str) -> None:
    """Check that an export is a whole zip with something in it.

    Args:
        path: The zip.
        format_name: Its format.

    Raises:
        ToolkitError: It is damaged or holds nothing.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _refuse_bomb(archive, path.stat().st_size)
            damaged = archive.testzip()
            members = [name for name in archive.namelist() if not name.endswith("/")]
    except _DAMAGE as error:
        raise DamagedExport(f"the server's export is no whole zip ({error}), nothing was kept: run again") from None
    if damaged is not None:
        raise DamagedExport(f"the server's export is damaged at {damaged}, nothing was kept: run again")
    if not members or (format_name == IMAGENET and not any("/" in name for name in members)):
        raise ToolkitError("the server's export holds no image, nothing was kept: has the project a task with images?")


def _refuse_bomb(archive: zipfile.ZipFile, size: int) -> None:
    unpacked = sum(member.file_size for member in archive.infolist())
    if unpacked > _SMALL + _LARGEST_RATIO * size:
        raise ToolkitError(
            f"the server's export of {size / 1024**2:.1f} MiB would unpack to {unpacked / 1024**3:.1f} GiB, "
            "nothing was kept: CVAT makes no such archive"
        )


def image_count(path: Path) -> int:
    """Count the images in an "ImageNet 1.0" export; one with two tags counts twice."""
    with zipfile.ZipFile(path) as archive:
        return sum("/" in name and not name.endswith("/") for name in archive.namelist())
