"""One task of CVAT made from images: packed, sent, compared with what was sent, deleted again if anything failed."""

import hashlib
import os
import re
import shutil
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from toolkit.core.errors import ToolkitError
from toolkit.core.files import temporary_folder
from toolkit.core.retry import RetryPolicy, read_retry_policy, retry
from toolkit.core.text import Watch, format_size, some_names
from toolkit.core.workers import in_background
from toolkit.cvat import cli as cvat_cli
from toolkit.cvat.api import Api, Frames, Label, session
from toolkit.cvat.cli import JobMonitor, Stopped
from toolkit.cvat.connection import Connection
from toolkit.transfer.images import Image
from toolkit.transfer.journal import DONE, STARTED, WAITING, Journal, TaskRecord

_OVERHEAD = 512
"""Bytes that a member's two headers take at most with a usual name, on top of the name twice."""


@contextmanager
def archive_folder(beside: Path) -> Iterator[Path]:
    """Make a folder for the archive, in TMPDIR if that is set, else beside the folder of the images where it can be.

    It is removed at the end whatever happens.
    """
    is_beside = not os.environ.get("TMPDIR") and os.access(beside.parent, os.W_OK)
    with temporary_folder(beside.parent if is_beside else Path(tempfile.gettempdir()), ".cvat-import-") as folder:
        yield folder


def write_archive(images: Sequence[Image], target: Path, on_image: Callable[[], None] = lambda: None) -> None:
    """Write images into a stored (uncompressed) zip, under their names.

    Raises ToolkitError where the disk has too little room, or an image changed or went away.
    """
    needed = sum(image.size + 2 * len(image.name.encode()) + _OVERHEAD for image in images)
    free = shutil.disk_usage(target.parent).free
    if needed > free:
        raise ToolkitError(
            f"{target.parent} has {format_size(free)} free, the upload needs {format_size(needed)} for a "
            "while: make room, or name another place in TMPDIR"
        )
    # Times before 1980 have no place in a zip, and no meaning here.
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED, strict_timestamps=False) as archive:
        for image in images:
            try:
                archive.write(image.path, image.name)
            except FileNotFoundError:
                raise ToolkitError(f"{image.path} went away while it was read: run again") from None
            on_image()


class Packing:
    """The archive of a task that a thread writes while something else is done."""

    def __init__(self, images: Sequence[Image], folder: Path) -> None:
        self.target = folder / "images.zip"
        self._done = 0
        self._is_wanted = True
        self._written = in_background(partial(write_archive, images, self.target, self._step))

    def _step(self) -> None:
        if not self._is_wanted:
            raise Stopped("interrupted")
        self._done += 1

    def wait(self, step: Callable[[], None]) -> None:
        """Wait for its end; ``step`` is called for each image. Raises what :func:`write_archive` does."""
        shown = 0
        is_done = False
        while not is_done:
            is_done = bool(wait([self._written], _LOOK_EVERY).done)
            for _ in range(self._done - shown):
                step()
                shown += 1
        self._written.result()

    def end(self) -> None:
        """Have it stop at the next image, if it has not ended."""
        self._is_wanted = False
        wait([self._written])


@contextmanager
def packing(images: Sequence[Image]) -> Iterator[Packing]:
    """Begin to pack images; the archive is there until the end of the block, however that ends."""
    with archive_folder(images[0].root) as folder:
        begun = Packing(images, folder)
        try:
            yield begun
        finally:
            begun.end()


TAG_TYPES = ("tag", "any")


def check_folders(images: Sequence[Image], labels: Sequence[Label], project_id: int) -> None:
    """Check that every first folder is a label of the project that can be a tag.

    Raises ToolkitError, which names the folders without a label and the labels, where one is not.
    """
    folders = sorted({image.folder for image in images if image.folder is not None})
    tags = sorted(label.name for label in labels if label.type in TAG_TYPES)
    unknown = [folder for folder in folders if folder not in tags]
    if unknown:
        raise ToolkitError(
            f"{len(unknown)} of the folders are no tag labels of project {project_id}, nothing was sent: "
            "rename them, or add the labels to the project",
            [
                f"no label: {', '.join(unknown)}",
                f"folders: {', '.join(folders)}",
                f"tag labels of the project: {', '.join(tags) or 'none'}",
            ],
        )


def folder_tags(frames: Sequence[str], images: Sequence[Image], labels: Sequence[Label]) -> list[tuple[int, int]]:
    """Tag each frame of a task, in their order, with the name of its image's first folder.

    Returns frame number and label number of each tag; a frame in no folder gets none.
    """
    numbers = {label.name: label.id for label in labels if label.type in TAG_TYPES}
    folders = {image.name: image.folder for image in images}
    return [(number, numbers[folder]) for number, name in enumerate(frames) if (folder := folders[name]) is not None]


_CREATED = re.compile(r"INFO: Created task ID: (\d+) NAME: ")
_MOST_OFTEN, _MOST_SELDOM = 0.2, 2.0
_LOOKED_AT = 5000
"""Seconds between looks at the server: one for so many images, which is about a fifth of the time that they take it.

cvat-cli's own 2 s, which are most of a small task's time, are the longest.
"""

_LOOK_EVERY = 0.1
_HURRIED_ANSWER = 10.0
"""Seconds."""

TASK_TIMEOUT = 6 * 3600.0
"""Seconds that one task may take: an upload of 25 GiB over a slow line, and the server's work on it."""


@dataclass(frozen=True)
class TaskSpec:
    """A task to be made of images that have been checked, and what is written down of it."""

    record: TaskRecord
    images: Sequence[Image]

    @classmethod
    def of(cls, name: str, images: Sequence[Image]) -> "TaskSpec":
        """Make the description of a task that nothing has been done for."""
        digest = hashlib.sha256()
        for image in images:
            digest.update(f"{image.name}\0{image.size}\0".encode("utf-8", "surrogateescape"))
        return cls(TaskRecord(name, len(images), digest.hexdigest()), images)


@dataclass(frozen=True)
class ImportOptions:
    """How an import is done.

    Attributes:
        tags_from_folders: Tag each image with the name of its first folder.
        images_per_task: How many images a task gets; None for all in one.
        parallel: How many of several tasks are sent at a time.
        timeout: Seconds that the upload and the server's work on one task may take together.
        keep_failed: Keep the task of a failed import for a look at it.
        storage_id: The bucket that holds the images already, by the server's number; None for a folder of this machine.
    """

    tags_from_folders: bool = False
    images_per_task: int | None = None
    parallel: int = 2
    timeout: float = TASK_TIMEOUT
    keep_failed: bool = False
    storage_id: int | None = None


def _hurried_policy() -> RetryPolicy:
    """Somebody waits for the end: ask once, and wait for no answer longer than ten seconds."""
    policy = read_retry_policy()
    return replace(policy, answer=min(policy.answer, _HURRIED_ANSWER), attempts=1, queue=0)


@dataclass(frozen=True)
class TaskImporter:
    """Makes tasks of images, and writes down each step before it is taken.

    The watch is told what was rolled back; another thread sets ``stop`` to interrupt. The ``clients`` are loaded ones
    of cvat-cli, each to be taken by one attempt. ``api`` is the session of the only thread that makes tasks; else each
    task has one of its own. ``packed`` is the archive of the only task, if it is being made already.
    """

    connection: Connection
    journal: Journal
    labels: Sequence[Label]
    options: ImportOptions
    watch: Watch
    stop: threading.Event
    clients: list[cvat_cli.Client]
    api: Api | None
    packed: Packing | None

    def run(self, spec: TaskSpec) -> None:
        """Make a task; if that fails or is interrupted, delete it again and say so.

        A failure that may pass (a broken connection, a busy server) is tried again once the first task is deleted.
        """
        if self.options.storage_id is not None:
            options = [f"--cloud_storage_id={self.options.storage_id}", "--use_cache"]
            self._run(spec, [*options, "--"], ["share", *(image.name for image in spec.images)])
            return
        with nullcontext(self.packed) if self.packed else packing(spec.images) as archive:
            with self.watch.progress("packing", len(spec.images)) as advance:
                archive.wait(self._stoppable(advance))
            self._run(spec, ["--"], ["local", str(archive.target)])

    def _run(self, spec: TaskSpec, options: list[str], resources: list[str]) -> None:
        retry(
            lambda: self._attempt(spec, options, resources),
            self.watch.warn,
            deadline=time.monotonic() + self.options.timeout,
            stop=self.stop,
        )

    def _stoppable(self, advance: Callable[[], None]) -> Callable[[], None]:
        def step() -> None:
            if self.stop.is_set():
                raise Stopped("interrupted")
            advance()

        return step

    def _attempt(self, spec: TaskSpec, options: list[str], resources: list[str]) -> None:
        record = spec.record
        self._note(record, state=STARTED, task_id=None, created=None)
        try:
            with self.watch.status() as show:
                early = self._send(record, options, resources, show)
                show("comparing the frames")
                self._finish(spec, early)
        except BaseException as error:
            if self.options.keep_failed and record.task_id is not None:
                self.watch.say(f"kept the unfinished task {record.task_id}: {self.connection.task_url(record.task_id)}")
                self._note(record, state=WAITING, task_id=None, created=None)
                if isinstance(error, ToolkitError):
                    raise ToolkitError(error.message, error.details) from error
                raise
            # Ctrl-C on a server that is silent must not take minutes; the journal keeps what cannot be undone in time.
            is_hurried = isinstance(error, KeyboardInterrupt | Stopped)
            if not self._roll_back(record, is_hurried) and isinstance(error, ToolkitError):
                raise ToolkitError(error.message, error.details) from error  # a second attempt might make a second task
            raise
        self._note(record, state=DONE)

    def _note(self, record: TaskRecord, **values: object) -> None:
        self.journal.change(record, **values)

    def _send(
        self, record: TaskRecord, options: list[str], resources: list[str], show: Callable[[str], None]
    ) -> "Future[Frames] | None":
        """Make the task, and perhaps ask for its frames while cvat-cli is still ending."""
        monitor = JobMonitor("import", self.watch.warn)
        early: Future[Frames] | None = None

        def on_line(line: str) -> None:
            nonlocal early
            if found := _CREATED.search(line):
                self._note_creation(record, int(found[1]))
            monitor.on_line(line)
            if monitor.state == "finished" and self.api and record.task_id is not None and early is None:
                early = in_background(partial(self.api.frames, record.task_id))
            show(line)

        arguments = [
            "task",
            "create",
            f"--project_id={self.journal.record.target.project_id}",
            f"--completion_verification_period={min(max(record.frames / _LOOKED_AT, _MOST_OFTEN), _MOST_SELDOM):g}",
            *options,  # the last is two dashes, behind which a name may begin with one
            record.name,
            *resources,
        ]
        try:
            output = cvat_cli.run(
                self.connection,
                arguments,
                on_line=on_line,
                deadline=self.options.timeout,
                on_idle=monitor.on_idle,
                may_stop=lambda: record.task_id is not None,
                notice=self.watch.warn,
                stop=self.stop,
                client=self._loaded_client(),
            )
        except cvat_cli.DeadlineExceeded:
            raise ToolkitError(monitor.timeout_message(self.options.timeout)) from None
        if not output.isascii() or not output.isdigit() or len(output) > 15:
            raise ToolkitError(f"cvat-cli printed no task number but {output[:60]!r}")
        record.task_id = int(output)
        return early

    def _loaded_client(self) -> cvat_cli.Client | None:
        with suppress(IndexError):
            return self.clients.pop()
        return None

    def _note_creation(self, record: TaskRecord, task_id: int) -> None:
        self._note(record, task_id=task_id)
        in_background(partial(self._ask_creation, record, task_id))  # the upload must not wait for it

    def _ask_creation(self, record: TaskRecord, task_id: int) -> None:
        with suppress(ToolkitError), nullcontext(self.api) if self.api else session(self.connection) as api:
            task = api.task(task_id)
            if task is not None and record.task_id == task_id:
                self._note(record, created=task.created)

    def _finish(self, spec: TaskSpec, early: "Future[Frames] | None") -> None:
        """Compare the frames with what was sent, and tag them."""
        task_id = spec.record.task_id
        assert task_id is not None
        with nullcontext(self.api) if self.api else session(self.connection, self.watch.warn) as api:
            arrived = (early.result() if early else api.frames(task_id)).names
            sent = {image.name for image in spec.images}
            missing, unexpected = sorted(sent - set(arrived)), sorted(set(arrived) - sent)
            if missing or unexpected or len(arrived) != len(spec.images):
                raise ToolkitError(
                    f"task {task_id} has {len(arrived)} frames where {len(spec.images)} images were sent",
                    [*(f"missing: {name}" for name in missing), *(f"unexpected: {name}" for name in unexpected)],
                )
            if self.options.tags_from_folders:
                api.set_tags(task_id, folder_tags(arrived, spec.images, self.labels))

    def _roll_back(self, record: TaskRecord, is_hurried: bool) -> bool:
        """Delete the task of a failed attempt; tell whether it is certain that nothing is left of it.

        A task whose number never reached us, because the connection broke in between, is known by its name, by being
        empty and by not having been there before.
        """
        project_id = self.journal.record.target.project_id
        try:
            with session(self.connection, self.watch.warn, _hurried_policy() if is_hurried else None) as api:
                if record.task_id is None:
                    new = sorted(api.empty_tasks(project_id, record.name) - set(record.same_name_task_ids))
                    if len(new) > 1:
                        places = some_names((self.connection.task_url(number) for number in new), len(new))
                        self.watch.say(
                            f"one of these empty tasks named {record.name} was left by this import, delete it: {places}"
                        )
                        return False
                    record.task_id = new[0] if new else None
                if record.task_id is not None:
                    api.delete_task(record.task_id)
                    self.watch.say(f"deleted the unfinished task {record.task_id}")
        except ToolkitError as error:
            self.watch.say(self._not_rolled_back(record, error))
            return False
        self._note(record, state=WAITING, task_id=None, created=None)
        return True

    def _not_rolled_back(self, record: TaskRecord, error: ToolkitError) -> str:
        if record.task_id is None:
            place = self.connection.project_url(self.journal.record.target.project_id)
            return f"a task named {record.name} may have been left ({error.message}): look at {place}"
        place = self.connection.task_url(record.task_id)
        return (
            f"task {record.task_id} could not be deleted ({error.message}): "
            f"run again with --remove-leftover, or delete it at {place}"
        )
