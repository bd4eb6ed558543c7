"""Small pictures for tests."""

import io
import secrets

from PIL import Image


def jpeg(number: int | None = None, size: tuple[int, int] = (40, 30)) -> bytes:
    """Make a picture that no other number gives; without a number one that no other call has made."""
    number = secrets.randbits(48) if number is None else number
    image = Image.new("RGB", size, (number * 37 % 256, number * 91 % 256, number % 256))
    image.putpixel((0, 0), (number // 65536 % 256, number // 256 % 256, number % 256))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=95, comment=f"picture {number}")
    return buffer.getvalue()
