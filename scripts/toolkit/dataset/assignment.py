"""The split of a selection's images: chosen, checked for data leakage, mended if wished."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from toolkit.core.errors import ProblemsFound, ToolkitError, UsageError
from toolkit.dataset import split
from toolkit.dataset.duplicates import (
    Cluster,
    Kind,
    MultiLabel,
    OnLeak,
    find_clusters,
    leaking,
    move_duplicates_to_one_split,
    name_equal,
)
from toolkit.dataset.layout import SIDES, TEST, TRAINING, VALIDATION
from toolkit.dataset.selection import Image, Reason, Selection, without
from toolkit.dataset.split import GroupRule, SplitMethod, Units

_SHOWN = 100


@dataclass(frozen=True)
class Rules:
    """How images are split.

    Attributes:
        validation_fraction: Of all images, between 0 and 1.
        seed: 0..4294967295.
        method: How the validation images are chosen.
        group_by: What must stay together, or None.
        on_leak: What becomes of duplicates in more than one split.
        multi_label: What becomes of an image with more than one label.
        test_fraction: Of all images; 0 makes no test split.
        near_duplicates: Whether pictures that look the same count as duplicates.
    """

    validation_fraction: float
    seed: int
    method: SplitMethod = SplitMethod.REFERENCE
    group_by: GroupRule | None = None
    on_leak: OnLeak = OnLeak.WARN
    multi_label: MultiLabel = MultiLabel.KEEP
    test_fraction: float = 0.0
    near_duplicates: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.test_fraction < 1:
            raise UsageError(f"--test-split must be from 0 to below 1, found {self.test_fraction}")
        if self.validation_fraction + self.test_fraction >= 1:
            raise UsageError(
                f"--validation-split {self.validation_fraction} and --test-split {self.test_fraction} "
                "leave nothing for training: together they must be below 1"
            )

    @property
    def sides(self) -> tuple[str, ...]:
        """The splits that are asked for."""
        return (*SIDES, TEST) if self.test_fraction else SIDES

    def options(self) -> dict[str, object]:
        """List the rules by the names of the command's options."""
        return {
            "validation_split": self.validation_fraction,
            "test_split": self.test_fraction,
            "seed": self.seed,
            "split_method": self.method,
            "group_by": self.group_by.text if self.group_by else None,
            "on_leak": self.on_leak,
            "multi_label": self.multi_label,
            "near_duplicates": self.near_duplicates,
        }


class Assignment(NamedTuple):
    """Who is where.

    Attributes:
        sides: The split of each image.
        clusters: The duplicates.
        is_limited: Whether near-duplicates may be missing among these.
    """

    sides: list[str]
    clusters: list[Cluster]
    is_limited: bool = False


def early_assignment(rules: Rules, selection: Selection) -> Assignment | None:
    """Split before the content is known, if the method can, so that an impossible split fails early.

    Raises:
        ToolkitError: A split would be empty.
        UsageError: The groups are a mistake.
    """
    keys = rules.group_by.keys(selection.images) if rules.group_by else None
    if rules.method is SplitMethod.STABLE:
        return None
    assignment = Assignment(_split(rules, selection.images, keys, []), [])
    check_sides(rules, assignment)
    return assignment


def _split(rules: Rules, images: Sequence[Image], keys: list[str | None] | None, hashes: Sequence[bytes]) -> list[str]:
    validation_fraction, test_fraction, seed = rules.validation_fraction, rules.test_fraction, rules.seed
    test: set[int] = set()
    if rules.method is SplitMethod.STABLE:
        groups = keys or [None] * len(images)
        identities = [
            b"image " + hashes[image.member] if key is None else b"group " + key.encode("utf-8", "surrogatepass")
            for image, key in zip(images, groups, strict=True)
        ]
        validation = split.stable(identities, 0, validation_fraction, seed)
        test = split.stable(identities, validation_fraction, validation_fraction + test_fraction, seed)
    elif rules.method is SplitMethod.STRATIFIED:
        units, classes = _units(images, keys), [image.class_name for image in images]
        validation = split.stratified(units, classes, validation_fraction, seed)
        if test_fraction:
            test = split.stratified(units, classes, test_fraction, seed, validation)
    else:
        units = _units(images, keys)
        validation = split.reference(units, validation_fraction, seed)
        if test_fraction:
            test = split.reference(units, test_fraction, seed, validation)
    return [VALIDATION if index in validation else TEST if index in test else TRAINING for index in range(len(images))]


def _units(images: Sequence[Image], keys: list[str | None] | None) -> Units:
    return [(index,) for index in range(len(images))] if keys is None else split.units(keys)


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
    clusters = find_clusters(images, hashes)
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


def assign(
    rules: Rules,
    selection: Selection,
    hashes: Sequence[bytes],
    early: Assignment | None,
    find_near: Callable[[Sequence[Image], list[Cluster]], tuple[list[Cluster], bool]],
) -> Assignment:
    """Split the images and look for data leakage.

    Args:
        rules: How to split, and what to do about leaks.
        selection: The images.
        hashes: The SHA-256 of every member of the export.
        early: The result of :func:`early_assignment` for the same selection, if there is one.
        find_near: Finds near-duplicates, called if the rules ask for them.

    Raises:
        ProblemsFound: There are leaks, and that was to be an error.
    """
    images = selection.images
    keys = rules.group_by.keys(images) if rules.group_by else None
    sides = early.sides if early else _split(rules, images, keys, hashes)
    clusters = find_clusters(images, hashes)
    is_limited = False
    if rules.near_duplicates:
        near, is_limited = find_near(images, clusters)
        clusters = [*clusters, *near]
    if rules.on_leak is OnLeak.FIX:
        sides = move_duplicates_to_one_split(clusters, _units(images, keys), sides)
    elif rules.on_leak is OnLeak.ERROR and (found := leaking(clusters, sides)):
        raise ProblemsFound(
            f"data leakage: duplicates in more than one split ({len(found)}): use --on-leak fix, "
            "or remove the copies in CVAT",
            _lines(found, images),
        )
    return Assignment(sides, clusters, is_limited)


def _lines(clusters: Sequence[Cluster], images: Sequence[Image]) -> list[str]:
    shown = [
        f"{cluster.kind}: {name_equal([images[index].name for index in cluster.images])}"
        for cluster in clusters[:_SHOWN]
    ]
    return [*shown, *([f"… and {len(clusters) - _SHOWN} more"] if len(clusters) > _SHOWN else [])]


def check_sides(rules: Rules, assignment: Assignment) -> None:
    """Check that every split has images.

    Raises:
        ToolkitError: One is empty.
    """
    empty = next((side for side in rules.sides if side not in assignment.sides), None)
    if empty is None:
        return
    count = len(assignment.sides)
    images = "1 image" if count == 1 else f"{count} images"
    fraction = {VALIDATION: rules.validation_fraction, TEST: rules.test_fraction}.get(empty)
    if rules.group_by is None and fraction is not None and rules.method is SplitMethod.REFERENCE:
        least = next((n for n in range(count, 10**7) if int(fraction * n) >= 1), None)
        hint = f"a fraction of {fraction} needs at least {least} images" if least else "the fraction is too small"
    else:
        hint = "take another fraction, another seed or smaller groups"
    raise ToolkitError(f"the {empty} split would be empty with {images}: {hint}")
