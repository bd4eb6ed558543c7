"""Progress in a notebook: a bar for known amounts, a line for what a server does."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from toolkit.core.text import printable
from toolkit.notebook.display import Output

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
