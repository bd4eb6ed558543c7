"""The dataset of a project, brought out of CVAT whole or not at all."""

import os
import re
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from toolkit import cvat_cli
from toolkit.connection import Connection
from toolkit.cvat_api import Api, Label
from toolkit.errors import ToolkitError, UsageError
from toolkit.export_formats import FORMATS, IMAGENET, TaskType

_STATE = re.compile(r"INFO: export:\w+ operation status: (\w+)")
_POLL_EVERY = 0.5
QUEUED_TOO_LONG = 30.0
"""Seconds in the queue after which a person should look whether the export worker runs at all."""


def target_in(export_dir: Path, project_id: int) -> Path:
    """Return the path that the export of a project has, whatever its format (as specified)."""
    return export_dir / f"project_id_{project_id}.zip"


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
        state: The last state that the server told: "queued", "started", "finished".
    """

    show: Callable[[str], None]
    warn: Callable[[str], None]
    state: str = "asked for"
    _since: float = field(default_factory=time.monotonic)
    _changed: float = field(default_factory=time.monotonic)
    _warned: bool = False

    def on_line(self, line: str) -> None:
        """Take in a line of cvat-cli."""
        if line.startswith("Downloading"):
            self.state = line
        elif (found := _STATE.search(line)) and found[1] != self.state:
            self.state, self._changed = found[1], time.monotonic()
        self.on_idle()

    def on_idle(self) -> None:
        """Show the state and how long it has taken."""
        now = time.monotonic()
        self.show(f"export: {self.state}, {now - self._since:.0f} s")
        if self.state == "queued" and now - self._changed > QUEUED_TOO_LONG and not self._warned:
            self._warned = True
            self.warn(
                f"the export has been queued for {QUEUED_TOO_LONG:.0f} s: "
                "the export worker may be busy or down, look with make status"
            )


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

    Args:
        connection: The server.
        export: What to export, and where to.
        progress: Is told how it goes.

    Raises:
        ToolkitError: It failed or took too long, or the zip is not whole; nothing is left behind.
    """
    with _folder_for_partial(export.target.parent) as folder:
        partial = folder / export.target.name
        arguments = ["project", "export-dataset", str(export.project_id), str(partial), "--with-images=yes"]
        arguments += [f"--format={export.format_name}", f"--completion_verification_period={_POLL_EVERY}"]
        try:
            cvat_cli.run(connection, arguments, progress.on_line, export.timeout, progress.on_idle)
        except cvat_cli.DeadlineExceeded:
            raise ToolkitError(_too_late(progress.state, export.timeout)) from None
        check_archive(partial, export.format_name)
        export.target.parent.mkdir(parents=True, exist_ok=True)
        _give_name(partial, export.target, export.overwrite)


def _too_late(state: str, timeout: float) -> str:
    cause = "the export worker may be down, look with make status" if state == "queued" else "give a longer --timeout"
    return f"no export after {timeout:g} s, it was last {state.split(':')[0]}: {cause}"


@contextmanager
def _folder_for_partial(folder: Path) -> Iterator[Path]:
    """Make a hidden folder on the disk of the target, without making the target's folder before there is a result."""
    with tempfile.TemporaryDirectory(prefix=".cvat-export-", dir=_nearest_existing(folder)) as partial:
        yield Path(partial)


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


def check_archive(path: Path, format_name: str) -> None:
    """Check that an export is a whole zip with something in it.

    Args:
        path: The zip.
        format_name: Its format.

    Raises:
        ToolkitError: It is damaged or holds nothing.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
            members = [name for name in archive.namelist() if not name.endswith("/")]
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise ToolkitError(f"the server's export is no whole zip ({error}), nothing was kept: run again") from None
    if damaged is not None:
        raise ToolkitError(f"the server's export is damaged at {damaged}, nothing was kept: run again")
    if not members or (format_name == IMAGENET and not any("/" in name for name in members)):
        raise ToolkitError("the server's export holds no image, nothing was kept: has the project a task with images?")


def image_count(path: Path) -> int:
    """Count the images in an "ImageNet 1.0" export; one with two tags counts twice."""
    with zipfile.ZipFile(path) as archive:
        return sum("/" in name and not name.endswith("/") for name in archive.namelist())
