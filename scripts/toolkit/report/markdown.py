"""The facts of a report as Markdown, for the summary of a CI job."""

import re
from collections.abc import Iterator, Sequence

from toolkit.core.text import format_size, printable
from toolkit.report.facts import ClassFacts, DatasetFacts

MARK = "<!-- cvat-toolkit report -->"
"""The first line, by which an older one is known."""
_MOST_CLASSES = 100
_MOST_NAMES = 10
_PIPE = "\\|"
_LINKED = re.compile(r"@|://|www\.|mailto:|xmpp:|#\d|\bGH-\d|:[\w+-]+:|\$|\b[0-9a-f]{7,40}\b", re.IGNORECASE)
"""What GitHub makes a link, a mention, an emoji or a formula of even where its signs are escaped, but not in code."""
_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+\-!|>~$:@])")


def render(facts: DatasetFacts) -> str:
    """Write the facts as GitHub's Markdown; the largest tables and lists are cut, and say so."""
    return "\n".join(_lines(facts)) + "\n"


def _lines(facts: DatasetFacts) -> Iterator[str]:
    yield MARK
    yield f"## {text(facts.title)}"
    yield ""
    parts = [f"**{facts.images:,}** images", f"**{len(facts.classes):,}** classes"]
    if facts.boxes is not None:
        parts += [f"**{facts.boxes.total:,}** boxes", f"**{facts.boxes.per_image.get(0, 0):,}** images without boxes"]
    yield ", ".join([*parts, format_size(facts.length), f"**{len(facts.broken):,}** broken"])
    yield ""
    yield from _class_table(facts)
    if facts.size is not None:
        sizes = (facts.size.smallest, facts.size.median, facts.size.largest)
        yield ""
        yield "Sizes (smallest, median, largest): " + ", ".join(f"{width} × {height}" for width, height in sizes)
    yield ""
    yield "### Warnings" if facts.findings else "No warnings."
    for finding in facts.findings:
        yield f"- {text(finding.message)}{_names(finding.names)}"
    if facts.examination.outliers:
        yield ""
        yield f"### Outliers (of {facts.examination.examined:,} pictures)"
        for kind in facts.examination.outliers:
            yield f"- {kind.title}: {len(kind.images):,}{_names(kind.names)}"
    yield ""
    yield "<details><summary>Provenance</summary>"
    yield ""
    yield "| | |"
    yield "|---|---|"
    for term, value in facts.dataset.provenance:
        yield f"| {cell(term)} | {cell(value)} |"
    yield ""
    yield "</details>"


def _class_table(facts: DatasetFacts) -> Iterator[str]:
    sides = list(facts.sides)
    is_detection = facts.boxes is not None
    several = len(sides) > 1
    heads = ["class", *map(cell, sides), *(["all"] if several else []), *(["images"] if is_detection else [])]
    yield f"| {' | '.join(heads)} |"
    yield f"|---{'|---:' * (len(heads) - 1)}|"
    for row in facts.classes[:_MOST_CLASSES]:
        yield f"| {' | '.join([cell(row.name), *_counts(row, sides, several)])} |"
    if len(facts.classes) > _MOST_CLASSES:
        yield f"| … and {len(facts.classes) - _MOST_CLASSES:,} more {'| ' * len(heads)}"
    if not is_detection:
        totals = [*facts.sides.values(), *([facts.images] if several else [])]
        yield f"| **all** | {' | '.join(f'**{count:,}**' for count in totals)} |"


def _counts(row: ClassFacts, sides: Sequence[str], several: bool) -> Iterator[str]:
    counts = row.images if row.boxes is None else row.boxes
    for side in sides:
        yield f"{counts.get(side, 0):,}"
    if several:
        yield f"{sum(counts.values()):,}"
    if row.boxes is not None:
        yield f"{sum(row.images.values()):,}"


def _names(names: Sequence[str]) -> str:
    if not names:
        return ""
    more = f", … and {len(names) - _MOST_NAMES:,} more" if len(names) > _MOST_NAMES else ""
    return f": {', '.join(map(text, names[:_MOST_NAMES]))}{more}"


def text(foreign: str, in_table: bool = False) -> str:
    """Make foreign text safe for Markdown: no markup, no HTML, no links or mentions, one line."""
    shown = printable(foreign)
    if _LINKED.search(shown):
        ticks = "`" * (1 + max((len(run) for run in re.findall("`+", shown)), default=0))
        pad = " " if shown.startswith(("`", " ")) or shown.endswith(("`", " ")) else ""
        return f"{ticks}{pad}{shown.replace('|', _PIPE) if in_table else shown}{pad}{ticks}"
    return _SPECIAL.sub(r"\\\1", shown.replace("&", "&amp;").replace("<", "&lt;"))


def cell(foreign: str) -> str:
    """Make foreign text safe for a cell of a table, where a bar ends a cell even in code."""
    return text(foreign, in_table=True)
