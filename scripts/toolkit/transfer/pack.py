"""How images go to the server: in one stored zip, so that their folders survive, and those folders as tags."""

import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from toolkit.core.errors import ToolkitError
from toolkit.core.files import temporary_folder
from toolkit.core.text import format_size
from toolkit.cvat.api import Label
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
            f"{target.parent} has {format_size(free)} free, the upload needs {format_size(needed)} for a "
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


TAG_TYPES = ("tag", "any")


def check_folders(images: Sequence[Image], labels: Sequence[Label], project_id: int) -> None:
    """Check that every first folder is a label of the project that can be a tag.

    Args:
        images: The images to import.
        labels: The labels of the project.
        project_id: The project, for the message.

    Raises:
        ToolkitError: Folders without a label; both lists are named.
    """
    folders = sorted({image.folder for image in images if image.folder is not None})
    tags = sorted(label.name for label in labels if label.type in TAG_TYPES)
    unknown = [folder for folder in folders if folder not in tags]
    if unknown:
        raise ToolkitError(
            f"{len(unknown)} of the folders are no tag labels of project {project_id}, nothing was sent: "
            "rename them, or add the labels to the project",
            [
                f"no label: {', '.join(unknown)}",
                f"folders: {', '.join(folders)}",
                f"tag labels of the project: {', '.join(tags) or 'none'}",
            ],
        )


def folder_tags(frames: Sequence[str], images: Sequence[Image], labels: Sequence[Label]) -> list[tuple[int, int]]:
    """Tag each frame with the name of its image's first folder.

    Args:
        frames: The names of a task's frames, in their order.
        images: What they were made of.
        labels: The labels of the project.

    Returns:
        Frame number and label number of each tag; a frame in no folder gets none.
    """
    numbers = {label.name: label.id for label in labels if label.type in TAG_TYPES}
    folders = {image.name: image.folder for image in images}
    return [(number, numbers[folder]) for number, name in enumerate(frames) if (folder := folders[name]) is not None]
