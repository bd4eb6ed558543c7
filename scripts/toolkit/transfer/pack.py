"""The one stored zip that carries images to the server, so that their folders survive."""

import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from toolkit.core.errors import ToolkitError
from toolkit.core.files import temporary_folder
from toolkit.transfer.images import Image

_OVERHEAD = 512
"""Bytes that a member's two headers take at most with a usual name, on top of the name twice."""


@contextmanager
def archive_folder(beside: Path) -> Iterator[Path]:
    """Make a folder for the archive, in TMPDIR if that is set, else beside the data.

    Args:
        beside: The folder of the images; the temporary folder is made next to it where it can be.

    Yields:
        The folder, removed at the end whatever happens.
    """
    is_beside = not os.environ.get("TMPDIR") and os.access(beside.parent, os.W_OK)
    with temporary_folder(beside.parent if is_beside else Path(tempfile.gettempdir()), ".cvat-import-") as folder:
        yield folder


def write_archive(images: Sequence[Image], target: Path, on_image: Callable[[], None] = lambda: None) -> None:
    """Write images into a stored (uncompressed) zip, under their names.

    Args:
        images: The images.
        target: The zip to write.
        on_image: Called after each image.

    Raises:
        ToolkitError: The disk has too little room, or an image changed or went away.
    """
    needed = sum(image.size + 2 * len(image.name.encode()) + _OVERHEAD for image in images)
    free = shutil.disk_usage(target.parent).free
    if needed > free:
        raise ToolkitError(
            f"{target.parent} has {free / 1024**2:.0f} MiB free, the upload needs {needed / 1024**2:.0f} MiB for a "
            "while: make room, or name another place in TMPDIR"
        )
    # Times before 1980 have no place in a zip, and no meaning here.
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED, strict_timestamps=False) as archive:
        for image in images:
            try:
                archive.write(image.path, image.name)
            except FileNotFoundError:
                raise ToolkitError(f"{image.path} went away while it was read: run again") from None
            on_image()
