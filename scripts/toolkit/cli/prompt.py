"""Asking the person at the terminal."""

import sys

import typer

from toolkit.core.errors import UsageError


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
