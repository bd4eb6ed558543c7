"""A detection dataset in a few lines, the same as JSON, and what to know of it before training with it."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from toolkit.core.text import some_names
from toolkit.dataset.assignment import Assignment
from toolkit.dataset.detection_labels import Finding
from toolkit.dataset.detection_manifest import DetectionManifest, background_of, counts, images_of_sides
from toolkit.dataset.detection_read import DetectionExport
from toolkit.dataset.duplicates import Cluster, name_equal
from toolkit.dataset.labels import gap_warnings
from toolkit.dataset.layout import SIDE_OF_SUBSET, TRAINING, VALIDATION
from toolkit.dataset.selection import Image, Reason
from toolkit.dataset.summary import (
    RECOMMENDED,
    aligned,
    counted,
    left_out,
    other_formats,
    passed_over,
    split_warnings,
    with_common_facts,
)
from toolkit.dataset.unpack import Contents

PASSED_OVER_BY = {".gif": ("ultralytics", "supervision")}
"""The tools of docs/reading.md that pass over the images of an extension in a detection dataset."""

NO_LABEL = "no label"
NOT_COMPLETED = "no label, and their job is not completed"
NO_BOX = "none of its labels is a box"
UNNAMED = "not named by the labels"


def as_table(manifest: DetectionManifest) -> Iterator[str]:
    """Draw the boxes per class and side as lines for a terminal, then a line for each kind of loss."""
    rows: list[tuple[str, ...]] = [("id", "boxes of", *manifest.sides, "total")]
    for name, of_sides in counts(manifest).items():
        rows.append((str(manifest.labels[name]), name, *map(str, of_sides.values()), str(sum(of_sides.values()))))
    images = images_of_sides(manifest)
    rows.append(("", "images", *map(str, images.values()), str(len(manifest.images))))
    yield from aligned(rows)
    if background := background_of(manifest):
        yield f"background: {background} {'image' if background == 1 else 'images'} without a box"
    for reason, count in left_out(manifest).items():
        yield f"left out: {count} {'image' if count == 1 else 'images'}, {reason}"
    for finding, count in manifest.findings.items():
        yield f"{count} {finding}: {Finding(finding).fate}"


def as_json(manifest: DetectionManifest) -> dict[str, Any]:
    """Give the same facts to machines."""
    of_boxes = {
        "export_format": manifest.format_name,
        "classes": counts(manifest),
        "sides": images_of_sides(manifest),
        "background": background_of(manifest),
        "findings": dict(manifest.findings),
    }
    return with_common_facts(manifest, of_boxes)


# --- Warnings -----------------------------------------------------------------------------------------------------


def find_box_warnings(
    manifest: DetectionManifest,
    export: DetectionExport,
    images: Sequence[Image],
    assignment: Assignment,
    contents: Contents,
) -> list[str]:
    """Find what is doubtful about a detection dataset, one line each.

    Export and images are without those that are left out.
    """
    return [
        *_box_losses(manifest, export),
        *_box_classes(counts(manifest)),
        *gap_warnings(manifest.labels, "data.yaml and the annotations fill them"),
        *_subsets(manifest),
        *other_formats(images, contents.formats),
        *passed_over(Counter(image.name[-4:] for image in images), PASSED_OVER_BY),
        *_turned([image.name for image in images if image.member in contents.turned]),
        *_contradictions(export, images, assignment.clusters),
        *split_warnings(assignment, images, [image.side for image in manifest.images]),
    ]


def _subsets(manifest: DetectionManifest) -> Iterator[str]:
    subsets = {image.subset for image in manifest.images}
    sides = {SIDE_OF_SUBSET.get(subset.casefold()) for subset in subsets}
    if {TRAINING, VALIDATION} <= sides and None not in sides and manifest.options["split_method"] != "subsets":
        yield f"the export has the subsets {', '.join(sorted(subsets))}: --split-method subsets keeps them"


def _turned(names: Sequence[str]) -> Iterator[str]:
    if names:
        yield (
            f"{counted(len(names), 'image is', 'images are')} turned by EXIF, and the boxes fit the picture as it is "
            "shown: ultralytics, supervision and SAHI turn it, torchvision and datumaro do not (docs/detection.md "
            f"tells how): {some_names(names)}"
        )


def _box_losses(manifest: DetectionManifest, export: DetectionExport) -> Iterator[str]:
    for finding, names in sorted(export.findings.items()):
        yield f"{finding}, {finding.fate}: {len(names)} ({some_names(dict.fromkeys(names))})"
    for reason, remedy in (
        (NO_LABEL, " (--unlabelled keep takes them as background)"),
        (NOT_COMPLETED, " (--unlabelled keep takes them as background)"),
        (NO_BOX, ""),
        (UNNAMED, ""),
        (Reason.JUNK, ""),
    ):
        left_out = [record.path for record in manifest.left_out if record.reason == reason]
        if left_out:
            yield f"images left out, {reason}: {len(left_out)}{remedy}: {some_names(left_out)}"


def _box_classes(boxes: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    for name, of_sides in boxes.items():
        total = sum(of_sides.values())
        if total == 0:
            yield f"class {name} has no box"
            continue
        if total < RECOMMENDED:
            boxes_of = "1 box" if total == 1 else f"{total} boxes"
            yield f"class {name} has {boxes_of}, at least {RECOMMENDED} are recommended"
        for side, count in of_sides.items():
            if count == 0:
                yield f"class {name} has no box in {side}"


def _contradictions(export: DetectionExport, images: Sequence[Image], clusters: Sequence[Cluster]) -> Iterator[str]:
    several = [cluster for cluster in clusters if len({export.frames[index].boxes for index in cluster.images}) > 1]
    if several:
        names = some_names(name_equal([images[index].name for index in cluster.images]) for cluster in several)
        yield f"duplicates with different boxes: {len(several)}: {names}"
