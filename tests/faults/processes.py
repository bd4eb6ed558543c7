"""Which processes a test has started, however far down, and whatever session they moved to."""

import secrets
import time
from pathlib import Path

MARK = "STARTED_BY_TEST"
_PATIENCE = 120.0


def new_mark() -> dict[str, str]:
    """Return a variable of the environment by which all that inherits it is known."""
    return {MARK: secrets.token_hex(8)}


def living(mark: dict[str, str]) -> list[str]:
    """Return the command lines of the processes that still live, after giving them a moment to end."""
    end = time.monotonic() + _PATIENCE
    while (found := _living(mark)) and time.monotonic() < end:
        time.sleep(0.05)
    return found


def _living(mark: dict[str, str]) -> list[str]:
    sign = f"{MARK}={mark[MARK]}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if sign in (process / "environ").read_bytes().split(b"\0"):
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue  # it has ended meanwhile, or is somebody else's
    return [command for command in found if command]  # one that has ended and was not waited for yet has none
