"""What can be known to go wrong with an import before anything is sent."""

import unicodedata
from collections.abc import Callable, Iterable, Sequence

from toolkit.core.errors import ToolkitError
from toolkit.core.images import NotAJpeg, check_whole, picture_size
from toolkit.core.safe_names import fold
from toolkit.transfer.images import Image

LARGEST_UPLOAD = 25 * 1024**3
"""Bytes that the server takes in one task."""
LONGEST_NAME = 1024
"""Characters of a frame's name, folders included, that CVAT's database takes."""
_IGNORED = ("__MACOSX", "__MSOSX", ".DS_Store")
"""CVAT takes these for what macOS puts into archives, wherever in a name they stand."""


def check_images(
    images: Sequence[Image],
    decode: bool = True,
    on_image: Callable[[], None] = lambda: None,
    images_per_task: int | None = None,
) -> dict[str, tuple[int, int]]:
    """Check all images of an import.

    Args:
        images: The images.
        decode: Whether to look into each file.
        on_image: Called after each image.
        images_per_task: How many images a task gets; None for all in one.

    Returns:
        Width and height in pixels by name; empty without ``decode``.

    Raises:
        ToolkitError: All offenders, one detail line each: broken files, names that the server or a later export cannot
            keep apart, more bytes than the server takes.
    """
    offenders = list(_unspeakable(images)) + list(_colliding(image.name for image in images))
    step = images_per_task or len(images) or 1
    largest = max(
        (sum(image.size for image in images[at : at + step]) for at in range(0, len(images), step)), default=0
    )
    if largest > LARGEST_UPLOAD:
        offenders.append(
            f"{min(step, len(images))} images hold {largest / 1024**3:.1f} GiB, the server takes 25 GiB in one task: "
            "give --images-per-task with a smaller number"
        )
    sizes: dict[str, tuple[int, int]] = {}
    for image in images if decode else ():
        try:
            check_whole(image.path)
            sizes[image.name] = picture_size(image.path)
        except NotAJpeg as error:
            offenders.append(f"{image.name}: {error}")
        except OSError as error:
            offenders.append(f"{image.name}: cannot be read: {error.strerror}")
        on_image()
    if offenders:
        count = f"{len(offenders)} problem{'s' * (len(offenders) != 1)}"
        raise ToolkitError(f"{count} with the images, nothing was sent: mend them and run again", offenders)
    return sizes


def _unspeakable(images: Sequence[Image]) -> Iterable[str]:
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
