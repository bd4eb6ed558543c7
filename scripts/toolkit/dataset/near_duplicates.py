"""Pictures that look the same although their bytes differ: saved again, scaled, or of another quality.

Each picture is drawn in 9 × 9 grey cells; a bit tells whether a cell is brighter than the one before it, along the rows
and along the columns (the difference hash, 64 bits each). A step counts from a few grey levels on, so that the noise of
compression in a plain area flips no bit. Pillow decodes a large JPEG at an eighth of its size for this.
"""

import io
import threading
from collections.abc import Callable, Iterable, Sequence
from itertools import product

from toolkit.core.workers import run_workers, worker_count
from toolkit.dataset.archive import Archive
from toolkit.dataset.duplicates import Cluster, Kind
from toolkit.dataset.selection import Image
from toolkit.dataset.unpack import Reader

_CELLS = 9
_STEP = 4
"""Grey levels, of 255, that make a difference."""
_DISTANCE = 4
"""Bits of 64, in each direction, that may differ."""
_FEWEST_BITS = 6
"""A picture with fewer differences is too plain to be told from others."""
_MOST_PIXELS = 100_000_000
_MOST_WORKERS = 4
_BAND_BITS = 13
_MASK = (1 << _BAND_BITS) - 1

Look = tuple[int, int]
"""The hashes along rows and columns, 64 bits each."""


def find_near_duplicates(
    archive: Archive, images: Sequence[Image], clusters: Iterable[Cluster], on_poll: Callable[[], None] = lambda: None
) -> list[Cluster]:
    """Find images that look the same; of duplicates in bytes, one stands for all.

    Args:
        archive: The export that they are in.
        images: The images.
        clusters: Those of equal bytes.
        on_poll: Called a few times a second.

    Returns:
        Clusters of two or more, in the order of their first images. Pictures that cannot be decoded are in none.
    """
    copies = {index for cluster in clusters for index in cluster.images[1:]}
    chosen = [index for index in range(len(images)) if index not in copies]
    looks: list[Look | None] = [None] * len(chosen)
    count = worker_count(_MOST_WORKERS, len(chosen))

    def work(number: int, stopped: threading.Event) -> None:
        reader = Reader(archive)
        for at in range(number, len(chosen), count):
            if stopped.is_set():
                return
            member = archive.members[images[chosen[at]].member]
            looks[at] = look_of(b"".join(bytes(piece) for piece in reader.content(member)))

    run_workers(work, count, on_poll)
    return [Cluster(Kind.NEAR, tuple(chosen[at] for at in group)) for group in alike(looks)]


def look_of(content: bytes) -> Look | None:
    """Compute a picture's difference hashes; None if it is no picture, too plain or too large."""
    from PIL import Image as Pictures

    try:
        with Pictures.open(io.BytesIO(content)) as picture:
            if picture.width * picture.height > _MOST_PIXELS:
                return None
            picture.draft("L", (8 * _CELLS, 8 * _CELLS))
            cells = picture.convert("L").resize((_CELLS, _CELLS), Pictures.Resampling.BOX).tobytes()
    except Exception:  # a decoder may raise anything for a broken file; whether it is whole is not the question here
        return None
    rows = columns = 0
    for first in range(_CELLS - 1):
        for second in range(_CELLS - 1):
            at = first * _CELLS + second
            rows = rows << 1 | (cells[at + 1] - cells[at] >= _STEP)
            columns = columns << 1 | (cells[at + _CELLS] - cells[at] >= _STEP)
    return (rows, columns) if rows.bit_count() + columns.bit_count() >= _FEWEST_BITS else None


def alike(looks: Sequence[Look | None]) -> list[list[int]]:
    """Put the numbers of looks together that differ by at most four bits in each direction.

    Two such 64-bit numbers are equal in one of five 13-bit bands at least, so only those are compared that share a
    band in each direction; equal looks are compared once for all.
    """
    of_look: dict[Look, list[int]] = {}
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

    for row_shift, column_shift in product(range(0, 64, _BAND_BITS), repeat=2):
        bands: dict[tuple[int, int], list[int]] = {}
        for number, (rows, columns) in enumerate(distinct):
            others = bands.setdefault((rows >> row_shift & _MASK, columns >> column_shift & _MASK), [])
            for other in others:
                if (
                    (rows ^ distinct[other][0]).bit_count() <= _DISTANCE
                    and (columns ^ distinct[other][1]).bit_count() <= _DISTANCE
                    and root(other) != root(number)
                ):
                    parent[root(number)] = root(other)
            others.append(number)
    groups: dict[int, list[int]] = {}
    for number, look in enumerate(distinct):
        groups.setdefault(root(number), []).extend(of_look[look])
    return sorted(sorted(group) for group in groups.values() if len(group) > 1)
