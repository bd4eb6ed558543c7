"""What people are told: text that is safe to print, sizes, a few names of many, and how far a long piece of work is."""

import re
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass


def printable(text: str) -> str:
    """Make text from outside (a file name, a server's answer) safe to print on one line.

    Control characters, line and paragraph separators, bidirectional marks and undecodable bytes come out as backslash
    escapes, so that a name can neither break a line nor colour or reorder the terminal's text.
    """
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape", "surrogatepass").decode("ascii")
        for character in text
    )


NAMES_SHOWN = 5


def some_names(names: Iterable[str], count: int = NAMES_SHOWN) -> str:
    """Name the first few of many, separated by commas, with an ellipsis if there are more."""
    given = list(names)
    return ", ".join(given[:count]) + (", …" if len(given) > count else "")


def format_size(count: int) -> str:
    """Write a number of bytes for people, such as "350 bytes" or "1.2 MiB"."""
    if count < 1024:
        return f"{count} bytes"
    power = min(4, (count.bit_length() - 1) // 10)
    return f"{count / 1024**power:.1f} {('KiB', 'MiB', 'GiB', 'TiB')[power - 1]}"


_UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def read_size(text: str) -> int:
    """Read a number of bytes such as "1GB", "500 MB" or "64MiB"; 0 where it is none."""
    found = re.fullmatch(r"([0-9]{1,15}) ?([KMG]I?B)?", text.strip().upper())
    return int(found[1]) * _UNITS[found[2] or ""] if found else 0


@dataclass(frozen=True)
class Progress:
    """How far a starting CVAT is, after so many seconds of waiting.

    ``states`` has one line's worth of text by service or question, in a fixed order.
    """

    seconds: float
    states: dict[str, str]
    ready: bool


@dataclass(frozen=True)
class Watch:
    """How the person is told, on a terminal or in a notebook.

    Attributes:
        progress: Shows a bar for a number of steps; gives a function to call after each.
        status: Shows a line; gives a function to call with each new text.
    """

    progress: Callable[[str, int], AbstractContextManager[Callable[[], None]]]
    status: Callable[[], AbstractContextManager[Callable[[str], None]]]
    say: Callable[[str], None]
    warn: Callable[[str], None]


class Percent:
    """Counts in hundredths of a whole."""

    def __init__(self, total: int, on_percent: Callable[[], None]) -> None:
        self._total = total or 1
        self._on_percent = on_percent
        self._count = self._shown = 0

    def add(self, count: int = 1) -> None:
        """Count some more."""
        self.reach(self._count + count)

    def reach(self, count: int) -> None:
        """Tell how much is done in all."""
        self._count = count
        percent = min(100, 100 * count // self._total)
        for _ in range(percent - self._shown):
            self._on_percent()
        self._shown = max(self._shown, percent)
