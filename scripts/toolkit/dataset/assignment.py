"""The sides of a selection's images: split, checked for leaks, mended if wished."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from toolkit.core.errors import ProblemsFound, ToolkitError
from toolkit.dataset import duplicates as leaks
from toolkit.dataset import split
from toolkit.dataset.duplicates import Cluster, Kind, MultiLabel, OnLeak
from toolkit.dataset.grouping import GroupRule, units
from toolkit.dataset.selection import Image, Reason, Selection, without
from toolkit.dataset.split import SplitMethod

_SHOWN = 100


@dataclass(frozen=True)
class Rules:
    """How images are split.

    Attributes:
        share: Share of the validation side, between 0 and 1.
        seed: 0..4294967295.
        method: How the validation side is chosen.
        group_by: What must stay together, or None.
        on_leak: What becomes of equal images on both sides.
        multi_label: What becomes of an image with more than one label.
    """

    share: float
    seed: int
    method: SplitMethod = SplitMethod.REFERENCE
    group_by: GroupRule | None = None
    on_leak: OnLeak = OnLeak.WARN
    multi_label: MultiLabel = MultiLabel.KEEP

    def options(self) -> dict[str, object]:
        """List the rules by the names of the command's options."""
        return {
            "validation_split": self.share,
            "seed": self.seed,
            "split_method": self.method,
            "group_by": self.group_by.text if self.group_by else None,
            "on_leak": self.on_leak,
            "multi_label": self.multi_label,
        }


class Assignment(NamedTuple):
    """Who is where.

    Attributes:
        validation: Indices of the validation images; the others are for training.
        clusters: The images of equal bytes.
    """

    validation: set[int]
    clusters: list[Cluster]


def early_assignment(rules: Rules, selection: Selection) -> Assignment | None:
    """Split before the content is known, if the method can, so that an impossible split fails early.

    Args:
        rules: How to split.
        selection: What to split.

    Returns:
        The assignment as far as it is known, or None.

    Raises:
        ToolkitError: A side would be empty.
    """
    keys = rules.group_by.keys(selection.images) if rules.group_by else None
    if rules.method is SplitMethod.STABLE:
        return None
    assignment = Assignment(_split(rules, selection.images, keys, []), [])
    check_sides(rules, assignment, len(selection.images))
    return assignment


def _split(rules: Rules, images: Sequence[Image], keys: list[str | None] | None, hashes: Sequence[bytes]) -> set[int]:
    if rules.method is SplitMethod.STABLE:
        groups = keys or [None] * len(images)
        identities = [
            b"image " + digest if key is None else b"group " + key.encode()
            for digest, key in zip(hashes, groups, strict=True)
        ]
        return split.stable(identities, rules.share, rules.seed)
    together = _units(images, keys)
    if rules.method is SplitMethod.STRATIFIED:
        return split.stratified(together, [image.class_name for image in images], rules.share, rules.seed)
    return split.reference(together, rules.share, rules.seed)


def _units(images: Sequence[Image], keys: list[str | None] | None) -> Sequence[Sequence[int]]:
    return [(index,) for index in range(len(images))] if keys is None else units(keys)


def drop_multi_label(rules: Rules, selection: Selection, hashes: Sequence[bytes]) -> Selection:
    """Leave out the images with more than one label, if that was asked for.

    Args:
        rules: What was asked for.
        selection: The images.
        hashes: The SHA-256 of every member of the export.

    Returns:
        The same selection, or one without them.

    Raises:
        ProblemsFound: There are such images, and that was to be an error.
        ToolkitError: No image is left.
    """
    if rules.multi_label is MultiLabel.KEEP:
        return selection
    images = selection.images
    clusters = leaks.find_clusters(images, [hashes[image.member] for image in images])
    found = [cluster for cluster in clusters if cluster.kind is Kind.MULTI_LABEL]
    if not found:
        return selection
    if rules.multi_label is MultiLabel.ERROR:
        raise ProblemsFound(
            f"there are images with more than one label ({len(found)}): correct the tags in CVAT and export again, "
            "or use --multi-label drop",
            _lines(found, images),
        )
    left = without(selection, [index for cluster in found for index in cluster.images], Reason.MULTI_LABEL)
    if not left.images:
        raise ToolkitError("every image has more than one label: correct the tags in CVAT, then export again")
    return left


def assign(rules: Rules, selection: Selection, hashes: Sequence[bytes], early: Assignment | None) -> Assignment:
    """Split the images and look for leaks.

    Args:
        rules: How to split, and what to do about leaks.
        selection: The images.
        hashes: The SHA-256 of every member of the export.
        early: The result of :func:`early_assignment` for the same selection, if there is one.

    Returns:
        The assignment.

    Raises:
        ProblemsFound: There are leaks, and that was to be an error.
    """
    images = selection.images
    contents = [hashes[image.member] for image in images]
    keys = rules.group_by.keys(images) if rules.group_by else None
    validation = early.validation if early else _split(rules, images, keys, contents)
    clusters = leaks.find_clusters(images, contents)
    if rules.on_leak is OnLeak.FIX:
        validation = leaks.mend(clusters, _units(images, keys), validation)
    elif rules.on_leak is OnLeak.ERROR and (found := leaks.leaking(clusters, validation)):
        raise ProblemsFound(
            f"there are equal images on both sides ({len(found)}): use --on-leak fix, or remove the copies in CVAT",
            _lines(found, images),
        )
    return Assignment(validation, clusters)


def _lines(clusters: Sequence[Cluster], images: Sequence[Image]) -> list[str]:
    shown = [
        f"{cluster.kind}: {leaks.name_equal([images[index].name for index in cluster.images])}"
        for cluster in clusters[:_SHOWN]
    ]
    return [*shown, *([f"… and {len(clusters) - _SHOWN} more"] if len(clusters) > _SHOWN else [])]


def check_sides(rules: Rules, assignment: Assignment, count: int) -> None:
    """Check that both sides have images.

    Args:
        rules: How they were split.
        assignment: The result.
        count: How many images there are.

    Raises:
        ToolkitError: A side is empty.
    """
    if 0 < len(assignment.validation) < count:
        return
    side = "training" if assignment.validation else "validation"
    images = "1 image" if count == 1 else f"{count} images"
    if rules.group_by is None and side == "validation" and rules.method is SplitMethod.REFERENCE:
        least = next((n for n in range(count, 10**7) if int(rules.share * n) >= 1), None)
        hint = f"a share of {rules.share} needs at least {least} images" if least else "the share is too small"
    else:
        hint = "take another share, another seed or smaller groups"
    raise ToolkitError(f"the {side} side would be empty with {images}: {hint}")
