"""The work of an import: pack the images, make the task, and take back what was begun if it fails."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from toolkit.core.progress import Watch
from toolkit.core.retry import read_retry_policy
from toolkit.cvat.cli import Stopped
from toolkit.cvat.connection import Connection
from toolkit.cvat.errors import TransientError
from toolkit.transfer.folder_tags import write_annotations
from toolkit.transfer.images import Image
from toolkit.transfer.pack import archive_folder, write_archive
from toolkit.transfer.task import TASK_TIMEOUT, Upload, send, undo


@dataclass(frozen=True)
class Plan:
    """A task to be made of images that have been checked.

    Attributes:
        project_id: The project that it belongs to.
        task_name: Its name.
        folder: The folder of the images; the archive is written beside it for a while.
        images: The images.
        sizes: Width and height in pixels by image name.
        tags_from_folders: Whether an image is tagged with the name of its first folder.
        namesakes: Numbers of the empty tasks of that name that the project had before.
        timeout: Seconds that the upload and the server's work may take together.
    """

    project_id: int
    task_name: str
    folder: Path
    images: Sequence[Image]
    sizes: Mapping[str, tuple[int, int]]
    tags_from_folders: bool = False
    namesakes: frozenset[int] = frozenset()
    timeout: float = TASK_TIMEOUT


def import_task(
    connection: Connection,
    plan: Plan,
    watch: Watch,
    keep_failed: bool = False,
    on_begin: Callable[[], None] = lambda: None,
    on_created: Callable[[int], None] = lambda task_id: None,
    on_gone: Callable[[], None] = lambda: None,
    on_done: Callable[[int], None] = lambda task_id: None,
    stop: threading.Event | None = None,
) -> int:
    """Make a task of images; if that fails or is interrupted, delete it again and say so.

    A failure that may pass (a broken connection, a busy server) is tried again once the first task is deleted.

    Args:
        connection: The server.
        plan: What to make.
        watch: Is told how it goes, and what was taken back.
        keep_failed: Keep the task of a failed import for a look at it.
        on_begin: Called before each attempt, when there is nothing on the server yet.
        on_created: Called with the task's number as soon as it is known.
        on_gone: Called when it is certain that a failed attempt has left nothing on the server.
        on_done: Called with the task's number once it is complete: from then on an interrupt does not undo it.
        stop: Set by another thread to interrupt.

    Returns:
        The task's number.

    Raises:
        ToolkitError: It failed.
        KeyboardInterrupt: It was interrupted.
    """
    with archive_folder(plan.folder) as folder:
        archive = folder / "images.zip"
        annotations = folder / "annotations.xml" if plan.tags_from_folders else None
        if annotations is not None:
            tagged = write_annotations(plan.images, plan.sizes, annotations)
            if tagged < len(plan.images):
                watch.warn(f"{len(plan.images) - tagged} images lie in no folder and get no tag")
        with watch.progress("packing", len(plan.images)) as advance:
            write_archive(plan.images, archive, on_image=_stoppable(advance, stop))
        upload = Upload(
            project_id=plan.project_id,
            task_name=plan.task_name,
            archive=archive,
            frame_names=[image.name for image in plan.images],
            annotations=annotations,
            namesakes=plan.namesakes,
            timeout=plan.timeout,
            on_created=on_created,
        )
        return _send(connection, upload, watch, keep_failed, on_begin, on_gone, on_done, stop)


def _stoppable(advance: Callable[[], None], stop: threading.Event | None) -> Callable[[], None]:
    def step() -> None:
        if stop is not None and stop.is_set():
            raise Stopped("interrupted")
        advance()

    return step


def _send(
    connection: Connection,
    upload: Upload,
    watch: Watch,
    keep_failed: bool,
    on_begin: Callable[[], None],
    on_gone: Callable[[], None],
    on_done: Callable[[int], None],
    stop: threading.Event | None,
) -> int:
    policy = read_retry_policy()
    end = time.monotonic() + upload.timeout
    for attempt in range(1, policy.attempts + 1):
        try:
            on_begin()
            with watch.status() as show:
                task_id = send(connection, upload, show, watch.warn, stop)
        except BaseException as error:
            if keep_failed and upload.task_id is not None:
                watch.say(f"kept the unfinished task {upload.task_id}: {connection.task_url(upload.task_id)}")
                on_gone()
                raise
            # Ctrl-C on a server that is silent must not take minutes; the journal keeps what cannot be undone in time.
            undone = undo(connection, upload, watch.warn, hurried=isinstance(error, KeyboardInterrupt | Stopped))
            if undone.message:
                watch.say(undone.message)
            if undone.is_clean:
                on_gone()
            pause = policy.pause(attempt)
            is_last = attempt == policy.attempts or time.monotonic() + pause > end
            if is_last or not undone.is_clean or not isinstance(error, TransientError):
                raise
            reason = error.message.split(": ")[0]  # without the advice to run again
            watch.warn(f"{reason}, attempt {attempt + 1} of {policy.attempts} in {pause:g} s")
        else:
            on_done(task_id)
            return task_id
        if (stop or threading.Event()).wait(pause):
            break
        upload.task_id = None
    raise KeyboardInterrupt
