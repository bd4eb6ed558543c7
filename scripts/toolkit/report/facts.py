"""What a report looks at, a dataset of either kind in one form, and the facts that HTML, JSON and Markdown all tell."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import IO, Any, NamedTuple

from toolkit import __version__
from toolkit.core.formats import TaskType
from toolkit.core.storage import Place
from toolkit.dataset.detection_labels import Box
from toolkit.dataset.summary import RECOMMENDED

MOST_SEARCHED = 50_000
"""Images whose names a page has for its search; of more, only those with a thumbnail are found."""


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
    """Something that the reader of a report should know: a word for machines, a sentence, the classes or images."""

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
        format_name: How it is laid out, in words.
        source: The folder or the export zip.
        sides: Names of the sides or subsets, in their order.
        classes: Names of the classes, in the order of their ids.
        images: All images, sorted by side, class and name.
        open_image: Opens the bytes of an image by its location; safe to call from threads.
        provenance: Where the dataset comes from, as pairs of a term and its value.
        notes: What was warned of when it was made.
        frames: The frames' own paths in CVAT by the locations of the images, as far as the manifest tells; none of more
            than :data:`MOST_SEARCHED` images.
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
    frames: dict[str, str] = field(default_factory=dict)


@dataclass
class Outliers:
    """Images that stand out in one way, the oddest first; ``names`` are the same in words, one line each.

    ``kind`` is a word for machines, ``title`` what they have in common, ``hint`` what that may mean.
    """

    kind: str
    title: str
    hint: str
    images: list[DatasetImage]
    names: list[str]


@dataclass
class Examination:
    """What a look at the pictures brought: how many were measured, and the kinds of outliers that there are."""

    examined: int
    outliers: list[Outliers]


Size = tuple[int, int]


@dataclass
class ClassFacts:
    """One class, with its images and boxes by side or subset.

    For detection an image counts that has at least one of its boxes; for classification ``boxes`` is None.
    """

    name: str
    images: dict[str, int]
    boxes: dict[str, int] | None


class SizeFacts(NamedTuple):
    """The sizes of the pictures, in pixels as width and height; the least and the largest by number of pixels.

    ``counts`` tells how many pictures each size has, the most frequent first.
    """

    smallest: Size
    median: Size
    largest: Size
    counts: list[tuple[Size, int]]


class BoxFacts(NamedTuple):
    """The boxes of a detection dataset.

    ``per_image`` tells how many images have so many boxes; ``by_area`` how many boxes are small, medium and large as
    COCO counts (below 32² pixels, below 96², above).
    """

    total: int
    per_image: dict[int, int]
    by_area: dict[str, int]


@dataclass
class DatasetFacts:
    """All that a report tells, but the pictures."""

    title: str
    dataset: Dataset
    sides: dict[str, int]
    classes: list[ClassFacts]
    size: SizeFacts | None
    boxes: BoxFacts | None
    findings: list[Finding]
    examination: Examination

    @property
    def images(self) -> int:
        """How many images there are."""
        return len(self.dataset.images)

    @property
    def length(self) -> int:
        """Bytes of all images."""
        return sum(image.length for image in self.dataset.images)

    @property
    def broken(self) -> list[DatasetImage]:
        """The images that could not be read."""
        return [image for image in self.dataset.images if image.problem is not None]

    @property
    def summary(self) -> str:
        """The gist in a line."""
        parts = [_counted(self.images, "image", "images"), _counted(len(self.classes), "class", "classes")]
        if self.boxes is not None:
            parts.append(_counted(self.boxes.total, "box", "boxes"))
        parts += [f"{len(self.broken):,} broken", _counted(len(self.findings), "warning", "warnings")]
        return ", ".join(parts)

    def as_json(self) -> dict[str, Any]:
        """Return the facts as plain values for JSON."""
        dataset, size, boxes = self.dataset, self.size, self.boxes
        answer: dict[str, Any] = {
            "title": self.title,
            "kind": str(dataset.kind),
            "format": dataset.format_name,
            "source": str(dataset.source),
            "images": self.images,
            "bytes": self.length,
            "sides" if dataset.kind is TaskType.CLASSIFICATION else "subsets": self.sides,
            "classes": [
                {"name": facts.name, "images": facts.images} | ({} if facts.boxes is None else {"boxes": facts.boxes})
                for facts in self.classes
            ],
        }
        if boxes is not None:
            answer |= {
                "boxes": boxes.total,
                "images_by_boxes": {str(number): count for number, count in boxes.per_image.items()},
                "images_without_boxes": boxes.per_image.get(0, 0),
                "boxes_by_area": boxes.by_area,
            }
        answer["sizes"] = size and {
            "smallest": size.smallest,
            "median": size.median,
            "largest": size.largest,
            "counts": [{"width": width, "height": height, "images": count} for (width, height), count in size.counts],
        }
        answer["broken"] = [{"image": image.location, "problem": image.problem} for image in self.broken]
        answer["warnings"] = [finding._asdict() for finding in self.findings]
        answer["outliers"] = {
            "examined": self.examination.examined,
            "kinds": [
                {"kind": kind.kind, "images": len(kind.images), "names": kind.names}
                for kind in self.examination.outliers
            ],
        }
        answer["provenance"] = [{"term": term, "value": value} for term, value in dataset.provenance]
        answer["conversion_warnings"] = dataset.notes
        answer["tool_version"] = __version__
        return answer


def _counted(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def gather(dataset: Dataset, title: str, examination: Examination | None = None) -> DatasetFacts:
    """Count what there is to count in a dataset with the sizes of its pictures."""
    is_detection = dataset.kind is TaskType.DETECTION
    sides = dict.fromkeys(dataset.sides, 0) | Counter(image.side for image in dataset.images)
    classes = _class_facts(dataset, is_detection)
    boxes = _box_facts(dataset.images) if is_detection else None
    facts = DatasetFacts(
        title, dataset, sides, classes, _size_facts(dataset.images), boxes, [], examination or Examination(0, [])
    )
    facts.findings = [*dataset.findings, *_checks(facts)]
    return facts


def _class_facts(dataset: Dataset, is_detection: bool) -> list[ClassFacts]:
    images: Counter[tuple[str, str]] = Counter()
    boxes: Counter[tuple[str, str]] = Counter()
    for image in dataset.images:
        labels = [image.label] if image.label is not None else [box.label for box in image.boxes]
        images.update((label, image.side) for label in set(labels))
        boxes.update((label, image.side) for label in labels)
    names = [*dataset.classes, *sorted({label for label, _ in images} - set(dataset.classes))]
    return [
        ClassFacts(
            name,
            {side: images[name, side] for side in dataset.sides},
            {side: boxes[name, side] for side in dataset.sides} if is_detection else None,
        )
        for name in names
    ]


def _size_facts(images: list[DatasetImage]) -> SizeFacts | None:
    counts = Counter(image.size for image in images if image.size is not None)
    if not counts:
        return None
    by_area = sorted(counts.elements(), key=lambda size: (size[0] * size[1], size))
    middle = by_area[(len(by_area) - 1) // 2]
    frequent = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return SizeFacts(by_area[0], middle, by_area[-1], frequent)


def _box_facts(images: list[DatasetImage]) -> BoxFacts:
    per_image = Counter(len(image.boxes) for image in images)
    by_area = {"small": 0, "medium": 0, "large": 0}
    for image in images:
        for box in image.boxes:
            area = (box.right - box.left) * (box.bottom - box.top)
            by_area["small" if area < 32**2 else "medium" if area < 96**2 else "large"] += 1
    return BoxFacts(sum(by_area.values()), dict(sorted(per_image.items())), by_area)


def _checks(facts: DatasetFacts) -> Iterator[Finding]:
    small = [row.name for row in facts.classes if sum(row.images.values()) < RECOMMENDED]
    if small:
        fewer = f"fewer than {RECOMMENDED} images, the recommended minimum"
        yield Finding.of("small_class", small, f"class has {fewer}", f"classes have {fewer}")
    for side in facts.dataset.sides if facts.dataset.kind is TaskType.CLASSIFICATION else ():
        if absent := [row.name for row in facts.classes if not row.images[side]]:
            nothing = f"no image in {side}"
            yield Finding.of("missing_class", absent, f"class has {nothing}", f"classes have {nothing}")
    if broken := facts.broken:
        names = [f"{image.location}: {image.problem}" for image in broken]
        yield Finding.of("broken_image", names, "image is broken", "images are broken")
    if large := [f"{image.location}: {image.not_drawn}" for image in facts.dataset.images if image.not_drawn]:
        yield Finding.of("not_drawn", large, "image has no thumbnail", "images have no thumbnail")
    if outside := [image.name for image in facts.dataset.images if _leaves(image)]:
        over = "boxes that reach over the edge"
        yield Finding.of("outside", outside, f"image has {over}", f"images have {over}")


def _leaves(image: DatasetImage) -> bool:
    """Tell whether a box reaches more than a pixel over the edge of its image."""
    if image.size is None:
        return False
    width, height = image.size
    return any(min(box.left, box.top) < -1 or box.right > width + 1 or box.bottom > height + 1 for box in image.boxes)
