"""The face of every script: what it says, and the options that all have in common.

Results go to standard output, everything else to standard error, so that ``--json`` can be piped.
"""

import os
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TextIO

import typer

from toolkit.core.errors import ToolkitError, UsageError
from toolkit.core.secrets import redact_known, secrets_hidden
from toolkit.core.text import Progress, printable

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


class Location(str):
    """A path or an address as typed; an option of it has ``parser=Location``."""


DatasetDir = Annotated[
    Location | None,
    typer.Option(
        "--dataset-dir",
        "--dataset-conversion-dir",
        parser=Location,
        metavar="PATH",
        help="The same as an option.",
    ),
]
Config = Annotated[
    Path | None,
    typer.Option("--config", help="The configuration file; else configuration.json of this folder, if there is one."),
]
Url = Annotated[str | None, typer.Option("--url", help="Address of CVAT; else CVAT_URL, else http://localhost:8080.")]
Username = Annotated[
    str | None,
    typer.Option("--username", "--cvat-username", help="User name; the password comes from CVAT_PASSWORD or the file."),
]
Wait = Annotated[
    bool, typer.Option("--wait", envvar="WAIT", help="Wait for another command that changes this CVAT, and go on then.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def say(message: str) -> None:
    """Print one line for the person to standard error; where that is full, what was done still counts."""
    try:
        print(message, file=sys.stderr, flush=True)
    except BrokenPipeError:
        raise
    except OSError:
        _send_nowhere(sys.stderr)


def warn(message: str) -> None:
    """Print one warning line to standard error."""
    say(f"warning: {message}")


def warn_all(messages: Iterable[str]) -> None:
    """Print a warning line for each message."""
    for message in messages:
        warn(message)


def result(text: str) -> None:
    """Print a result to standard output, or to standard error where that cannot be written."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        _send_nowhere(sys.stdout)
        warn(f"standard output cannot be written ({error.strerror})")
        say(text)


def _send_nowhere(stream: TextIO) -> None:
    """Let a stream that cannot be written to swallow what it still holds, and what comes."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def is_interactive() -> bool:
    """Tell whether progress bars have a terminal to be drawn on."""
    return sys.stderr.isatty()


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[], None]]:
    """Draw a progress bar on a terminal, elsewhere nothing; yields a function to call after each step."""
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
    """Keep a line on a terminal that shows what goes on, elsewhere nothing; yields a function to call with new text."""
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
        for line in redact_known(traceback.format_exc()).splitlines():
            say(printable(line))
    say(f"error: {printable(error.message)}")
    for detail in error.details:
        say(f"  - {printable(detail)}")


def can_ask() -> bool:
    """Tell whether somebody can be asked: the answer comes from a terminal, and the question is shown on one."""
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))


def ask(what: str, otherwise: str, secret: bool = False, confirm: bool = False) -> str:
    """Ask for a value on the terminal.

    Args:
        what: What is asked for.
        otherwise: Where the value can be given when there is no terminal.
        secret: Do not show what is typed.
        confirm: Have it typed twice.

    Returns:
        The answer, never empty.

    Raises:
        UsageError: There is no terminal.
    """
    if not can_ask():
        raise UsageError(f"{what} is needed, and nobody can be asked here: set {otherwise}")
    answer: str = typer.prompt(what, hide_input=secret, confirmation_prompt=confirm, err=True)
    return answer


def confirm_project(project: str, confirm: str | None, done: str, warning: str = "") -> None:
    """Go on only when a project's name was given, or is typed now; raises UsageError otherwise.

    ``done`` is what does not happen then, as "removed"; ``warning`` what the question begins with.
    """
    confirm = confirm or ask(f"{warning}The project's name ({project})", f"CONFIRM={project}")
    if confirm != project:
        raise UsageError(f"nothing was {done}: the project's name is {project}, the answer was {confirm}")


def show_wait(wait: Iterable[Progress]) -> float:
    """Follow a wait to its end, and return the seconds that it took; what it raises passes through."""
    return _show_live(wait) if is_interactive() else _show_changes(wait)


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
                say(f"{seconds:5.0f} s  {name:<18} {printable(words)}")
        shown = dict(progress.states)
    return seconds


def open_page(address: str) -> bool:
    """Open a page in the browser of the person; tell whether one was asked to.

    Without a screen (`DISPLAY`, `WAYLAND_DISPLAY`) only the browser that `BROWSER` names is tried (VS Code sets one
    that opens on the person's machine): what else there is would take over the terminal.
    """
    import webbrowser

    has_screen = sys.platform in ("darwin", "win32") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if not has_screen and not os.environ.get("BROWSER"):
        return False
    try:
        with secrets_hidden():
            return webbrowser.open(address)
    except (webbrowser.Error, OSError):
        return False
