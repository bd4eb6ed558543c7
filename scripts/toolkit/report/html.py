"""The HTML page of a report: one file without anything outside of it."""

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit import __version__
from toolkit.core.formats import TaskType
from toolkit.core.text import format_size, printable
from toolkit.report.charts import BarChart, bar_chart, size_scatter
from toolkit.report.facts import DatasetFacts
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


def render(facts: DatasetFacts, sections: Sequence[Section], outliers: Sequence[Section], per_section: int) -> str:
    """Write the page.

    Args:
        facts: What to tell.
        sections: The contact sheet.
        outliers: Pictures of each kind of outliers.
        per_section: Thumbnails that a section was allowed, for the text about the limits.
    """
    style = (TEMPLATES / "report.css").read_text("utf-8")
    script = (TEMPLATES / "report.js").read_text("utf-8")
    # The browser runs and loads nothing but these two, whatever the names of files and classes try.
    policy = f"default-src 'none'; img-src data:; style-src '{_digest(style)}'; script-src '{_digest(script)}'"
    is_detection = facts.dataset.kind is TaskType.DETECTION
    sizes = facts.size.counts if facts.size else []
    template = _environment().get_template("report.html.jinja")
    page: str = template.render(
        facts=facts,
        dataset=facts.dataset,
        sections=sections,
        outliers=outliers,
        is_detection=is_detection,
        per_section=per_section,
        limits=LIMITS[facts.dataset.kind],
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
    environment.filters |= {"printable": printable, "length": format_size, "number": "{:,}".format, "pixels": _pixels}
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
