"""Who goes to training and who to validation.

Every method is deterministic: the result depends on the set of images, the share and the seed, never on the order of
the archive or a file system.
"""

import hashlib
from collections.abc import Sequence
from enum import StrEnum

from toolkit.reference_shuffle import shuffled


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
    """Give both sides to the classes that large groups have left with one, where moving a whole group can do it."""
    sides: dict[str, list[int]] = {}  # by class: groups that hold it, in training and in validation
    contents = {number: _content(units[number], classes) for number in order}
    for number, content in contents.items():
        for name in content:
            sides.setdefault(name, [0, 0])[number in chosen] += 1
    for name in sorted(sides):
        for empty in (0, 1):
            if sides[name][empty] or sides[name][1 - empty] < 2:
                continue
            for number in reversed(order):  # the smallest group that no other class needs where it is
                held = contents[number]
                if (
                    name in held
                    and (number in chosen) != empty
                    and all(sides[other][1 - empty] > 1 or not sides[other][empty] for other in held)
                ):
                    chosen.symmetric_difference_update({number})
                    for other in held:
                        sides[other][1 - empty] -= 1
                        sides[other][empty] += 1
                    break


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
