"""The names of all images for the search of a report's page, which has thumbnails of some of them only."""

import json
from collections import defaultdict
from collections.abc import Sequence
from itertools import takewhile
from typing import NamedTuple

from toolkit.core.text import printable
from toolkit.report.facts import MOST_SEARCHED, Dataset, DatasetImage
from toolkit.report.sheet import Section, labels_of


class SearchIndex(NamedTuple):
    """The names as JSON that may stand in a script element, and the number of each image in it by the image's `id`."""

    json: str
    numbers: dict[int, int]


def search_index(dataset: Dataset, sections: Sequence[Section]) -> SearchIndex | None:
    """Write down all images by their side and sections, each with its name and, if it has another one, that too.

    None for more than :data:`MOST_SEARCHED` images, whose names would make the page slow.
    """
    if len(dataset.images) > MOST_SEARCHED:
        return None
    section_numbers = {section.name: number for number, section in enumerate(sections)}
    groups: dict[tuple[int, tuple[int, ...]], list[DatasetImage]] = defaultdict(list)
    for image in dataset.images:
        shown_in = tuple(sorted(section_numbers[label] for label in labels_of(image)))
        groups[dataset.sides.index(image.side), shown_in].append(image)
    rows = []
    numbers: dict[int, int] = {}
    for (side, shown_in), images in groups.items():
        names = [image.name for image in images]
        others = [_other_name(dataset, image) for image in images]
        rows.append([side, shown_in, _packed(names), _packed(others) if names != others else ""])
        for image in images:
            numbers[id(image)] = len(numbers)
    words = [printable(section.words) for section in sections]
    index = {"sides": list(map(printable, dataset.sides)), "classes": words, "groups": rows}
    text = json.dumps(index, ensure_ascii=False, separators=(",", ":"))
    return SearchIndex(text.replace("<", "\\u003c"), numbers)


def _other_name(dataset: Dataset, image: DatasetImage) -> str:
    """Give the frame's own path or the name of the file, if the image's name does not have it in it."""
    location = image.location or ""
    others = dataset.frames.get(location, ""), location.rpartition("/")[2]
    return next((other for other in others if other not in image.name), image.name)


def _packed(names: Sequence[str]) -> str:
    """Write names one a line, each as the number of characters it shares with the one before, and the rest."""
    lines = []
    before = ""
    for name in map(printable, names):
        shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(before, name, strict=False)))
        lines.append(f"{shared} {name[shared:]}")
        before = name
    return "\n".join(lines)
