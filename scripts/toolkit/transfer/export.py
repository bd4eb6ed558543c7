"""The dataset of a project or a task, brought out of CVAT whole or not at all."""

import difflib
import os
import shutil
import struct
import threading
import time
import zipfile
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from toolkit.core.errors import ToolkitError, TransientError, UsageError
from toolkit.core.files import temporary_folder
from toolkit.core.formats import FORMATS, IMAGENET, TaskType, kinds_of
from toolkit.core.retry import RetryPolicy, retry
from toolkit.core.storage import Address, Place, size_of
from toolkit.core.text import format_size
from toolkit.cvat import cli as cvat_cli
from toolkit.cvat.api import Api, Label, session
from toolkit.cvat.cli import JobMonitor
from toolkit.cvat.connection import Connection
from toolkit.cvat.errors import AlreadyRunning

_POLL_EVERY = 0.5
_LEAST_FREE = 64 * 1024**2
"""Bytes that a download leaves free on the disk."""
_LARGEST_RATIO = 100
"""How many times its own size an export may unpack to; CVAT stores images as they are."""
_SMALL = 1024**3
_DAMAGE = (
    OSError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
)
"""What the standard library raises for a zip that is none."""
_FAREWELL = RetryPolicy(answer=5.0, attempts=1, queue=0)


def check_target(target: Place, overwrite: bool) -> None:
    """Check that an export can be put where it belongs.

    Raises ToolkitError where it exists already and may not be replaced, or its folder is a file or cannot be written.
    """
    if isinstance(target, Address):
        _refuse_existing(target, target.is_file() and not overwrite)
        return
    folder = target.parent
    if folder.exists() and not folder.is_dir():
        raise ToolkitError(f"{folder} is a file: export_dir must name a folder")
    if target.is_dir():
        raise ToolkitError(f"{target} is a folder: remove it, or set another export_dir")
    _refuse_existing(target, os.path.lexists(target) and not overwrite)
    if not os.access(_nearest_existing(folder), os.W_OK | os.X_OK):
        raise ToolkitError(f"{_nearest_existing(folder)} cannot be written: set another export_dir")


def _refuse_existing(target: Place, exists: bool) -> None:
    if exists:
        raise ToolkitError(f"{target} exists already: remove it, set another export_dir, or give --overwrite")


def check_format(format_name: str, task_type: TaskType | None, labels: Sequence[Label]) -> None:
    """Check that a format is for the kind of work; one that nothing is known of is for any.

    None tells the kind by the project's labels. Raises UsageError, which lists the formats that do, where it belongs to
    the other.
    """
    is_given = task_type is not None
    kind = task_type or _task_type_by(labels)
    if kind is None or kind in kinds_of(format_name):
        return
    reason = (
        "" if is_given else " (all its labels are tags)" if kind is TaskType.CLASSIFICATION else " (it has no tags)"
    )
    way_out = "" if is_given else "; give --task-type to export it all the same"
    raise UsageError(
        f'export_format "{format_name}" is not for {kind}{reason}, which has {", ".join(FORMATS[kind])}{way_out}'
    )


def _task_type_by(labels: Sequence[Label]) -> TaskType | None:
    types = {label.type for label in labels}
    if types == {"tag"}:
        return TaskType.CLASSIFICATION
    return TaskType.DETECTION if types and not types & {"tag", "any"} else None


def check_offered(api: Api, format_name: str, project_id: int) -> None:
    """Check that this server can export a format for the kind of data of a project.

    Raises ToolkitError, which lists what is offered, where it cannot.
    """
    dimension = api.project_dimension(project_id)
    formats = api.export_formats()
    offered = sorted(one.name for one in formats if not dimension or not one.dimension or one.dimension == dimension)
    if format_name in offered:
        return
    if format_name in [one.name for one in formats]:
        problem = f'"{format_name}" is not for the {dimension} data of project {project_id}'
    else:
        nearest = _nearest(format_name, offered)
        if nearest is not None and nearest.casefold() == format_name.casefold():
            raise UsageError(f'export_format "{format_name}" is spelled "{nearest}"')
        problem = f'this CVAT does not offer "{format_name}"' + (f', did you mean "{nearest}"?' if nearest else "")
    raise ToolkitError(f"{problem}; it offers {', '.join(offered)}")


def _nearest(name: str, offered: Sequence[str]) -> str | None:
    by_fold = {one.casefold(): one for one in offered}
    found = difflib.get_close_matches(name.casefold(), by_fold, n=1, cutoff=0.75)
    return by_fold[found[0]] if found else None


@dataclass
class ExportProgress:
    """Follows an export on the server by what cvat-cli prints, and says what a person should know.

    ``show`` is called with the state for the moment, ``warn`` with a warning to keep; the state is "asked for", the
    last that the server told, or the download.
    """

    show: Callable[[str], None]
    warn: Callable[[str], None]
    state: str = "asked for"
    _since: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.monitor = JobMonitor("export", self.warn)

    @property
    def is_begun(self) -> bool:
        """Whether the server has taken our request."""
        return bool(self.monitor.state)

    def on_line(self, line: str) -> None:
        """Take in a line of cvat-cli."""
        self.monitor.on_line(line)
        self.state = line if line.startswith("Downloading") else self.monitor.state or self.state
        self.on_idle()

    def timeout_message(self, timeout: float) -> str:
        """Say what was going on when the time was over."""
        if self.monitor.state == "finished":
            return f"the download was not through after {timeout:g} s: give a longer --timeout"
        return self.monitor.timeout_message(timeout)

    def on_idle(self) -> None:
        """Show the state and how long it has taken."""
        self.show(f"export: {self.state}, {time.monotonic() - self._since:.0f} s")
        self.monitor.on_idle()


@dataclass(frozen=True)
class Export:
    """An export to be made.

    Attributes:
        target: The zip to be; its folder is made if missing. At an address, nothing of it touches this machine's disk.
        overwrite: Whether an older one is replaced.
        timeout: Seconds that the server and the download may take together.
        task_id: The one task of the project that is exported; None for all.
        with_images: Whether the images come along, or what is labelled alone.
    """

    project_id: int
    format_name: str
    target: Place
    overwrite: bool = False
    timeout: float = 1800.0
    task_id: int | None = None
    with_images: bool = True


def fetch(
    connection: Connection, export: Export, progress: ExportProgress, stop: threading.Event | None = None
) -> None:
    """Export a project's dataset with its images, check the zip, and only then give it its name.

    A failure that may pass (a broken connection, a damaged download, a busy server) is tried again within the timeout;
    an export of the project that the server prepares already is waited for.

    Another thread sets ``stop`` to interrupt. Raises ToolkitError where it failed or took too long, or the zip is not
    whole; nothing is left behind.
    """
    target = export.target
    if isinstance(target, Address):
        _fetch_stored(connection, export, target, progress, stop)
        return
    with temporary_folder(_nearest_existing(target.parent), ".cvat-export-") as folder:
        partial = folder / target.name
        _Attempts(connection, export, progress, partial, stop).make()
        target.parent.mkdir(parents=True, exist_ok=True)
        _give_name(partial, target, export.overwrite)


def _fetch_stored(
    connection: Connection, export: Export, target: Address, progress: ExportProgress, stop: threading.Event | None
) -> None:
    partial = target.with_suffix(".zip.part")  # a killed run leaves it, the next one replaces it
    try:
        _Attempts(connection, export, progress, partial, stop).make()
        check_target(target, export.overwrite)  # may have appeared meanwhile
        partial.rename(target)
    except FileNotFoundError:
        raise ToolkitError(f"{target}: another export to the same address has taken its place: run again") from None
    finally:
        partial.unlink(missing_ok=True)


class _Attempts:
    """The attempts to bring one export to its partial file."""

    def __init__(
        self,
        connection: Connection,
        export: Export,
        progress: ExportProgress,
        partial: Place,
        stop: threading.Event | None,
    ) -> None:
        self._stop = stop
        self._connection = connection
        self._export = export
        self._progress = progress
        self._partial = partial
        self._end = time.monotonic() + export.timeout
        self._is_adopted = False

    def make(self) -> None:
        try:
            retry(self._attempt, self._progress.warn, self._end, self._stop)
        except cvat_cli.DeadlineExceeded:
            self._cancel()
            raise ToolkitError(self._progress.timeout_message(self._export.timeout)) from None
        except (KeyboardInterrupt, cvat_cli.Stopped):
            self._cancel()
            raise

    def _attempt(self) -> None:
        while True:
            try:
                return self._once()
            except AlreadyRunning:
                self._is_adopted |= not self._progress.is_begun
                self._await_running()

    def _once(self) -> None:
        export, progress = self._export, self._progress
        self._partial.unlink(missing_ok=True)
        what, number = ("project", export.project_id) if export.task_id is None else ("task", export.task_id)
        store = self._partial if isinstance(self._partial, Address) else None
        arguments = [what, "export-dataset", str(number), cvat_cli.NO_FILE if store else str(self._partial)]
        arguments += [f"--with-images={'yes' if export.with_images else 'no'}"]
        arguments += [f"--format={export.format_name}", f"--completion_verification_period={_POLL_EVERY}"]
        cvat_cli.run(
            self._connection,
            arguments,
            progress.on_line,
            deadline=self._end - time.monotonic(),
            on_idle=self._look,
            notice=progress.warn,
            stop=self._stop,
            store=store,
        )
        check_archive(self._partial, export.format_name, export.with_images)

    def _look(self) -> None:
        target = self._export.target
        if isinstance(target, Path) and shutil.disk_usage(_nearest_existing(target.parent)).free < _LEAST_FREE:
            raise ToolkitError(f"the disk of {target.parent} is full: make room, or set another export_dir")
        self._progress.on_idle()

    def _await_running(self) -> None:
        self._progress.warn("the server prepares this export already, waiting for that")
        with session(self._connection, self._progress.warn) as api:
            while states := self._running(api).values():
                self._progress.state = f"waiting for one that is {', '.join(sorted(set(states)))}"
                self._look()
                if (self._stop or threading.Event()).wait(_POLL_EVERY):
                    raise cvat_cli.Stopped("interrupted")
                if time.monotonic() > self._end:
                    raise cvat_cli.DeadlineExceeded("gave up")

    def _running(self, api: Api) -> dict[str, str]:
        return api.running_exports(self._export.project_id, self._export.format_name, self._export.task_id)

    def _cancel(self) -> None:
        """Take the request back that nobody waits for any more, so that it does not keep the worker busy."""
        if self._is_adopted or self._progress.monitor.state != "queued":
            return
        with suppress(ToolkitError), session(self._connection, policy=_FAREWELL) as api:
            for request_id, state in self._running(api).items():
                if state == "queued":
                    api.cancel_request(request_id)


def _nearest_existing(folder: Path) -> Path:
    return next(parent for parent in (folder, *folder.parents) if parent.exists())


def _give_name(partial: Path, target: Path, overwrite: bool) -> None:
    if overwrite:
        partial.replace(target)
        return
    try:
        os.link(partial, target)  # unlike a rename, this never replaces what came in between
    except FileExistsError:
        raise ToolkitError(f"{target} appeared meanwhile and was kept: give --overwrite to replace it") from None
    except OSError:  # a file system without hard links
        partial.rename(target)


class DamagedExport(TransientError):
    """What was downloaded is not what the server made, or no whole zip."""


def check_archive(path: Place, format_name: str, with_images: bool = True) -> None:
    """Check that an export is a whole zip with images, or at least files, in it; raises ToolkitError otherwise."""
    try:
        with path.open("rb") as stream, zipfile.ZipFile(stream) as archive:
            _refuse_bomb(archive, size_of(path) or 0)
            damaged = archive.testzip()
            members = [name for name in archive.namelist() if not name.endswith("/")]
    except _DAMAGE as error:
        raise DamagedExport(f"the server's export is no whole zip ({error}), nothing was kept: run again") from None
    if damaged is not None:
        raise DamagedExport(f"the server's export is damaged at {damaged}, nothing was kept: run again")
    if not members or (with_images and format_name == IMAGENET and not any("/" in name for name in members)):
        raise ToolkitError("the server's export holds no image, nothing was kept: has the project a task with images?")


def _refuse_bomb(archive: zipfile.ZipFile, size: int) -> None:
    unpacked = sum(member.file_size for member in archive.infolist())
    if unpacked > _SMALL + _LARGEST_RATIO * size:
        raise ToolkitError(
            f"the server's export of {format_size(size)} would unpack to {format_size(unpacked)}, "
            "nothing was kept: CVAT makes no such archive"
        )
