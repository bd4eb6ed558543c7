"""How long the toolkit waits for a server, and how often it tries again."""

import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from toolkit.core.errors import TransientError, UsageError

T = TypeVar("T")

LONGEST_WAIT = 60.0
"""Seconds that a server may ask for with Retry-After; one that wants more is not waited for."""


@dataclass(frozen=True)
class RetryPolicy:
    """Limits of one conversation with a server.

    Attributes:
        answer: Seconds that a server may take for an answer, and be silent in the middle of a transfer.
        attempts: How often a thing is tried that is safe to try again.
        wait: Seconds before the second attempt; every further wait is twice as long.
        queue: Seconds for which to wait for a turn to sign in, over and above the attempts.
    """

    answer: float = 60.0
    attempts: int = 3
    wait: float = 1.0
    queue: float = LONGEST_WAIT

    def pause(self, failures: int) -> float:
        """Return the seconds to wait after a number of failures."""
        return float(min(self.wait * 2.0 ** (failures - 1), LONGEST_WAIT))


def read_retry_policy(environ: Mapping[str, str] | None = None) -> RetryPolicy:
    """Read the limits from `CVAT_ANSWER_TIMEOUT`, `CVAT_ATTEMPTS` and `CVAT_RETRY_WAIT`, or take the defaults.

    Raises UsageError where a value is no number in its range.
    """
    environ = os.environ if environ is None else environ
    answer = _number(environ, "CVAT_ANSWER_TIMEOUT", RetryPolicy.answer, 0.1, 3600)
    attempts = _number(environ, "CVAT_ATTEMPTS", RetryPolicy.attempts, 1, 10)
    wait = _number(environ, "CVAT_RETRY_WAIT", RetryPolicy.wait, 0, LONGEST_WAIT)
    if attempts != int(attempts):
        raise UsageError(f"CVAT_ATTEMPTS must be a whole number, found {environ['CVAT_ATTEMPTS']}")
    return RetryPolicy(answer, int(attempts), wait, LONGEST_WAIT if attempts > 1 else 0)


def _number(environ: Mapping[str, str], name: str, default: float, smallest: float, largest: float) -> float:
    text = environ.get(name)
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not smallest <= value <= largest:
        raise UsageError(f"{name} must be a number from {smallest:g} to {largest:g}, found {text}")
    return value


def retry(
    attempt: Callable[[], T],
    notice: Callable[[str], None],
    deadline: float = float("inf"),
    stop: threading.Event | None = None,
) -> T:
    """Do something, and again as long as it fails for a reason that may pass.

    Args:
        attempt: What to do; a :class:`TransientError` of it means that it may be done again.
        deadline: The moment of ``time.monotonic()`` behind which no attempt begins.
        stop: Set by another thread to interrupt a pause.

    Raises:
        TransientError: The last attempt failed as well.
        KeyboardInterrupt: ``stop`` was set.
    """
    policy = read_retry_policy()
    failures = 0
    while True:
        try:
            return attempt()
        except TransientError as error:
            failures += 1
            pause = policy.pause(failures)
            if failures >= policy.attempts or time.monotonic() + pause > deadline:
                raise
            reason = error.message.split(": ")[0]  # without the advice to run again
        notice(f"{reason}, attempt {failures + 1} of {policy.attempts} in {pause:g} s")
        if (stop or threading.Event()).wait(pause):
            raise KeyboardInterrupt
