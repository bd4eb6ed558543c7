"""One task of CVAT made from images: sent, compared with what was sent, and deleted again if anything failed."""

import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from toolkit.core.errors import ToolkitError
from toolkit.core.retry import read_retry_policy
from toolkit.cvat import cli as cvat_cli
from toolkit.cvat.api import session
from toolkit.cvat.connection import Connection
from toolkit.cvat.queue_watch import QueueWatch
from toolkit.transfer.folder_tags import ANNOTATION_FORMAT

_CREATED = re.compile(r"INFO: Created task ID: (\d+) NAME: ")
_POLL_EVERY = 0.5
"""Seconds between looks at the server; cvat-cli's own 2 s are most of a small task's time."""

_HURRIED_ANSWER = 10.0
"""Seconds."""

TASK_TIMEOUT = 6 * 3600.0
"""Seconds that one task may take: an upload of 25 GiB over a slow line, and the server's work on it."""


@dataclass
class Upload:
    """A task to be made.

    Attributes:
        project_id: The project that it belongs to.
        task_name: Its name; names need not be unique.
        archive: The zip with the images.
        frame_names: The names that the frames must have afterwards.
        annotations: A file in the format "CVAT 1.1", or None.
        namesakes: Numbers of the empty tasks of that name that the project had before.
        timeout: Seconds that the upload and the server's work may take together.
        on_created: Called with the task's number as soon as it is known.
        task_id: Its number, known from the moment the server has made it.
    """

    project_id: int
    task_name: str
    archive: Path
    frame_names: Sequence[str]
    annotations: Path | None = None
    namesakes: frozenset[int] = frozenset()
    timeout: float = TASK_TIMEOUT
    on_created: Callable[[int], None] = lambda task_id: None
    task_id: int | None = field(default=None, init=False)


@dataclass(frozen=True)
class Undone:
    """What has become of the task of a failed import.

    Attributes:
        is_clean: Whether it is certain that nothing is left of it.
        message: What was done or is left to do, for the person; None if there was nothing.
    """

    is_clean: bool
    message: str | None


def send(
    connection: Connection,
    upload: Upload,
    on_line: Callable[[str], None] = lambda line: None,
    warn: Callable[[str], None] = lambda line: None,
    stop: threading.Event | None = None,
) -> int:
    """Make the task, send its images and compare its frames with what was sent.

    ``upload.task_id`` is set as soon as the task exists, so that a caller can undo it whatever happens next.

    Args:
        connection: The server.
        upload: What to send.
        on_line: Called with each line of progress.
        warn: Called with a line when a request is tried again, or has been queued for long.
        stop: Set by another thread to interrupt.

    Returns:
        The task's number.

    Raises:
        ToolkitError: The server refused or lost something.
        KeyboardInterrupt: Ctrl-C.
    """
    queue = QueueWatch("import", warn)

    def watch(line: str) -> None:
        if found := _CREATED.search(line):
            upload.task_id = int(found[1])
            upload.on_created(upload.task_id)
        queue.on_line(line)
        on_line(line)

    try:
        output = cvat_cli.run(
            connection,
            _arguments(upload),
            on_line=watch,
            deadline=upload.timeout,
            on_idle=queue.on_idle,
            may_stop=lambda: upload.task_id is not None,
            notice=warn,
            stop=stop,
        )
    except cvat_cli.DeadlineExceeded:
        raise ToolkitError(queue.too_late(upload.timeout)) from None
    if not output.isascii() or not output.isdigit():
        raise ToolkitError(f"cvat-cli printed no task number but {output!r}")
    upload.task_id = int(output)
    _compare_frames(connection, upload, warn)
    return upload.task_id


def _arguments(upload: Upload) -> list[str]:
    options = [f"--project_id={upload.project_id}", f"--completion_verification_period={_POLL_EVERY}"]
    if upload.annotations is not None:
        options += [f"--annotation_path={upload.annotations}", f"--annotation_format={ANNOTATION_FORMAT}"]
    # Behind the two dashes a name may begin with one.
    return ["task", "create", *options, "--", upload.task_name, "local", str(upload.archive)]


def _compare_frames(connection: Connection, upload: Upload, warn: Callable[[str], None]) -> None:
    assert upload.task_id is not None
    with session(connection, warn) as api:
        arrived = api.frame_names(upload.task_id)
    missing = sorted(set(upload.frame_names) - set(arrived))
    unexpected = sorted(set(arrived) - set(upload.frame_names))
    if missing or unexpected or len(arrived) != len(upload.frame_names):
        raise ToolkitError(
            f"task {upload.task_id} has {len(arrived)} frames where {len(upload.frame_names)} images were sent",
            [*(f"missing: {name}" for name in missing), *(f"unexpected: {name}" for name in unexpected)],
        )


def undo(
    connection: Connection, upload: Upload, warn: Callable[[str], None] = lambda line: None, hurried: bool = False
) -> Undone:
    """Delete the task of a failed import.

    A task whose number never reached us, because the connection broke in between, is known by its name, by being empty
    and by not having been there before.

    Args:
        connection: The server.
        upload: What was to be sent.
        warn: Called with a line when a request is tried again.
        hurried: Somebody waits for the end: ask once, and wait for no answer longer than ten seconds.

    Returns:
        What was done.
    """
    policy = read_retry_policy()
    if hurried:
        policy = replace(policy, answer=min(policy.answer, _HURRIED_ANSWER), attempts=1)
    try:
        with session(connection, warn, policy) as api:
            if upload.task_id is None:
                new = api.empty_tasks(upload.project_id, upload.task_name) - upload.namesakes
                if len(new) != 1:
                    return _ambiguous(connection, upload, new)
                upload.task_id = new.pop()
            api.delete_task(upload.task_id)
    except ToolkitError as error:
        return Undone(False, _not_undone(connection, upload, error))
    return Undone(True, f"deleted the unfinished task {upload.task_id}")


def _ambiguous(connection: Connection, upload: Upload, tasks: set[int]) -> Undone:
    if not tasks:
        return Undone(True, None)
    addresses = ", ".join(connection.task_url(task_id) for task_id in sorted(tasks))
    return Undone(
        False, f"one of these empty tasks named {upload.task_name} was left by this import, delete it: {addresses}"
    )


def _not_undone(connection: Connection, upload: Upload, error: ToolkitError) -> str:
    if upload.task_id is None:
        place = connection.project_url(upload.project_id)
        return f"a task named {upload.task_name} may have been left ({error.message}): look at {place}"
    place = connection.task_url(upload.task_id)
    return (
        f"task {upload.task_id} could not be deleted ({error.message}): "
        f"run again with --remove-leftover, or delete it at {place}"
    )
