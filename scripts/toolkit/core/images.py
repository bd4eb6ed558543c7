"""Whether a file is a whole JPEG image, and how large the picture is."""

import re
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from PIL import Image

import mmap
from pathlib import Path

START_OF_SCAN = 0xDA
START_OF_IMAGE, END_OF_IMAGE = b"\xff\xd8", b"\xff\xd9"
_EDGE = re.compile(rb"\xff[\xd8\xd9]")
"""The start or the end of an image; one search for both takes a third of the time of two."""
_SECOND_PICTURE = "cut short: a second picture begins before the first one ends"
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}
"""Markers that stand alone (ITU-T T.81, table B.1): TEM, RST0 to RST7, SOI."""


HEAD_SIZE = 16
"""Bytes that tell a picture's format."""
EXIF_SIZE = 4096
"""Bytes that tell how it is turned."""

_SIGNATURES = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"8BPS", "Photoshop"),
    (b"%PDF", "PDF"),
    (b"PK\x03\x04", "ZIP"),
    (b"<!DOCTYPE", "HTML"),
    (b"<!doctype", "HTML"),
    (b"<html", "HTML"),
    (b"<?xml", "XML"),
    (b"<svg", "SVG"),
)
_BRANDS = {b"hei": "HEIC", b"hev": "HEIC", b"mif": "HEIC", b"msf": "HEIC", b"avi": "AVIF"}
_EXTENSIONS = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), "JPEG"),
    **dict.fromkeys((".png", ".apng"), "PNG"),
    ".gif": "GIF",
    **dict.fromkeys((".bmp", ".dib"), "BMP"),
    **dict.fromkeys((".tif", ".tiff"), "TIFF"),
    ".webp": "WebP",
}


def picture_format(head: bytes) -> str | None:
    """Tell what the first :data:`HEAD_SIZE` bytes of a file are the beginning of; None if that is not known."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:11], "MP4")
    for signature, name in _SIGNATURES:
        if head.startswith(signature):
            return name
    return None


def expected_format(name: str) -> str | None:
    """Tell by its extension which format a picture has; None if that is not known."""
    return _EXTENSIONS.get(name[name.rfind(".") :].lower())


def other_format(name: str, head: bytes) -> str | None:
    """Tell what a file holds whose extension is that of a picture of another format.

    ``head`` is its first :data:`HEAD_SIZE` bytes. The answer is "nothing" for an empty file, None if the content fits
    or is not known.
    """
    found = picture_format(head) if head else "nothing"
    return None if expected_format(name) in (None, found) else found


class NotAJpeg(ValueError):
    """The file is no JPEG image, or not a whole one; the message says what is wrong with it."""


def check_whole(path: Path) -> None:
    """Check that a JPEG's compressed picture begins and ends, as a file cut short by a copy does not.

    Bytes between the header's segments and behind the end are allowed, as every decoder does: many cameras append a
    second picture or their own data.

    Raises:
        NotAJpeg: There is no picture, or it does not end.
    """
    with path.open("rb") as stream:
        if stream.seek(0, 2) == 0:
            raise NotAJpeg("empty")
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
            if content[:3] != b"\xff\xd8\xff":
                kind = picture_format(content[:HEAD_SIZE])
                raise NotAJpeg(f"a {kind} file, not a JPEG image" if kind else "not a JPEG image")
            # Inside a scan 0xFF is always followed by 0x00 or a restart marker, so this can only be the real one.
            edge = _EDGE.search(content, _scan_offset(content))
            if edge is None:
                raise NotAJpeg("cut short: it has no end (CVAT would take it, grey where it ends)")
            if edge[0] == START_OF_IMAGE:
                raise NotAJpeg(_SECOND_PICTURE)


def _scan_offset(content: mmap.mmap) -> int:
    position = 2
    while (position := content.find(b"\xff", position)) >= 0:
        while position < len(content) and content[position] == 0xFF:
            position += 1
        if position + 3 > len(content):
            break
        marker = content[position]
        position += 1
        if marker == START_OF_IMAGE[1]:
            raise NotAJpeg(_SECOND_PICTURE)
        if marker == START_OF_SCAN:
            return position
        if marker == END_OF_IMAGE[1]:
            break
        if marker and marker not in _WITHOUT_LENGTH:
            position += max(2, int.from_bytes(content[position : position + 2], "big"))
    raise NotAJpeg("cut short: it has no picture")


MOST_PIXELS = 178_956_970
"""Pixels of the largest picture that CVAT opens (twice Pillow's MAX_IMAGE_PIXELS)."""


def problem_with(path: Path) -> str | None:
    """Say in a few words what makes CVAT, or training code, refuse an image file; None if nothing does.

    Its ending says whether it has to be a JPEG.
    """
    is_jpeg = path.suffix.lower() in (".jpg", ".jpeg")
    try:
        if is_jpeg:
            check_whole(path)
        with path.open("rb") as stream:
            return _decoders_problem(stream, is_jpeg, path.suffix)
    except NotAJpeg as error:
        return str(error)


def _decoders_problem(stream: IO[bytes], is_jpeg: bool, suffix: str) -> str | None:
    from PIL import Image, UnidentifiedImageError

    Image.MAX_IMAGE_PIXELS = None  # we count ourselves, in words of our own
    wanted = expected_format(suffix)
    kind = picture_format(stream.read(HEAD_SIZE))
    if wanted is not None and kind is not None and kind != wanted:
        return f"a {kind} file, not a {wanted} image"
    stream.seek(0)
    try:
        with Image.open(stream, formats=["JPEG"] if is_jpeg else None) as image:
            width, height = image.size
            if width * height > MOST_PIXELS:
                return f"has {width} × {height} pixels, CVAT takes {MOST_PIXELS:,} at most"
            orientation = image.getexif().get(_ORIENTATION, 1)
            if not isinstance(orientation, int | float):
                return f"its EXIF orientation is no number ({orientation!r:.40}), which CVAT stumbles over: remove it"
            if not is_jpeg:
                image.load()
    except UnidentifiedImageError:
        return f"not a {wanted} image" if wanted else "not an image"
    except Exception as error:  # decoders raise whatever they like
        return f"cannot be read ({' '.join(str(error).split())[:100] or type(error).__name__})"
    return None


_CELLS = 9
_STEP = 4
"""Grey levels, of 255, that make a difference."""
_FEWEST_BITS = 6
_BOX = 4
"""Pillow's Resampling.BOX, which is not imported before it is needed."""


class NoImage(ValueError):
    """The bytes are no picture, or a broken one; the message says what is wrong."""


_ORIENTATION = 0x0112
"""EXIF tag: 5 to 8 mean that the picture is shown on its side."""


def upright_size(image: "Image.Image") -> tuple[int, int]:
    """Return width and height of a picture when it is turned as its EXIF says."""
    size = image.size
    return (size[1], size[0]) if image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8) else size


def is_turned(head: bytes) -> bool:
    """Tell by the first kilobytes of a JPEG whether its EXIF says that it is shown otherwise than it is stored."""
    start = head.find(b"Exif\0\0", 0, 1024) + 6
    if start < 6 or head[:2] != START_OF_IMAGE:
        return False
    order: Literal["big", "little"] = "big" if head[start : start + 2] == b"MM" else "little"

    def number(at: int, length: int) -> int:
        return int.from_bytes(head[start + at : start + at + length], order)

    first = number(4, 4)
    entries = range(first + 2, first + 2 + 12 * min(number(first, 2), 64), 12)
    return any(number(at, 2) == _ORIENTATION and 1 < number(at + 8, 2) <= 8 for at in entries)


class Header(NamedTuple):
    """What the header of a picture tells: width and height in pixels, and the format."""

    size: tuple[int, int]
    format: str


_HEAD = 4096
"""Bytes that hold the header of most JPEGs; for those with a long one Pillow is asked."""
_SIZE_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def read_header(stream: IO[bytes], upright: bool = False) -> Header:
    """Read size and format of a picture, of any format that Pillow knows, from its header.

    Args:
        stream: The file, at its beginning.
        upright: Turn it as its EXIF says, as CVAT does for people; training code mostly takes it as stored.

    Raises:
        NoImage: It is no picture, or its decoder fails in any way.
    """
    try:
        head = stream.read(_HEAD)
        if not upright and (size := quick_size(head)) is not None:
            return Header(size, picture_format(head) or "")
        stream.seek(0)
        size, name = _pillow_header(stream, upright)
        return Header(size, picture_format(head) or name)
    except NoImage:
        raise
    except Exception as error:  # decoders raise anything on damaged bytes
        raise NoImage(f"its header cannot be read ({error or type(error).__name__})") from None


def quick_size(head: bytes | memoryview) -> tuple[int, int] | None:
    """Read width and height of an ordinary JPEG or PNG, many times faster than Pillow; None leaves all others to it."""
    if head[:3] != b"\xff\xd8\xff":
        is_png = head[:8] == b"\x89PNG\r\n\x1a\n" and head[12:16] == b"IHDR" and len(head) >= 24
        return (int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")) if is_png else None
    size = None
    position = 2
    last = len(head) - _SEGMENT.size
    while position <= last:
        start, marker, length, height, width = _SEGMENT.unpack_from(head, position)
        if start != 0xFF:
            return None
        if marker in _SIZE_MARKERS:
            size = (width, height) if width and height else None
        elif marker == START_OF_SCAN:  # a file that ends before it cannot be opened
            return size
        elif not 0xC0 <= marker < 0xFF or marker in _WITHOUT_LENGTH:
            return None
        position += 2 + length
    return None


_SEGMENT = struct.Struct(">BBHxHH")
"""A segment of a JPEG: its marker, its length, and height and width, if it is one that tells them."""


def _pillow_header(stream: IO[bytes], upright: bool) -> Header:
    from PIL import Image, UnidentifiedImageError

    Image.MAX_IMAGE_PIXELS = None  # only the header is read, so no picture is too large
    try:
        with Image.open(stream) as image:
            return Header(upright_size(image) if upright else image.size, image.format or "")
    except UnidentifiedImageError:
        raise NoImage("not an image") from None


DifferenceHash = tuple[int, int]
"""How a picture looks: 64 bits along its rows and 64 along its columns."""


def difference_hash(image: "Image.Image") -> DifferenceHash | None:
    """Hash how a picture looks: few bits differ when it is saved again, scaled or made lighter.

    The picture is drawn in 9 × 9 grey cells; a bit tells whether a cell is brighter than the one before it. A step
    counts from a few grey levels on, so that the noise of compression in a plain area flips no bit. None stands for a
    picture that is too plain to be told from others.
    """
    image.draft("L", (8 * _CELLS, 8 * _CELLS))  # a large JPEG is decoded at an eighth of its size
    cells = image.convert("L").resize((_CELLS, _CELLS), _BOX).tobytes()
    rows = columns = 0
    for first in range(_CELLS - 1):
        for at in range(first * _CELLS, first * _CELLS + _CELLS - 1):
            rows = rows << 1 | (cells[at + 1] - cells[at] >= _STEP)
            columns = columns << 1 | (cells[at + _CELLS] - cells[at] >= _STEP)
    return (rows, columns) if rows.bit_count() + columns.bit_count() >= _FEWEST_BITS else None


@contextmanager
def quiet_pictures() -> Iterator[None]:
    """Keep Pillow's warnings (of odd EXIF, of large pictures) off the terminal; for the main thread only."""
    with warnings.catch_warnings(action="ignore"):
        yield
