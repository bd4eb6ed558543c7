"""The SHA-256 of a whole archive, taken in the background while its members are read."""

import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from toolkit.core.errors import ToolkitError

_READ_SIZE = 1024 * 1024


class ArchiveHash:
    """A hash that is being taken."""

    def __init__(self, descriptor: int, size: int) -> None:
        self._descriptor = descriptor
        self._size = size
        self._sha256 = hashlib.sha256()
        self._failure: BaseException | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        try:
            buffer = memoryview(bytearray(_READ_SIZE))
            done = 0
            while done < self._size and not self._stopped.is_set():
                got = os.preadv(self._descriptor, [buffer], done)
                if not got:
                    raise ToolkitError("the archive became shorter while it was read: is it still being copied?")
                self._sha256.update(buffer[:got])
                done += got
        except BaseException as error:  # whatever it is, the waiting thread raises it
            self._failure = error

    def stop(self) -> None:
        """End the reading, finished or not."""
        self._stopped.set()
        self._thread.join()

    def result(self) -> str:
        """Wait for the hash.

        Returns:
            Hexadecimal digits.

        Raises:
            OSError: The archive could not be read.
            ToolkitError: It became shorter meanwhile.
        """
        self._thread.join()
        if self._failure is not None:
            raise self._failure
        return self._sha256.hexdigest()


@contextmanager
def hash_in_background(descriptor: int, size: int) -> Iterator[ArchiveHash]:
    """Start hashing an archive.

    Args:
        descriptor: The open file; it must stay open until the end of the block.
        size: Its size in bytes.

    Yields:
        The hash, to be asked for its result.
    """
    running = ArchiveHash(descriptor, size)
    try:
        yield running
    finally:
        running.stop()
