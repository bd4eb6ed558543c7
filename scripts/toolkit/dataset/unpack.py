"""Unpacking an export: every member is read once, and checked, hashed and written on the way."""

import hashlib
import os
import threading
from collections import deque
from collections.abc import Callable

from toolkit.dataset.archive import Archive, Member, refused
from toolkit.dataset.member_data import Damaged, Reader, batches

MOST_WORKERS = 4
"""Beyond a few threads only the disk and the interpreter's lock are fought over."""

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)
_POLL_SECONDS = 0.05


def unpack(archive: Archive, tree: str | None, on_percent: Callable[[], None] = lambda: None) -> list[bytes]:
    """Read every member, check it, hash it, and write it below a folder.

    Args:
        archive: The open archive.
        tree: Folder in which all :meth:`Archive.all_folders` exist; None only checks and hashes.
        on_percent: Called for every hundredth of the work.

    Returns:
        The SHA-256 of each member, 32 bytes in the archive's order.

    Raises:
        ToolkitError: Members are damaged (all are listed).
        OSError: Reading or writing failed.
    """
    run = _Run(archive, tree)
    try:
        return run.finish(on_percent)
    finally:
        run.stop()


class _Run:
    """One pass over the archive by some threads.

    The threads take the batches from both ends, so that they seldom write into the same folder, which the kernel lets
    only one of them do at a time.
    """

    def __init__(self, archive: Archive, tree: str | None) -> None:
        self._archive = archive
        self._tree = None if tree is None else os.open(tree, os.O_RDONLY | os.O_DIRECTORY)
        self._hashes: list[bytes] = [b""] * len(archive.members)
        self._batches = deque(batches(archive.members))
        self._read_bytes = 0
        self._problems: list[tuple[int, str]] = []
        self._failure: BaseException | None = None
        self._stopped = threading.Event()
        count = min(MOST_WORKERS, os.cpu_count() or 1, len(self._batches))
        self._threads = [
            threading.Thread(target=self._work, args=(number % 2 == 0,), daemon=True) for number in range(count)
        ]

    def finish(self, on_percent: Callable[[], None]) -> list[bytes]:
        """Start the threads and wait for them; :meth:`stop` must be called afterwards, also after an interrupt."""
        for thread in self._threads:
            thread.start()
        shown = 0
        while any(thread.is_alive() for thread in self._threads):
            for thread in self._threads:
                thread.join(_POLL_SECONDS)
            percent = min(100, 100 * self._read_bytes // (self._archive.size or 1))
            for _ in range(percent - shown):
                on_percent()
            shown = max(shown, percent)
        if self._failure is not None:
            raise self._failure
        if self._problems:
            members = self._archive.members
            raise refused(
                self._archive.path, [f"{members[index].name}: {reason}" for index, reason in sorted(self._problems)]
            )
        return self._hashes

    def stop(self) -> None:
        """End the threads, wherever they are, and close the folder."""
        self._stopped.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()
        if self._tree is not None:
            os.close(self._tree)

    def _work(self, from_the_front: bool) -> None:
        take = self._batches.popleft if from_the_front else self._batches.pop
        reader = Reader(self._archive)
        members = self._archive.members
        try:
            while not self._stopped.is_set():
                try:
                    batch = take()
                except IndexError:
                    return
                reader.load(members[batch.start].offset, members[batch.stop - 1].limit)
                for index in batch:
                    self._take_member(reader, index, members[index])
                self._read_bytes += members[batch.stop - 1].limit - members[batch.start].offset
        except BaseException as error:  # whatever it is, the waiting thread raises it
            self._failure = error
            self._stopped.set()

    def _take_member(self, reader: Reader, index: int, member: Member) -> None:
        sha256 = hashlib.sha256()
        target = None
        try:
            if self._tree is not None and not self._problems:
                target = os.open(member.name, _CREATE, 0o666, dir_fd=self._tree)
            for piece in reader.content(member):
                sha256.update(piece)
                if target is not None:
                    _write(target, piece)
                if self._stopped.is_set():
                    return
            self._hashes[index] = sha256.digest()
        except Damaged as damage:
            self._problems.append((index, str(damage)))
        finally:
            if target is not None:
                os.close(target)


def _write(target: int, piece: bytes | memoryview) -> None:
    written = os.write(target, piece)
    while written < len(piece):
        piece = piece[written:]
        written = os.write(target, piece)
