"""Every relative link of every Markdown file leads somewhere; every notebook's links, too."""

import json
import re
from pathlib import Path
from urllib.parse import unquote

import pytest
from markdown_it import MarkdownIt

from tests.support.markdown_pages import TOP, anchors, code_spans, links, name_of, pages


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_links_lead_somewhere(page):
    wrong = []
    for link in links(page):
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / unquote(path)).resolve() if path else page
        if not target.exists():
            wrong.append(f"{link}: there is no such file")
        elif TOP not in target.parents and target != TOP:
            wrong.append(f"{link}: leads out of the repository")
        elif anchor and target.suffix == ".md" and unquote(anchor) not in anchors(target):
            wrong.append(f"{link}: {name_of(target)} has no such heading")
    assert wrong == []


OURS = ("scripts", "scripts/toolkit", "")
"""Where a path on a page may begin."""
MADE = ("config/cvat.env", "config/access-token", "config/cvat.lock")
"""What is not in git: the commands make it."""


def missing_paths(page: Path) -> list[str]:
    """Return the files and folders of this repository that a page names and that are not there."""
    wrong = []
    known = {folder.name for start in OURS for folder in (TOP / start).iterdir() if folder.is_dir()} - {"images"}
    for span in code_spans(page):
        for word in re.findall(r"(?<![/\w.])[\w.*-]+(?:/[\w.*-]+)*/?(?=::|[\s,;:)]|$)", span):
            if word.partition("/")[0] in known and "/" in word:
                found = any(list((TOP / start).glob(word.rstrip("/"))) for start in OURS)
            elif re.fullmatch(r"\w+\.py", word):
                found = any(list((TOP / start).rglob(word)) for start in ("scripts", "tests"))
            else:
                continue
            if not found and word not in MADE:
                wrong.append(word)
    return wrong


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_paths_that_a_page_names_exist(page):
    assert missing_paths(page) == []


def test_a_path_that_is_gone_is_noticed(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "`core/text.py`, `scripts/dev/`, `tests/nowhere`, `gone.py`, `out/of/this.py`, `core/gone.py`", "utf-8"
    )
    assert missing_paths(page) == ["tests/nowhere", "gone.py", "core/gone.py"]


@pytest.mark.parametrize("path", sorted((TOP / "tutorials").rglob("*.ipynb")), ids=name_of)
def test_links_of_notebooks_lead_somewhere(path):
    for cell in json.loads(path.read_text("utf-8"))["cells"]:
        if cell["cell_type"] != "markdown":
            continue
        for token in MarkdownIt().parse("".join(cell["source"])):
            for child in token.children or []:
                if child.type == "link_open" and "://" not in str(child.attrs["href"]):
                    assert (path.parent / str(child.attrs["href"])).exists()


def test_the_walk_leads_down_from_the_top():
    """A reader gets from the top README to each tutorial by following links."""
    seen: set[Path] = set()
    waiting = [TOP / "README.md"]
    while waiting:
        page = waiting.pop()
        seen.add(page)
        for link in links(page):
            target = (page.parent / unquote(link.partition("#")[0])).resolve()
            if target.suffix == ".md" and "://" not in link and target not in seen and target.is_file():
                waiting.append(target)
    tutorials = {page for page in pages() if TOP / "tutorials" in page.parents}
    assert len(tutorials) == 5
    assert tutorials <= seen
