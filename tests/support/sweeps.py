"""How far tests go that try one thing at many places: a chosen few in `make test`, all in `make test-sweeps`."""

import os
from collections.abc import Sequence
from typing import TypeVar

FULL = bool(os.environ.get("SWEEPS"))

_Place = TypeVar("_Place")


def some(places: Sequence[_Place], few: int) -> list[_Place]:
    """Return all places in a sweep, otherwise a few: the first, the last, and others at equal distances between."""
    if FULL or len(places) <= few:
        return list(places)
    return [places[number * (len(places) - 1) // (few - 1)] for number in range(few)]
