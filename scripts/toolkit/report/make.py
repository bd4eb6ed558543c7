"""From a dataset to its report."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

from toolkit.core.errors import UsageError
from toolkit.core.formats import TaskType
from toolkit.report.facts import Facts, gather
from toolkit.report.html import render
from toolkit.report.model import Dataset
from toolkit.report.read_folder import read_tree
from toolkit.report.report_provenance import add_provenance
from toolkit.report.sheet import count_thumbnails, make_sheet, read_sizes

Progress = Callable[[str, int], AbstractContextManager[Callable[[], None]]]
"""Shows a step: what goes on and how many parts it has; gives a function to call after each part."""


class Report(NamedTuple):
    """A report: what it tells, and the page."""

    facts: Facts
    page: str


def make_report(source: Path, title: str | None, thumbnails: int, progress: Progress) -> Report:
    """Look at a dataset and write its page.

    Args:
        source: The folder of a converted dataset, or the zip of a detection export.
        title: Title of the page; None names it after the source.
        thumbnails: Thumbnails for each class at most.
        progress: Shows how far it is.

    Returns:
        The report. Broken images are counted and shown as such.

    Raises:
        UsageError: The source does not exist, or is neither.
        ToolkitError: The labels, the manifest or the zip cannot be read.
    """
    with _open(source) as dataset:
        with progress("reading sizes", len(dataset.images)) as step:
            read_sizes(dataset, step)
        with progress("drawing thumbnails", count_thumbnails(dataset, thumbnails)) as step:
            sections = make_sheet(dataset, thumbnails, step)
        facts = gather(dataset, title or f"Dataset report: {source.name}")
        return Report(facts, render(facts, sections, thumbnails))


@contextmanager
def _open(source: Path) -> Iterator[Dataset]:
    if source.is_dir():
        dataset = read_tree(source)
        assert dataset.kind is TaskType.CLASSIFICATION
        add_provenance(dataset)
        yield dataset
    elif source.is_file():
        from toolkit.report.detection_export import open_export

        with open_export(source) as dataset:
            yield dataset
    else:
        problem = "is neither a folder nor a file" if source.exists() else "does not exist"
        raise UsageError(f"{source} {problem}: name the folder of a dataset, or the zip of a detection export")
