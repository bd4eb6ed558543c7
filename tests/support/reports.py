"""What the tests of the report share: a real process, a page read back, a dataset of real pictures."""

import json
import subprocess
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from tests.support.images import jpeg as jpeg
from tests.support.script_runs import ROOT as ROOT
from tests.support.script_runs import outside, run_script

SCRIPT = ROOT / "scripts" / "report_dataset.py"
DETECTION = ROOT / "tests" / "data" / "recordings" / "exports" / "detection"


def environment(**more: str) -> dict[str, str]:
    return outside(**{"PYTHONPATH": "", **more})


def run(*arguments: object, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    return run_script("report_dataset", *arguments, cwd=cwd, environment=environment(**more))


def report(source: Path, folder: Path, *arguments: object) -> tuple[dict[str, Any], "Page"]:
    """Make a report in a folder; return its JSON and its page."""
    output = folder / "report.html"
    done = run(source, "--output", output, "--json", *arguments, cwd=folder)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), Page.read(output)


@dataclass
class Page(HTMLParser):
    """The facts of a page as they stand in its HTML."""

    text: str = ""
    numbers: dict[str, int] = field(default_factory=dict)
    table: list[list[str]] = field(default_factory=list)
    findings: dict[str, str] = field(default_factory=dict)
    policy: str = ""
    pictures: int = 0
    waiting_pictures: int = 0
    outlier_pictures: int = 0
    boxes: int = 0
    references: list[str] = field(default_factory=list)
    tags: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._table = self._cell = self._template = self._outliers = False
        self._finding: str | None = None

    @classmethod
    def read(cls, path: Path) -> "Page":
        page = cls()
        page.feed(path.read_text("utf-8"))
        page.close()
        return page

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attributes}
        self.tags.add(tag)
        self.references += [values[name] for name in ("src", "href", "srcset", "data", "action") if name in values]
        if tag == "data" and "id" in values:
            self.numbers[values["id"]] = int(values["value"])
        elif tag == "table":
            self._table = values.get("id") == "class-table"
        elif tag == "tr" and self._table:
            self.table.append([])
        elif tag in ("td", "th") and self._table:
            self.table[-1].append("")
            self._cell = True
        elif tag == "li" and "data-kind" in values:
            self._finding = values["data-kind"]
        elif tag == "meta" and values.get("http-equiv") == "Content-Security-Policy":
            self.policy = values["content"]
        elif tag == "template":
            self._template = True
        elif tag == "image" and self._outliers:
            self.outlier_pictures += 1
        elif tag == "image":
            self.pictures += 1
            self.waiting_pictures += self._template
        elif tag == "rect" and values.get("class", "").startswith("box "):
            self.boxes += 1
        elif tag == "section":
            self._finding = None
            self._outliers = "data-outliers" in values

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._cell = False
        elif tag == "table":
            self._table = False
        elif tag == "template":
            self._template = False

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._cell:
            self.table[-1][-1] += data
        if self._finding:
            self.findings[self._finding] = self.findings.get(self._finding, "") + data


def write_dataset(folder: Path, counts: dict[str, tuple[int, int]], labels: bool = True) -> Path:
    """Write a dataset with so many training and validation images for each class."""
    seed = 0
    for label, sides in counts.items():
        for side, count in zip(("training", "validation"), sides, strict=True):
            place = folder / side / label
            place.mkdir(parents=True, exist_ok=True)
            for number in range(count):
                seed += 1
                (place / f"{side[0]}{number:04d}.jpg").write_bytes(jpeg(seed))
    if labels:
        (folder / "labels.json").write_text(json.dumps({name: number for number, name in enumerate(sorted(counts))}))
    return folder
