"""The images of a folder or bucket: which are taken, which are left out and why, and what would go wrong with them."""

import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from toolkit.core.errors import ToolkitError, UsageError
from toolkit.core.images import problem_with, quiet_pictures
from toolkit.core.safe_names import fold
from toolkit.core.text import format_size, some_names
from toolkit.cvat.api import Api, CloudStorage

JPEG_EXTENSIONS = ("jpg", "jpeg")
ALL_EXTENSIONS = (*JPEG_EXTENSIONS, "png", "bmp", "gif", "tif", "tiff", "webp")
"""What `images` stands for, in any spelling."""
ANY = "images"
OTHER_SPELLING = "other spelling of the extension"
HIDDEN = "hidden"
OTHER_FILE = "not an image with this extension"
SPECIAL = "not a regular file"
BROKEN = "broken"


LARGEST_UPLOAD = 25 * 1024**3
"""Bytes that the server takes in one task."""
LONGEST_NAME = 1024
"""Characters of a frame's name, folders included, that CVAT's database takes."""
_IGNORED = ("__MACOSX", "__MSOSX", ".DS_Store")
"""CVAT takes these for what macOS puts into archives, wherever in a name they stand."""


@dataclass(frozen=True, slots=True)
class Image:
    """An image to import; there may be many, so it is small.

    The name is its path below the folder, with `/` between the parts; the frame's name in CVAT. The size is in bytes.
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
class FoundImages:
    """The images to take of a folder, in the order of their names, and what is left out.

    ``left_out`` has, by reason, the names of files (and hidden folders, ending in `/`).
    """

    images: list[Image] = field(default_factory=list)
    left_out: dict[str, list[str]] = field(default_factory=dict)


def find_images(folder: Path, extensions: str | Collection[str]) -> FoundImages:
    """Find the images at any depth below a folder.

    Args:
        folder: The folder.
        extensions: One extension without its dot, or several; taken are names that end in exactly one of these
            spellings. `images` stands for all that CVAT opens, in any spelling.

    Raises:
        ToolkitError: The folder is missing or is none, holds symbolic links (all are listed), or holds no such image.
    """
    wanted = {extensions} if isinstance(extensions, str) else set(extensions)
    if not folder.is_dir():
        problem = "is no folder" if folder.exists() else "does not exist"
        raise ToolkitError(f"{folder} {problem}: import_dir must name the folder that holds the images")
    found = FoundImages()
    links: list[str] = []
    for name, entry in sorted(_walk(folder), key=lambda pair: pair[0]):
        if entry.is_symlink():
            links.append(name)
        elif reason := _reason_to_leave_out(entry, wanted):
            found.left_out.setdefault(reason, []).append(name)
        else:
            found.images.append(Image(name, folder, entry.stat().st_size))
    if links:
        raise ToolkitError(f"{folder} holds symbolic links: put the real files in their place", links)
    if not found.images:
        raise no_images(folder, wanted, found)
    return found


def no_images(place: object, wanted: Collection[str], found: FoundImages) -> ToolkitError:
    """Say that nothing is to be taken, and what may be meant instead."""
    return ToolkitError(f"no image with the extension {' or '.join(sorted(wanted))} in {place}{_hint(found)}")


def _walk(folder: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    waiting = [("", folder)]  # no recursion: folders may be thousands deep
    while waiting:
        prefix, place = waiting.pop()
        with os.scandir(place) as entries:
            for entry in entries:
                name = prefix + entry.name
                if not entry.is_dir(follow_symlinks=False):
                    yield name, entry
                elif entry.name.startswith("."):
                    yield f"{name}/", entry
                else:
                    waiting.append((f"{name}/", place / entry.name))


def _reason_to_leave_out(entry: os.DirEntry[str], wanted: Collection[str]) -> str | None:
    if not entry.name.startswith(".") and not entry.is_file(follow_symlinks=False):
        return SPECIAL
    return reason_by_name(entry.name, wanted)


def reason_by_name(name: str, wanted: Collection[str]) -> str | None:
    """Tell by a file's name, without its folders, why it is not taken; None if it is."""
    if name.startswith("."):
        return HIDDEN
    ending = name.rpartition(".")[2] if "." in name else ""
    if ending in wanted or (ANY in wanted and ending.lower() in ALL_EXTENSIONS):
        return None
    lower = {extension.lower() for extension in wanted}
    is_other_spelling = ending.lower() in lower or (ending.lower() in JPEG_EXTENSIONS and lower & {*JPEG_EXTENSIONS})
    return OTHER_SPELLING if is_other_spelling else OTHER_FILE


def _hint(found: FoundImages) -> str:
    if spelled := found.left_out.get(OTHER_SPELLING):
        return f": {len(spelled)} have another spelling of it, such as {spelled[0]} (import_image_extension)"
    others = Counter(name.rpartition(".")[2] for name in found.left_out.get(OTHER_FILE, ()) if "." in name)
    images = [ending for ending, _ in others.most_common() if ending.lower() in ALL_EXTENSIONS]
    if images:
        return f": {others[images[0]]} files end in {images[0]} (--extension {images[0]})"
    return ": put some there, or name the right import_dir"


def check_images(
    images: Sequence[Image],
    decode: bool = True,
    on_image: Callable[[], None] = lambda: None,
    images_per_task: int | None = None,
    skip_broken: bool = False,
) -> dict[str, str]:
    """Check all images of an import.

    Args:
        images: The images.
        decode: Whether to look into each file.
        on_image: Called after each image.
        images_per_task: How many images a task gets; None for all in one.
        skip_broken: Return the broken files for being left out, where they would be an error otherwise.

    Returns:
        What is wrong with each broken file, by image name; empty without ``skip_broken``.

    Raises:
        ToolkitError: All offenders, one detail line each: broken files, names that the server or a later export cannot
            keep apart, more bytes than the server takes.
    """
    offenders = list(_unusable_names(images)) + list(_colliding(image.name for image in images))
    step = images_per_task or len(images) or 1
    largest = max(
        (sum(image.size for image in images[at : at + step]) for at in range(0, len(images), step)), default=0
    )
    if largest > LARGEST_UPLOAD:
        offenders.append(
            f"{min(step, len(images))} images hold {format_size(largest)}, the server takes "
            f"{format_size(LARGEST_UPLOAD)} in one task: give --images-per-task with a smaller number"
        )
    broken: dict[str, str] = {}
    with quiet_pictures():
        for image in images if decode else ():
            try:
                problem = problem_with(image.path)
            except OSError as error:
                problem = f"cannot be read: {error.strerror}"
            if problem is not None:
                broken[image.name] = problem
            on_image()
    if not skip_broken:
        offenders += [f"{name}: {problem}" for name, problem in broken.items()]
    if offenders:
        count = f"{len(offenders)} problem{'s' * (len(offenders) != 1)}"
        ways = "; --skip-broken leaves broken files out, --no-verify sends them unseen" if broken else ""
        raise ToolkitError(f"{count} with the images, nothing was sent: fix them and run again{ways}", offenders)
    if len(broken) == len(images) and images:
        raise ToolkitError(
            "all images are broken, nothing was sent", [f"{name}: {why}" for name, why in broken.items()]
        )
    return broken


def _unusable_names(images: Sequence[Image]) -> Iterable[str]:
    for image in images:
        try:
            image.name.encode("utf-8")
        except UnicodeEncodeError:
            yield f"{image.name}: its name is not UTF-8; rename it"
            continue
        if any(unicodedata.category(character) == "Cc" for character in image.name):
            yield f"{image.name}: its name holds a control character; rename it"
        elif "\\" in image.name:
            yield f"{image.name}: its name holds a backslash; rename it"
        elif ignored := next((mark for mark in _IGNORED if mark in image.name), None):
            yield f"{image.name}: CVAT leaves out what has {ignored} in its name; rename or remove it"
        elif len(image.name) > LONGEST_NAME:
            yield f"{image.name[:60]}…: its name has {len(image.name)} characters, CVAT takes {LONGEST_NAME}"
        elif ":" in image.name:
            # Exports of CVAT 2.54 with datumaro 1.10 drop what stands before it, so 10:01.jpg and 11:01.jpg become one.
            yield f"{image.name}: its name holds a colon, before which some exports drop everything; rename it"


def _colliding(names: Iterable[str]) -> Iterable[str]:
    """Find names that differ only by case or Unicode form: no archive of them unpacks everywhere."""
    first: dict[str, str] = {}
    alike: dict[str, list[str]] = {}
    for name in names:
        key = fold(name)
        if key in first:
            alike.setdefault(key, [first[key]]).append(name)
        else:
            first[key] = name
    for group in alike.values():
        yield f"{' and '.join(group)}: these names differ only by case or Unicode form; rename all but one"


def lost_on_export(present: Sequence[str], new: Sequence[str]) -> list[str]:
    """Find the frames that an export of the project would lose to the server's own renaming.

    An export renames frames of one name in different tasks: the second `image.jpg` becomes `image_1.jpg`, whether that
    name is taken or not. There is a line for each name that two frames would have, if one of them is new; ``present``
    has a name for each frame of the project.
    """
    counts = Counter([*present, *new])
    added = set(new)
    lines = []
    for name, count in counts.items():
        stem, dot, ending = name.rpartition(".")
        for number in range(1, count):
            renamed = f"{stem}_{number}{dot}{ending}" if dot else f"{name}_{number}"
            if renamed in counts and (name in added or renamed in added):
                lines.append(f"{name} is there {count} times, one of them would become {renamed}, which is there too")
    return lines


def describe_left_out(left_out: dict[str, list[str]]) -> list[str]:
    """Say what is not taken, one line a reason."""
    return [f"left out {len(names)} ({reason}): {some_names(names, 3)}" for reason, names in left_out.items()]


_MOST_BYTES = 500_000
"""Of names on cvat-cli's command line; macOS takes a million bytes there, the environment included."""


@dataclass(frozen=True, slots=True)
class StoredImage(Image):
    """An image in a bucket; its name is its whole key, and its size is not known.

    ``prefix`` is the folder of the bucket that is imported, with a slash at its end; empty for all.
    """

    prefix: str = ""

    @property
    def folder(self) -> str | None:
        """The first folder below the imported one, or None for an image right in it."""
        first, slash, _ = self.name[len(self.prefix) :].partition("/")
        return first if slash else None


def folder_of(prefix: str | None) -> str:
    """Return what a person has typed for a folder of a bucket with a slash at its end alone; empty for all of it."""
    folder = (prefix or "").strip("/")
    return f"{folder}/" if folder else ""


def find_stored(api: Api, storage: CloudStorage, prefix: str, extensions: str | Collection[str]) -> FoundImages:
    """Find the images at any depth below a folder of a bucket, as :func:`find_images` does.

    Raises ToolkitError where the server cannot read the bucket, or there is no such image.
    """
    wanted = {extensions} if isinstance(extensions, str) else set(extensions)
    found = FoundImages()
    for key in sorted(api.stored_files(storage, prefix)):
        below = key[len(prefix) :].split("/")
        hidden = next((part for part in below[:-1] if part.startswith(".")), None)
        reason = reason_by_name(hidden or below[-1], wanted)
        if reason:
            found.left_out.setdefault(reason, []).append(key)
        else:
            found.images.append(StoredImage(key, Path("/"), 0, prefix))
    if not found.images:
        raise no_images(f"{storage.url}{prefix}", wanted, found)
    return found


def check_stored(images: Sequence[Image], images_per_task: int | None) -> None:
    """Check that the names of each task fit on the command line of cvat-cli.

    Raises UsageError, which says how many do, where they do not.
    """
    longest = max(len(image.name.encode("utf-8", "surrogatepass")) + 1 for image in images)
    most = max(1, _MOST_BYTES // longest)
    if min(images_per_task or len(images), len(images)) > most:
        raise UsageError(
            f"{len(images)} names are too many for one task: give --images-per-task {most} or a smaller number"
        )


def misnamed_in_exports(images: Sequence[Image]) -> list[str]:
    """Name the images whose extension an export writes in small letters, so that an index of it would not find them."""
    endings = [image.name.rpartition(".")[2] for image in images]
    return [
        image.name
        for image, ending in zip(images, endings, strict=True)
        if ending != ending.lower() and ending.lower() in ALL_EXTENSIONS
    ]
