"""The contact sheet of a report: which images are shown, and their thumbnails."""

import io
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple
from zipfile import BadZipFile

from toolkit.core.formats import TaskType
from toolkit.core.images import WORKERS, NoImage, quiet_pictures, read_size
from toolkit.report.model import Dataset, DatasetImage
from toolkit.report.thumbnails import Thumbnail, make_thumbnail

SHOWN_AT_ONCE = 12  # fills whole rows of 2, 3, 4, 6 and 12
"""Thumbnails of a section that are in the page from the start; the others wait until they are asked for."""


class Limits(NamedTuple):
    """How much a contact sheet holds.

    Attributes:
        side: Longest side of a thumbnail in pixels.
        total: Thumbnails in all sections together.
    """

    side: int
    total: int


LIMITS = {TaskType.CLASSIFICATION: Limits(128, 2400), TaskType.DETECTION: Limits(288, 720)}
_LARGEST_FILE = 1 << 29
"""Bytes of an image file that is still opened."""


class DrawnBox(NamedTuple):
    """A box over a thumbnail: number of its class, class, place and size in pixels of the image."""

    number: int
    label: str
    x: float
    y: float
    width: float
    height: float


class Tile(NamedTuple):
    """An image on the sheet.

    Attributes:
        image: The image.
        picture: Its thumbnail; None if it is broken.
        boxes: What is drawn over it.
        content: The boxes, in words; empty for classification.
        description: What is to be seen, in words.
    """

    image: DatasetImage
    picture: Thumbnail | None
    boxes: list[DrawnBox]
    content: str
    description: str


@dataclass
class Section:
    """A part of the sheet.

    Attributes:
        name: Its heading; None for the images without boxes.
        total: How many images belong to it.
        tiles: Those that are shown.
    """

    name: str | None
    total: int
    tiles: list[Tile]

    @property
    def first(self) -> list[Tile]:
        """The tiles that are in the page from the start."""
        return self.tiles[:SHOWN_AT_ONCE]

    @property
    def rest(self) -> list[Tile]:
        """The tiles that wait until they are asked for."""
        return self.tiles[SHOWN_AT_ONCE:]


def make_sheet(dataset: Dataset, per_section: int, step: Callable[[], None]) -> list[Section]:
    """Choose the images of the contact sheet and shrink them.

    Args:
        dataset: The dataset, with sizes; the `problem` of images that turn out to be broken is set.
        per_section: How many thumbnails a class gets at most; they are spread evenly over its images.
        step: Called after each thumbnail.

    Returns:
        A section for each class, and for detection one for the images without boxes.
    """
    groups = _groups(dataset)
    chosen = _chosen(groups, per_section, LIMITS[dataset.kind].total)
    images = {id(image): image for section in chosen for image in section}
    side = LIMITS[dataset.kind].side
    with quiet_pictures(), ThreadPoolExecutor(WORKERS) as pool:
        pictures = {}
        for image, picture in zip(
            images.values(), pool.map(lambda image: _draw(dataset, image, side), images.values()), strict=True
        ):
            pictures[id(image)] = picture
            step()
    numbers = {label: number for number, label in enumerate(dataset.classes)}
    sections = []
    for (name, members), section in zip(groups, chosen, strict=True):
        tiles = [_tile(image, pictures[id(image)], numbers) for image in section]
        sections.append(Section(name, len(members), tiles))
    return sections


def count_thumbnails(dataset: Dataset, per_section: int) -> int:
    """Count the thumbnails that :func:`make_sheet` will make."""
    chosen = _chosen(_groups(dataset), per_section, LIMITS[dataset.kind].total)
    return len({id(image) for section in chosen for image in section})


def _groups(dataset: Dataset) -> list[tuple[str | None, list[DatasetImage]]]:
    by_label: dict[str | None, list[DatasetImage]] = {name: [] for name in dataset.classes}
    for image in dataset.images:
        labels = {image.label} if dataset.kind is TaskType.CLASSIFICATION else {box.label for box in image.boxes}
        for label in labels or {None}:
            by_label.setdefault(label, []).append(image)
    without = by_label.pop(None, [])
    return [*by_label.items(), *([(None, without)] if without else [])]


def _chosen(
    groups: Sequence[tuple[str | None, list[DatasetImage]]], per_section: int, total: int
) -> list[list[DatasetImage]]:
    most = min(per_section, max(1, total // max(1, len(groups)))) if per_section else 0
    chosen = []
    for _, images in groups:
        drawable = [image for image in images if image.location is not None]
        count = min(most, len(drawable), total)
        total -= count
        chosen.append(_first_ones_first(_spread(drawable, count)))
    return chosen


def _spread(images: list[DatasetImage], count: int) -> list[DatasetImage]:
    """Take some images, evenly over the list."""
    return [images[index * len(images) // count] for index in range(count)]


def _first_ones_first(images: list[DatasetImage]) -> list[DatasetImage]:
    """Bring images to the front that are spread evenly too, as only these are seen at once."""
    first = _spread(images, min(SHOWN_AT_ONCE, len(images)))
    seen = {id(image) for image in first}
    return first + [image for image in images if id(image) not in seen]


def _draw(dataset: Dataset, image: DatasetImage, side: int) -> Thumbnail | None:
    if image.problem is not None or image.location is None:
        return None
    try:
        if image.length > _LARGEST_FILE:
            raise NoImage(f"too large to draw ({image.length:,} bytes)")
        with dataset.open_image(image.location) as stream:
            return make_thumbnail(io.BytesIO(stream.read()), side, image.size if image.boxes else None)
    except (NoImage, OSError, BadZipFile, EOFError) as error:
        image.problem = str(error)
        return None


def _drawn_boxes(image: DatasetImage, numbers: dict[str, int]) -> list[DrawnBox]:
    drawn = [
        DrawnBox(
            numbers.get(box.label, len(numbers)),
            box.label,
            round(box.left, 1),
            round(box.top, 1),
            round(box.right - box.left, 1),
            round(box.bottom - box.top, 1),
        )
        for box in image.boxes
    ]
    return sorted(drawn, key=lambda box: -box.width * box.height)  # small boxes over large ones


def _tile(image: DatasetImage, picture: Thumbnail | None, numbers: dict[str, int]) -> Tile:
    if image.label is not None:
        return Tile(image, picture, [], "", f"{image.label}, {image.side}: {image.name}")
    counts = Counter(box.label for box in image.boxes)
    content = ", ".join(f"{count} {label}" for label, count in counts.items()) or "no boxes"
    return Tile(image, picture, _drawn_boxes(image, numbers), content, f"{image.name} ({image.side}): {content}")


_BATCH = 64


def read_sizes(dataset: Dataset, step: Callable[[], None]) -> None:
    """Fill in the size of every image of a dataset that has none yet, or what is wrong with the image.

    Args:
        dataset: The dataset; its images are changed.
        step: Called after each image.
    """
    images = [image for image in dataset.images if image.location is not None]
    batches = [images[start : start + _BATCH] for start in range(0, len(images), _BATCH)]
    with quiet_pictures(), ThreadPoolExecutor(WORKERS) as pool:
        for count in pool.map(lambda batch: _read_batch(dataset, batch), batches):
            for _ in range(count):
                step()


def _read_batch(dataset: Dataset, images: Sequence[DatasetImage]) -> int:
    for image in images:
        assert image.location is not None
        try:
            if image.length == 0:
                raise NoImage("empty")
            with dataset.open_image(image.location) as stream:
                size = read_size(stream)
            image.size = image.size or size
        except (NoImage, OSError, BadZipFile, EOFError) as error:
            image.problem = str(error)
    return len(images)
