"""What imports have begun, written down before it happens, so that a killed one can be resumed or rolled back.

Each run has a file of its own below `$XDG_STATE_HOME/cvat-toolkit/imports` (`~/.local/state` by default), which its
process locks while it lives and which goes when nothing is left to do. It holds no credentials.
"""

import errno
import hashlib
import json
import os
import secrets
import stat
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from toolkit.core.files import read_own, try_lock, write_atomically
from toolkit.cvat.api import Api, Task
from toolkit.cvat.connection import Connection

WAITING, STARTED, DONE = "waiting", "started", "done"
_VERSION = 2


@dataclass(frozen=True)
class ImportTarget:
    """What makes two imports the same: where the images go, and from where.

    The task's name is without a number behind it, the folder of the images absolute.
    """

    url: str
    project_id: int
    task_name: str
    folder: str

    @property
    def key(self) -> str:
        """A name for files that only this target has."""
        return hashlib.sha256(json.dumps(asdict(self)).encode()).hexdigest()[:20]


@dataclass
class TaskRecord:
    """One task of an import.

    Attributes:
        digest: A digest of the images' names and sizes.
        state: "waiting", "started" (a task may exist) or "done".
        task_id: The task, as soon as its number is known.
        created: When the server made it, in its own words; by this it is told from another task of the same number.
        same_name_task_ids: The empty tasks of that name that were there before.
    """

    name: str
    frames: int
    digest: str
    state: str = WAITING
    task_id: int | None = None
    created: str | None = None
    same_name_task_ids: list[int] = field(default_factory=list)


@dataclass
class ImportRecord:
    """What one run has written down.

    ``images_per_task`` is None if the folder was not split; ``tags`` whether images were tagged by their folders.
    """

    target: ImportTarget
    tasks: list[TaskRecord]
    images_per_task: int | None = None
    tags: bool = False


class Journal:
    """The file of one run; its methods may be called from several threads. Without a path nothing is written."""

    def __init__(self, record: ImportRecord, path: Path | None) -> None:
        self.record = record
        self._path = path
        self._lock = threading.Lock()

    def change(self, task: TaskRecord, **values: object) -> None:
        """Note what has become of a task, before anything else is done; a full disk does not stop the import."""
        with self._lock:
            for name, value in values.items():
                setattr(task, name, value)
            with suppress(OSError):
                self.write()

    def write(self) -> None:
        """Write the file; raises OSError where it cannot be."""
        if self._path is not None:
            write_atomically(self._path, json.dumps({"version": _VERSION, **asdict(self.record)}), is_private=True)

    def forget(self) -> None:
        """Remove the file: nothing is left that a later run would have to know of."""
        with self._lock:
            try:
                self._remove()
            except KeyboardInterrupt:  # in the middle of tidying up: that comes first
                self._remove()
                raise

    def _remove(self) -> None:
        if self._path is not None:
            for path in (self._path, _lock_of(self._path)):
                path.unlink(missing_ok=True)
            self._path = None


def journal_folder() -> Path:
    """Return the folder of the journals."""
    named = os.environ.get("XDG_STATE_HOME", "")
    base = Path(named) if named.startswith("/") else Path.home() / ".local" / "state"
    return base / "cvat-toolkit" / "imports"


@contextmanager
def begin(record: ImportRecord, folder: Path | None = None) -> Iterator[Journal]:
    """Write down what a run is about to do, by default in :func:`journal_folder`.

    The journal stays behind unless :meth:`Journal.forget` is called, or the block fails before the first task or behind
    the last. Raises OSError where it cannot be written, or the folder is one that others can write to.
    """
    folder = folder or journal_folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not _is_ours(folder):
        raise OSError(errno.EPERM, "others can write to it", str(folder))
    path = folder / f"{record.target.key}-{secrets.token_hex(4)}.json"
    journal = Journal(record, path)
    try:
        with try_lock(_lock_of(path)):
            journal.write()
            yield journal
    except BaseException:
        states = {task.state for task in record.tasks}
        if states in ({WAITING}, {DONE}):
            journal.forget()
        raise


def _is_ours(folder: Path) -> bool:
    state = folder.lstat()
    return (
        stat.S_ISDIR(state.st_mode)
        and state.st_uid == os.geteuid()
        and not state.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    )


@contextmanager
def interrupted_imports(target: ImportTarget, folder: Path | None = None) -> Iterator[Sequence[Journal]]:
    """Take over the journals that runs with the same target have left, except those of runs that still go on.

    They are ours within the block, the oldest first, and by default in :func:`journal_folder`.
    """
    found = []
    with ExitStack() as stack:
        for path in sorted(_journals(folder or journal_folder(), f"{target.key}-*.json"), key=_age):
            with suppress(OSError):
                stack.enter_context(try_lock(_lock_of(path)))
                record = _read(path)
                if record and record.target == target:
                    found.append(Journal(record, path))
                else:
                    Journal(ImportRecord(target, []), path).forget()
        yield found


def concurrent_imports(journal: Journal) -> list[ImportTarget]:
    """Find other runs that import the same folder into the same project at this moment, under whatever name."""
    target, found = journal.record.target, []
    for path in _journals(journal_folder(), "*.json"):
        record = _read(path)
        if path == journal._path or record is None or not _is_locked(path):
            continue
        if (record.target.url, record.target.project_id, record.target.folder) == (
            target.url,
            target.project_id,
            target.folder,
        ):
            found.append(record.target)
    return found


def _is_locked(path: Path) -> bool:
    lock = _lock_of(path)
    if not lock.exists():
        return False
    try:
        with try_lock(lock):
            return False
    except BlockingIOError:
        return True
    except OSError:
        return False


def _journals(folder: Path, pattern: str) -> list[Path]:
    try:
        return list(folder.glob(pattern)) if _is_ours(folder) else []
    except OSError:
        return []


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _read(path: Path) -> ImportRecord | None:
    """Read a journal; one that is damaged, of another version or somebody else's is none."""
    try:
        values = json.loads(read_own(path))
        if values.pop("version") != _VERSION:
            return None
        target = ImportTarget(**values.pop("target"))
        tasks = [TaskRecord(**task) for task in values.pop("tasks")]
        record = ImportRecord(target, tasks, **values)
        return record if _is_sound(record) else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _is_sound(record: ImportRecord) -> bool:
    number = (int, type(None))
    return (
        isinstance(record.images_per_task, number)
        and isinstance(record.tags, bool)
        and all(isinstance(value, str) for value in (record.target.url, record.target.task_name, record.target.folder))
        and type(record.target.project_id) is int
        and all(
            isinstance(task.name, str)
            and type(task.frames) is int
            and isinstance(task.digest, str)
            and task.state in (WAITING, STARTED, DONE)
            and isinstance(task.task_id, number)
            and isinstance(task.created, str | None)
            and isinstance(task.same_name_task_ids, list)
            and all(type(one) is int for one in task.same_name_task_ids)
            for task in record.tasks
        )
    )


def _lock_of(path: Path) -> Path:
    return path.with_suffix(".lock")


@dataclass(frozen=True)
class InterruptedImport:
    """What one killed import has left.

    Attributes:
        unfinished: Tasks that are certainly its own and hold nothing but images that are in the folder as well; they
            can be deleted without loss.
        done: Tasks that are certainly its own and have all that was sent, or that somebody has annotated since.
        possible_orphans: Numbers of tasks that may be its own: the import was killed before it could make sure.
    """

    journal: Journal
    unfinished: Sequence[TaskRecord]
    done: Sequence[TaskRecord]
    possible_orphans: Sequence[int]

    @property
    def is_nothing(self) -> bool:
        """Whether nothing is left that a person would want to know of."""
        return not (self.unfinished or self.done or self.possible_orphans)


def examine(api: Api, journals: Sequence[Journal]) -> list[InterruptedImport]:
    """Find out what killed imports have left, and forget those that have left nothing."""
    found = []
    for journal in journals:
        interrupted = _look_at(api, journal)
        if interrupted.is_nothing:
            journal.forget()
        else:
            found.append(interrupted)
    return found


def _look_at(api: Api, journal: Journal) -> InterruptedImport:
    unfinished, done, possible_orphans = [], [], []
    target = journal.record.target
    for record in journal.record.tasks:
        if record.state == STARTED and record.task_id is None:
            new = api.empty_tasks(target.project_id, record.name) - set(record.same_name_task_ids)
            possible_orphans += sorted(new)
            continue
        task = api.task(record.task_id) if record.task_id is not None else None
        if task is None or (task.name, task.project_id) != (record.name, target.project_id):
            journal.change(record, state=WAITING, task_id=None, created=None)
        elif record.created is None:  # killed before it could ask
            possible_orphans.append(task.id)
        elif record.created != task.created:
            # A server that was set up anew gives the same numbers again.
            journal.change(record, state=WAITING, task_id=None, created=None)
        elif record.state == DONE or _is_complete(api, task, record, journal.record.tags):
            journal.change(record, state=DONE)
            done.append(record)
        else:
            unfinished.append(record)
    return InterruptedImport(journal, unfinished, done, possible_orphans)


def _is_complete(api: Api, task: Task, record: TaskRecord, has_tags: bool) -> bool:
    if not task.frames:
        return False
    return api.has_annotations(task.id) or (task.frames == record.frames and not has_tags)


def roll_back(api: Api, interrupted: InterruptedImport) -> list[str]:
    """Delete what can be deleted without loss, and say what was done, one line a task."""
    lines = []
    for task in interrupted.unfinished:
        assert task.task_id is not None
        api.delete_task(task.task_id)
        lines.append(f"deleted the unfinished task {task.task_id} of an earlier import")
        interrupted.journal.change(task, state=WAITING, task_id=None, created=None)
    return lines


def describe(connection: Connection, interrupted: InterruptedImport) -> list[str]:
    """Say what was left, a line each, with where to see it."""

    def places(what: str, numbers: Sequence[int | None]) -> list[str]:
        return [f"{what} {connection.task_url(number)}" for number in numbers if number is not None]

    return [
        *places("unfinished:", [task.task_id for task in interrupted.unfinished]),
        *places("complete:", [task.task_id for task in interrupted.done]),
        *places("perhaps left by it, delete it yourself if so:", interrupted.possible_orphans),
    ]
