"""Boxes of the annotation formats that CVAT exports, entry by entry.

What one entry says wrong is noted and left out; the rest of the file is read all the same.
"""

import csv
import json
import math
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from toolkit.report.members import LabelProblem, Members
from toolkit.report.model import Box, DatasetImage

_MOST_PROBLEMS = 10_000
MOST_CLASSES = 20_000
_MOST_BOXES = 4_000_000
_SIZES = re.compile(r"[+-]?\d{1,9}(\.\d*)?")
_BAD_ENTRY = (KeyError, IndexError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)


class Limit(LabelProblem):
    """There is more than can be taken in; what was read until here counts."""


class Annotations:
    """What the label files of an export say.

    Attributes:
        members: The files of the export.
        classes: Names in the order of their ids, those without a box included.
        images: By subset and name.
        problems: Entries that were left out or mended, one line each.
        unreadable: Label files that could not be read to their end.
        other_shapes: How many labels are no boxes, where the format tells them apart.
        provenance: What the format tells of its origin.
    """

    def __init__(self, members: Members) -> None:
        self.members = members
        self.classes: dict[str, None] = {}
        self.images: dict[tuple[str, str], DatasetImage] = {}
        self.problems: list[str] = []
        self.unreadable: list[str] = []
        self.other_shapes = 0
        self.provenance: dict[str, str] = {}
        self._boxes: dict[int, list[Box]] = {}
        self._count = 0

    def note(self, problem: str) -> None:
        """Note what is wrong with an entry.

        Raises:
            Limit: So much is wrong that this is no file of labels.
        """
        if len(self.problems) >= _MOST_PROBLEMS:
            raise Limit(f"more than {_MOST_PROBLEMS:,} entries are wrong, so the rest was not read")
        self.problems.append(problem)

    @contextmanager
    def entry(self, where: str) -> Iterator[None]:
        """Read an entry: whatever is wrong with it is noted, and the next one has its turn."""
        try:
            yield
        except Limit:
            raise
        except _BAD_ENTRY as error:
            self.note(f"{where}: {_reason(error)}")

    @contextmanager
    def file(self, name: str) -> Iterator[None]:
        """Read a label file: if it is damaged, what was read until there counts."""
        try:
            yield
        except Exception as error:  # parsers and damaged zips raise anything
            self.unreadable.append(f"{name} cannot be read{self._until()} ({_reason(error)})")

    def _until(self) -> str:
        return " to its end" if self.images else ""

    def add_classes(self, names: Iterable[str]) -> None:
        """Add names of classes, in the order of their ids."""
        for name in names:
            if len(self.classes) >= MOST_CLASSES:
                raise Limit(f"more than {MOST_CLASSES:,} classes, so the rest was not read")
            self.classes[name] = None

    def add_image(self, name: str, side: str, location: str | None, size: tuple[int, int] | None) -> DatasetImage:
        """Add an image, or give the one that is there already.

        Args:
            name: As CVAT calls it.
            side: Its subset.
            location: Its file, if the export has it.
            size: Width and height that its boxes count in.
        """
        image = self.images.get((side, name))
        if image is None:
            length = self.members.length(location) if location else 0
            image = self.images[side, name] = DatasetImage(name, side, None, location, length, (), size)
        return image

    def add_box(self, image: DatasetImage, label: str, left: float, top: float, right: float, bottom: float) -> None:
        """Add a box in pixels.

        Raises:
            LabelProblem: It is no box.
        """
        left, top, right, bottom = float(left), float(top), float(right), float(bottom)
        if not math.isfinite(left + top + right + bottom):
            raise LabelProblem("its corners are no numbers")
        if right <= left or bottom <= top:
            flipped = right < left or bottom < top
            corners = f"{left:g}, {top:g} to {right:g}, {bottom:g}"
            raise LabelProblem(f"its box of {label} {'is flipped' if flipped else 'has no area'} ({corners})")
        self._count += 1
        if self._count > _MOST_BOXES:
            raise Limit(f"more than {_MOST_BOXES:,} boxes, so the rest was not read")
        self._boxes.setdefault(id(image), []).append(Box(label, left, top, right, bottom))

    def add_part(self, image: DatasetImage, label: str, left: float, top: float, right: float, bottom: float) -> None:
        """Add a box in parts of the picture's width and height."""
        if image.size is None and image.location is not None:
            image.size = self.members.picture_size(image.location)
        width, height = image.size or (1, 1)
        self.add_box(image, label, left * width, top * height, right * width, bottom * height)

    def finish(self) -> list[DatasetImage]:
        """Return the images with their boxes, sorted by subset and name."""
        for image in self.images.values():
            image.boxes = tuple(self._boxes.get(id(image), ()))
        return sorted(self.images.values(), key=lambda image: (image.side, image.name))


def _reason(error: BaseException) -> str:
    if isinstance(error, KeyError) and not isinstance(error, LabelProblem):
        return f"has no {error.args[0]!s}"
    if isinstance(error, LabelProblem | ElementTree.ParseError | json.JSONDecodeError | csv.Error):
        return f"{error}"
    return f"{type(error).__name__}: {error}"[:200]


def read_size(width: object, height: object) -> tuple[int, int]:
    """Read width and height in pixels."""
    pair = str(width).strip(), str(height).strip()
    if not all(_SIZES.fullmatch(value) and float(value) >= 1 for value in pair):
        raise LabelProblem(f"its size is no width and height ({pair[0][:20]} × {pair[1][:20]})")
    return int(float(pair[0])), int(float(pair[1]))


def read_text(value: object, what: str) -> str:
    """Read a text that is not empty."""
    if not isinstance(value, str) or not value:
        raise LabelProblem(f"its {what} is no text")
    return value


def numbered(labels: list[str], number: str | int) -> str:
    """Name the class of a number."""
    if not 0 <= (index := int(number)) < len(labels):
        raise LabelProblem(f"there is no class with the number {number} ({len(labels)} are named)")
    return labels[index]
