"""The contact sheet of a report: which images are shown, and their thumbnails."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from toolkit.core.formats import TaskType
from toolkit.report.facts import Dataset, DatasetImage, Outliers
from toolkit.report.pictures import Thumbnail, draw, in_threads

SHOWN_AT_ONCE = 12  # fills whole rows of 2, 3, 4, 6 and 12
"""Thumbnails of a section that are in the page from the start; the others wait until they are asked for."""


class Limits(NamedTuple):
    """How much a contact sheet holds: a thumbnail's longest side in pixels, and thumbnails in all sections together."""

    side: int
    total: int


LIMITS = {TaskType.CLASSIFICATION: Limits(160, 2400), TaskType.DETECTION: Limits(288, 720)}


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

    It has no picture if it is broken. ``boxes`` are drawn over it; ``content`` has them in words, empty for
    classification; ``description`` says in words what is to be seen.
    """

    image: DatasetImage
    picture: Thumbnail | None
    boxes: list[DrawnBox]
    content: str
    description: str


@dataclass
class Section:
    """A part of the sheet, with the tiles that are shown of so many images.

    The name is its heading; None for the images without boxes.
    """

    name: str | None
    total: int
    tiles: list[Tile]

    @property
    def words(self) -> str:
        """The heading in words."""
        return "no boxes" if self.name is None else self.name

    @property
    def first(self) -> list[Tile]:
        """The tiles that are in the page from the start."""
        return self.tiles[:SHOWN_AT_ONCE]

    @property
    def rest(self) -> list[Tile]:
        """The tiles that wait until they are asked for."""
        return self.tiles[SHOWN_AT_ONCE:]


class TileMaker:
    """Makes the tiles of a dataset, each thumbnail once.

    The `problem` of images that turn out to be broken is set. The step is called after each thumbnail.
    """

    def __init__(self, dataset: Dataset, step: Callable[[], None]) -> None:
        self._dataset = dataset
        self._step = step
        self._numbers = {label: number for number, label in enumerate(dataset.classes)}
        self._tiles: dict[int, Tile] = {}

    def all(self, images: Sequence[DatasetImage]) -> dict[int, Tile]:
        """Make the tiles of these images; they are found by the `id` of the image."""
        new = list({id(image): image for image in images if id(image) not in self._tiles}.values())
        side = LIMITS[self._dataset.kind].side
        pictures = in_threads(lambda image: draw(self._dataset, image, side), new, self._step)
        for image, picture in zip(new, pictures, strict=True):
            self._tiles[id(image)] = _tile(image, picture, self._numbers)
        return self._tiles


def make_sheet(dataset: Dataset, per_section: int, maker: TileMaker) -> list[Section]:
    """Choose the images of the contact sheet and shrink them; the dataset has its sizes already.

    A class gets ``per_section`` thumbnails at most, which are spread evenly over its images. There is a section for
    each class, and for detection one for the images without boxes.
    """
    groups = _groups(dataset)
    chosen = _chosen(groups, per_section, LIMITS[dataset.kind].total)
    tiles = maker.all([image for section in chosen for image in section])
    return [
        Section(name, len(members), [tiles[id(image)] for image in section])
        for (name, members), section in zip(groups, chosen, strict=True)
    ]


def make_outlier_sections(outliers: Sequence[Outliers], per_section: int, maker: TileMaker) -> list[Section]:
    """Draw the images that stand out most, a section for each way to do so."""
    most = min(per_section, SHOWN_AT_ONCE)
    chosen = [[image for image in kind.images if image.location is not None][:most] for kind in outliers]
    tiles = maker.all([image for images in chosen for image in images])
    return [
        Section(kind.title, len(kind.images), [tiles[id(image)] for image in images])
        for kind, images in zip(outliers, chosen, strict=True)
    ]


def count_thumbnails(dataset: Dataset, per_section: int) -> int:
    """Count the thumbnails that :func:`make_sheet` makes."""
    chosen = _chosen(_groups(dataset), per_section, LIMITS[dataset.kind].total)
    return len({id(image) for section in chosen for image in section})


def labels_of(image: DatasetImage) -> set[str | None]:
    """Name the sections that an image belongs to: its class, or those of its boxes; None where it has none."""
    return {image.label} if image.label is not None else {box.label for box in image.boxes} or {None}


def _groups(dataset: Dataset) -> list[tuple[str | None, list[DatasetImage]]]:
    by_label: dict[str | None, list[DatasetImage]] = {name: [] for name in dataset.classes}
    for image in dataset.images:
        for label in labels_of(image):
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
