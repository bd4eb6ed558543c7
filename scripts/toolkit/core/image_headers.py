"""The sizes of many pictures, from their headers alone."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

WORKERS = min(4, os.cpu_count() or 1)


class NoImage(ValueError):
    """The bytes are no picture, or a broken one; the message says what is wrong."""


_ORIENTATION = 0x0112
"""EXIF tag: 5 to 8 mean that the picture is shown on its side."""


def upright_size(image: "Image.Image") -> tuple[int, int]:
    """Return width and height of a picture when it is turned as its EXIF says."""
    size = image.size
    return (size[1], size[0]) if image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8) else size


def read_size(stream: IO[bytes], upright: bool = False) -> tuple[int, int]:
    """Read the size of a picture from its header.

    Args:
        stream: The file; any format that Pillow knows.
        upright: Turn it as its EXIF says, as CVAT does for people; training code mostly takes it as stored.

    Returns:
        Width and height in pixels.

    Raises:
        NoImage: It is no picture.
    """
    from PIL import Image, UnidentifiedImageError

    Image.MAX_IMAGE_PIXELS = None  # only the header is read, so no picture is too large
    try:
        with Image.open(stream) as image:
            return upright_size(image) if upright else image.size
    except UnidentifiedImageError:
        raise NoImage("not an image") from None
    except (OSError, SyntaxError, ValueError, IndexError, EOFError) as error:
        raise NoImage(f"its header cannot be read ({error})") from None


@contextmanager
def quiet_pictures() -> Iterator[None]:
    """Keep Pillow's warnings (of odd EXIF, of large pictures) off the terminal; for the main thread only."""
    with warnings.catch_warnings(action="ignore"):
        yield
