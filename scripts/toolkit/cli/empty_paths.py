"""Paths on the command line that are empty, as of an unset variable of the shell.

typer would take them for the working directory.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, get_args, get_origin, get_type_hints

from toolkit.core.errors import UsageError


def refuse_empty_paths(command: Callable[..., None], arguments: Sequence[str]) -> None:
    """Refuse options that name a file or folder by an empty text.

    Args:
        command: The function behind a script, with typer's annotations.
        arguments: What stands on its command line.

    Raises:
        UsageError: An option is empty.
    """
    flags = set(_path_options(command))
    for before, argument in pairwise(["", *arguments]):
        flag = before if argument == "" else argument[:-1] if argument.endswith("=") else None
        if flag in flags:
            raise UsageError(f"{flag} is empty: is a variable of the shell not set?")


def _path_options(command: Callable[..., None]) -> Iterator[str]:
    for name, hint in get_type_hints(command, include_extras=True).items():
        if get_origin(hint) is Annotated and Path in (hint.__origin__, *get_args(hint.__origin__)):
            option = hint.__metadata__[0]
            yield f"--{name.replace('_', '-')}"
            # Inside Annotated, typer keeps the first name where the default stands otherwise.
            yield from (str(option.default), *(option.param_decls or ()))
