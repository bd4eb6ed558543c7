"""The dataset of a project, brought out of CVAT whole or not at all."""

import os
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from toolkit.core.errors import ToolkitError, UsageError
from toolkit.core.files import temporary_folder
from toolkit.core.formats import FORMATS, TaskType
from toolkit.core.retry import RetryPolicy, read_retry_policy
from toolkit.cvat import cli as cvat_cli
from toolkit.cvat.api import Api, Label, session
from toolkit.cvat.connection import Connection
from toolkit.cvat.errors import AlreadyRunning, TransientError
from toolkit.cvat.queue_watch import QueueWatch
from toolkit.transfer.export_archive import check_archive

_POLL_EVERY = 0.5
_LEAST_FREE = 64 * 1024**2
"""Bytes that a download leaves free on the disk."""
_FAREWELL = RetryPolicy(answer=5.0, attempts=1)


def check_target(target: Path, overwrite: bool) -> None:
    """Check that an export can be put where it belongs.

    Args:
        target: The zip to be.
        overwrite: Whether an older one may be replaced.

    Raises:
        ToolkitError: It exists already, or its folder is a file or cannot be written.
    """
    folder = target.parent
    if folder.exists() and not folder.is_dir():
        raise ToolkitError(f"{folder} is a file: export_dir must name a folder")
    if target.is_dir():
        raise ToolkitError(f"{target} is a folder: remove it, or set another export_dir")
    if os.path.lexists(target) and not overwrite:
        raise ToolkitError(f"{target} exists already: remove it, set another export_dir, or give --overwrite")
    if not os.access(_nearest_existing(folder), os.W_OK | os.X_OK):
        raise ToolkitError(f"{_nearest_existing(folder)} cannot be written: set another export_dir")


def check_format(format_name: str, task_type: TaskType | None, labels: Sequence[Label]) -> None:
    """Check that a format is one that the specification has for the kind of work.

    Args:
        format_name: The format.
        task_type: The kind of work; None tells it by the project's labels.
        labels: The labels of the project.

    Raises:
        UsageError: The format belongs to the other kind; the message lists those that don't.
    """
    is_given = task_type is not None
    kind = task_type or _task_type_by(labels)
    if kind is None or format_name in FORMATS[kind]:
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


def check_offered(api: Api, format_name: str) -> None:
    """Check that this server can export a format.

    Args:
        api: The session with the server.
        format_name: The format.

    Raises:
        ToolkitError: It is not offered; the message lists what is.
    """
    offered = api.export_formats()
    if format_name not in offered:
        raise ToolkitError(f'this CVAT does not offer "{format_name}"; it offers {", ".join(sorted(offered))}')


@dataclass
class Progress:
    """Follows an export on the server by what cvat-cli prints, and says what a person should know.

    Attributes:
        show: Called with the state to show for the moment.
        warn: Called with a warning to keep.
        state: What goes on: "asked for", the last state that the server told, or the download.
    """

    show: Callable[[str], None]
    warn: Callable[[str], None]
    state: str = "asked for"
    _since: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.queue = QueueWatch("export", self.warn)

    @property
    def is_begun(self) -> bool:
        """Whether the server has taken our request."""
        return bool(self.queue.state)

    def on_line(self, line: str) -> None:
        """Take in a line of cvat-cli."""
        self.queue.on_line(line)
        self.state = line if line.startswith("Downloading") else self.queue.state or self.state
        self.on_idle()

    def too_late(self, timeout: float) -> str:
        """Say what was going on when the time was over."""
        if self.queue.state == "finished":
            return f"the download was not through after {timeout:g} s: give a longer --timeout"
        return self.queue.too_late(timeout)

    def on_idle(self) -> None:
        """Show the state and how long it has taken."""
        self.show(f"export: {self.state}, {time.monotonic() - self._since:.0f} s")
        self.queue.on_idle()


@dataclass(frozen=True)
class Export:
    """An export to be made.

    Attributes:
        project_id: The project.
        format_name: The format.
        target: The zip to be; its folder is made if missing.
        overwrite: Whether an older one is replaced.
        timeout: Seconds that the server and the download may take together.
    """

    project_id: int
    format_name: str
    target: Path
    overwrite: bool = False
    timeout: float = 1800.0


def fetch(connection: Connection, export: Export, progress: Progress) -> None:
    """Export a project's dataset with its images, check the zip, and only then give it its name.

    A failure that may pass (a broken connection, a damaged download, a busy server) is tried again within the timeout;
    an export of the project that the server prepares already is waited for.

    Args:
        connection: The server.
        export: What to export, and where to.
        progress: Is told how it goes.

    Raises:
        ToolkitError: It failed or took too long, or the zip is not whole; nothing is left behind.
    """
    with temporary_folder(_nearest_existing(export.target.parent), ".cvat-export-") as folder:
        partial = folder / export.target.name
        _Attempts(connection, export, progress, partial).make()
        export.target.parent.mkdir(parents=True, exist_ok=True)
        _give_name(partial, export.target, export.overwrite)


class _Attempts:
    """The attempts to bring one export to its partial file."""

    def __init__(self, connection: Connection, export: Export, progress: Progress, partial: Path) -> None:
        self._connection = connection
        self._export = export
        self._progress = progress
        self._partial = partial
        self._end = time.monotonic() + export.timeout
        self._is_adopted = False

    def make(self) -> None:
        try:
            self._try()
        except cvat_cli.DeadlineExceeded:
            self._cancel()
            raise ToolkitError(self._progress.too_late(self._export.timeout)) from None
        except KeyboardInterrupt:
            self._cancel()
            raise

    def _try(self) -> None:
        policy = read_retry_policy()
        failures = 0
        while True:
            try:
                self._once()
                return
            except AlreadyRunning:
                self._is_adopted |= not self._progress.is_begun
                self._await_running()
            except TransientError as error:
                failures += 1
                pause = policy.pause(failures)
                if failures == policy.attempts or time.monotonic() + pause > self._end:
                    raise
                reason = error.message.split(": ")[0]  # without the advice to run again
                self._progress.warn(f"{reason}, attempt {failures + 1} of {policy.attempts} in {pause:g} s")
                time.sleep(pause)

    def _once(self) -> None:
        export, progress = self._export, self._progress
        self._partial.unlink(missing_ok=True)
        arguments = ["project", "export-dataset", str(export.project_id), str(self._partial), "--with-images=yes"]
        arguments += [f"--format={export.format_name}", f"--completion_verification_period={_POLL_EVERY}"]
        cvat_cli.run(
            self._connection,
            arguments,
            progress.on_line,
            deadline=self._end - time.monotonic(),
            on_idle=self._look,
            notice=progress.warn,
        )
        check_archive(self._partial, export.format_name)

    def _look(self) -> None:
        if shutil.disk_usage(self._partial.parent).free < _LEAST_FREE:
            raise ToolkitError(
                f"the disk of {self._export.target.parent} is full: make room, or set another export_dir"
            )
        self._progress.on_idle()

    def _await_running(self) -> None:
        self._progress.warn("the server prepares this export already, waiting for that")
        with session(self._connection, self._progress.warn) as api:
            while states := api.running_exports(self._export.project_id, self._export.format_name).values():
                self._progress.state = f"waiting for one that is {', '.join(sorted(set(states)))}"
                self._look()
                time.sleep(_POLL_EVERY)
                if time.monotonic() > self._end:
                    raise cvat_cli.DeadlineExceeded("gave up")

    def _cancel(self) -> None:
        """Take the request back that nobody waits for any more, so that it does not keep the worker busy."""
        if self._is_adopted or self._progress.queue.state != "queued":
            return
        with suppress(ToolkitError), session(self._connection, policy=_FAREWELL) as api:
            for request_id, state in api.running_exports(self._export.project_id, self._export.format_name).items():
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
