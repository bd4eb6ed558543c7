"""Equal images in a dataset: which of them make the validation side know the training side."""

import re
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

from toolkit.dataset.selection import Image

_NAMED = 4


class Kind(StrEnum):
    """What images of equal bytes are to one another."""

    MULTI_LABEL = "multi-label"
    TWIN = "renamed twin"
    IDENTICAL = "identical"


class OnLeak(StrEnum):
    """What becomes of equal images on both sides."""

    WARN = "warn"
    FIX = "fix"
    ERROR = "error"


class MultiLabel(StrEnum):
    """What becomes of an image that is in the folders of two classes."""

    KEEP = "keep"
    DROP = "drop"
    ERROR = "error"


class Cluster(NamedTuple):
    """Images of equal bytes.

    Attributes:
        kind: ``multi-label``: one image with two tags, which CVAT exports into both class folders. ``renamed twin``:
            names that differ only by the number that CVAT appends to a name it has already. ``identical``: any other.
        images: Indices, in listing order.
    """

    kind: Kind
    images: tuple[int, ...]


def find_clusters(images: Sequence[Image], hashes: Sequence[bytes]) -> list[Cluster]:
    """Find the images that have equal bytes.

    Args:
        images: The images.
        hashes: The SHA-256 of each.

    Returns:
        The clusters of two or more, in the order of their first images.
    """
    first: dict[bytes, int] = {}
    more: dict[bytes, list[int]] = {}
    for index, digest in enumerate(hashes):
        if first.setdefault(digest, index) != index:
            more.setdefault(digest, [first[digest]]).append(index)
    found = sorted(more.values())
    return [Cluster(_kind([images[index] for index in cluster]), tuple(cluster)) for cluster in found]


def _kind(images: Sequence[Image]) -> Kind:
    names = {image.name.rpartition("/")[2] for image in images}
    if len({image.class_name for image in images}) > 1 and len(names) < len(images):
        return Kind.MULTI_LABEL
    return Kind.TWIN if _are_twins({image.path_in_class for image in images}) else Kind.IDENTICAL


def _are_twins(paths: set[str]) -> bool:
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


def leaking(clusters: Iterable[Cluster], validation: set[int]) -> list[Cluster]:
    """Find the clusters that have images on both sides.

    Args:
        clusters: All clusters.
        validation: Indices of the validation images.

    Returns:
        Those that leak.
    """
    return [cluster for cluster in clusters if 0 < len(validation.intersection(cluster.images)) < len(cluster.images)]


def mend(clusters: Iterable[Cluster], units: Sequence[Sequence[int]], validation: set[int]) -> set[int]:
    """Put equal images on one side, and the groups that they are in with them.

    Where nothing leaks nothing moves. What hangs together goes to the side that has more of it already; to training if
    both have as much.

    Args:
        clusters: The clusters of equal images.
        units: The groups of the split, single images being groups of one.
        validation: Indices of the validation images.

    Returns:
        Indices of the validation images without a leak.
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
    mended = set(validation)
    for images in joined.values():
        inside = len(mended.intersection(images))
        if 0 < inside < len(images):
            (mended.update if 2 * inside > len(images) else mended.difference_update)(images)
    return mended
