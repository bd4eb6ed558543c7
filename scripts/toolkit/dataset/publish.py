"""Putting a finished dataset into its folder, so that whoever looks sees the old state whole or the new one whole.

A conversion works in a folder beside the target, ``.<name>.converting``, which it locks: the lock keeps a second
conversion out, and tells the leftovers of a killed one from one that is at work. What the target holds besides a
dataset (often the export itself) is carried over by hard links before the two folders are swapped in one step.

Where that is impossible (the target is a mount point or the folder that this process works in, its parent cannot be
written to, its other content cannot be linked, the file system cannot swap), the parts are renamed into the target one
by one, after a journal of it was written. A process killed between two of these renames leaves a mixture, which the
next run completes before it does anything else.

The promise is about killed processes. After a power failure the file system decides what is left; ``verify`` tells.
"""

import errno
import fcntl
import hashlib
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import TracebackType

from toolkit.core.errors import ToolkitError, UsageError
from toolkit.dataset.carry_over import carry_over
from toolkit.dataset.exchange import CannotExchange, exchange
from toolkit.dataset.layout import MANIFEST, OWN, SPECIFIED
from toolkit.dataset.manifest import is_manifest
from toolkit.dataset.placement_journal import INSIDE, NEW, note_renames, note_swap, remove, settle

_LONGEST_NAME = 255


def check(target: Path, overwrite: bool) -> None:
    """Check that a dataset may be written into a folder.

    Args:
        target: The folder; it need not exist.
        overwrite: Whether a dataset that is there may be replaced.

    Raises:
        UsageError: The target is no folder, or belongs to another dataset.
        ToolkitError: There is a dataset already, or a file that is in the way.
    """
    if os.path.lexists(target) and not target.is_dir():
        raise UsageError(f"{target} is not a folder: name the folder for the dataset (--output-dir)")
    if (outer := _dataset_around(target)) is not None:
        raise UsageError(f"{target} lies in the dataset {outer}: name a folder outside of it (--output-dir)")
    there = [name for name in SPECIFIED if os.path.lexists(target / name)]
    if there and not overwrite:
        raise ToolkitError(
            f"{target} already contains a dataset ({', '.join(there)}): "
            "remove it, set another directory, or replace it with --overwrite"
        )
    if os.path.lexists(target / MANIFEST) and not is_manifest(target / MANIFEST):
        raise ToolkitError(f"{target / MANIFEST} is in the way: move it away or set another directory")


def _dataset_around(target: Path) -> Path | None:
    """Find the dataset to whose own folders a folder belongs."""
    return next(
        (
            folder
            for folder in target.parents
            if target.relative_to(folder).parts[0] in OWN and is_manifest(folder / MANIFEST)
        ),
        None,
    )


def recover(target: Path) -> None:
    """Finish or remove what a killed conversion left.

    Args:
        target: The folder of the dataset.

    Raises:
        ToolkitError: A conversion into this folder is at work right now.
    """
    for path in (_beside(target), target / INSIDE):
        if path.is_dir() and not path.is_symlink():
            lock = _lock(path, target)
            try:
                settle(path, target)
            finally:
                os.close(lock)


class Placement:
    """The working folder of one conversion, from its making to the finished dataset.

    Use it as a context manager: what is in :attr:`tree` when :meth:`publish` is called becomes the dataset; without
    that call nothing is left at the end of the block.
    """

    def __init__(self, target: Path, overwrite: bool) -> None:
        self._target = target
        self._overwrite = overwrite
        self._made: list[Path] = []
        self._locks: list[tuple[Path, int]] = []

    def __enter__(self) -> "Placement":
        try:
            self._make_parents()
            self._work = self._choose_folder()
            settle(self._work, self._target, keep=True)
            check(self._target, self._overwrite)
            self.tree = self._work / NEW
            self.tree.mkdir()
        except BaseException:
            self._clean_up()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._clean_up()

    def _make_parents(self) -> None:
        missing = []
        folder = self._target.parent
        while not folder.exists():
            missing.append(folder)
            folder = folder.parent
        for path in reversed(missing):
            path.mkdir(exist_ok=True)
            self._made.append(path)

    def _choose_folder(self) -> Path:
        """Make and lock the working folder, beside the target if its parent allows it."""
        beside = _beside(self._target)
        if _is_writable(self._target.parent) and self._target != self._target.parent:
            self._hold(beside)
            if not self._target.is_dir() or self._target.stat().st_dev == beside.stat().st_dev:
                return beside
        inside = self._target / INSIDE
        self._hold(inside)
        return inside

    def _hold(self, path: Path) -> None:
        path.mkdir(exist_ok=True)
        self._locks.append((path, _lock(path, self._target)))

    def _clean_up(self) -> None:
        try:
            for path, lock in reversed(self._locks):
                _uninterrupted(partial(settle, path, self._target))
                os.close(lock)
        finally:
            self._locks.clear()
            for path in reversed(self._made):
                try:
                    path.rmdir()
                except OSError:  # no longer empty: the dataset is in it
                    break

    def publish(self) -> None:
        """Let the finished tree become the dataset.

        Raises:
            ToolkitError: Meanwhile somebody else put a dataset there.
            OSError: It could not be done; the target is as it was.
        """
        check(self._target, self._overwrite)
        if not os.path.lexists(self._target):
            try:
                self.tree.rename(self._target)
                return
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                    raise
        try:
            self._swap()
        except CannotExchange:
            self._rename_parts()

    def _swap(self) -> None:
        if self._work.parent == self._target or _is_worked_in(self._target):
            raise CannotExchange
        carry_over(self._target, self.tree, without={*OWN, INSIDE})
        note_swap(self._work)
        exchange(self.tree, self._target)

    def _rename_parts(self) -> None:
        for entry in list(os.scandir(self.tree)):
            if entry.name not in OWN:
                remove(Path(entry.path))
        note_renames(self._work)
        settle(self._work, self._target, keep=True)


def _beside(target: Path) -> Path:
    name = f".{target.name}.converting"
    if len(os.fsencode(name)) > _LONGEST_NAME:
        name = f".{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]}.converting"
    return target.parent / name


def _is_writable(folder: Path) -> bool:
    return os.access(folder, os.W_OK | os.X_OK)


def _is_worked_in(folder: Path) -> bool:
    """Tell whether this process, and so probably a shell, has its working directory in a folder."""
    try:
        return Path.cwd().is_relative_to(folder.resolve())
    except FileNotFoundError:
        return False


def _lock(path: Path, target: Path) -> int:
    """Lock a working folder for as long as the descriptor is open."""
    while True:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise ToolkitError(f"another conversion into {target} is at work: wait for its end") from None
        held = os.fstat(descriptor)
        path.mkdir(exist_ok=True)  # whoever held it before may have removed it at its end
        now = path.stat()
        if (held.st_dev, held.st_ino) == (now.st_dev, now.st_ino):
            return descriptor
        os.close(descriptor)


def _uninterrupted(clean_up: Callable[[], None]) -> None:
    """Clean up although Ctrl-C is pressed again; a third time ends it, and the next run does the rest."""
    try:
        clean_up()
    except KeyboardInterrupt:
        clean_up()
