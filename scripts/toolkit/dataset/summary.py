"""A dataset in a few lines, and the same as JSON."""

import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from toolkit.dataset.layout import TRAINING, VALIDATION
from toolkit.dataset.manifest import Manifest


def counts(manifest: Manifest) -> dict[str, tuple[int, int]]:
    """Count the images of each class.

    Args:
        manifest: The dataset.

    Returns:
        By class, in the order of the labels: images in training and in validation.
    """
    found = Counter((record.class_name, record.side) for record in manifest.images)
    return {name: (found[name, TRAINING], found[name, VALIDATION]) for name in manifest.labels}


def left_out(manifest: Manifest) -> dict[str, int]:
    """Count the files that are on neither side, by reason."""
    return dict(Counter(record.reason for record in manifest.left_out))


def as_table(manifest: Manifest) -> Iterator[str]:
    """Draw the images per class and side.

    Args:
        manifest: The dataset.

    Yields:
        Lines of a table for a terminal, then a line for each reason to leave files out.
    """
    rows: list[tuple[str, ...]] = [("id", "class", TRAINING, VALIDATION, "total")]
    total = [0, 0]
    for name, (training, validation) in counts(manifest).items():
        rows.append((str(manifest.labels[name]), name, str(training), str(validation), str(training + validation)))
        total = [total[0] + training, total[1] + validation]
    rows.append(("", "total", str(total[0]), str(total[1]), str(sum(total))))
    yield from _aligned(rows)
    for reason, count in left_out(manifest).items():
        yield f"left out: {count} {'file' if count == 1 else 'files'}, {reason}"


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    shown = [[_printable(cell) for cell in row] for row in rows]
    widths = [max(_width(row[column]) for row in shown) for column in range(len(shown[0]))]
    for row in shown:
        cells = [
            cell + " " * (width - _width(cell)) if column == 1 else " " * (width - _width(cell)) + cell
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()


def _printable(text: str) -> str:
    from toolkit.core.text import printable

    return printable(text)


def _width(text: str) -> int:
    """Count a terminal's columns: wide East Asian characters take two, combining ones none."""
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )


def as_json(manifest: Manifest) -> dict[str, Any]:
    """Give the same facts to machines.

    Args:
        manifest: The dataset.

    Returns:
        A JSON object.
    """
    return {
        "labels": dict(manifest.labels),
        "classes": {
            name: {TRAINING: training, VALIDATION: validation}
            for name, (training, validation) in counts(manifest).items()
        },
        "images": len(manifest.images),
        "left_out": left_out(manifest),
        "warnings": list(manifest.warnings),
        "leaks": [record._asdict() for record in manifest.equal_images if len(record.sides) > 1],
        "source": manifest.source._asdict(),
    }
