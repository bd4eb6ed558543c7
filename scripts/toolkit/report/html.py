"""The HTML page of a report: one file without anything outside of it.

Its charts are numbers here: the template writes them as inline SVG, in per cent, so that they fit any width.
"""

import base64
import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from toolkit import __version__
from toolkit.core.formats import TaskType
from toolkit.core.text import format_size, printable
from toolkit.report.facts import DatasetFacts, SizeFacts
from toolkit.report.search import search_index
from toolkit.report.sheet import LIMITS, Section

if TYPE_CHECKING:
    from jinja2 import Environment

MARK = '<meta name="generator" content="cvat-toolkit report">'
"""Part of every page, by which an older report is known."""
SERIES_COLOURS = 6
CLASS_COLOURS = 10
MOST_NAMES = 200
"""Names that a warning lists at most."""
_DISTINCT_SIZES = 8
TEMPLATES = Path(__file__).resolve().parent / "templates"


# --- charts -------------------------------------------------------------------------------------------------------

_MOST_BARS = 60
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
    """A chart of stacked bars, from top to bottom; so many rows are omitted, for there are too many."""

    bars: list[Bar]
    series: list[str]
    omitted: int


def bar_chart(rows: Sequence[tuple[str, Sequence[int]]], series: Sequence[str]) -> BarChart:
    """Lay out stacked bars, one a row of a name and the value of each series; the longest has 100 per cent.

    Of more than :data:`_MOST_BARS` those with the greatest sums are taken.
    """
    taken = rows
    if len(rows) > _MOST_BARS:
        chosen = sorted(range(len(rows)), key=lambda index: (-sum(rows[index][1]), index))[:_MOST_BARS]
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
    """Lay out the sizes of pictures by width and height, at most one dot for each field of a coarse grid."""
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


# --- the page -----------------------------------------------------------------------------------------------------


def render(facts: DatasetFacts, sections: Sequence[Section], outliers: Sequence[Section], per_section: int) -> str:
    """Write the page; ``per_section`` is how many thumbnails a section was allowed, for the text about the limits."""
    style = (TEMPLATES / "report.css").read_text("utf-8")
    script = (TEMPLATES / "report.js").read_text("utf-8")
    # The browser runs and loads nothing but these two, whatever the names of files and classes try.
    policy = f"default-src 'none'; img-src data:; style-src '{_digest(style)}'; script-src '{_digest(script)}'"
    is_detection = facts.dataset.kind is TaskType.DETECTION
    sizes = facts.size.counts if facts.size else []
    index = search_index(facts.dataset, sections)
    template = _environment().get_template("report.html.jinja")
    page: str = template.render(
        facts=facts,
        dataset=facts.dataset,
        sections=sections,
        outliers=outliers,
        is_detection=is_detection,
        per_section=per_section,
        limits=LIMITS[facts.dataset.kind],
        index=index,
        embedded=sum(len(section.tiles) for section in sections),
        chart=_class_chart(facts),
        size_chart=bar_chart([(_pixels(size), [count]) for size, count in sizes[:_DISTINCT_SIZES]], ["images"]),
        scatter=size_scatter(facts.size) if facts.size and len(sizes) > _DISTINCT_SIZES else None,
        box_chart=_box_chart(facts),
        version=__version__,
        mark=MARK,
        style=style,
        script=script,
        policy=policy,
        most_names=MOST_NAMES,
    )
    return page.lstrip() + "\n"


def _environment() -> "Environment":
    environment = template_environment()
    environment.filters |= {"printable": printable, "length": format_size, "number": "{:,}".format}
    environment.filters |= {"pixels": _pixels, "id": id}
    environment.globals |= {"SERIES": SERIES_COLOURS, "COLOURS": CLASS_COLOURS}
    return environment


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}"


def _pixels(size: tuple[int, int]) -> str:
    return f"{size[0]:,} × {size[1]:,}"


def _class_chart(facts: DatasetFacts) -> BarChart:
    sides = list(facts.sides)
    rows = []
    for class_facts in facts.classes:
        counts = class_facts.images if class_facts.boxes is None else class_facts.boxes
        rows.append((printable(class_facts.name), [counts.get(side, 0) for side in sides]))
    return bar_chart(rows, sides)


def _box_chart(facts: DatasetFacts) -> BarChart | None:
    if facts.boxes is None:
        return None
    last = 10
    rows = [("no boxes", [facts.boxes.per_image.get(0, 0)]), ("1 box", [facts.boxes.per_image.get(1, 0)])]
    most = max(facts.boxes.per_image, default=0)
    rows += [(f"{number} boxes", [facts.boxes.per_image.get(number, 0)]) for number in range(2, min(most + 1, last))]
    if most >= last:
        more = sum(count for number, count in facts.boxes.per_image.items() if number >= last)
        rows.append((f"{last} boxes or more", [more]))
    return bar_chart(rows, ["images"])


def template_environment() -> "Environment":
    """Return an environment that escapes all text and takes no undefined name."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
