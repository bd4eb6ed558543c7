"""What imports have begun, written down before it happens, so that a killed one can be continued or taken back.

Each run has a file of its own below `$XDG_STATE_HOME/cvat-toolkit/imports` (`~/.local/state` by default), which its
process claims while it lives and which goes when nothing is left to do. It holds no credentials.
"""

import hashlib
import json
import os
import secrets
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from toolkit.core.files import try_lock

WAITING, STARTED, DONE = "waiting", "started", "done"
_VERSION = 1


@dataclass(frozen=True)
class Aim:
    """What makes two imports the same: where the images go, and from where.

    Attributes:
        url: The server.
        project_id: The project.
        task_name: The task's name, without a number behind it.
        folder: The absolute folder of the images.
    """

    url: str
    project_id: int
    task_name: str
    folder: str

    @property
    def key(self) -> str:
        """A name for files that only this aim has."""
        return hashlib.sha256(json.dumps(asdict(self)).encode()).hexdigest()[:20]


@dataclass
class Part:
    """One task of an import.

    Attributes:
        name: The task's name.
        frames: How many images it gets.
        digest: A digest of the images' names and sizes.
        state: "waiting", "started" (a task may exist) or "done".
        task_id: The task, as soon as its number is known.
        created: When the server made it, in its own words; by this it is told from another task of the same number.
        namesakes: The empty tasks of that name that were there before.
    """

    name: str
    frames: int
    digest: str
    state: str = WAITING
    task_id: int | None = None
    created: str | None = None
    namesakes: list[int] = field(default_factory=list)


@dataclass
class Record:
    """What one run has written down.

    Attributes:
        aim: What was imported, and where to.
        parts: Its tasks.
        images_per_task: How the folder was split; None if it was not.
        tags: Whether the images were tagged by their folders.
    """

    aim: Aim
    parts: list[Part]
    images_per_task: int | None = None
    tags: bool = False


class Journal:
    """The file of one run; its methods may be called from several threads.

    Args:
        record: What the run is about to do.
        path: Where it is written; None if nothing can be.
    """

    def __init__(self, record: Record, path: Path | None) -> None:
        self.record = record
        self._path = path
        self._lock = threading.Lock()

    def change(self, part: Part, **values: object) -> None:
        """Note what has become of a part, before anything else is done; a full disk does not stop the import."""
        with self._lock:
            for name, value in values.items():
                setattr(part, name, value)
            with suppress(OSError):
                self.write()

    def write(self) -> None:
        """Write the file.

        Raises:
            OSError: It cannot be written.
        """
        if self._path is None:
            return
        beside = _part_of(self._path)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            json.dump({"version": _VERSION, **asdict(self.record)}, stream)
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(self._path)

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
            for path in (self._path, _part_of(self._path), _lock_of(self._path)):
                path.unlink(missing_ok=True)
            self._path = None


def journal_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Return the folder of the journals."""
    environ = os.environ if environ is None else environ
    named = environ.get("XDG_STATE_HOME", "")
    base = Path(named) if named.startswith("/") else Path.home() / ".local" / "state"
    return base / "cvat-toolkit" / "imports"


@contextmanager
def begin(record: Record, folder: Path | None = None) -> Iterator[Journal]:
    """Write down what a run is about to do.

    Args:
        record: What it is.
        folder: Where to write it; by default :func:`journal_folder`.

    Yields:
        The journal. It stays behind unless :meth:`Journal.forget` is called, or the block fails with no part begun.

    Raises:
        OSError: It cannot be written.
    """
    folder = folder or journal_folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{record.aim.key}-{secrets.token_hex(4)}.json"
    journal = Journal(record, path)
    try:
        with try_lock(_lock_of(path)):
            journal.write()
            yield journal
    except BaseException:
        if all(part.state == WAITING for part in record.parts):  # stopped before it had begun with any
            journal.forget()
        raise


@contextmanager
def abandoned(aim: Aim, folder: Path | None = None) -> Iterator[Sequence[Journal]]:
    """Take over the journals that runs with the same aim have left, except those of runs that still go on.

    Args:
        aim: What was to be imported, and where to.
        folder: Where the journals are; by default :func:`journal_folder`.

    Yields:
        The journals, the oldest first; they are ours within the block.
    """
    found = []
    with ExitStack() as stack:
        for path in sorted((folder or journal_folder()).glob(f"{aim.key}-*.json"), key=_age):
            with suppress(OSError):
                stack.enter_context(try_lock(_lock_of(path)))
                if record := _read(path, aim):
                    found.append(Journal(record, path))
                else:
                    Journal(Record(aim, []), path).forget()
        yield found


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _read(path: Path, aim: Aim) -> Record | None:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values.pop("version") != _VERSION or Aim(**values.pop("aim")) != aim:
            return None
        parts = [Part(**part) for part in values.pop("parts")]
        return Record(aim, parts, **values)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _part_of(path: Path) -> Path:
    return path.with_suffix(".part")


def _lock_of(path: Path) -> Path:
    return path.with_suffix(".lock")
