"""A dataset of tags in a few lines, the same as JSON, and what to know of it before training with it."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from toolkit.core.text import printable, some_names
from toolkit.dataset.assignment import Assignment
from toolkit.dataset.duplicates import LIMITED, Cluster, Kind, leaking, name_equal
from toolkit.dataset.exports import Exports
from toolkit.dataset.labels import gap_warnings, order_warning
from toolkit.dataset.layout import ALL_SIDES, DETECTION_SIDES
from toolkit.dataset.manifest import Manifest, count_images, source_entry
from toolkit.dataset.selection import Image, Reason, Selection
from toolkit.dataset.unpack import Contents

if TYPE_CHECKING:
    from toolkit.dataset.detection_manifest import DetectionManifest

RECOMMENDED = 10
"""Images per class that the specification recommends at least."""


def counts(manifest: Manifest) -> dict[str, tuple[int, ...]]:
    """Count the images: by class, in the order of the labels, a number for each of the manifest's sides."""
    found = count_images(manifest)
    return {name: tuple(found[name, side] for side in manifest.sides) for name in manifest.labels}


def left_out(manifest: "Manifest | DetectionManifest") -> dict[str, int]:
    """Count the files that are on no side, by reason."""
    return dict(Counter(record.reason for record in manifest.left_out))


def as_table(manifest: Manifest) -> Iterator[str]:
    """Draw the images per class and side as lines for a terminal, then a line for each kind of loss."""
    rows: list[tuple[str, ...]] = [("id", "class", *manifest.sides, "total")]
    total = [0] * len(manifest.sides)
    for name, found in counts(manifest).items():
        rows.append((str(manifest.labels[name]), name, *map(str, found), str(sum(found))))
        total = [before + count for before, count in zip(total, found, strict=True)]
    rows.append(("", "total", *map(str, total), str(sum(total))))
    yield from aligned(rows)
    for reason, count in left_out(manifest).items():
        yield f"left out: {count} {'file' if count == 1 else 'files'}, {reason}"


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Draw rows of equal length as lines; the second column begins at the left, the others end at the right."""
    shown = [[printable(cell) for cell in row] for row in rows]
    widths = [max(_width(row[column]) for row in shown) for column in range(len(shown[0]))]
    for row in shown:
        cells = [
            cell + " " * (width - _width(cell)) if column == 1 else " " * (width - _width(cell)) + cell
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()


def _width(text: str) -> int:
    """Count a terminal's columns: wide East Asian characters take two, combining ones none."""
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )


def as_json(manifest: Manifest) -> dict[str, Any]:
    """Give the same facts to machines."""
    found = counts(manifest)
    classes = {name: dict(zip(manifest.sides, row, strict=True)) for name, row in found.items()}
    return with_common_facts(manifest, {"classes": classes})


def with_common_facts(manifest: "Manifest | DetectionManifest", facts: dict[str, Any]) -> dict[str, Any]:
    """Put what tags and boxes have in common around what they have not."""
    return {
        "labels": dict(manifest.labels),
        **facts,
        "images": len(manifest.images),
        "left_out": left_out(manifest),
        "warnings": list(manifest.warnings),
        "leaks": [record._asdict() for record in manifest.duplicates if len(record.sides) > 1],
        **dict([source_entry(manifest.sources)]),
    }


# --- Warnings -----------------------------------------------------------------------------------------------------


def find_warnings(
    manifest: Manifest, selection: Selection, assignment: Assignment, exports: Exports, contents: Contents
) -> list[str]:
    """Find what is doubtful about a dataset, one line each."""
    warnings = [*_left_out(selection, exports), *other_formats(selection.images, contents.formats)]
    warnings.extend(_unreadable(selection.images, contents))
    warnings.extend(_classes(manifest, selection.images))
    warnings.extend(_duplicates(selection, assignment))
    warnings.extend(_class_names(manifest.labels))
    warnings.extend(_hidden_or_passed_over(selection.images))
    lookalikes = [pair for archive in exports.archives for pair in archive.lookalikes]
    if lookalikes:
        names = some_names(f"{other} and {name}" for name, other in lookalikes)
        line = f"names that differ in case or Unicode form only, which other file systems take for one: {names}"
        warnings.append(line)
    if (order := order_warning(manifest.labels)) is not None:
        warnings.append(order)
    warnings.extend(gap_warnings(manifest.labels, "classes.txt fills them"))
    return warnings


def _left_out(selection: Selection, exports: Exports) -> Iterator[str]:
    def named(wanted: Reason) -> list[str]:
        return [exports.members[index].name for index, reason in selection.left_out.items() if reason is wanted]

    for export in exports.each:
        if export.kind.root:
            yield (
                f"everything lies in the folder {export.root[:-1]}, which is seen through: the folders in it are the "
                "classes (--keep-junk takes it for a class)"
            )
    if junk := named(Reason.JUNK):
        yield (
            f"{counted(len(junk), 'file is', 'files are')} left out, as operating systems and editors leave them "
            f"(--keep-junk takes them along): {some_names(sorted(junk))}"
        )
    if lost := named(Reason.DOTS):
        yield (
            f"{counted(len(lost), 'file is', 'files are')} left out because the reference loses names with '..' in "
            f"them (the other split methods take them): {some_names(lost)}"
        )
    filled = {image.class_name for image in selection.images} if selection.file_classes else set()
    for name in sorted(selection.file_classes - filled):
        yield f"folder {name} holds files but no image, and counts as a class: is this an ImageNet 1.0 export?"


def counted(count: int, one: str, many: str) -> str:
    """Write a number before a noun with its verb, such as "1 file is" or "2 files are"."""
    return f"{count} {one if count == 1 else many}"


def other_formats(images: Sequence[Image], formats: Mapping[int, str]) -> Iterator[str]:
    """Warn of the images whose extension tells another format; ``formats`` has that of their content by member."""
    if not formats:
        return
    found: dict[str, list[str]] = {}
    for image in images:
        if image.member in formats:
            found.setdefault(formats[image.member], []).append(image.name)
    for content, names in sorted(found.items()):
        yield other_format_warning(content, names)


def _unreadable(images: Sequence[Image], contents: Contents) -> Iterator[str]:
    broken = contents.unreadable - contents.formats.keys()
    if broken and (names := [image.name for image in images if image.member in broken]):
        yield f"{counted(len(names), 'image is', 'images are')} broken, training code stops there: {some_names(names)}"


def other_format_warning(content: str, names: Sequence[str]) -> str:
    """Warn of images that hold another format than their extension tells."""
    return (
        f"{counted(len(names), 'image holds', 'images hold')} {content}, not what the extension says, which Keras and "
        f"TensorFlow cannot read: {some_names(names)}"
    )


def _classes(manifest: Manifest, images: Sequence[Image]) -> Iterator[str]:
    if len(manifest.labels) == 1 and len(inner := {tuple(image.name.split("/")[:-1][:2]) for image in images}) == 1:
        folders = "/".join(*inner)
        if "/" in folders:
            yield f"all images lie in {folders}, so there is one class: pack the folders of the classes without it"
    for name, counted_by_side in counts(manifest).items():
        by_side = dict(zip(manifest.sides, counted_by_side, strict=True))
        count = sum(counted_by_side)
        if count == 0:
            yield f"class {name} has no image{_EMPTY_FOLDERS}"
            continue
        if count < RECOMMENDED:
            yield f"class {name} has {counted(count, 'image', 'images')}, at least {RECOMMENDED} are recommended"
        for side, inside in by_side.items():
            if not inside:
                yield f"class {name} has no image in {side}{_EMPTY_FOLDERS}"


_EMPTY_FOLDERS = " (torchvision's ImageFolder stops there unless it is given allow_empty=True)"


_CLASS_NAMES = (
    (r"\.", "begin with a dot", "Keras, fastai and others skip such folders, and every id after them shifts"),
    ("__", "begin with two underscores", "Hugging Face datasets skips such folders"),
    ("[A-Za-z]$", "are one letter", "datumaro takes it for that of a drive, and stops"),
)
"""Names at which a tool of docs/reading.md goes wrong: what they match, what they are, what happens."""


def _class_names(numbers: Mapping[str, int]) -> Iterator[str]:
    for pattern, kind, outcome in _CLASS_NAMES:
        if found := [name for name in numbers if re.match(pattern, name)]:
            yield f"classes whose names {kind}: {some_names(found)}: {outcome}: rename the label in CVAT"
    if sorted(numbers, key=_natural_order) != sorted(numbers):
        yield (
            "timm sorts these class names otherwise (numbers by their value, capitals like small letters): "
            "give it --class-map classes.txt"
        )


PASSED_OVER_BY = {
    ".gif": ("torchvision", "timm", "ultralytics", "supervision", "datumaro"),
    ".bmp": ("timm", "cleanvision"),
}
"""The tools of docs/reading.md that pass over the images of an extension, as its table of classification tells."""


def _hidden_or_passed_over(images: Sequence[Image]) -> Iterator[str]:
    hidden, skipped = [], []
    ends: Counter[str] = Counter()
    for image in images:
        ends[image.name[-4:]] += 1
        if "/." in image.place:
            hidden.append(image.name)
        if "/__" in image.place.rpartition("/")[0]:
            skipped.append(image.name)
    if hidden:
        yield (
            f"images whose names begin with a dot: {len(hidden)}: fastai, Hugging Face datasets and supervision pass "
            f"over them: rename them before they are imported: {some_names(hidden)}"
        )
    if skipped:
        yield (
            f"images in folders whose names begin with two underscores: {len(skipped)}: Hugging Face datasets passes "
            f"over them: leave --layout nested out: {some_names(skipped)}"
        )
    yield from passed_over(ends, PASSED_OVER_BY)


def passed_over(endings: Mapping[str, int], tools: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Warn of images that some tools pass over by their extension; given are their numbers by extension."""
    found: Counter[str] = Counter()
    for ending, count in endings.items():
        found[ending.lower()] += count
    lost = [f"{found[ending]} {ending} ({', '.join(names)})" for ending, names in tools.items() if found[ending]]
    if lost:
        yield (
            f"images that some tools pass over, or stop at, by their extension: {'; '.join(lost)}: save them as PNG "
            "before they are imported"
        )


def _natural_order(name: str) -> list[tuple[int, str]]:
    return [
        (int(part), "") if part.isascii() and part.isdigit() else (-1, part) for part in _DIGITS.split(name.lower())
    ]


_DIGITS = re.compile(r"([0-9]+)")


def _named(clusters: Iterable[Cluster], images: Sequence[Image]) -> str:
    return some_names(name_equal([images[index].name for index in cluster.images]) for cluster in clusters)


def _duplicates(selection: Selection, assignment: Assignment) -> Iterator[str]:
    images, clusters = selection.images, assignment.clusters
    several = [cluster for cluster in clusters if cluster.kind is Kind.MULTI_LABEL]
    if several:
        yield (
            f"images with more than one label, in the folders of several classes: {len(several)} "
            f"(--multi-label drop leaves them out): {_named(several, images)}"
        )
    copies = [cluster for cluster in clusters if cluster.kind is not Kind.MULTI_LABEL]
    contradicting = [cluster for cluster in copies if len({images[index].class_name for index in cluster.images}) > 1]
    if contradicting:
        yield f"duplicates under different labels: {len(contradicting)}: {_named(contradicting, images)}"
    yield from split_warnings(assignment, images, assignment.sides)


def split_warnings(assignment: Assignment, images: Sequence[Image], sides: Sequence[str]) -> Iterator[str]:
    """Warn of duplicates on several sides, and of those on one; ``sides`` has the name of each image's."""
    clusters = assignment.clusters
    if assignment.is_limited:
        yield LIMITED
    if leaks := leaking(clusters, sides):
        where = sorted({sides[index] for cluster in leaks for index in cluster.images}, key=_SIDE_ORDER.index)
        yield (
            f"data leakage: {_alike(leaks)} images in {' and '.join(where)}: {len(leaks)} "
            f"(--on-leak fix puts them into one split): {_named(leaks, images)}"
        )
    copies = [cluster for cluster in clusters if cluster.kind is not Kind.MULTI_LABEL]
    inside = [cluster for cluster in copies if len({sides[index] for index in cluster.images}) == 1]
    if inside:
        more = sum(len(cluster.images) - 1 for cluster in inside)
        yield (
            f"duplicates within one split: {counted(more, 'image is a copy', 'images are copies')} of "
            f"{counted(len(inside), 'other', 'others')}: {_named(inside, images)}"
        )


_SIDE_ORDER = (*ALL_SIDES, *DETECTION_SIDES.values())


def _alike(clusters: Iterable[Cluster]) -> str:
    kinds = {cluster.kind is Kind.NEAR for cluster in clusters}
    return "identical" if kinds == {False} else "near-duplicate" if kinds == {True} else "identical or near-duplicate"
