"""The face of every script: what it says, and the options that all have in common.

Results go to standard output, everything else to standard error, so that ``--json`` can be piped.
"""

import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from toolkit.core.errors import ToolkitError
from toolkit.core.text import printable

_debug = False


def _enable_debug(value: bool) -> bool:
    global _debug
    _debug = value
    return value


Debug = Annotated[
    bool,
    typer.Option("--debug", callback=_enable_debug, is_eager=True, help="Show the traceback of an error."),
]
"""The option that every script takes: ``debug: console.Debug = False``."""

Config = Annotated[
    Path | None,
    typer.Option("--config", help="The configuration file; else configuration.json of this folder, if there is one."),
]
Url = Annotated[str | None, typer.Option("--url", help="Address of CVAT; else CVAT_URL, else http://localhost:8080.")]
Username = Annotated[
    str | None,
    typer.Option("--username", "--cvat-username", help="User name; the password comes from CVAT_PASSWORD or the file."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def say(message: str) -> None:
    """Print one line for the person to standard error."""
    print(message, file=sys.stderr, flush=True)


def warn(message: str) -> None:
    """Print one warning line to standard error."""
    say(f"warning: {message}")


def result(text: str) -> None:
    """Print a result to standard output."""
    print(text, flush=True)


def is_interactive() -> bool:
    """Tell whether progress bars have a terminal to be drawn on."""
    return sys.stderr.isatty()


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[], None]]:
    """Draw a progress bar on a terminal; elsewhere draw nothing.

    Args:
        what: What is going on, in a word or two.
        total: How many steps there are.

    Yields:
        A function to call after each step.
    """
    if not is_interactive():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task(what, total=total)
        yield lambda: bars.advance(bar)


@contextmanager
def status_line() -> Iterator[Callable[[str], None]]:
    """Keep one line on a terminal that shows what goes on; elsewhere draw nothing.

    Yields:
        A function to call with each new text.
    """
    if not is_interactive():
        yield lambda text: None
        return
    from rich.console import Console
    from rich.text import Text

    with Console(stderr=True).status("") as status:
        yield lambda text: status.update(Text(printable(text)))


def report(error: ToolkitError) -> None:
    """Print an error and its details to standard error, with ``--debug`` what led to it as well."""
    if _debug:
        traceback.print_exc()
    say(f"error: {printable(error.message)}")
    for detail in error.details:
        say(f"  - {printable(detail)}")
