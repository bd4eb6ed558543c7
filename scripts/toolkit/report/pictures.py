"""What a report wants of the image files: size, format, thumbnail, and what can be measured of the picture."""

import base64
import io
from collections.abc import Callable, Sequence
from typing import IO, TYPE_CHECKING, NamedTuple, TypeVar

from toolkit.core.images import (
    DifferenceHash,
    NoImage,
    difference_hash,
    expected_format,
    quiet_pictures,
    read_header,
    upright_size,
)
from toolkit.core.workers import map_in_threads
from toolkit.report.facts import Dataset, DatasetImage, Size

if TYPE_CHECKING:
    from PIL import Image

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_WORKERS = 4
_BATCH = 64
"""Headers that a thread reads before it is told what comes next."""

MAX_BYTES = 12_000
"""A thumbnail that comes out larger is packed again, more coarsely."""
_QUALITIES = (74, 45, 20)
_TINY = 48
"""Pixels; the longest side of pictures that are enlarged."""
_MOST_PIXELS = 100_000_000
_MOST_PIXELS_WHOLE = 50_000_000
"""Pixels of pictures that are decoded as a whole, where most JPEGs are at an eighth of their sides."""
_LARGEST_FILE = 1 << 29
"""Bytes of an image file that is still opened."""


class TooLarge(NoImage):
    """Not broken, but so large that decoding it would take long."""


def in_threads(function: Callable[[_Item], _Result], items: Sequence[_Item], step: Callable[[], None]) -> list[_Result]:
    """Call a function for each item in a few threads, and after each the step; the results are in order."""
    with quiet_pictures():
        return map_in_threads(function, items, _WORKERS, step)


# --- headers ------------------------------------------------------------------------------------------------------


def read_sizes(dataset: Dataset, step: Callable[[], None]) -> list[str]:
    """Fill in the size of every image of a dataset that has none yet, or what is wrong with the image.

    Returns the images whose content is of another format than their extension says, one line each.
    """
    images = [image for image in dataset.images if image.location is not None]
    batches = [images[at : at + _BATCH] for at in range(0, len(images), _BATCH)]
    misnamed: list[str] = []
    sizes: dict[Size, Size] = {}
    steps = iter(batches)

    def step_batch() -> None:
        for _ in next(steps):
            step()

    for others in in_threads(lambda batch: _read_batch(dataset, batch, sizes), batches, step_batch):
        misnamed += others
    return misnamed


def _read_batch(dataset: Dataset, images: Sequence[DatasetImage], sizes: dict[Size, Size]) -> list[str]:
    misnamed = []
    for image in images:
        assert image.location is not None
        try:
            if image.length == 0:
                raise NoImage("empty")
            with dataset.open_image(image.location) as stream:
                header = read_header(stream)
            image.size = image.size or sizes.setdefault(header.size, header.size)  # one object for those of a size
            if expected_format(image.location) not in (None, header.format):
                misnamed.append(f"{image.location}: {header.format}")
        except NoImage as error:
            image.problem = str(error)
        except Exception as error:  # a file that cannot be opened, a damaged zip
            image.problem = _reason(error)
    return misnamed


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


# --- thumbnails ---------------------------------------------------------------------------------------------------


class Thumbnail(NamedTuple):
    """A small picture as a data URI, its size in pixels, and whether it is enlarged, which should keep its pixels."""

    uri: str
    width: int
    height: int
    is_tiny: bool


def draw(dataset: Dataset, image: DatasetImage, longest_side: int) -> Thumbnail | None:
    """Draw the thumbnail of an image; None if that is not possible, and the image tells why."""
    if image.problem is not None or image.location is None:
        return None
    try:
        if image.length > _LARGEST_FILE:
            raise TooLarge(f"too large to draw ({image.length:,} bytes)")
        with dataset.open_image(image.location) as stream:
            return make_thumbnail(io.BytesIO(stream.read()), longest_side, image.size if image.boxes else None)
    except TooLarge as error:
        image.not_drawn = str(error)
    except NoImage as error:
        image.problem = str(error)
    except Exception as error:
        image.problem = f"cannot be drawn ({_reason(error)})"
    return None


def make_thumbnail(stream: IO[bytes], longest_side: int, expected: tuple[int, int] | None = None) -> Thumbnail:
    """Shrink a picture, of any format that Pillow knows, to a longest side in pixels; a smaller one keeps its size.

    ``expected`` is the width and height that boxes count in: the picture is turned as its EXIF says, as CVAT does,
    unless only the picture as stored has this size. Raises NoImage where it is no picture, or is broken, TooLarge where
    it is too large.
    """
    from PIL import ImageOps

    with _decoding(stream, "cannot be drawn") as image:
        original = image.size
        is_turned = expected in (None, upright_size(image))
        image.draft("RGB", (longest_side * 2, longest_side * 2))
        _check_pixels(image, original)
        picture: Image.Image = image
        picture.thumbnail((longest_side, longest_side), reducing_gap=2.0)
        if is_turned:
            picture = ImageOps.exif_transpose(picture)
        if picture.mode not in ("RGB", "RGBA"):
            picture = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
        return _packed(picture, is_tiny=max(original) <= _TINY)


class _decoding:
    """Open a picture; whatever its decoder raises becomes NoImage."""

    def __init__(self, stream: IO[bytes], failure: str) -> None:
        self._stream, self._failure = stream, failure
        self._image: Image.Image | None = None

    def __enter__(self) -> "Image.Image":
        from PIL import Image, UnidentifiedImageError

        Image.MAX_IMAGE_PIXELS = None  # sizes are checked here, after JPEG's own reduction
        try:
            self._image = Image.open(self._stream)
        except UnidentifiedImageError:
            raise NoImage("not an image") from None
        except Exception as error:
            raise NoImage(f"{self._failure} ({_reason(error)})") from None
        return self._image

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if self._image is not None:
            self._image.close()
        if isinstance(error, Exception) and not isinstance(error, NoImage):
            raise NoImage(f"{self._failure} ({_reason(error)})") from None


def _check_pixels(image: "Image.Image", original: tuple[int, int]) -> None:
    is_whole = image.size == original or image.info.get("progressive")
    most = _MOST_PIXELS_WHOLE if is_whole else _MOST_PIXELS
    if original[0] * original[1] > most:
        raise TooLarge(f"too large to draw ({original[0]} × {original[1]})")


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


# --- measures -----------------------------------------------------------------------------------------------------

_MEASURED_SIDE = 128
PLAIN = 3.0
"""A picture of less contrast shows next to nothing."""


class Look(NamedTuple):
    """What was measured of a picture.

    Attributes:
        darkest: Grey level, 0 to 255, that one in twenty points is below.
        brightest: Grey level that 99 of a hundred points are below.
        contrast: Standard deviation of the grey levels.
        softness: Contrast for each grey level that its edges rise; high if the picture is blurred.
        hash: :func:`~toolkit.core.images.difference_hash`; None if the picture is too plain to be told from others.
    """

    darkest: int
    brightest: int
    contrast: float
    softness: float
    hash: DifferenceHash | None


def measure(dataset: Dataset, image: DatasetImage) -> Look | None:
    """Measure a picture; None if it cannot be decoded, which its image then tells."""
    if image.problem is not None or image.not_drawn or image.location is None or image.length > _LARGEST_FILE:
        return None
    try:
        with dataset.open_image(image.location) as stream:
            return _measure(io.BytesIO(stream.read()))
    except TooLarge as error:
        image.not_drawn = str(error)
    except NoImage as error:
        image.problem = str(error)
    except Exception as error:
        image.problem = f"cannot be decoded ({_reason(error)})"
    return None


def _measure(stream: IO[bytes]) -> Look:
    from PIL import ImageFilter, ImageStat

    with _decoding(stream, "cannot be decoded") as image:
        original = image.size
        image.draft("L", (_MEASURED_SIDE, _MEASURED_SIDE))
        _check_pixels(image, original)
        grey = image.convert("L")
        grey.thumbnail((_MEASURED_SIDE, _MEASURED_SIDE), reducing_gap=2.0)
        counts = grey.histogram()
        contrast = ImageStat.Stat(counts).stddev[0]
        edges = grey.filter(ImageFilter.FIND_EDGES)
        if min(edges.size) > 2:  # the filter leaves the border as it is
            edges = edges.crop((1, 1, edges.width - 1, edges.height - 1))
        return Look(
            darkest=_level(counts, 0.05),
            brightest=_level(counts, 0.99),
            contrast=contrast,
            softness=contrast / max(ImageStat.Stat(edges).stddev[0], 0.01),
            hash=difference_hash(grey) if contrast >= PLAIN else None,
        )


def _level(counts: Sequence[int], share: float) -> int:
    wanted = share * sum(counts)
    below = 0
    for level, count in enumerate(counts):
        below += count
        if below >= wanted:
            return level
    return len(counts) - 1
