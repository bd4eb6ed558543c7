"""What the label files of a detection export say, taken in entry by entry.

A bad entry costs neither its neighbours nor the export: it is noted and left out, and the next one has its turn.
"""

import json
import math
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from toolkit.core.errors import ToolkitError
from toolkit.dataset.export_files import LabelFiles, LabelProblem, is_image

TOLERANCE = 0.01
"""Pixels by which rounding in a file of labels may lead over an edge."""
_MOST_PROBLEMS = 10_000
_MOST_CLASSES = 20_000
_MOST_BOXES = 4_000_000
_SIZES = re.compile(r"[+-]?\d{1,9}(\.\d*)?")
_WIDEST = 10**9
_BAD_ENTRY = (KeyError, IndexError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)


class Finding(StrEnum):
    """A label or image that a dataset has otherwise than the export, or not at all."""

    ROTATED = "rotated boxes"
    POLYGON = "polygons"
    ELLIPSE = "ellipses"
    MASK = "masks"
    SKELETON = "skeletons"
    TRACK = "boxes of tracks"
    CLIPPED = "boxes over the edge"
    MASK_PICTURE = "pictures of masks"
    POLYLINE = "polylines"
    POINTS = "points"
    CUBOID = "cuboids"
    TAG = "tags"
    OTHER = "other labels"
    OUTSIDE = "boxes outside the picture"
    BROKEN = "boxes without area"
    UNKNOWN = "boxes of an unknown class"
    MALFORMED = "unreadable labels"
    REPEATED = "images named again"
    NO_BYTES = "images that are not in the zip"
    NO_SIZE = "unreadable images"

    @property
    def fate(self) -> str:
        """What becomes of it."""
        if self in (Finding.ROTATED, Finding.POLYGON, Finding.ELLIPSE, Finding.MASK, Finding.SKELETON):
            return "taken as the upright box around each"
        if self is Finding.TRACK:
            return "kept as boxes of single images"
        if self is Finding.MASK_PICTURE:
            return "left out, for no boxes are told of them (CVAT for images 1.1 and COCO 1.0 do)"
        return "clipped" if self is Finding.CLIPPED else "left out"


class BadBox(LabelProblem):
    """A label that is read, but gives no box."""

    def __init__(self, finding: Finding, message: str) -> None:
        super().__init__(message)
        self.finding = finding


class _Limit(LabelProblem):
    """There is more than can be taken in; what was read until here counts."""


class OtherFormat(ToolkitError):
    """The files are of another format than their names tell; the message goes on about which."""


class Box(NamedTuple):
    """A labelled box; its edges in pixels."""

    label: str
    left: float
    top: float
    right: float
    bottom: float


@dataclass(slots=True)
class LabelledImage:
    """An image, by its path in CVAT, and its labels.

    Attributes:
        subset: CVAT's subset; formats that know no other word for it say ``default`` or ``train``.
        location: Its file, if the export has it.
        size: Width and height in pixels, as the boxes count them; None if they are not told.
        boxes: Its boxes, also those over its edges.
        is_labelled: Whether the export has any label of it, be it one that gave no box.
    """

    name: str
    subset: str
    location: str | None
    size: tuple[int, int] | None
    boxes: list[Box] = field(default_factory=list)
    is_labelled: bool = False


class Annotations:
    """What the label files of an export say.

    Attributes:
        classes: Names in the order of their ids, those without a box included.
        images: By subset and name.
        findings: By kind, the image of each label that is meant, or the file where there is no image.
        problems: What is wrong with entries that were left out, one line each.
        unreadable: Label files that could not be read to their end.
        provenance: What the format tells of its origin.
        masks: Pictures that are labels themselves.
    """

    def __init__(self, files: LabelFiles) -> None:
        self.files = files
        self.classes: dict[str, None] = {}
        self.images: dict[tuple[str, str], LabelledImage] = {}
        self.findings: dict[Finding, list[str]] = {}
        self.problems: list[str] = []
        self.unreadable: list[str] = []
        self.provenance: dict[str, str] = {}
        self.masks: set[str] = set()
        self._boxes = 0

    def note(self, finding: Finding, image: LabelledImage | str) -> None:
        """Count a label of an image, or of a file."""
        if isinstance(image, LabelledImage):
            image.is_labelled = True
            image = image.name
        self.findings.setdefault(finding, []).append(image)

    def remark(self, problem: str) -> None:
        """Note what is wrong, in words; raises LabelProblem where so much is wrong that this is no file of labels."""
        if len(self.problems) >= max(_MOST_PROBLEMS, self._boxes + len(self.images)):
            raise _Limit(f"more than {_MOST_PROBLEMS:,} entries are wrong, so the rest was not read")
        self.problems.append(problem)

    @contextmanager
    def entry(self, where: str, image: LabelledImage | None = None, is_label: bool = True) -> Iterator[None]:
        """Read an entry: whatever is wrong with it is noted, with the place in words, and the next one has its turn.

        What is no label is not counted as one; it is only said what is wrong.
        """
        if image is not None and is_label:
            image.is_labelled = True
        try:
            yield
        except _Limit:
            raise
        except _BAD_ENTRY as error:
            if is_label:
                self.note(error.finding if isinstance(error, BadBox) else Finding.MALFORMED, image or where)
            self.remark(f"{where}: {_reason(error)}")

    @contextmanager
    def file(self, name: str) -> Iterator[None]:
        """Read a label file: if it is damaged, what was read until there counts."""
        try:
            yield
        except ToolkitError:
            raise
        except Exception as error:  # parsers and damaged zips raise anything
            until = " to its end" if self.images else ""
            self.unreadable.append(f"{name} cannot be read{until} ({_reason(error)})")

    def add_classes(self, names: Iterable[str]) -> None:
        """Add names of classes, in the order of their ids."""
        for name in names:
            if len(self.classes) >= _MOST_CLASSES:
                raise _Limit(f"more than {_MOST_CLASSES:,} classes, so the rest was not read")
            self.classes[name] = None

    def image(self, name: str, subset: str, location: str | None, size: tuple[int, int] | None = None) -> LabelledImage:
        """Add an image, or give the one that is there already."""
        image = self.images.get((subset, name))
        if image is None:
            image = self.images[subset, name] = LabelledImage(name, subset, location, size)
        return image

    def box(self, image: LabelledImage, label: str, edges: Iterable[float], rotation: float = 0) -> None:
        """Add a box by left, top, right and bottom in pixels; degrees of rotation turn it around its centre.

        Raises LabelProblem where it is no box.
        """
        left, top, right, bottom = map(float, edges)
        if not all(map(math.isfinite, (left, top, right, bottom, rotation))):
            raise LabelProblem("its corners are no numbers")
        if right <= left or bottom <= top:
            how = "is flipped" if right < left or bottom < top else "has no area"
            corners = f"{left:g}, {top:g} to {right:g}, {bottom:g}"
            raise BadBox(Finding.BROKEN, f"its box of {label} {how} ({corners})")
        if rotation % 180:
            self.note(Finding.ROTATED, image)
            across, down = half_sides((right - left) / 2, (bottom - top) / 2, rotation)
            x, y = (left + right) / 2, (top + bottom) / 2
            left, top, right, bottom = x - across, y - down, x + across, y + down
        if self._boxes >= _MOST_BOXES:
            raise _Limit(f"more than {_MOST_BOXES:,} boxes, so the rest was not read")
        self._boxes += 1
        image.is_labelled = True
        image.boxes.append(Box(label, left, top, right, bottom))

    def outline(
        self, image: LabelledImage, finding: Finding, label: str, points: Iterable[tuple[float, float]]
    ) -> None:
        """Add the box around some points."""
        across, down = zip(*points, strict=True)
        self.note(finding, image)
        self.box(image, label, (min(across), min(down), max(across), max(down)))

    def share(self, image: LabelledImage, label: str, edges: Iterable[float], finding: Finding | None = None) -> None:
        """Add a box in shares of the picture's width and height."""
        if image.size is None and image.location is not None:
            image.size = self.files.picture_size(image.location)
        width, height = image.size or (1, 1)
        left, top, right, bottom = edges
        if finding is not None:
            self.note(finding, image)
        self.box(image, label, (left * width, top * height, right * width, bottom * height))

    def finish(self) -> None:
        """Name the classes by what there is, if the format has no list of them."""
        if not self.classes:
            self.add_classes(sorted({box.label for image in self.images.values() for box in image.boxes}))

    def unlisted(self) -> list[str]:
        """Name the images of the export that the labels do not speak of."""
        known = {image.location for image in self.images.values()} | self.masks
        return [name for name in self.files.names if is_image(name) and name not in known]


def _reason(error: BaseException) -> str:
    if isinstance(error, KeyError):
        return f"has no {error.args[0]!s}"
    if isinstance(error, LabelProblem | ElementTree.ParseError | json.JSONDecodeError):
        return f"{error}"
    return f"is not written as the format wants it ({' '.join(str(error).split()) or type(error).__name__})"[:200]


def half_sides(across: float, down: float, rotation: float) -> tuple[float, float]:
    """Turn a box of half this width and height by some degrees: half the sides of the upright box around it."""
    sine, cosine = abs(math.sin(math.radians(rotation))), abs(math.cos(math.radians(rotation)))
    return across * cosine + down * sine, across * sine + down * cosine


def read_size(width: object, height: object) -> tuple[int, int]:
    """Read width and height in pixels."""
    if type(width) is int and type(height) is int and 0 < width < _WIDEST and 0 < height < _WIDEST:
        return width, height
    pair = str(width).strip(), str(height).strip()
    if not all(_SIZES.fullmatch(value) and float(value) >= 1 for value in pair):
        raise LabelProblem(f"its size is no width and height ({pair[0][:20]} × {pair[1][:20]})")
    return int(float(pair[0])), int(float(pair[1]))


def class_of(labels: Mapping[Any, str], number: Any) -> str:
    """Name the class of a number."""
    if (label := labels.get(number)) is None:
        raise BadBox(Finding.UNKNOWN, f"there is no class with the number {number} ({len(labels)} are named)")
    return label


def is_upright_box(points: Sequence[tuple[float, float]], edges: Sequence[float]) -> bool:
    """Tell whether an outline says no more than the box around it."""
    return len(points) == 4 and all(
        min(abs(value - edges[axis]), abs(value - edges[axis + 2])) <= TOLERANCE
        for point in points
        for axis, value in enumerate(point)
    )
