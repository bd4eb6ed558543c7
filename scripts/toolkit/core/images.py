"""Whether a file is a whole JPEG image, and how large the picture is."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

import mmap
from pathlib import Path

START_OF_SCAN = 0xDA
END_OF_IMAGE = b"\xff\xd9"
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}
"""Markers that stand alone (ITU-T T.81, table B.1): TEM, RST0 to RST7, SOI."""


class NotAJpeg(ValueError):
    """The file is no JPEG image, or not a whole one; the message says what is wrong with it."""


def picture_size(path: Path) -> tuple[int, int]:
    """Read the size of a JPEG's picture from its header.

    Args:
        path: The file.

    Returns:
        Width and height in pixels.

    Raises:
        NotAJpeg: It is no JPEG, or its header cannot be read.
        OSError: The file cannot be opened.
    """
    from PIL import Image, UnidentifiedImageError

    Image.MAX_IMAGE_PIXELS = None  # only the header is read, so no picture is too large
    with path.open("rb") as stream:
        try:
            with Image.open(stream, formats=["JPEG"]) as image:
                return image.size
        except UnidentifiedImageError:
            raise NotAJpeg("not a JPEG image") from None
        except (OSError, SyntaxError, ValueError, IndexError) as error:
            raise NotAJpeg(f"its header cannot be read ({error})") from None


def check_whole(path: Path) -> None:
    """Check that a JPEG's compressed picture begins and ends, as a file cut short by a copy does not.

    Bytes behind the end are allowed: many cameras append a second picture or their own data.

    Args:
        path: The file.

    Raises:
        NotAJpeg: There is no picture, or it does not end.
        OSError: The file cannot be opened.
    """
    with path.open("rb") as stream:
        if stream.seek(0, 2) == 0:
            raise NotAJpeg("empty")
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
            scan = _scan_offset(content)
            # Inside a scan 0xFF is always followed by 0x00 or a restart marker, so this can only be the real end.
            if content.find(END_OF_IMAGE, scan) < 0:
                raise NotAJpeg("cut short: it has no end")


def _scan_offset(content: mmap.mmap) -> int:
    if content[:3] != b"\xff\xd8\xff":
        raise NotAJpeg("not a JPEG image")
    position = 2
    while position + 4 <= len(content) and content[position] == 0xFF:
        marker = content[position + 1]
        if marker == 0xFF:
            position += 1
        elif marker in _WITHOUT_LENGTH:
            position += 2
        elif marker == START_OF_SCAN:
            return position
        else:
            position += 2 + int.from_bytes(content[position + 2 : position + 4], "big")
    raise NotAJpeg("cut short: it has no picture")


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
