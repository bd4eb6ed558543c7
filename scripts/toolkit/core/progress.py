"""How a long piece of work tells how far it is."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """How far a starting CVAT is.

    Attributes:
        seconds: Time since the wait began.
        states: One line's worth of text by service or question, in a fixed order.
        ready: Whether all is well, which ends the wait.
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
        say: Tells something to keep.
        warn: Tells a warning to keep.
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
