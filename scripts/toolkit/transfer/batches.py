"""A folder of images as several tasks, sent a few at a time, each of them written down."""

import hashlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace

from toolkit.core.errors import ToolkitError
from toolkit.core.progress import Watch
from toolkit.cvat.api import Task, session
from toolkit.cvat.connection import Connection
from toolkit.transfer.images import Image
from toolkit.transfer.import_run import Plan, import_task
from toolkit.transfer.journal import DONE, STARTED, WAITING, Journal, Part


@dataclass(frozen=True)
class Batch:
    """The images of one task.

    Attributes:
        part: What is written down of it.
        images: Its images.
    """

    part: Part
    images: Sequence[Image]


def split(task_name: str, images: Sequence[Image], images_per_task: int | None) -> list[Batch]:
    """Divide images, in their order, into tasks named `name-001`, `name-002` and so on; a single one is just `name`.

    Args:
        task_name: The name.
        images: The images in the order of their names.
        images_per_task: How many a task may get; None for all.

    Returns:
        The tasks to be.
    """
    step = images_per_task or len(images)
    pieces = [images[start : start + step] for start in range(0, len(images), step)]
    if len(pieces) == 1:
        return [_batch(task_name, images)]
    digits = max(3, len(str(len(pieces))))
    return [_batch(f"{task_name}-{number:0{digits}}", piece) for number, piece in enumerate(pieces, start=1)]


def _batch(name: str, images: Sequence[Image]) -> Batch:
    digest = hashlib.sha256()
    for image in images:
        digest.update(f"{image.name}\0{image.size}\0".encode("utf-8", "surrogateescape"))
    return Batch(Part(name, len(images), digest.hexdigest()), images)


def resume(journal: Journal, batches: Sequence[Batch]) -> list[Batch]:
    """Go on with what an earlier import has begun.

    Args:
        journal: What it wrote down.
        batches: The folder as it is split now.

    Returns:
        All tasks, the finished ones among them.

    Raises:
        ToolkitError: The images of finished tasks are not what they were, or the folder is split otherwise.
    """
    parts = journal.record.parts
    if [part.name for part in parts] != [batch.part.name for batch in batches]:
        raise ToolkitError(
            f"the earlier import made {len(parts)} tasks of {journal.record.images_per_task or 'all'} images, "
            f"now there would be {len(batches)}: give the same --images-per-task, or begin anew with --start-over"
        )
    changed = [
        part.name
        for part, batch in zip(parts, batches, strict=True)
        if part.state == DONE and part.digest != batch.part.digest
    ]
    if changed:
        raise ToolkitError(
            f"the images of {len(changed)} finished tasks have changed since, so that the import cannot go on: "
            "put them back, or begin anew with --start-over",
            changed,
        )
    for part, batch in zip(parts, batches, strict=True):
        if part.state != DONE:
            journal.change(part, frames=batch.part.frames, digest=batch.part.digest)
    return [Batch(part, batch.images) for part, batch in zip(parts, batches, strict=True)]


def import_batches(
    connection: Connection,
    plan: Plan,
    batches: Sequence[Batch],
    journal: Journal,
    watch: Watch,
    tasks: Sequence[Task],
    parallel: int = 2,
    keep_failed: bool = False,
) -> None:
    """Make a task of each batch that is not done, a few at a time; a failed one is taken back, finished ones stay.

    Args:
        connection: The server.
        plan: What all tasks have in common; its name, images and namesakes are not looked at.
        batches: The tasks.
        journal: Gets to know of each step; forgotten if nothing is left that a later run would have to know of.
        watch: Is told how it goes.
        tasks: The tasks that the project had before.
        parallel: How many are sent at a time.
        keep_failed: Keep the task of a failed import for a look at it.

    Raises:
        ToolkitError: A task failed; those behind it were not begun.
        KeyboardInterrupt: It was interrupted.
    """
    run = _Run(connection, plan, journal, watch, tasks, keep_failed)
    try:
        if len(batches) == 1:
            run.one(batches[0], watch)
        else:
            run.many(batches, parallel)
    except BaseException:
        states = [batch.part.state for batch in batches]
        if set(states) in ({WAITING}, {DONE}):
            journal.forget()
        elif DONE in states:
            watch.say(f"{states.count(DONE)} of {len(states)} tasks are finished and stay: --resume goes on")
        raise
    journal.forget()


@dataclass(frozen=True)
class _Run:
    connection: Connection
    plan: Plan
    journal: Journal
    watch: Watch
    tasks: Sequence[Task]
    keep_failed: bool

    def one(self, batch: Batch, watch: Watch, stop: threading.Event | None = None) -> None:
        part = batch.part
        if part.state == DONE:
            return
        namesakes = frozenset(task.id for task in self.tasks if task.name == part.name and not task.frames)
        import_task(
            self.connection,
            replace(self.plan, task_name=part.name, images=batch.images, namesakes=namesakes),
            watch,
            self.keep_failed,
            on_begin=lambda: self.journal.change(
                part, state=STARTED, namesakes=sorted(namesakes), task_id=None, created=None
            ),
            on_created=lambda task_id: self._note(part, task_id),
            on_gone=lambda: self.journal.change(part, state=WAITING, task_id=None, created=None),
            on_done=lambda task_id: self.journal.change(part, state=DONE, task_id=task_id),
            stop=stop,
        )

    def _note(self, part: Part, task_id: int) -> None:
        self.journal.change(part, state=STARTED, task_id=task_id)
        # The upload must not wait for this question.
        threading.Thread(target=self._note_creation, args=(part, task_id), daemon=True).start()

    def _note_creation(self, part: Part, task_id: int) -> None:
        with suppress(ToolkitError), session(self.connection) as api:
            facts = api.task_facts(task_id)
            if facts is not None and part.task_id == task_id:
                self.journal.change(part, created=facts.created)

    def many(self, batches: Sequence[Batch], parallel: int) -> None:
        waiting = [batch for batch in batches if batch.part.state != DONE]
        stop = threading.Event()
        errors: list[BaseException] = []
        running: dict[Future[None], Batch] = {}
        with self.watch.status() as show, ThreadPoolExecutor(parallel) as pool:
            quiet = self._quietly(show, batches)
            try:
                while running or (waiting and not errors):
                    while waiting and not errors and len(running) < parallel:
                        batch = waiting.pop(0)
                        running[pool.submit(self.one, batch, quiet, stop)] = batch
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        self._settle(running.pop(future), future, batches, errors)
            except BaseException:
                stop.set()
                raise
        if errors:
            raise errors[0]

    def _settle(
        self, batch: Batch, future: Future[None], batches: Sequence[Batch], errors: list[BaseException]
    ) -> None:
        if error := future.exception():
            if isinstance(error, ToolkitError):
                error.message = f"task {batch.part.name}: {error.message}"
            errors.append(error)
            return
        done = sum(other.part.state == DONE for other in batches)
        part = batch.part
        self.watch.say(f"task {part.task_id}: {part.name}, {part.frames} frames ({done} of {len(batches)})")

    def _quietly(self, show: Callable[[str], None], batches: Sequence[Batch]) -> Watch:
        """Make a watch for one of several tasks at a time: they share one line."""

        def line(text: str) -> None:
            show(f"{sum(batch.part.state == DONE for batch in batches)} of {len(batches)} tasks; {text}")

        return Watch(
            progress=lambda what, total: nullcontext(lambda: None),
            status=lambda: nullcontext(line),
            say=self.watch.say,
            warn=self.watch.warn,
        )
