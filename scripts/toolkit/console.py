"""The face of every script: messages, exit codes, interrupts.

Results go to standard output, everything else to standard error, so that ``--json`` can be piped. Exit codes: 0 done,
1 failed, 2 wrong usage or configuration, 3 a check found problems, 130 interrupted.
"""

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer
from typer.exceptions import TyperException

from toolkit.errors import ToolkitError, UsageError

INTERRUPTED = 130

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


def printable(text: str) -> str:
    """Make text from outside (a file name, a server's answer) safe to print on one line.

    Control characters, line and paragraph separators, bidirectional marks and undecodable bytes come out as escapes, so
    that a name can neither break a line nor colour or reorder the terminal's text.

    Args:
        text: Any string, surrogate escapes included.

    Returns:
        The text with every character that does not show as itself replaced by its backslash escape.
    """
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape", "surrogatepass").decode("ascii")
        for character in text
    )


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
    """Print an error and its details to standard error."""
    say(f"error: {printable(error.message)}")
    for detail in error.details:
        say(f"  - {printable(detail)}")


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def run(command: Callable[..., None]) -> NoReturn:
    """Run a command function as a script and exit with its code.

    ``typer`` makes the options from the function's signature. SIGTERM and SIGHUP are handled like Ctrl-C, so that a
    stopped container or a closed terminal cleans up as well.

    Args:
        command: The function behind the script; it returns nothing or raises one of :mod:`toolkit.errors`.

    Raises:
        SystemExit: Always, with the exit codes of this module's description.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command()(command)
    sys.exit(_exit_code_of(app))


def _exit_code_of(app: typer.Typer) -> int:
    try:
        code = app(standalone_mode=False)
    except typer.Abort:
        code = INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has gone (`… | head`): nothing more can be said, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if _debug:
            traceback.print_exc()
        problem = _as_toolkit_error(error)
        report(problem)
        return problem.exit_code
    if code == INTERRUPTED:  # typer makes this of Ctrl-C, and an Abort of Ctrl-D at a prompt
        say("interrupted")
    return code if isinstance(code, int) else 0


def _as_toolkit_error(error: Exception) -> ToolkitError:
    if isinstance(error, ToolkitError):
        return error
    if isinstance(error, TyperException):
        return UsageError(f"{' '.join(error.format_message().split())} (--help shows the options)")
    if isinstance(error, OSError):
        return ToolkitError(_describe(error))
    return ToolkitError(
        f"this should not happen ({type(error).__name__}): run again with --debug and report what it says"
    )


def _describe(error: OSError) -> str:
    reason = error.strerror or str(error)
    return f"{reason}: {error.filename}" if error.filename else reason
