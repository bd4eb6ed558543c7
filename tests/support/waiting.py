"""Waiting for what a test needs, however busy the machine is."""

import time
from collections.abc import Callable
from pathlib import Path

GUARD = 240.0
"""Seconds after which a thing never comes; less than pytest's own limit, and no measure of how fast anything is."""

HELD = 600.0
"""Seconds for what a test holds up and ends itself: never reached."""


def found(folder: Path, pattern: str) -> list[Path]:
    """Find what is in a folder, from which things may be moved at the same time."""
    try:
        return list(folder.glob(pattern))
    except FileNotFoundError:
        return []


def wait_until(condition: Callable[[], object]) -> None:
    """Wait until something is true."""
    end = time.monotonic() + GUARD
    while not condition():
        assert time.monotonic() < end, "what the test waits for never came"
        time.sleep(0.02)
