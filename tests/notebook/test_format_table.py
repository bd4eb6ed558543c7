"""The table of export formats in the tutorials: complete, and true for the server that is started."""

import contextlib

from standin import NEWEST
from standin.api import formats
from toolkit.core.errors import UsageError
from toolkit.core.formats import ALL_FORMATS, task_type_of
from toolkit.report.readers import open_export

from .conftest import TOP

PAGE = TOP / "tutorials/2_prepare_dataset/annotate_images/README.md"
WORDS = {"classification": "image classification", "detection": "object detection"}


def rows() -> list[list[str]]:
    table = PAGE.read_text("utf-8").partition("<!-- formats -->")[2].partition("<!-- end of formats -->")[0]
    return [[cell.strip(" `*") for cell in line.strip("|").split("|")] for line in table.strip().splitlines()[2:]]


def test_it_has_every_format_of_the_specification_and_no_other():
    assert [name for name, *_ in rows()] == list(ALL_FORMATS)


def test_it_says_what_each_is_for():
    for name, word, _, _ in rows():
        assert word == WORDS[str(task_type_of(name))]


def test_it_says_what_the_server_offers():
    offered = {entry["name"] for entry in formats.offered(NEWEST)["exporters"] if entry["enabled"]}
    assert {name: said == "yes" for name, _, said, _ in rows()} == {name: name in offered for name in ALL_FORMATS}


def test_the_formats_that_are_drawn_are_those_that_the_report_reads():
    readable = set()
    for path in (TOP / "tests/data/recordings/exports/detection").glob("*.zip"):
        with contextlib.suppress(UsageError), open_export(path) as dataset:
            readable.add(dataset.format_name)
    assert {name for name, *_, what in rows() if "drawn by notebook and report" in what} == readable
