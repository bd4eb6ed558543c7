"""What was asked of the stand-in, so that a test can assert it."""

import threading
from collections import deque
from typing import Any

LENGTH = 10_000


class RequestLog:
    """The last requests and their answers, oldest first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: deque[dict[str, Any]] = deque(maxlen=LENGTH)

    def add(self, method: str, path: str, status: int | None) -> None:
        """Note a request; its status is nothing where the connection broke before an answer began."""
        with self._lock:
            self._entries.append({"method": method, "path": path, "status": status})

    def entries(self) -> list[dict[str, Any]]:
        """Return what was noted."""
        with self._lock:
            return list(self._entries)

    def clear(self) -> None:
        """Forget what was noted."""
        with self._lock:
            self._entries.clear()
