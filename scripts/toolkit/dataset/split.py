"""Which images go to which split: training, validation, test.

Every method is deterministic: the result depends on the set of images, the fraction and the seed, never on the order of
the archive or a file system.
"""

import hashlib
import random
import re
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from enum import StrEnum

from toolkit.core.errors import UsageError
from toolkit.core.text import some_names
from toolkit.dataset.selection import Image

Units = Sequence[Sequence[int]]
"""Groups as lists of image indices, in listing order; single images are groups of one."""


class SplitMethod(StrEnum):
    """How the validation images are chosen."""

    REFERENCE = "reference"
    STRATIFIED = "stratified"
    STABLE = "stable"
    SUBSETS = "subsets"


def reference(units: Units, fraction: float, seed: int, taken: Container[int] = ()) -> set[int]:
    """Split as the reference does: one shuffle of all images, the end of it is for validation.

    With groups, whole groups are taken from the end of the shuffle, each that brings the split nearer to its size. With
    single images that is the reference's split, image for image. What comes before the images in the shuffle that
    another split has ``taken`` is for this one.

    Returns the indices of the chosen images; the fraction is of all images, between 0 and 1, the seed 0..4294967295.
    """
    wanted = int(fraction * sum(len(unit) for unit in units))  # the truncation, in doubles, is the reference's
    chosen: set[int] = set()
    for number in reversed(shuffled(len(units), seed)):
        missing = wanted - len(chosen)
        if not missing:
            break
        if units[number][0] not in taken and abs(missing - len(units[number])) < missing:
            chosen.update(units[number])
    return chosen


def stratified(
    units: Units, classes: Sequence[str], fraction: float, seed: int, taken: Container[int] = ()
) -> set[int]:
    """Split so that each class keeps the fraction, and a class that can be on both sides is.

    Of a class of n single images n * fraction are chosen, rounded, but at least one and at most all but one (none if
    only one is left beside those that another split has ``taken``). With groups as near to that as whole groups allow.

    Returns the indices of the chosen images; ``classes`` has the class of each image.
    """
    left = [unit for unit in units if unit[0] not in taken]
    counts = Counter(classes)
    free = Counter(classes[index] for unit in left for index in unit)
    missing = {name: _rounded(fraction * count, free[name]) for name, count in counts.items()}
    order = shuffled(len(left), seed)
    order.sort(key=lambda number: -len(left[number]))  # large groups first, while there is still room for them
    chosen: set[int] = set()
    for number in order:
        content = _content(left[number], classes)
        if _gain(content, missing) > 0:
            chosen.add(number)
            for name, count in content.items():
                missing[name] -= count
    if any(len(unit) > 1 for unit in left):
        _give_both_sides({number: _content(left[number], classes) for number in reversed(order)}, chosen)
    return {index for number in chosen for index in left[number]}


def stratified_boxes(
    contents: Sequence[Mapping[str, int]], fraction: float, seed: int, taken: Container[int] = ()
) -> set[int]:
    """Split groups of images so that each class keeps the fraction of its boxes, and the groups that of theirs.

    A picture has boxes of several classes, so not all can be met exactly. From a plain shuffle on, groups change sides
    as long as that makes the sum smaller of the squared differences, each divided by what is wanted, as in Pearson's
    chi-squared test: a few boxes weigh more in a rare class. A class that can be on both sides is.

    Args:
        contents: How many boxes of each class a group holds; none of them is empty.
        fraction: Of all groups, between 0 and 1.
        seed: 0..4294967295.
        taken: The groups that another split has.

    Returns:
        The numbers of the chosen groups.
    """
    order = [number for number in shuffled(len(contents), seed) if number not in taken]
    total: Counter[str] = Counter()
    for content in contents:
        total.update(content)
    free: Counter[str] = Counter()
    for number in order:
        free.update(contents[number])
    wanted: dict[str | None, float] = {name: _rounded(fraction * total[name], free[name]) for name in free}
    wanted[None] = fraction * len(contents)  # None stands for the groups themselves
    weight = {name: 1 / max(count, 1) for name, count in wanted.items()}
    chosen = set(order[max(0, len(order) - int(wanted[None])) :])
    excess = {name: -count for name, count in wanted.items()}
    parts: dict[int, list[tuple[str | None, int]]] = {}
    for number in order:
        parts[number] = [(None, 1), *contents[number].items()]
    for number in chosen:
        for name, count in parts[number]:
            excess[name] += count
    for _ in range(_MOST_ROUNDS):
        moved = False
        for number in order:
            sign = -1 if number in chosen else 1
            change = 0.0
            for name, count in parts[number]:
                change += count * (2 * sign * excess[name] + count) * weight[name]
            if change < -_LEAST_CHANGE:
                moved = True
                chosen.symmetric_difference_update({number})
                for name, count in parts[number]:
                    excess[name] += sign * count
        if not moved:
            break
    _give_both_sides({number: contents[number] for number in order}, chosen)
    return chosen


_MOST_ROUNDS = 10
"""Nearly all is won in the first few."""
_LEAST_CHANGE = 1e-9
"""More than what rounding makes of none."""


def _rounded(wanted: float, free: int) -> int:
    return max(1, min(free - 1, int(wanted + 0.5))) if free > 1 else 0


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


def _give_both_sides(contents: Mapping[int, Mapping[str, int]], chosen: set[int]) -> None:
    """Move whole groups, the smallest first, as long as one gives both sides to a class and takes them from none."""
    by_size = sorted(contents, key=lambda number: sum(contents[number].values()))
    sides: tuple[Counter[str], Counter[str]] = (Counter(), Counter())  # groups that hold a class: training, validation
    for number, content in contents.items():
        sides[number in chosen].update(content.keys())
    moved = True
    while moved:  # ends, for every round but the last gives both sides to one class more
        moved = False
        for number in by_size:
            names = contents[number].keys()
            here, there = sides[number in chosen], sides[number not in chosen]
            helps = any(here[name] > 1 and not there[name] for name in names)
            if helps and all(here[name] > 1 or not there[name] for name in names):
                chosen.symmetric_difference_update({number})
                here.subtract(names)
                there.update(names)
                moved = True


def stable(identities: Sequence[bytes], start: float, end: float, seed: int) -> set[int]:
    """Split by what each image is, so that no image's split depends on any other image.

    Returns the indices of the images whose hash, of their own or their group's identity and the seed, falls between
    ``start`` and ``end`` of 0..1; the length of that is the fraction, kept on average only.
    """
    prefix = hashlib.sha256(f"stable split, seed {seed}\n".encode())
    chosen = set()
    for index, identity in enumerate(identities):
        drawn = prefix.copy()
        drawn.update(identity)
        if start * 2.0**64 <= int.from_bytes(drawn.digest()[:8], "big") < end * 2.0**64:
            chosen.add(index)
    return chosen


# --- The reference's shuffle: NumPy's frozen ``RandomState(seed).shuffle``, without NumPy -------------------------
#
# It is the Mersenne Twister MT19937 (Matsumoto and Nishimura, ACM TOMACS 8, 1998), seeded by one 32-bit word with the
# authors' ``init_genrand``, and a Fisher-Yates shuffle whose indices are drawn by masked rejection.

_WORDS = 624


def _generator(seed: int) -> random.Random:
    # Python's own generator is the same twister, but its seeding is the authors' other one (``init_by_array``), so
    # the state is made here and set.
    state = [seed]
    for index in range(1, _WORDS):
        state.append((1812433253 * (state[-1] ^ (state[-1] >> 30)) + index) & 0xFFFFFFFF)
    generator = random.Random()
    generator.setstate((3, (*state, _WORDS), None))
    return generator


def shuffled(count: int, seed: int) -> list[int]:
    """Shuffle the numbers from 0 to ``count`` - 1, below 2**32, as ``numpy.random.RandomState(seed).shuffle`` does."""
    numbers = list(range(count))
    draw = _generator(seed).getrandbits
    for last in range(count - 1, 0, -1):
        mask = (1 << last.bit_length()) - 1
        while (chosen := draw(32) & mask) > last:
            pass
        numbers[last], numbers[chosen] = numbers[chosen], numbers[last]
    return numbers


# --- Groups -------------------------------------------------------------------------------------------------------


class GroupRule:
    """Reads an image's group from its frame's own path.

    A number is a depth: the group is the first so many folders. Anything else is a regular expression, searched in the
    path: the group is what its parentheses match, or the whole match if it has none. An image without such a folder or
    match is a group by itself.
    """

    def __init__(self, text: str) -> None:
        if not text:
            raise UsageError("--group-by is empty: give a folder depth from 1, or a regular expression")
        self.text = text
        self._depth = int(text) if re.fullmatch("[0-9]{1,9}", text) else None
        if self._depth == 0:
            raise UsageError("--group-by 0 groups nothing: give a folder depth from 1, or a regular expression")
        try:
            self._pattern = re.compile(text)
        except re.error as error:
            raise UsageError(f"--group-by is neither a folder depth nor a regular expression: {error}") from None

    def key(self, image: Image) -> str | None:
        """Tell an image's group; None if it is alone."""
        if self._depth is not None:
            folders = image.frame.split("/")[:-1]
            return "/".join(folders[: self._depth]) or None
        match = self._pattern.search(image.frame)
        if match is None:
            return None
        return "\n".join(part or "" for part in match.groups()) if match.groups() else match.group()

    def keys(self, images: Sequence[Image]) -> list[str | None]:
        """Tell the group of every image, None for one that is alone.

        Raises UsageError where no image has a group, or all images of a class are one group, so the rule is a mistake.
        """
        keys = [self.key(image) for image in images]
        if images and not any(key is not None for key in keys):
            kind = "lies in a folder" if self._depth is not None else "matches"
            raise UsageError(f"--group-by {self.text}: no image {kind} (such as {images[0].frame})")
        groups: dict[str, set[str | None]] = {}
        for image, key in zip(images, keys, strict=True):
            groups.setdefault(image.class_name, set()).add(key)
        counts = Counter(image.class_name for image in images)
        single = [name for name, found in groups.items() if len(found) == 1 and None not in found and counts[name] > 1]
        if single:
            whole = some_names(single) or "the export"
            raise UsageError(
                f"--group-by {self.text} makes one group of all images of {whole}, which could be in one "
                "split only: choose a rule that tells more groups apart"
            )
        return keys


def units(keys: Sequence[str | None]) -> list[list[int]]:
    """Put the images of one group together, in the order of their first images."""
    found: dict[str, list[int]] = {}
    together: list[list[int]] = []
    for index, key in enumerate(keys):
        if key is not None and key in found:
            found[key].append(index)
            continue
        unit = [index]
        together.append(unit)
        if key is not None:
            found[key] = unit
    return together
