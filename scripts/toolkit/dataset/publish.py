"""Putting a finished dataset into its folder, so that a killed run leaves the old state or the new one, never a loss.

A dataset for a folder that does not exist is made beside it and renamed as a whole. One for a folder that exists is
made in ``.converting`` inside it, which is locked; its parts then change places with the old ones, by a dozen renames
after a note that this has begun. The folder itself stays what it is: a mount of it into a container, a shell in it and
all other files in it never notice. A process killed between two renames leaves a mixture, which the next run, or
``verify``, completes before it does anything else.

The promise is about killed processes. After a power failure the file system decides what is left; ``verify`` tells.

In object storage nothing can be renamed and nothing locked. What says that there is a dataset, ``manifest.json``, is
removed first and written last. An object ``.converting`` tells that a conversion is at work, or was killed: the next
one clears up what it had begun, and ``verify`` says so.
"""

import errno
import fcntl
import json
import os
import secrets
import shutil
import stat
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from toolkit.core.errors import ToolkitError, UsageError
from toolkit.core.files import remove_abandoned, temporary_folder, write_atomically
from toolkit.core.storage import Address, Place
from toolkit.dataset.layout import (
    CLASSES,
    DETECTION_PARTS,
    FIRST_PARTS,
    INDEX_TABLE,
    LABELS,
    MANIFEST,
    SPECIFIED,
    entries_of,
)
from toolkit.dataset.manifest_reading import recorded_parts

_MARK = ".converting"
_TELLING = (MANIFEST, LABELS, INDEX_TABLE, CLASSES)
"""What is removed first, so that nothing looks whole that is not."""
_NEW, _OLD = "new", "old"
_NOTE = "publishing"
_LONGEST_PREFIX = 60
"""Characters of the folder's name in that of the temporary one, so that no name gets too long for a file system."""


def check_target(target: Place, overwrite: bool, parts: tuple[str, ...] = FIRST_PARTS) -> None:
    """Check that a dataset of such parts may be written into a folder, which need not exist, or to an address.

    Raises UsageError where the target is no folder, or belongs to another dataset; ToolkitError where there is a
    dataset already, which may not be replaced, or a file that is in the way.
    """
    if isinstance(target, Address):
        check_stored_target(target, overwrite, parts)
        return
    if os.path.lexists(target) and not target.is_dir():
        raise UsageError(f"{target} is not a folder: name the folder for the dataset (--output-dir)")
    if (outer := _dataset_around(target)) is not None:
        raise UsageError(f"{target} lies in the dataset {outer}: name a folder outside of it (--output-dir)")
    if not overwrite:
        _refuse_dataset(target, dataset_in(target), "directory")
    replaced = {*SPECIFIED, *recorded_parts(target / MANIFEST)}
    for name in parts:
        if name not in replaced and os.path.lexists(target / name):
            raise ToolkitError(f"{target / name} is in the way: move it away or set another directory")
        if os.path.ismount(target / name):
            raise ToolkitError(f"{target / name} is a mount point, which cannot be replaced: mount {target} instead")


def _refuse_dataset(target: Place, there: Sequence[str], place: str) -> None:
    if there:
        raise ToolkitError(
            f"{target} already contains a dataset ({', '.join(there)}): "
            f"remove it, set another {place}, or replace it with --overwrite"
        )


def dataset_in(target: Place) -> list[str]:
    """Name what makes a folder one with a dataset: what is specified, and the folders of recorded boxes."""
    if isinstance(target, Address):
        return stored_dataset_in(target)
    recorded = recorded_parts(target / MANIFEST)
    more = (name for name in (*DETECTION_PARTS, INDEX_TABLE) if name in recorded and name not in (LABELS, MANIFEST))
    parts = [*SPECIFIED, *more]
    return [name for name in parts if os.path.lexists(target / name)]


def _dataset_around(target: Path) -> Path | None:
    """Find the dataset to whose own folders a folder belongs."""
    return next(
        (
            folder
            for folder in target.parents
            if target.relative_to(folder).parts[0] in recorded_parts(folder / MANIFEST)
        ),
        None,
    )


def recover(target: Place) -> None:
    """Complete what a killed conversion had begun to publish, and remove what else it left in the folder.

    Raises ToolkitError where a conversion into it is at work right now, or what is left is not to be trusted.
    """
    if isinstance(target, Address):
        return
    remove_abandoned(target.parent, _prefix(target))
    if os.path.lexists(target / _MARK):
        with _work_folder(target) as work:
            _finish(work, target)


class DatasetPublisher:
    """The working folder of one conversion, from its making to the finished dataset.

    Use it as a context manager: what is in :attr:`tree` when :meth:`publish` is called becomes the dataset; without
    that call nothing is left at the end of the block. :attr:`spare` is a place for what is not to be kept.
    """

    def __init__(self, target: Path, overwrite: bool, parts: tuple[str, ...] = FIRST_PARTS) -> None:
        self._target = target
        self._overwrite = overwrite
        self._parts = parts
        self._is_new = not target.is_dir()
        self._stack = ExitStack()

    def __enter__(self) -> "DatasetPublisher":
        try:
            self._make_parents()
            check_target(self._target, self._overwrite, self._parts)
            if self._is_new:
                self._work = self._stack.enter_context(temporary_folder(self._target.parent, _prefix(self._target)))
            else:
                self._work = self._stack.enter_context(_work_folder(self._target))
                _finish(self._work, self._target, keep=True)
                self._stack.callback(_uninterrupted, partial(_finish, self._work, self._target))
            self.tree = self._work / _NEW
            self.tree.mkdir()
            self.spare = self._work / "spare"
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _make_parents(self) -> None:
        missing = []
        folder = self._target.parent
        while not folder.exists():
            missing.append(folder)
            folder = folder.parent
        for path in reversed(missing):
            path.mkdir(exist_ok=True)
            self._stack.callback(_remove_if_empty, path)

    def create(self, path: str) -> BinaryIO:
        """Open a new file of the dataset."""
        return (self.tree / path).open("xb")

    def publish(self) -> None:
        """Let the finished tree become the dataset.

        Raises ToolkitError where meanwhile somebody else put a dataset there, OSError where it could not be done; the
        target is as it was then.
        """
        check_target(self._target, self._overwrite, self._parts)
        if not self._is_new:
            _note_plan(self._work, self._target)
            _exchange_parts(self._work, self._target)
            return
        try:
            self.tree.rename(self._target)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
            raise ToolkitError(f"{self._target} was made by another program meanwhile: run again") from None


def is_unfinished(target: Address) -> bool:
    """Tell whether a conversion is at work there, or was killed."""
    return (target / _MARK).is_file()


def stored_dataset_in(target: Address) -> list[str]:
    """Name what makes an address one with a dataset."""
    if is_unfinished(target):
        return []
    there = target.names()
    return [name for name in dict.fromkeys((*SPECIFIED, INDEX_TABLE, MANIFEST)) if name in there]


def check_stored_target(target: Address, overwrite: bool, parts: Iterable[str]) -> None:
    """Check that a dataset may be written to an address.

    Raises ToolkitError where there is a dataset already, or an object that is in the way.
    """
    if target.is_file():
        raise ToolkitError(f"{target} is an object: name a prefix for the dataset (--output-dir)")
    if not overwrite:
        _refuse_dataset(target, stored_dataset_in(target), "address")
    replaced = {*SPECIFIED, *recorded_parts(target / MANIFEST), *_begun(target)}
    if in_the_way := sorted((target.names() & set(parts)) - replaced):
        raise ToolkitError(f"{target / in_the_way[0]} is in the way: move it away or set another address")


def _begun(target: Address) -> list[str]:
    """Name what a killed conversion may have written."""
    try:
        return entries_of(json.loads((target / _MARK).read_bytes())["parts"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return []


class StoredPublisher:
    """The way of one conversion to an address; see :class:`DatasetPublisher`."""

    def __init__(self, target: Address, overwrite: bool, parts: Iterable[str]) -> None:
        self._target = target
        self._overwrite = overwrite
        self._parts = list(parts)
        self._note = json.dumps({"id": secrets.token_hex(16), "parts": self._parts}).encode()
        self._written: dict[str, None] = {}
        self._lock = threading.Lock()
        self._is_done = False

    def __enter__(self) -> "StoredPublisher":
        target = self._target
        check_stored_target(target, self._overwrite, entries_of(self._parts))
        old = {*recorded_parts(target / MANIFEST), *_begun(target)}
        (target / _MARK).write_bytes(self._note)
        there = {name: size for name, size in target.files().items() if name.partition("/")[0] in old}
        target.remove({name: 0 for name in _TELLING if name in there})
        target.remove({name: 0 for name in there if name not in _TELLING})
        return self

    @contextmanager
    def create(self, path: str) -> Iterator[BinaryIO]:
        """Write a new file of the dataset."""
        with self._lock:
            self._written[path] = None
        with (self._target / path).create() as stream:
            yield stream

    def write(self, path: str, content: bytes) -> None:
        """Write a new file of the dataset in one go."""
        with self._lock:
            self._written[path] = None
        (self._target / path).write_bytes(content)

    def publish(self) -> None:
        """Let what was written be the dataset; raises ToolkitError where meanwhile another conversion began there."""
        self._check_alone()
        self._target.remove({_MARK: 0})
        self._is_done = True

    def _check_alone(self) -> None:
        with suppress(FileNotFoundError):
            if (self._target / _MARK).read_bytes() == self._note:
                return
        raise ToolkitError(f"another conversion into {self._target} began meanwhile: run one again, alone")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_done:
            return
        with suppress(ToolkitError, FileNotFoundError):  # it is the storage that fails, perhaps; the mark stays
            self._check_alone()
            there = self._target.files()
            self._target.remove({name: 0 for name in self._written if name in there})
            self._target.remove({_MARK: 0})


def publisher_for(target: Place, overwrite: bool, parts: Sequence[str]) -> DatasetPublisher | StoredPublisher:
    """Give what publishes files that are written one after the other; parts are as a manifest has them."""
    if isinstance(target, Address):
        return StoredPublisher(target, overwrite, parts)
    return DatasetPublisher(target, overwrite, tuple(entries_of(parts)))


def _prefix(target: Path) -> str:
    return f".{target.name[:_LONGEST_PREFIX]}.converting-"


def _remove_if_empty(path: Path) -> None:
    with suppress(OSError):  # the dataset is in it
        path.rmdir()


@contextmanager
def _work_folder(target: Path) -> Iterator[Path]:
    """Make, or take over, the working folder inside a target, and hold its lock.

    Whatever lies in a folder that others may write to can be theirs: only a real folder of our own is touched.
    """
    path = target / _MARK
    while True:
        with suppress(FileExistsError):
            path.mkdir(stat.S_IRWXU)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except FileNotFoundError:
            continue
        except OSError:
            raise ToolkitError(f"{path} is no folder of a conversion: look who put it there, and remove it") from None
        try:
            if not _is_ours_alone(descriptor):
                raise ToolkitError(
                    f"{path} belongs to another user, or others may write to it: look who put it there, and remove it"
                )
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ToolkitError(f"another conversion into {target} is at work: wait for its end") from None
            except OSError as error:
                if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
                    raise  # else: a file system without locks
            if os.path.lexists(path) and os.path.samestat(os.fstat(descriptor), path.lstat()):
                yield path
                return
        finally:
            os.close(descriptor)  # else: whoever held it before has removed it at its end


def _is_ours_alone(descriptor: int) -> bool:
    state = os.fstat(descriptor)
    if state.st_uid != os.geteuid():
        return False
    others = stat.S_IWGRP | stat.S_IWOTH
    if not state.st_mode & others:
        return True
    os.fchmod(descriptor, stat.S_IRWXU)
    has_modes = not os.fstat(descriptor).st_mode & others  # exFAT, and Windows' disks under WSL, show 777 for ever
    os.fchmod(descriptor, stat.S_IMODE(state.st_mode))
    return not has_modes


def _finish(work: Path, target: Path, keep: bool = False) -> None:
    """Bring a locked working folder to its end: complete what was begun to be published, remove the rest."""
    _exchange_parts(work, target)
    with os.scandir(work) as entries:
        for entry in list(entries):
            _remove(Path(entry.path))
    if not keep:
        work.rmdir()


def _note_plan(work: Path, target: Path) -> None:
    """Write down that parts are about to change places, and which; the note appears as a whole."""
    made = sorted((path.name for path in (work / _NEW).iterdir()), key=lambda name: (name == MANIFEST, name))
    replaced = {*SPECIFIED, *recorded_parts(target / MANIFEST)}
    gone = [name for name in sorted(replaced) if name not in made and os.path.lexists(target / name)]
    write_atomically(work / _NOTE, json.dumps({"folder": target.stat().st_ino, "made": made, "gone": gone}))


def _read_plan(work: Path, target: Path) -> tuple[list[str], list[str]] | None:
    """Read which parts change places, None if that has not begun; a note of another folder says nothing of this one."""
    try:
        plan = json.loads((work / _NOTE).read_text())
    except (OSError, ValueError):
        return None
    if plan["folder"] != target.stat().st_ino:
        return None
    return plan["made"], plan["gone"]


def _exchange_parts(work: Path, target: Path) -> None:
    """Let the new parts take the places of the old, as far as that was noted and is not done yet.

    Raises OSError where a part could not be renamed; those before it are back where they were.
    """
    if (plan := _read_plan(work, target)) is None:
        return
    made, gone = plan
    new, old = work / _NEW, work / _OLD
    waiting = [name for name in made if os.path.lexists(new / name)]
    done: list[tuple[Path, Path]] = []
    try:
        old.mkdir(exist_ok=True)
        for name in (*gone, *waiting):
            if os.path.lexists(target / name):
                _rename(target / name, old / name, done)
            if name in waiting:
                _rename(new / name, target / name, done)
    except OSError:
        for source, place in reversed(done):
            place.rename(source)
        (work / _NOTE).unlink()
        raise
    (work / _NOTE).unlink()


def _rename(source: Path, place: Path, done: list[tuple[Path, Path]]) -> None:
    source.rename(place)
    done.append((source, place))


def _remove(path: Path) -> None:
    """Remove a file or a tree, also one that may not be written to."""

    def make_writable(_function: object, name: str, _error: object) -> None:
        stuck = Path(name)
        stuck.parent.chmod(stat.S_IRWXU)
        if stuck.is_dir() and not stuck.is_symlink():
            stuck.chmod(stat.S_IRWXU)
            shutil.rmtree(stuck)
        else:
            stuck.unlink()

    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, onerror=make_writable)
    else:
        path.unlink()


def _uninterrupted(clean_up: Callable[[], None]) -> None:
    """Clean up although Ctrl-C is pressed again; a third time ends it, and the next run does the rest."""
    try:
        clean_up()
    except KeyboardInterrupt:
        clean_up()
