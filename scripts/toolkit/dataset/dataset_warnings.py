"""What a data scientist should know about a dataset before training with it."""

from collections.abc import Iterable, Iterator, Mapping

from toolkit.core.text import some_names
from toolkit.dataset.archive import Archive
from toolkit.dataset.assignment import Assignment
from toolkit.dataset.duplicates import Cluster, Kind, leaking, name_equal
from toolkit.dataset.labels import order_warning
from toolkit.dataset.selection import Reason, Selection

RECOMMENDED = 10
"""Images per class that the specification recommends at least."""


def find_warnings(
    selection: Selection, assignment: Assignment, numbers: Mapping[str, int], archive: Archive
) -> list[str]:
    """Find what is doubtful about a dataset.

    Args:
        selection: Its images.
        assignment: Their sides.
        numbers: The labels' ids.
        archive: The export.

    Returns:
        One line each.
    """
    warnings = [*_left_out(selection, archive), *_classes(selection, assignment, numbers)]
    warnings.extend(_equal_images(selection, assignment))
    if (order := order_warning(numbers)) is not None:
        warnings.append(order)
    return warnings


def _left_out(selection: Selection, archive: Archive) -> Iterator[str]:
    lost = [archive.members[index].name for index, reason in selection.left_out.items() if reason is Reason.DOTS]
    if lost:
        yield (
            f"{len(lost)} files are left out because the reference loses names with '..' in them "
            f"(the other split methods take them): {some_names(lost)}"
        )
    filled = {image.class_name for image in selection.images}
    others = {
        archive.members[index].name.partition("/")[0]
        for index, reason in selection.left_out.items()
        if reason is Reason.NO_IMAGE
    }
    for name in sorted(others - filled):
        yield f"folder {name} holds files but no image, and counts as a class: is this an ImageNet 1.0 export?"


def _classes(selection: Selection, assignment: Assignment, numbers: Mapping[str, int]) -> Iterator[str]:
    total = dict.fromkeys(numbers, 0)
    validation = dict.fromkeys(numbers, 0)
    for index, image in enumerate(selection.images):
        total[image.class_name] += 1
        validation[image.class_name] += index in assignment.validation
    for name, count in total.items():
        if count == 0:
            yield f"class {name} has no image"
            continue
        if count < RECOMMENDED:
            images = "1 image" if count == 1 else f"{count} images"
            yield f"class {name} has {images}, at least {RECOMMENDED} are recommended"
        if validation[name] in (0, count):
            yield f"class {name} has no image in {'training' if validation[name] else 'validation'}"


def _named(clusters: Iterable[Cluster], selection: Selection) -> str:
    return some_names(name_equal([selection.images[index].name for index in cluster.images]) for cluster in clusters)


def _equal_images(selection: Selection, assignment: Assignment) -> Iterator[str]:
    images = selection.images
    several = [cluster for cluster in assignment.clusters if cluster.kind is Kind.MULTI_LABEL]
    if several:
        names = _named(several, selection)
        yield (
            f"images with more than one label, in the folders of several classes: {len(several)} "
            f"(--multi-label drop leaves them out): {names}"
        )
    contradicting = [
        cluster
        for cluster in assignment.clusters
        if cluster.kind is not Kind.MULTI_LABEL and len({images[index].class_name for index in cluster.images}) > 1
    ]
    if contradicting:
        names = _named(contradicting, selection)
        yield f"equal images under different labels: {len(contradicting)}: {names}"
    leaks = leaking(assignment.clusters, assignment.validation)
    if leaks:
        names = _named(leaks, selection)
        yield (
            f"equal images on both sides, so that validation knows training: {len(leaks)} "
            f"(--on-leak fix puts them on one side): {names}"
        )
