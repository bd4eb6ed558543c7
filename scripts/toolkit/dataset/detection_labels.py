"""The images of a detection export and their labels: what becomes a box, and what becomes of the rest."""

import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from io import BytesIO
from typing import NamedTuple

from toolkit.core.errors import ToolkitError
from toolkit.core.safe_names import LARGEST_LIST, fold, is_junk, is_text_bomb, unsafe_names
from toolkit.core.text import format_size
from toolkit.dataset.archive import Archive, refused
from toolkit.dataset.unpack import Damaged, Reader

TOLERANCE = 0.01
"""Pixels by which rounding in a file of labels may lead over an edge."""


class Finding(StrEnum):
    """A label or image that the dataset has otherwise than the export, or not at all."""

    ROTATED = "rotated boxes"
    POLYGON = "polygons"
    ELLIPSE = "ellipses"
    MASK = "masks"
    SKELETON = "skeletons"
    TRACK = "boxes of tracks"
    CLIPPED = "boxes over the edge"
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
        return "clipped" if self is Finding.CLIPPED else "left out"


class Box(NamedTuple):
    """A labelled box; its edges in pixels, inside the picture."""

    label: str
    left: float
    top: float
    right: float
    bottom: float


class Frame(NamedTuple):
    """An image of the export.

    Attributes:
        name: Its path in CVAT.
        subset: CVAT's subset; formats that know no other word for it say ``default`` or ``train``.
        member: Its index among the archive's members.
        size: Width and height in pixels, as the boxes count them.
        boxes: Its boxes.
        is_labelled: Whether the export has any label of it, be it one that gave no box.
    """

    name: str
    subset: str
    member: int
    size: tuple[int, int]
    boxes: tuple[Box, ...]
    is_labelled: bool


class DetectionExport(NamedTuple):
    """What a detection export holds.

    Attributes:
        format_name: As the server spells it.
        classes: Names in the export's order, those without a box included.
        frames: The images, by folder and name.
        findings: By kind, the image of each label that is meant, or the file where there is no image.
        others: Images in the zip that the labels do not name, as indices of members.
    """

    format_name: str
    classes: list[str]
    frames: list[Frame]
    findings: dict[Finding, list[str]]
    others: list[int]


class LabelFiles:
    """The members of an archive by their path below the folder that all lie in; :attr:`names` has no junk."""

    def __init__(self, archive: Archive, root: str) -> None:
        self.archive = archive
        self.root = root
        self._index = {
            member.name.removeprefix(root): index
            for index, member in enumerate(archive.members)
            if not is_junk(member.name)
        }
        self.names = sorted(self._index)
        self._folded: dict[str, int] = {}
        self._reader = Reader(archive)

    def find(self, *candidates: str) -> int | None:
        """Find the first of some names, exactly or but for its case."""
        for name in candidates:
            if (index := self._index.get(name)) is not None:
                return index
        if not self._folded:
            self._folded = {fold(name): index for name, index in self._index.items()}
        return next((self._folded[key] for key in map(fold, candidates) if key in self._folded), None)

    def __contains__(self, name: str) -> bool:
        return name in self._index

    def content(self, index: int) -> bytes:
        """Read a whole member; its data are checked on the way."""
        member = self.archive.members[index]
        try:
            return b"".join(self._reader.content(member))
        except Damaged as damage:
            raise refused(self.archive.path, [f"{member.name}: {damage}"]) from None

    def text(self, name: str, is_list: bool = False) -> str:
        """Read a file of labels, or a list of classes or images, which is shorter."""
        if (index := self._index.get(name)) is None:
            raise ToolkitError(f"{self.archive.path} holds no {name}, without which it cannot be read: export it again")
        member = self.archive.members[index]
        if (is_list and member.size > LARGEST_LIST) or is_text_bomb(member.size, member.packed):
            raise ToolkitError(
                f"{self.archive.path}: {name} is too large for a file of labels ({format_size(member.size)}, "
                f"packed {format_size(member.packed)})"
            )
        with self.readable(name):
            return self.content(index).decode("utf-8-sig")

    @contextmanager
    def readable(self, name: str) -> Iterator[None]:
        """Turn what the parsers raise on bad input into one error."""
        try:
            yield
        except (
            ElementTree.ParseError,
            KeyError,
            IndexError,
            TypeError,
            ValueError,
            AttributeError,
            OverflowError,
            RecursionError,
        ) as error:
            raise ToolkitError(
                f"{self.archive.path}: {name} cannot be read ({type(error).__name__}: {error}): export it again"
            ) from None


class Reading(LabelFiles):
    """What was read so far."""

    def __init__(self, archive: Archive, root: str) -> None:
        super().__init__(archive, root)
        self.classes: dict[str, None] = {}
        self.frames: list[Frame] = []
        self.findings: dict[Finding, list[str]] = {}
        self.taken: set[int] = set()

    def note(self, finding: Finding, name: str) -> None:
        """Count something about the image of this name."""
        self.findings.setdefault(finding, []).append(name)

    def size_of(self, member: int) -> tuple[int, int] | None:
        """Read the size of a picture, turned as its EXIF says, which is how CVAT counts."""
        from toolkit.core.images import NoImage, read_header

        try:
            return read_header(BytesIO(self.content(member)), upright=True).size
        except NoImage:
            return None


class ImageLabels:
    """The labels of one image while they are read."""

    def __init__(self, reading: Reading, name: str) -> None:
        self._reading = reading
        self.name = name
        self.boxes: list[Box] = []
        self.is_labelled = False

    def note(self, finding: Finding) -> None:
        """Count a label of this image."""
        self.is_labelled = True
        self._reading.note(finding, self.name)

    @contextmanager
    def entry(self) -> Iterator[None]:
        """Leave an entry out that cannot be read."""
        self.is_labelled = True
        try:
            yield
        except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError):
            self.note(Finding.MALFORMED)

    def box(self, label: str | None, edges: Sequence[float], rotation: float = 0) -> None:
        """Take a box by left, top, right and bottom; degrees of rotation turn it around its centre."""
        left, top, right, bottom = edges
        if not all(map(math.isfinite, (*edges, rotation))):
            raise ValueError("not a number")
        if rotation % 180 and right > left and bottom > top:
            self.note(Finding.ROTATED)
            x, y, half_width, half_height = (
                (left + right) / 2,
                (top + bottom) / 2,
                (right - left) / 2,
                (bottom - top) / 2,
            )
            sine, cosine = abs(math.sin(math.radians(rotation))), abs(math.cos(math.radians(rotation)))
            width, height = half_width * cosine + half_height * sine, half_width * sine + half_height * cosine
            left, top, right, bottom = x - width, y - height, x + width, y + height
        self.is_labelled = True
        if label is None or label not in self._reading.classes:
            self.note(Finding.UNKNOWN)
        else:
            self.boxes.append(Box(label, left, top, right, bottom))

    def outline(self, finding: Finding, label: str | None, points: Iterable[tuple[float, float]]) -> None:
        """Take the box around some points."""
        across, down = zip(*points, strict=True)
        self.note(finding)
        self.box(label, (min(across), min(down), max(across), max(down)))

    def finish(
        self,
        subset: str,
        candidates: Iterable[str],
        size: tuple[int, int] | None,
        are_shares: bool = False,
    ) -> None:
        """Make the image of these labels.

        Args:
            subset: Its subset.
            candidates: Where in the zip its bytes may be.
            size: Width and height in pixels; None reads them from the picture.
            are_shares: Whether the boxes are given in shares of the picture's size instead of in pixels.
        """
        reading = self._reading
        if (member := reading.find(*candidates)) is None:
            reading.note(Finding.NO_BYTES, self.name)
            return
        if member in reading.taken:
            reading.note(Finding.REPEATED, self.name)
            return
        reading.taken.add(member)
        if next(unsafe_names([self.name]), None) is not None:
            self.name = reading.archive.members[member].name.removeprefix(reading.root)
        size = size or reading.size_of(member)
        if size is None:
            reading.note(Finding.NO_SIZE, self.name)
            return
        across, down = size if are_shares else (1, 1)
        boxes = (
            Box(it.label, it.left * across, it.top * down, it.right * across, it.bottom * down) for it in self.boxes
        )
        inside = tuple(box for box in (self._clipped(box, *size) for box in boxes) if box is not None)
        reading.frames.append(Frame(self.name, subset, member, size, inside, self.is_labelled))

    def _clipped(self, box: Box, width: int, height: int) -> Box | None:
        label, left, top, right, bottom = box
        if right <= left or bottom <= top:
            self.note(Finding.BROKEN)
            return None
        kept = Box(label, max(left, 0.0), max(top, 0.0), min(right, float(width)), min(bottom, float(height)))
        if kept.right <= kept.left or kept.bottom <= kept.top:
            self.note(Finding.OUTSIDE)
            return None
        if max(abs(was - now) for was, now in zip(box[1:], kept[1:], strict=True)) > TOLERANCE:
            self.note(Finding.CLIPPED)
        return kept
