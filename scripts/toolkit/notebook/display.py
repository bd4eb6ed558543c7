"""What a notebook shows: HTML from templates, each with a plain text for where there is no HTML."""

import functools
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.core.text import format_size, printable
from toolkit.report.html import TEMPLATES, template_environment

if TYPE_CHECKING:
    from jinja2 import Environment


class Output:
    """A place in a cell's output; what is shown there can be replaced.

    It works in every front end, because it is nothing but messages of the Jupyter protocol: no widgets, no scripts.
    """

    def __init__(self) -> None:
        self._handle: Any = None

    def show(self, template: str, text: str, /, **values: Any) -> None:
        """Show something, in the place of what was shown before.

        Args:
            template: Name of a macro in ``notebook.html.jinja``.
            text: The same in plain text.
            values: The macro's arguments; text is escaped.
        """
        from IPython.display import display

        macro = getattr(_macros(), template)
        style = (TEMPLATES / "notebook.css").read_text("utf-8")
        bundle = {"text/html": f'<style>{style}</style><div class="cvat">{macro(**values)}</div>', "text/plain": text}
        if self._handle is None:
            self._handle = display(bundle, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(bundle, raw=True)


def show(template: str, text: str, /, **values: Any) -> None:
    """Show something that stays as it is; see :meth:`Output.show`."""
    Output().show(template, text, **values)


@functools.cache
def _macros() -> Any:
    return _environment().get_template("notebook.html.jinja").module


def _environment() -> "Environment":
    environment = template_environment()
    environment.filters["printable"] = printable
    environment.filters["number"] = lambda value: f"{value:,}"
    environment.filters["size"] = format_size
    return environment


def warn(text: str) -> None:
    """Show a warning that stays."""
    show("note", f"warning: {printable(text)}", text=text)


def from_top(path: Path) -> str:
    """Write a path as it is seen from the top folder of the repository, which the notebook lies in.

    Args:
        path: An absolute path.

    Returns:
        The path below the top folder, or the absolute path of a place elsewhere.
    """
    tops = [folder for folder in Path.cwd().parents if (folder / "scripts" / "toolkit").is_dir()]
    return str(path.relative_to(tops[0])) if tops and path.is_relative_to(tops[0]) else str(path)


_EVERY = 0.1
"""Seconds between two pictures of a bar: more would only keep the browser busy."""
_PER_CENT = re.compile(r"(\d{1,3})%")


@contextmanager
def progress(what: str, total: int, output: Output | None = None) -> Iterator[Callable[[], None]]:
    """Draw a progress bar.

    Args:
        what: What is going on, in a word or two.
        total: How many steps there are.
        output: Where to draw, for a bar that what it leads to takes the place of; otherwise a line stays at the end.

    Yields:
        A function to call after each step.
    """
    bar = _Bar(what, total, output or Output())
    bar.draw()
    try:
        yield bar.advance
    except BaseException:
        bar.end("stopped at {done} of {total} after {seconds:.1f} s", good=False)
        raise
    if output is None:
        bar.end("{total} in {seconds:.1f} s", good=True)


@contextmanager
def per_cent(what: str) -> Iterator[Callable[[], None]]:
    """Draw a progress bar for work that counts in hundredths.

    Args:
        what: What is going on, in a word or two.

    Yields:
        A function to call for each hundredth.
    """
    bar = _Bar(what, 100, Output())
    bar.draw()
    try:
        yield bar.advance
    except BaseException:
        bar.end("stopped at {done} % after {seconds:.1f} s", good=False)
        raise
    bar.end("done in {seconds:.1f} s", good=True)


class _Bar:
    def __init__(self, what: str, total: int, output: Output) -> None:
        self._output = output
        self._what = what
        self._total = total
        self._done = 0
        self._started = self._drawn = time.monotonic()

    def advance(self) -> None:
        self._done += 1
        if time.monotonic() - self._drawn >= _EVERY:
            self.draw()

    def draw(self) -> None:
        self._drawn = time.monotonic()
        text = f"{self._what}: {self._done} of {self._total}"
        self._output.show("bar", text, what=self._what, done=self._done, total=self._total)

    def end(self, words: str, good: bool) -> None:
        seconds = time.monotonic() - self._started
        text = f"{self._what}: {words.format(done=self._done, total=self._total, seconds=seconds)}"
        self._output.show("finished", text, text=text, good=good)


@contextmanager
def status(what: str) -> Iterator[Callable[[str], None]]:
    """Keep one line that shows what goes on; a percentage in it becomes a bar.

    Args:
        what: What is going on, in a word or two.

    Yields:
        A function to call with each new text.
    """
    output = Output()
    started = drawn = time.monotonic()
    last = "starting"

    def update(text: str) -> None:
        nonlocal drawn, last
        last = printable(text.strip())
        if time.monotonic() - drawn >= _EVERY:
            drawn = time.monotonic()
            _draw_status(output, what, last)

    _draw_status(output, what, last)
    try:
        yield update
    except BaseException:
        output.show("finished", f"{what}: stopped at: {last}", text=f"{what}: stopped at: {last}", good=False)
        raise
    text = f"{what}: done in {time.monotonic() - started:.1f} s"
    output.show("finished", text, text=text, good=True)


def _draw_status(output: Output, what: str, line: str) -> None:
    found = _PER_CENT.search(line)
    done = min(100, int(found[1])) if found else None
    output.show("status", f"{what}: {line}", what=what, line=line, done=done)
