"""The images of a folder: which are taken, which are left out and why."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from toolkit.core.errors import ToolkitError

IMAGE_EXTENSIONS = ("jpg", "jpeg")

OTHER_SPELLING = "other spelling of the extension"
HIDDEN = "hidden"
NO_JPEG = "not an image with this extension"
SPECIAL = "not a regular file"


@dataclass(frozen=True, slots=True)
class Image:
    """An image to import; there may be many, so it is small.

    Attributes:
        name: Its path below the folder, with `/` between the parts; the frame's name in CVAT.
        root: The folder.
        size: Its size in bytes.
    """

    name: str
    root: Path
    size: int

    @property
    def path(self) -> Path:
        """Where it is."""
        return self.root / self.name

    @property
    def folder(self) -> str | None:
        """The first folder of the name, or None for an image at the top."""
        first, slash, _ = self.name.partition("/")
        return first if slash else None


@dataclass
class Found:
    """What a folder holds.

    Attributes:
        images: The images to take, in the order of their names.
        left_out: Names of files (and hidden folders, ending in `/`) that are not taken, by reason.
    """

    images: list[Image] = field(default_factory=list)
    left_out: dict[str, list[str]] = field(default_factory=dict)


def find_images(folder: Path, extension: str) -> Found:
    """Find the images at any depth below a folder.

    Args:
        folder: The folder.
        extension: The extension without its dot; taken are names that end in exactly this spelling.

    Returns:
        The images and what is left out.

    Raises:
        ToolkitError: The folder is missing or is none, holds symbolic links (all are listed), or holds no such image.
    """
    if not folder.is_dir():
        problem = "is no folder" if folder.exists() else "does not exist"
        raise ToolkitError(f"{folder} {problem}: import_dir must name the folder that holds the images")
    found = Found()
    links: list[str] = []
    for name, entry in sorted(_walk(folder, ""), key=lambda pair: pair[0]):
        if entry.is_symlink():
            links.append(name)
        elif reason := _reason_to_leave_out(entry, extension):
            found.left_out.setdefault(reason, []).append(name)
        else:
            found.images.append(Image(name, folder, entry.stat().st_size))
    if links:
        raise ToolkitError(f"{folder} holds symbolic links: put the real files in their place", links)
    if not found.images:
        raise ToolkitError(f"no image with the extension {extension} in {folder}{_hint(found)}")
    return found


def _walk(folder: Path, prefix: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            name = prefix + entry.name
            if not entry.is_dir(follow_symlinks=False):
                yield name, entry
            elif entry.name.startswith("."):
                yield f"{name}/", entry
            else:
                yield from _walk(folder / entry.name, f"{name}/")


def _reason_to_leave_out(entry: os.DirEntry[str], extension: str) -> str | None:
    if entry.name.startswith("."):
        return HIDDEN
    if not entry.is_file(follow_symlinks=False):
        return SPECIAL
    ending = entry.name.rpartition(".")[2] if "." in entry.name else ""
    if ending == extension:
        return None
    return OTHER_SPELLING if ending.lower() in IMAGE_EXTENSIONS else NO_JPEG


def _hint(found: Found) -> str:
    if spelled := found.left_out.get(OTHER_SPELLING):
        return f": {len(spelled)} have another spelling of it, such as {spelled[0]} (import_image_extension)"
    return ": put some there, or name the right import_dir"
