"""From a dataset to its report, and the report's file."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

from toolkit.core.errors import ToolkitError, UsageError
from toolkit.core.files import temporary_folder
from toolkit.core.storage import Address, Place
from toolkit.report import html
from toolkit.report.facts import Dataset, DatasetFacts, Finding, gather
from toolkit.report.outliers import choose, find_outliers
from toolkit.report.pictures import read_sizes
from toolkit.report.read_folder import read_folder, read_stored
from toolkit.report.readers import open_export
from toolkit.report.sheet import TileMaker, count_thumbnails, make_outlier_sections, make_sheet

Progress = Callable[[str, int], AbstractContextManager[Callable[[], None]]]
"""Shows a step: what goes on and how many parts it has; gives a function to call after each part."""

_LOOKED_AT = 4096


class Report(NamedTuple):
    """A report: what it tells, and the page."""

    facts: DatasetFacts
    page: str


def make_report(source: Place, title: str | None, thumbnails: int, examine: int | None, progress: Progress) -> Report:
    """Look at a dataset and write its page.

    Args:
        source: The folder of a converted dataset, or the zip of a detection export; or the address of one.
        title: Title of the page; None names it after the source.
        thumbnails: Thumbnails for each class at most.
        examine: Images to measure for outliers at most; None chooses so many that it does not take long.
        progress: Shows how far it is.

    Returns:
        The report. Broken images are counted and shown as such.

    Raises:
        UsageError: The source does not exist, or is neither.
        ToolkitError: The labels or the zip cannot be read.
    """
    with _open(source) as dataset:
        with progress("reading sizes", len(dataset.images)) as step:
            misnamed = read_sizes(dataset, step)
        if misnamed:
            other = "of another format than its name says, which readers such as TensorFlow's and Keras' may refuse"
            others = "of another format than their names say, which readers such as TensorFlow's and Keras' may refuse"
            dataset.findings.append(
                Finding.of("wrong_extension", misnamed, f"image is {other}", f"images are {others}")
            )
        chosen = choose(dataset, examine)
        with progress("looking for outliers", len(chosen)) as step:
            examination = find_outliers(dataset, chosen, step)
        with progress("drawing thumbnails", count_thumbnails(dataset, thumbnails)) as step:
            maker = TileMaker(dataset, step)
            sections = make_sheet(dataset, thumbnails, maker)
            outliers = make_outlier_sections(examination.outliers, thumbnails, maker)
        facts = gather(dataset, title or f"Dataset report: {source.name}", examination)
        return Report(facts, html.render(facts, sections, outliers, thumbnails))


@contextmanager
def _open(source: Place) -> Iterator[Dataset]:
    if isinstance(source, Address) and not source.is_file():
        yield read_stored(source)
    elif isinstance(source, Path) and source.is_dir():
        yield read_folder(source)
    elif source.is_file():
        with open_export(source) as dataset:
            yield dataset
    else:
        problem = "is neither a folder nor a file" if os.path.lexists(str(source)) else "does not exist"
        raise UsageError(f"{source} {problem}: name the folder of a dataset, or the zip of a detection export")


def check_target(path: Path, mark: str) -> None:
    """Check that a report can be written, before the work of making it.

    Args:
        path: The file to be.
        mark: Text that every such file has near its beginning.

    Raises:
        UsageError: Its folder does not exist, or it is a folder.
        ToolkitError: There is another file that is no report.
    """
    if not path.parent.is_dir():
        raise UsageError(f"{path.parent} does not exist: make the folder, or name another file")
    if path.is_dir():
        raise UsageError(f"{path} is a folder: name a file in it, such as {path / 'report.html'}")
    if os.path.lexists(path) and not _is_report(path, mark):
        raise ToolkitError(f"{path} is not a report of this toolkit, so it stays: remove it, or name another file")


def _is_report(path: Path, mark: str) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return mark.encode() in stream.read(_LOOKED_AT)


def write_report(path: Path, text: str, mark: str) -> None:
    """Write a report beside its place and move it there, if what it replaces is a report.

    Args:
        path: The file.
        text: Its whole content.
        mark: As for :func:`check_target`, which is asked again.

    Raises:
        ToolkitError: It could not be written, or there is meanwhile another file that is no report; what was there
            before is unchanged.
    """
    try:
        with temporary_folder(path.parent, f".{path.name}-") as folder:
            part = folder / path.name
            with part.open("w", encoding="utf-8", newline="\n") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            check_target(path, mark)
            part.replace(path)
    except OSError as error:
        raise ToolkitError(f"{error.strerror or error}: {path} was not written") from None
