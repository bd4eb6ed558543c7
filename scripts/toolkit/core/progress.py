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
