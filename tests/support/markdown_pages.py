"""The Markdown files of the repository: their headings, links, and the commands that they show."""

import itertools
import re
import shlex
import subprocess
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from tests.support.script_runs import ROOT as TOP

SHELLS = ("sh", "bash", "console", "shell")
NOT_RUN = "<!-- not run"
"""A comment that begins so, right before a block, keeps its commands from being run; they are still checked."""


@cache
def pages() -> list[Path]:
    """Find the Markdown files that are, or will be, in git."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"]
    answer = subprocess.run(command, cwd=TOP, capture_output=True, text=True)
    if answer.returncode == 0:
        found = [TOP / name for name in answer.stdout.splitlines()]
    else:  # no git checkout
        found = [path for path in TOP.rglob("*.md") if not any(part.startswith(".venv") for part in path.parts)]
    return sorted(path for path in found if path.is_file())


def name_of(page: Path) -> str:
    return str(page.relative_to(TOP))


@cache
def tokens(page: Path) -> list[Token]:
    return MarkdownIt("commonmark", {"html": True}).enable("table").parse(page.read_text("utf-8"))


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives the headings of a page."""
    found: set[str] = set()
    stream = tokens(page)
    for token, inline in itertools.pairwise(stream):
        if token.type != "heading_open":
            continue
        text = "".join(child.content for child in inline.children or [] if child.type in ("text", "code_inline"))
        kept = [c for c in text.strip().lower() if c in "-_ " or unicodedata.category(c)[0] in "LN"]
        slug = anchor = "".join(kept).replace(" ", "-")
        number = 0
        while anchor in found:
            number += 1
            anchor = f"{slug}-{number}"
        found.add(anchor)
    return found | set(re.findall(r'<a (?:id|name)="([^"]+)"', page.read_text("utf-8")))


def links(page: Path) -> Iterator[str]:
    """Return the targets of all links and pictures of a page."""
    for token in tokens(page):
        for child in token.children or []:
            if child.type == "link_open":
                yield str(child.attrs["href"])
            elif child.type == "image":
                yield str(child.attrs["src"])
        if token.type == "html_block":
            yield from re.findall(r'(?:src|href)="([^"]+)"', token.content)


def code_spans(page: Path) -> Iterator[str]:
    """Return the code within sentences and tables."""
    for token in tokens(page):
        for child in token.children or []:
            if child.type == "code_inline":
                yield child.content


@dataclass(frozen=True)
class Command:
    """A command that a page shows.

    Attributes:
        page: The page.
        line: The command, continued lines joined, without prompt and comment.
        exported: The variables that commands before it on the page have exported.
        is_run: Whether it may be run.
    """

    page: Path
    line: str
    exported: tuple[tuple[str, str], ...]
    is_run: bool

    @property
    def words(self) -> list[str]:
        return shlex.split(self.line, comments=True)


def commands(page: Path) -> Iterator[Command]:
    """Return the commands of all shell blocks of a page."""
    exported: dict[str, str] = {}
    is_run = True
    for token in tokens(page):
        if token.type == "html_block":
            is_run = not token.content.startswith(NOT_RUN)
            continue
        if token.type == "fence" and token.info.strip() in SHELLS:
            for line in _lines(token):
                if line.startswith("export "):
                    exported |= dict(word.split("=", 1) for word in shlex.split(line)[1:])
                else:
                    yield Command(page, line, tuple(exported.items()), is_run)
        if token.level == 0 and token.type != "html_block":
            is_run = True


def _lines(token: Token) -> Iterator[str]:
    is_console = token.info.strip() == "console"
    text = re.sub(r"\\\n\s*(> )?", " ", token.content)
    for line in text.splitlines():
        if is_console and not line.startswith("$ "):
            continue
        line = (line[2:] if is_console else line).strip()
        if line and not line.startswith("#"):
            yield _without_comment(line)


def _without_comment(line: str) -> str:
    return re.sub(r"\s{2,}#.*$|\s#\s.*$", "", line).rstrip()
