"""Small pictures that fit into a page: WebP in a data URI, of bounded size."""

import base64
import io
from typing import IO, TYPE_CHECKING, NamedTuple

from toolkit.core.images import NoImage, upright_size

if TYPE_CHECKING:
    from PIL import Image

MAX_BYTES = 12_000
"""A thumbnail that comes out larger is packed again, more coarsely."""
_QUALITIES = (74, 45, 20)
_TINY = 48
"""Pixels; the longest side of pictures that are enlarged."""
_MAX_PIXELS = 80_000_000
"""Pixels to decode at most; JPEG is decoded at a fraction of its size, so this is no limit for photographs."""


class Thumbnail(NamedTuple):
    """A small picture.

    Attributes:
        uri: The picture as a data URI.
        width: Its width in pixels.
        height: Its height in pixels.
        is_tiny: Whether the original is so small that it is enlarged, which should keep its pixels.
    """

    uri: str
    width: int
    height: int
    is_tiny: bool


def make_thumbnail(stream: IO[bytes], longest_side: int, expected: tuple[int, int] | None = None) -> Thumbnail:
    """Shrink a picture.

    Args:
        stream: The file, in any format that Pillow knows.
        longest_side: Width or height of the result at most, in pixels; smaller pictures keep their size.
        expected: Width and height that boxes count in. The picture is turned as its EXIF says, as CVAT does, unless
            only the picture as stored has this size.

    Returns:
        The thumbnail.

    Raises:
        NoImage: It is no picture, is broken, or is too large.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    Image.MAX_IMAGE_PIXELS = None  # the size is checked below, after JPEG's own reduction
    try:
        with Image.open(stream) as image:
            original = image.size
            is_turned = expected in (None, upright_size(image))
            image.draft("RGB", (longest_side * 2, longest_side * 2))
            if image.width * image.height > _MAX_PIXELS:
                raise NoImage(f"too large to draw ({original[0]} × {original[1]})")
            picture: Image.Image = image
            picture.thumbnail((longest_side, longest_side), reducing_gap=2.0)
            if is_turned:
                picture = ImageOps.exif_transpose(picture)
            if picture.mode not in ("RGB", "RGBA"):
                picture = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
            return _packed(picture, is_tiny=max(original) <= _TINY)
    except UnidentifiedImageError:
        raise NoImage("not an image") from None
    except (OSError, SyntaxError, ValueError, IndexError, EOFError, TypeError, MemoryError) as error:
        raise error if isinstance(error, NoImage) else NoImage(f"cannot be drawn ({error})") from None


def _packed(picture: "Image.Image", is_tiny: bool) -> Thumbnail:
    data = b""
    for quality in _QUALITIES:
        buffer = io.BytesIO()
        picture.save(buffer, "WEBP", quality=quality, method=2, lossless=is_tiny)
        data = buffer.getvalue()
        if len(data) <= MAX_BYTES:
            break
    uri = f"data:image/webp;base64,{base64.b64encode(data).decode('ascii')}"
    return Thumbnail(uri, picture.width, picture.height, is_tiny)
