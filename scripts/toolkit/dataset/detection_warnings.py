"""What a data scientist should know about a detection dataset before training with it."""

from collections.abc import Iterator, Mapping, Sequence

from toolkit.core.text import some_names
from toolkit.dataset.detection_labels import DetectionExport
from toolkit.dataset.detection_manifest import DetectionManifest, counts
from toolkit.dataset.duplicates import Cluster, name_equal
from toolkit.dataset.selection import Image, Reason
from toolkit.dataset.summary import RECOMMENDED, other_formats, split_warnings

NO_LABEL = "no label"
NO_BOX = "none of its labels is a box"
UNNAMED = "not named by the labels"


def find_warnings(
    manifest: DetectionManifest,
    export: DetectionExport,
    images: Sequence[Image],
    clusters: Sequence[Cluster],
    formats: Mapping[int, str],
) -> list[str]:
    """Find what is doubtful about a detection dataset.

    Args:
        manifest: The dataset.
        export: What was read, without the images that are left out.
        images: The same images as the split knows them.
        clusters: The duplicates.
        formats: By member, the picture format of those whose extension tells another.

    Returns:
        One line each.
    """
    return [
        *_differences(manifest, export),
        *_class_warnings(counts(manifest)),
        *_gaps(manifest.labels),
        *other_formats(images, formats),
        *_contradictions(export, images, clusters),
        *split_warnings(clusters, images, [image.side for image in manifest.images]),
    ]


def _differences(manifest: DetectionManifest, export: DetectionExport) -> Iterator[str]:
    for finding, names in sorted(export.findings.items()):
        yield f"{finding}, {finding.fate}: {len(names)} ({some_names(dict.fromkeys(names))})"
    for reason, remedy in (
        (NO_LABEL, " (--unlabelled keep takes them as background)"),
        (NO_BOX, ""),
        (UNNAMED, ""),
        (Reason.JUNK, ""),
    ):
        left_out = [record.path for record in manifest.left_out if record.reason == reason]
        if left_out:
            yield f"images left out, {reason}: {len(left_out)}{remedy}: {some_names(left_out)}"


def _gaps(numbers: Mapping[str, int]) -> Iterator[str]:
    if max(numbers.values()) >= len(numbers):
        yield "the ids have gaps; data.yaml and the annotations fill them with classes named unused_…"


def _class_warnings(boxes: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
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
