"""What a report looks at: a dataset of either kind, in one form."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, NamedTuple

from toolkit.core.formats import TaskType
from toolkit.core.storage import Place
from toolkit.dataset.detection_labels import Box


@dataclass(slots=True)
class DatasetImage:
    """One image of a dataset.

    Attributes:
        name: Its name below its side (and class), as a person knows it.
        side: `training` or `validation`; the subset for detection.
        label: Its class; None for detection, where boxes have one.
        location: Where its bytes are, for :attr:`Dataset.open_image`; None if the export has none.
        length: Bytes of the file.
        boxes: The labelled rectangles; none for classification.
        size: Width and height in pixels; None until known.
        problem: What is wrong with the file, if something is.
        not_drawn: Why it has no thumbnail, although nothing is wrong with it.
    """

    name: str
    side: str
    label: str | None
    location: str | None
    length: int
    boxes: tuple[Box, ...] = ()
    size: tuple[int, int] | None = None
    problem: str | None = None
    not_drawn: str | None = None


class Finding(NamedTuple):
    """Something that the reader of a report should know.

    Attributes:
        kind: A word for machines.
        message: One sentence.
        names: The offenders, classes or images.
    """

    kind: str
    message: str
    names: list[str]

    @classmethod
    def of(cls, kind: str, names: list[str], one: str, many: str) -> "Finding":
        """Make a finding that begins with a number, such as "1 class has no image" or "2 classes have no image"."""
        return cls(kind, f"{len(names):,} {one if len(names) == 1 else many}", names)


@dataclass
class Dataset:
    """A dataset, read.

    Attributes:
        kind: Classification or detection.
        format_name: How it is laid out, in words.
        source: The folder or the export zip.
        sides: Names of the sides or subsets, in their order.
        classes: Names of the classes, in the order of their ids.
        images: All images, sorted by side, class and name.
        open_image: Opens the bytes of an image by its location; safe to call from threads.
        findings: What was noticed while reading.
        provenance: Where the dataset comes from, as pairs of a term and its value.
        notes: What was warned of when it was made.
    """

    kind: TaskType
    format_name: str
    source: Place
    sides: list[str]
    classes: list[str]
    images: list[DatasetImage]
    open_image: Callable[[str], IO[bytes]]
    findings: list[Finding] = field(default_factory=list)
    provenance: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
