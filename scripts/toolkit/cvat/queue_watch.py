"""What cvat-cli tells of the server's background work, and when a person should look whether the worker runs at all."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

QUEUED_TOO_LONG = 30.0
"""Seconds in the queue after which the worker may be down; the server never says so."""

_STATE = re.compile(r"INFO: .* status: (\w+) \(message=")


@dataclass
class QueueWatch:
    """Follows one piece of background work.

    Attributes:
        what: The work and its worker, such as "import".
        warn: Called once with a warning when it waits for long.
        state: The last state that the server told: "queued", "started", "finished", "failed"; empty before the first.
    """

    what: str
    warn: Callable[[str], None]
    state: str = ""
    _changed: float = field(default_factory=time.monotonic)
    _warned: bool = False

    def on_line(self, line: str) -> None:
        """Take in a line of cvat-cli."""
        if (found := _STATE.search(line)) and found[1] != self.state:
            self.state, self._changed = found[1], time.monotonic()

    def on_idle(self) -> None:
        """Warn if it has been queued for long; to be called now and then."""
        if self.state == "queued" and time.monotonic() - self._changed > QUEUED_TOO_LONG and not self._warned:
            self._warned = True
            self.warn(
                f"the {self.what} has been queued for {QUEUED_TOO_LONG:.0f} s: "
                f"the {self.what} worker may be busy or down, look with make status"
            )

    def too_late(self, timeout: float) -> str:
        """Say what was going on when the time was over."""
        if self.state == "queued":
            return (
                f"no {self.what} after {timeout:g} s, it was last queued: "
                f"the {self.what} worker may be down, look with make status"
            )
        return f"no {self.what} after {timeout:g} s, it was last {self.state or 'asked for'}: give a longer --timeout"
