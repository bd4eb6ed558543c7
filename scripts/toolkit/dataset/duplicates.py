"""Duplicates: images of equal bytes or looks, which are data leakage where they are in more than one split."""

import re
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from itertools import combinations, pairwise, product
from typing import NamedTuple

from toolkit.core.images import DifferenceHash, difference_hash
from toolkit.core.workers import Engine, map_in_threads
from toolkit.dataset.archive import Archive, reopen
from toolkit.dataset.exports import Exports
from toolkit.dataset.layout import ALL_SIDES
from toolkit.dataset.selection import Image
from toolkit.dataset.unpack import open_member

_NAMED = 4
_DISTANCE = 4
"""Bits of 64, in each direction, that may differ between pictures that look the same."""
_MOST_PIXELS = 100_000_000
_MANY_PAIRS = 3000
"""So many comparisons for each look pay for more bands."""
_MOST_PAIRS = 1000
"""Comparisons for each look, on average, with these."""
LIMITED = (
    "so many pictures have much in common that each was compared with the most similar alone: near-duplicates may "
    "be missing"
)
"""What to say where that was not enough for all."""


class Kind(StrEnum):
    """What duplicates are to one another."""

    MULTI_LABEL = "multi-label"
    RENAMED = "renamed copy"
    IDENTICAL = "identical"
    NEAR = "near-duplicate"


class OnLeak(StrEnum):
    """What becomes of duplicates in more than one split."""

    WARN = "warn"
    FIX = "fix"
    ERROR = "error"


class MultiLabel(StrEnum):
    """What becomes of an image that is in the folders of two classes."""

    KEEP = "keep"
    DROP = "drop"
    ERROR = "error"


class Cluster(NamedTuple):
    """Duplicates.

    Attributes:
        kind: ``multi-label``: one image with two tags, which CVAT exports into both class folders. ``renamed copy``:
            names that differ only by the number that CVAT appends to a name it has already. ``identical``: any other
            equal bytes. ``near-duplicate``: other bytes that show the same picture.
        images: Indices, in listing order.
    """

    kind: Kind
    images: tuple[int, ...]


def find_clusters(images: Sequence[Image], hashes: Sequence[bytes]) -> list[Cluster]:
    """Find the images that have equal bytes, by the SHA-256 of each member, in the order of their first images."""
    parts = [array("L") for _ in range(256)]  # by the first byte: one table of a million hashes takes much memory
    members = array("L", (image.member for image in images))
    for index, member in enumerate(members):
        parts[hashes[member][0]].append(index)
    found: list[list[int]] = []
    for part in parts:
        by_hash: dict[bytes, list[int]] = {}
        for index in part:
            by_hash.setdefault(hashes[members[index]], []).append(index)
        found += (equal for equal in by_hash.values() if len(equal) > 1)
    return [Cluster(_kind([images[index] for index in cluster]), tuple(cluster)) for cluster in sorted(found)]


def _kind(images: Sequence[Image]) -> Kind:
    names = {image.frame.rpartition("/")[2] for image in images}
    if len({image.class_name for image in images}) > 1 and len(names) < len(images):
        return Kind.MULTI_LABEL
    return Kind.RENAMED if _are_renamed({image.frame for image in images}) else Kind.IDENTICAL


def _are_renamed(paths: set[str]) -> bool:
    """Tell whether all names are one of them with a number appended; the extension may be another."""
    original = min(paths, key=len)
    stem = re.escape(original.rpartition(".")[0])
    return len(paths) > 1 and all(
        path == original or re.fullmatch(rf"{stem}_\d+\.[^./]+", path) is not None for path in paths
    )


def name_equal(names: Sequence[str]) -> str:
    """Name images of equal bytes on one line; of many the first few and the last."""
    if len(names) <= _NAMED:
        return " = ".join(names)
    return f"{' = '.join(names[: _NAMED - 1])} = … = {names[-1]} ({len(names)} in all)"


def leaking(clusters: Iterable[Cluster], sides: Sequence[str]) -> list[Cluster]:
    """Find the clusters that have images in more than one split; ``sides`` has that of each image."""
    return [cluster for cluster in clusters if len({sides[index] for index in cluster.images}) > 1]


def move_duplicates_to_one_split(
    clusters: Iterable[Cluster], units: Sequence[Sequence[int]], sides: Sequence[str]
) -> list[str]:
    """Put duplicates into one split, and the groups that they are in with them.

    Where nothing leaks nothing moves. What hangs together goes where more of it is already; if that is even, to
    training, else to validation.

    Args:
        clusters: The clusters of duplicates.
        units: The groups of the split, single images being groups of one.
        sides: The split of each image.

    Returns:
        The split of each image, without a leak.
    """
    unit_of = {index: number for number, unit in enumerate(units) for index in unit}
    parent = list(range(len(units)))

    def root(number: int) -> int:
        while parent[number] != number:
            parent[number] = parent[parent[number]]
            number = parent[number]
        return number

    for cluster in clusters:
        head = root(unit_of[cluster.images[0]])
        for index in cluster.images[1:]:
            parent[root(unit_of[index])] = head
    joined: dict[int, list[int]] = {}
    for number, unit in enumerate(units):
        joined.setdefault(root(number), []).extend(unit)
    moved = list(sides)
    for images in joined.values():
        counts = Counter(sides[index] for index in images)
        if len(counts) > 1:
            most = max(ALL_SIDES, key=lambda side: counts[side])  # the first of those that have as many
            for index in images:
                moved[index] = most
    return moved


class _LookJob(NamedTuple):
    """Members of a closed archive that are to be looked at, by their indices in it."""

    archive: Archive
    members: list[int]
    threads: int

    @property
    def weight(self) -> int:
        """How many there are."""
        return len(self.members)


def find_near_duplicates(
    exports: Exports, images: Sequence[Image], clusters: Iterable[Cluster], engine: Engine
) -> tuple[list[Cluster], bool]:
    """Find images that look the same although their bytes differ; of duplicates in bytes, one stands for all.

    Args:
        exports: The exports that they are in.
        images: The images.
        clusters: Those of equal bytes.
        engine: Where the pictures are decoded.

    Returns:
        Clusters of two or more, in the order of their first images, and whether the search was :data:`LIMITED`.
        Pictures that cannot be decoded are in none.
    """
    copies = {index for cluster in clusters for index in cluster.images[1:]}
    chosen = sorted((image.member, index) for index, image in enumerate(images) if index not in copies)
    jobs = []
    for start, export in exports.numbered():
        first, last = (bisect_left(chosen, (at, 0)) for at in (start, start + len(export.archive.members)))
        jobs.append(_LookJob(export.archive, [member - start for member, _ in chosen[first:last]], engine.parallel))
    looks: list[DifferenceHash | None] = [None] * len(images)
    found = (look for of_export in engine.run(_look_at, jobs) for look in of_export)
    for (_, index), look in zip(chosen, found, strict=True):
        looks[index] = look
    groups, is_limited = alike(looks)
    return [Cluster(Kind.NEAR, tuple(group)) for group in groups], is_limited


def _look_at(job: _LookJob, _on_done: Callable[[int], None]) -> list[DifferenceHash | None]:
    from PIL import Image as Pictures

    with reopen(job.archive) as archive:

        def look(member: int) -> DifferenceHash | None:
            try:
                with Pictures.open(open_member(archive, archive.members[member])) as picture:
                    return None if picture.width * picture.height > _MOST_PIXELS else difference_hash(picture)
            except Exception:  # decoders raise anything for a broken file; that it is whole is not the question here
                return None

        return map_in_threads(look, job.members, job.threads)


def alike(looks: Sequence[DifferenceHash | None]) -> tuple[list[list[int]], bool]:
    """Put the numbers of looks together that differ by at most four bits in each direction.

    Two such 64-bit numbers are equal in one of five bands at least, and in two of six, so only those are compared that
    are so in each direction; equal looks are compared once for all. One in five is faster to make, but where many
    pictures have much in common (the same sky, the same frame), those of two in six leave far less to compare. Where
    that is still too much, each is compared with some of its neighbours, in the order of the numbers.

    Returns:
        The groups, and whether only neighbours were compared.
    """
    of_look: dict[DifferenceHash, list[int]] = {}
    for number, look in enumerate(looks):
        if look is not None:
            of_look.setdefault(look, []).append(number)
    distinct = list(of_look)
    parent = list(range(len(distinct)))

    def root(number: int) -> int:
        while parent[number] != number:
            parent[number] = parent[parent[number]]
            number = parent[number]
        return number

    masks, near = _masks(_DISTANCE + 1), len(distinct)
    is_limited = False
    if _pairs(sizes := _sizes(distinct, masks), near) > _MANY_PAIRS * len(distinct):
        distinct.sort()
        masks = _masks(_DISTANCE + 2)
        sizes = _sizes(distinct, masks)
        while near > 1 and _pairs(sizes, near) > _MOST_PAIRS * len(distinct):
            near //= 2
            is_limited = True
    for row_mask, column_mask in product(masks, repeat=2):
        banded: dict[DifferenceHash, list[int]] = {}
        for number, (rows, columns) in enumerate(distinct):
            banded.setdefault((rows & row_mask, columns & column_mask), []).append(number)
        for members in banded.values():
            if len(members) == 1 or len({root(number) for number in members}) == 1:
                continue
            all_rows = [distinct[number][0] for number in members]
            for at, number in enumerate(members):
                rows, columns = distinct[number]
                first = max(0, at - near)
                for place in [
                    place
                    for place, other in enumerate(all_rows[first:at], first)
                    if (rows ^ other).bit_count() <= _DISTANCE
                ]:
                    other = members[place]
                    if (columns ^ distinct[other][1]).bit_count() <= _DISTANCE:
                        parent[root(number)] = root(other)
    groups: dict[int, list[int]] = {}
    for number, look in enumerate(distinct):
        groups.setdefault(root(number), []).extend(of_look[look])
    return sorted(sorted(group) for group in groups.values() if len(group) > 1), is_limited


def _masks(bands: int) -> list[int]:
    """Return the masks of which one at least shows equal bits in 64-bit numbers that differ by at most four."""
    edges = [64 * band // bands for band in range(bands + 1)]
    single = [(1 << last) - (1 << first) for first, last in pairwise(edges)]
    return [sum(chosen) for chosen in combinations(single, bands - _DISTANCE)]


def _sizes(looks: Sequence[DifferenceHash], masks: Sequence[int]) -> Counter[int]:
    """Count, by their sizes, the sets of looks that are equal under two masks."""
    sizes: Counter[int] = Counter()
    for row_mask, column_mask in product(masks, repeat=2):
        sizes.update(Counter((rows & row_mask, columns & column_mask) for rows, columns in looks).values())
    return sizes


def _pairs(sizes: Mapping[int, int], near: int) -> int:
    """Count the comparisons of each of a set with so many before it."""
    return sum(count * (size * (size - 1) // 2 if size <= near else near * size) for size, count in sizes.items())
