"""The one family of errors that the toolkit raises; each carries the exit code that a script ends with."""

from collections.abc import Sequence


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
