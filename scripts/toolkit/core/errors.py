"""The one family of errors that the toolkit raises, each with its exit code; and the outcome of a check."""

from collections.abc import Sequence
from dataclasses import dataclass


class ToolkitError(Exception):
    """Something could not be done: exit code 1.

    The message is one line that says what went wrong, where, and what to do about it. ``details`` are further lines,
    one an offender (every bad file, every wrong key), that are printed below it.
    """

    exit_code = 1

    def __init__(self, message: str, details: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.details = tuple(details)


class UsageError(ToolkitError):
    """A wrong option, argument or configuration: exit code 2."""

    exit_code = 2


class ProblemsFound(ToolkitError):
    """A check ran to its end and found problems (doctor, verify): exit code 3."""

    exit_code = 3


class TransientError(ToolkitError):
    """Something that may well succeed when it is tried again: a broken connection, a server that is not ready."""


OK, WARNING, FAILED, SKIPPED = "ok", "warning", "failed", "skipped"


@dataclass(frozen=True)
class Check:
    """The outcome of one check.

    Attributes:
        name: What was looked at.
        state: ``ok``, ``warning``, ``failed`` or ``skipped``.
        required: What it takes.
        found: What is there.
        advice: What to do, empty when all is well.
    """

    name: str
    state: str
    required: str
    found: str
    advice: str = ""
