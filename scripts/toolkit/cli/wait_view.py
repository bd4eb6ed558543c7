"""Showing a wait: one live line a service on a terminal, a line for each change elsewhere."""

from collections.abc import Iterable

from toolkit.cli import console
from toolkit.core.progress import Progress
from toolkit.core.text import printable


def show(wait: Iterable[Progress]) -> float:
    """Follow a wait to its end.

    Args:
        wait: The states as they come; what it raises passes through.

    Returns:
        The seconds that the wait took.
    """
    return _show_live(wait) if console.is_interactive() else _show_changes(wait)


def _show_live(wait: Iterable[Progress]) -> float:
    from rich.console import Console
    from rich.live import Live
    from rich.table import Table

    seconds = 0.0
    with Live(console=Console(stderr=True), refresh_per_second=4, transient=True) as live:
        for progress in wait:
            seconds = progress.seconds
            table = Table.grid(padding=(0, 2))
            for name, words in progress.states.items():
                table.add_row(name, printable(words))
            table.add_row("", f"{seconds:.0f} s")
            live.update(table)
    return seconds


def _show_changes(wait: Iterable[Progress]) -> float:
    seconds = 0.0
    shown: dict[str, str] = {}
    for progress in wait:
        seconds = progress.seconds
        for name, words in progress.states.items():
            if shown.get(name) != words:
                console.say(f"{seconds:5.0f} s  {name:<18} {printable(words)}")
        shown = dict(progress.states)
    return seconds
