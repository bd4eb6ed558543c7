"""Charts as numbers: the template writes them as inline SVG, in per cent, so that they fit any width."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from toolkit.report.facts import SizeFacts

MOST_BARS = 60
"""Bars of a chart at most; the table below it has all rows."""
_LONGEST_LABEL = 32


class Segment(NamedTuple):
    """A part of a bar: number of its series, place and length in per cent, value."""

    series: int
    start: float
    length: float
    value: int


class Bar(NamedTuple):
    """A bar: name, shortened name, parts, sum."""

    name: str
    label: str
    segments: list[Segment]
    total: int


class BarChart(NamedTuple):
    """A chart of stacked bars.

    Attributes:
        bars: From top to bottom.
        series: Names of the series.
        omitted: How many rows have no bar, for there are too many.
    """

    bars: list[Bar]
    series: list[str]
    omitted: int


def bar_chart(rows: Sequence[tuple[str, Sequence[int]]], series: Sequence[str]) -> BarChart:
    """Lay out stacked bars, one a row.

    Args:
        rows: Name and value of each series. Of more than :data:`MOST_BARS` those with the greatest sums are taken.
        series: Names of the series.

    Returns:
        The chart, longest bar at 100 per cent.
    """
    taken = rows
    if len(rows) > MOST_BARS:
        chosen = sorted(range(len(rows)), key=lambda index: (-sum(rows[index][1]), index))[:MOST_BARS]
        taken = [rows[index] for index in sorted(chosen)]
    longest = max((sum(values) for _, values in taken), default=0) or 1
    bars = []
    for name, values in taken:
        segments = []
        start = 0.0
        for number, value in enumerate(values):
            length = 100 * value / longest
            segments.append(Segment(number, round(start, 3), round(length, 3), value))
            start += length
        bars.append(Bar(name, _shortened(name), segments, sum(values)))
    return BarChart(bars, list(series), len(rows) - len(taken))


def _shortened(name: str) -> str:
    return name if len(name) <= _LONGEST_LABEL else f"{name[: _LONGEST_LABEL - 1]}…"


class Dot(NamedTuple):
    """A dot: place in per cent, radius in pixels, number of pictures, width and height."""

    x: float
    y: float
    radius: float
    images: int
    size: tuple[int, int]


class Scatter(NamedTuple):
    """Widths and heights: the dots, and the greatest width and height in pixels."""

    dots: list[Dot]
    width: int
    height: int


_COLUMNS, _ROWS = 48, 32


def size_scatter(size: SizeFacts) -> Scatter:
    """Lay out the sizes of pictures by width and height, neighbours as one dot.

    Args:
        size: The sizes.

    Returns:
        The dots, at most one for each field of a coarse grid.
    """
    width = max(pair[0] for pair, _ in size.counts)
    height = max(pair[1] for pair, _ in size.counts)
    fields: dict[tuple[int, int], tuple[tuple[int, int], int]] = {}
    for pair, count in size.counts:  # the most frequent size of a field comes first and gives it its name
        field = round(_COLUMNS * pair[0] / width), round(_ROWS * pair[1] / height)
        first, before = fields.get(field, (pair, 0))
        fields[field] = first, before + count
    dots = [
        Dot(
            round(94 * pair[0] / width, 2),
            round(100 - 92 * pair[1] / height, 2),
            round(3 + 2 * math.log10(count), 1),
            count,
            pair,
        )
        for pair, count in fields.values()
    ]
    return Scatter(sorted(dots, key=lambda dot: -dot.images), width, height)
