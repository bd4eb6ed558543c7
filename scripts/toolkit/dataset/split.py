"""Who goes to training and who to validation.

Every method is deterministic: the result depends on the set of images, the share and the seed, never on the order of
the archive or a file system.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from enum import StrEnum

from toolkit.dataset.reference_shuffle import shuffled


class SplitMethod(StrEnum):
    """How the validation side is chosen."""

    REFERENCE = "reference"
    STRATIFIED = "stratified"
    STABLE = "stable"


def reference(units: Sequence[Sequence[int]], share: float, seed: int) -> set[int]:
    """Split as the reference does: one shuffle of all images, the end of it is the validation side.

    With groups, whole groups are taken from the end of the shuffle, each that brings the validation side nearer to its
    size. With single images that is the reference's split, image for image.

    Args:
        units: The groups as lists of image indices, in listing order; single images are groups of one.
        share: Share of the validation side, between 0 and 1.
        seed: 0..4294967295.

    Returns:
        Indices of the validation images.
    """
    wanted = int(share * sum(len(unit) for unit in units))  # the truncation, in double arithmetic, is the reference's
    validation: set[int] = set()
    for number in reversed(shuffled(len(units), seed)):
        missing = wanted - len(validation)
        if abs(missing - len(units[number])) < missing:
            validation.update(units[number])
    return validation


def stratified(units: Sequence[Sequence[int]], classes: Sequence[str], share: float, seed: int) -> set[int]:
    """Split so that each class keeps the share, and a class that can be on both sides is.

    Args:
        units: The groups as lists of image indices, in listing order; single images are groups of one.
        classes: The class of each image.
        share: Share of the validation side, between 0 and 1.
        seed: 0..4294967295.

    Returns:
        Indices of the validation images: of a class of n single images n * share, rounded, but at least one and at
        most n - 1 (none of a class of one). With groups as near to that as whole groups allow.
    """
    counts: dict[str, int] = {}
    for name in classes:
        counts[name] = counts.get(name, 0) + 1
    missing = {name: _rounded_share(count, share) for name, count in counts.items()}
    order = shuffled(len(units), seed)
    order.sort(key=lambda number: -len(units[number]))  # large groups first, while there is still room for them
    chosen: set[int] = set()
    for number in order:
        content = _content(units[number], classes)
        if _gain(content, missing) > 0:
            chosen.add(number)
            for name, count in content.items():
                missing[name] -= count
    if len(units) < len(classes):
        _mend(units, classes, order, chosen)
    return {index for number in chosen for index in units[number]}


def _rounded_share(count: int, share: float) -> int:
    return max(1, min(count - 1, int(share * count + 0.5))) if count > 1 else 0


def _content(unit: Sequence[int], classes: Sequence[str]) -> dict[str, int]:
    if len(unit) == 1:
        return {classes[unit[0]]: 1}
    content: dict[str, int] = {}
    for index in unit:
        content[classes[index]] = content.get(classes[index], 0) + 1
    return content


def _gain(content: dict[str, int], missing: dict[str, int]) -> int:
    """Tell by how many images a group brings the classes nearer to their shares."""
    return sum(abs(missing[name]) - abs(missing[name] - count) for name, count in content.items())


def _mend(units: Sequence[Sequence[int]], classes: Sequence[str], order: Sequence[int], chosen: set[int]) -> None:
    """Move whole groups, the smallest first, as long as one gives both sides to a class and takes them from none."""
    contents = {number: _content(units[number], classes).keys() for number in reversed(order)}
    sides: tuple[Counter[str], Counter[str]] = (Counter(), Counter())  # groups that hold a class: training, validation
    for number, names in contents.items():
        sides[number in chosen].update(names)
    moved = True
    while moved:  # ends, for every round but the last gives both sides to one class more
        moved = False
        for number, names in contents.items():
            here, there = sides[number in chosen], sides[number not in chosen]
            helps = any(here[name] > 1 and not there[name] for name in names)
            if helps and all(here[name] > 1 or not there[name] for name in names):
                chosen.symmetric_difference_update({number})
                here.subtract(names)
                there.update(names)
                moved = True


def stable(identities: Sequence[bytes], share: float, seed: int) -> set[int]:
    """Split by what each image is, so that no image's side depends on any other image.

    Args:
        identities: What each image, or its group, is known by.
        share: Share of the validation side, between 0 and 1; kept on average only.
        seed: 0..4294967295.

    Returns:
        Indices of the validation images: those whose hash with the seed falls below the share.
    """
    prefix = hashlib.sha256(f"stable split, seed {seed}\n".encode())
    below = share * 2.0**64
    validation = set()
    for index, identity in enumerate(identities):
        drawn = prefix.copy()
        drawn.update(identity)
        if int.from_bytes(drawn.digest()[:8], "big") < below:
            validation.add(index)
    return validation
