"""Telling what a living process works on from what a dead one has left, whatever killed it.

A process claims a thing by a lock on a file; the system drops the lock when the process ends, by SIGKILL as well.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def claim(path: Path) -> Iterator[None]:
    """Hold a claim on a file, which is made if missing, readable by its owner alone.

    Args:
        path: The file; it is not removed at the end.

    Raises:
        BlockingIOError: A living process holds it, or has just removed it.
        OSError: The file cannot be made, or its file system knows no locks.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.fstat(descriptor).st_nlink:
            raise BlockingIOError(f"{path} was removed meanwhile")
        yield
    finally:
        os.close(descriptor)
