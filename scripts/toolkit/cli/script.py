"""The way into every script and out of it: Ctrl-C, errors, exit codes.

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 a check found problems, 130 interrupted.

It is the first thing that a script imports, for with it Ctrl-C ends the script without a traceback, also while Python
still reads the rest of what it needs. So it imports next to nothing itself.
"""

import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from types import FrameType

from toolkit.core.errors import ToolkitError, UsageError

INTERRUPTED = 130
_OBJECTS = 100_000
"""After so many new objects the collector looks for rings among them, of which a script makes few."""


def _open_standard_streams() -> None:
    """Give each standard stream that the shell has closed a place; else the next file opened would be taken for it."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", errors="backslashreplace", closefd=False)
    if sys.stdout is None:
        sys.stdout = sys.stderr  # where a result can still be read


_open_standard_streams()


def _end_quietly(_number: int, _frame: FrameType | None) -> None:
    """End where nothing has begun that would have to be undone."""
    os.write(2, b"interrupted\n")
    os._exit(INTERRUPTED)


if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a shell may have told us to ignore it
    signal.signal(signal.SIGINT, _end_quietly)


def run_script(command: Callable[..., None]) -> None:
    """Run a command function as a script and exit with its code.

    ``typer`` makes the options from the function's signature. While the function runs, SIGTERM and SIGHUP are handled
    like Ctrl-C, so that a stopped container or a closed terminal cleans up as well.

    Args:
        command: The function behind the script; it returns nothing or raises one of :mod:`toolkit.core.errors`.

    Raises:
        SystemExit: Always, with the exit codes of this module's description.
    """
    import typer

    gc.set_threshold(_OBJECTS)
    _open_closed_streams()
    settings = {"help_option_names": ["-h", "--help"]}
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command(context_settings=settings)(_with_version(_interruptible(command)))
    code = _exit_code_of(app, command)
    gc.freeze()  # the collector's last rounds would only take time: memory is given back with the process
    sys.exit(code)


def _with_version(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the option ``--version``, unless it has one of its own: upgrade asks for CVAT's."""
    import inspect
    from typing import Annotated

    import typer

    def show(wanted: bool) -> None:
        if wanted:
            from toolkit import __version__
            from toolkit.cli import console

            console.result(f"cvat-toolkit {__version__}")
            raise typer.Exit

    signature = inspect.signature(command)
    if "version" in signature.parameters:  # make upgrade's own: the version to go to
        return command
    option = Annotated[
        bool, typer.Option("--version", callback=show, is_eager=True, help="Print the toolkit's version.")
    ]

    @wraps(command)
    def with_version(*arguments: object, version: bool = False, **options: object) -> None:
        command(*arguments, **options)

    parameter = inspect.Parameter("version", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=option)
    with_version.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*signature.parameters.values(), parameter]
    )
    with_version.__annotations__ = {**command.__annotations__, "version": option}
    return with_version


def _open_closed_streams() -> None:
    """Let streams that the shell has closed (`2>&-`) lead nowhere, or a file of ours would get their number."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
            setattr(sys, name, os.fdopen(number, "w" if number else "r"))


def _interruptible(command: Callable[..., None]) -> Callable[..., None]:
    @wraps(command)
    def work(*arguments: object, **options: object) -> None:
        if signal.getsignal(signal.SIGINT) is _end_quietly:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        # What was ignored when we began stays ignored: that is how nohup, and a shell's &, keep a script alive.
        taken = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) != signal.SIG_IGN]
        for number in taken:
            signal.signal(number, _interrupt)
        sys.unraisablehook = _deliver_again
        try:
            command(*arguments, **options)
        finally:
            # All is done or undone: what is left is to say so and to end, and that takes no time.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            for number in taken:
                signal.signal(number, signal.SIG_DFL)

    return work


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _deliver_again(dropped: "sys.UnraisableHookArgs") -> None:
    """Send an interrupt once more that came inside a callback, as Python's imports have them: it is dropped there."""
    if not issubclass(dropped.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(dropped)
        return
    import threading

    number = signal.SIGTERM if signal.getsignal(signal.SIGINT) == signal.SIG_IGN else signal.SIGINT
    threading.Timer(_AFTER_CALLBACK, os.kill, (os.getpid(), number)).start()


_AFTER_CALLBACK = 0.02
"""Seconds in which the callback has ended."""


def _exit_code_of(app: Callable[..., object], command: Callable[..., None]) -> int:
    import typer

    from toolkit.cli import console

    try:
        arguments = _with_words_of_make(sys.argv[1:])
        refuse_empty_paths(command, arguments)
        refuse_addresses(command, arguments)
        code = app(args=arguments, standalone_mode=False)
    except typer.Abort:
        code = INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has gone (`… | head`): nothing more can be said, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        problem = _as_toolkit_error(error)
        console.report(problem)
        return problem.exit_code
    if code == INTERRUPTED:  # typer makes this of Ctrl-C, and an Abort of Ctrl-D at a prompt
        console.say("interrupted")
    return code if isinstance(code, int) else 0


def _as_toolkit_error(error: Exception) -> ToolkitError:
    from typer.exceptions import TyperException

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


def _with_words_of_make(arguments: list[str]) -> list[str]:
    """Put the words of the variable ARGS in the place of the Makefile's ``@ARGS``: no shell has read them."""
    if "@ARGS" not in arguments:
        return arguments
    import shlex

    place = arguments.index("@ARGS")
    try:
        words = shlex.split(os.environ.pop("ARGS", ""))
    except ValueError as error:
        raise UsageError(f"ARGS cannot be split into words: {str(error).lower()}") from None
    return arguments[:place] + [os.path.expanduser(word) for word in words] + arguments[place + 1 :]  # noqa: PTH111


def refuse_empty_paths(command: Callable[..., None], arguments: Sequence[str]) -> None:
    """Refuse options on a command line that name a file or folder by an empty text, as UsageError."""
    from itertools import pairwise

    flags = set(_path_options(command))
    for before, argument in pairwise(["", *arguments]):
        flag = before if argument == "" else argument[:-1] if argument.endswith("=") else None
        if flag in flags:
            raise UsageError(f"{flag} is empty: is a variable of the shell not set?")


def refuse_addresses(command: Callable[..., None], arguments: Sequence[str]) -> None:
    """Refuse addresses such as s3://bucket/x where a file or folder of this machine is meant, as UsageError.

    An option that has one would become a local folder named s3:.
    """
    from itertools import pairwise
    from pathlib import Path

    flags = set(_path_options(command, (Path,)))
    for before, argument in pairwise(["", *arguments]):
        flag, equals, value = argument.partition("=") if argument.startswith("--") else (before, "=", argument)
        if equals and flag in flags and "://" in value:
            raise UsageError(
                f"{flag} takes a file or folder of this machine, not an address ({value.split('://')[0]}://)"
            )


def _path_options(command: Callable[..., None], types: tuple[type, ...] = ()) -> Iterator[str]:
    from pathlib import Path
    from typing import Annotated, get_args, get_origin, get_type_hints

    from toolkit.cli.console import Location

    def holds_path(hint: object) -> bool:
        return hint in (types or (Path, Location)) or any(map(holds_path, get_args(hint)))

    for name, hint in get_type_hints(command, include_extras=True).items():
        if get_origin(hint) is Annotated and holds_path(hint.__origin__):
            option = hint.__metadata__[0]
            yield f"--{name.replace('_', '-')}"
            # Inside Annotated, typer keeps the first name where the default stands otherwise.
            yield from (str(option.default), *(option.param_decls or ()))
