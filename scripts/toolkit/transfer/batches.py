"""A folder of images as one task or several, sent a few at a time: the one way that images are imported."""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, replace

from toolkit.core.errors import ToolkitError
from toolkit.core.text import Watch, some_names
from toolkit.cvat import cli as cvat_cli
from toolkit.cvat.api import Api, Task
from toolkit.cvat.connection import Connection
from toolkit.transfer.images import Image, lost_on_export
from toolkit.transfer.journal import (
    DONE,
    WAITING,
    ImportRecord,
    ImportTarget,
    InterruptedImport,
    Journal,
    TaskRecord,
    begin,
    concurrent_imports,
    describe,
    examine,
    interrupted_imports,
    roll_back,
)
from toolkit.transfer.task import ImportOptions, TaskImporter, TaskSpec, check_folders, packing


@dataclass(frozen=True)
class Decision:
    """What is done about interrupted imports of the same name and folder.

    One of them is gone on with, if any; of the others unfinished tasks are deleted (``roll_back``), and finished ones
    not asked about again (``forget``).
    """

    resume: InterruptedImport | None = None
    roll_back: bool = False
    forget: bool = False


Decide = Callable[[Sequence[InterruptedImport]], Decision]


def split(task_name: str, images: Sequence[Image], images_per_task: int | None) -> list[TaskSpec]:
    """Divide images, in their order, into tasks named `name-001`, `name-002` and so on; a single one is just `name`.

    ``images_per_task`` is None for all in one.
    """
    step = images_per_task or len(images)
    pieces = [images[start : start + step] for start in range(0, len(images), step)]
    if len(pieces) == 1:
        return [TaskSpec.of(task_name, images)]
    digits = max(3, len(str(len(pieces))))
    return [TaskSpec.of(f"{task_name}-{number:0{digits}}", piece) for number, piece in enumerate(pieces, start=1)]


def resume(journal: Journal, specs: Sequence[TaskSpec]) -> list[TaskSpec]:
    """Go on with what an earlier import has begun; returns all tasks, the finished ones among them.

    ``specs`` is the folder as it is split now. Raises ToolkitError where the images of finished tasks are not what they
    were, or the folder is split otherwise.
    """
    records = journal.record.tasks
    if [record.name for record in records] != [spec.record.name for spec in specs]:
        raise ToolkitError(
            f"the earlier import made {len(records)} tasks of {journal.record.images_per_task or 'all'} images, "
            f"now there would be {len(specs)}: give the same --images-per-task, or start over with --start-over"
        )
    changed = [
        record.name
        for record, spec in zip(records, specs, strict=True)
        if record.state == DONE and record.digest != spec.record.digest
    ]
    if changed:
        raise ToolkitError(
            f"the images of {len(changed)} finished tasks have changed since, so that the import cannot be resumed: "
            "put them back, or start over with --start-over",
            changed,
        )
    for record, spec in zip(records, specs, strict=True):
        if record.state != DONE:
            journal.change(record, frames=spec.record.frames, digest=spec.record.digest)
    return [TaskSpec(record, spec.images) for record, spec in zip(records, specs, strict=True)]


class FolderImport:
    """The import of a folder; a failed task is rolled back, finished ones stay.

    The images are checked, and in the order of their names. ``client`` is one that loads, for the first task;
    ``sign_in`` gives the session for all questions, and for the client, and raises ToolkitError where there is none.
    """

    def __init__(
        self,
        connection: Connection,
        target: ImportTarget,
        images: Sequence[Image],
        options: ImportOptions,
        watch: Watch,
        client: cvat_cli.Client,
        sign_in: Callable[[], Api],
    ) -> None:
        self._connection = connection
        self._target = target
        self._images = images
        self._options = options
        self._watch = watch
        self._client = client
        self._sign_in = sign_in
        self._specs = split(target.task_name, images, options.images_per_task)

    @property
    def tasks(self) -> list[TaskRecord]:
        """What has become of each task."""
        return [spec.record for spec in self._specs]

    @property
    def is_done(self) -> bool:
        """Whether all tasks are complete."""
        return all(task.state == DONE for task in self.tasks)

    def run(self, decide: Decide) -> None:
        """Make a task of each part of the folder that is not done.

        Args:
            decide: Is asked what is done about interrupted imports of the same name and folder.

        Raises:
            ToolkitError: A task failed; those behind it were not begun.
            KeyboardInterrupt: It was interrupted.
        """
        target = self._target
        cvat_cli.check_user_name(self._connection)
        with ExitStack() as stack:
            packed = None
            if len(self._specs) == 1 and self._options.storage_id is None:
                packed = stack.enter_context(packing(self._images))  # while the server is asked
            api = self._sign_in()
            self._client.sign_in(self._connection, cookies=api.cookies)
            labels = api.labels(target.project_id)
            if self._options.tags_from_folders:
                check_folders(self._images, labels, target.project_id)
                self._warn_of_untagged()
            journals = stack.enter_context(interrupted_imports(target))
            decision = self._settle(api, examine(api, journals), decide)
            if decision.resume is None:
                journal = self._begin(stack)
            else:
                journal = decision.resume.journal
                self._specs = resume(journal, self._specs)
            # Another import is found by its journal while it goes on, by its task afterwards: asked in this order.
            self._warn_of_others(journal)
            present = api.tasks(target.project_id)
            for spec in self._specs:
                same = [task.id for task in present if task.name == spec.record.name and not task.frames]
                spec.record.same_name_task_ids = same
            self._warn_of_names(api, present)
            importer = TaskImporter(
                self._connection,
                journal,
                labels,
                self._options,
                self._watch,
                threading.Event(),
                [self._client],
                api if len(self._specs) == 1 else None,
                packed,
            )
            self._import(importer)

    def _settle(self, api: Api, interrupted: Sequence[InterruptedImport], decide: Decide) -> Decision:
        for one in interrupted:
            self._watch.warn("an earlier import of this name and folder was stopped in the middle; it has left")
            for line in describe(self._connection, one):
                self._watch.say(f"  - {line}")
        decision = decide(interrupted)
        for one in interrupted:
            if one.unfinished and decision.roll_back:
                for line in roll_back(api, one):
                    self._watch.say(line)
            elif one.unfinished:
                numbers = some_names(str(task.task_id) for task in one.unfinished)
                self._watch.say(f"--remove-leftover deletes the unfinished task {numbers}")
                continue
            if one is not decision.resume and (decision.forget or not one.done):
                one.journal.forget()
        return decision

    def _begin(self, stack: ExitStack) -> Journal:
        options = self._options
        record = ImportRecord(self._target, self.tasks, options.images_per_task, options.tags_from_folders)
        try:
            return stack.enter_context(begin(record))
        except OSError as error:
            self._watch.warn(f"if this import is killed, the next one will not know of it ({error})")
            return Journal(record, None)

    def _warn_of_untagged(self) -> None:
        untagged = sum(image.folder is None for image in self._images)
        if untagged:
            self._watch.warn(f"{untagged} images lie in no folder and get no tag")

    def _warn_of_others(self, journal: Journal) -> None:
        for other in concurrent_imports(journal):
            self._watch.warn(
                f"another import of this folder into project {other.project_id} is under way, as {other.task_name}"
            )

    def _warn_of_names(self, api: Api, present: Sequence[Task]) -> None:
        """Warn of the same folder twice, and of names that an export could not keep apart."""
        ours = {task.task_id for task in self.tasks if task.state == DONE}
        new = {image.name for spec in self._specs if spec.record.state != DONE for image in spec.images}
        names: list[str] = []
        repeated: list[str] = []
        for task in present:
            if not task.frames or task.id in ours:
                continue
            frames = api.frames(task.id).present
            names += frames
            if frames and new.issuperset(frames):
                repeated.append(f"task {task.id} ({task.name})")
        if repeated:
            self._watch.warn(
                f"{some_names(repeated)} holds frames of the same names already: is this folder imported twice?"
            )
        if lost := lost_on_export(names, sorted(new)):
            self._watch.warn(
                f"an export of project {self._target.project_id} would lose {len(lost)} of these images, because it "
                f"renames frames of one name: rename one of each: {some_names(lost)}"
            )
        elif not repeated and (again := sorted(new.intersection(names))):
            self._watch.warn(
                f"{len(again)} names are in the project already, and an export renames their later frames "
                f"(1.jpg becomes 1_1.jpg): {some_names(again)}"
            )

    def _import(self, importer: TaskImporter) -> None:
        journal = importer.journal
        try:
            if len(self._specs) > 1:
                self._many(importer)
            elif not self.is_done:
                importer.run(self._specs[0])
        except BaseException:
            states = Counter(task.state for task in self.tasks)
            if set(states) in ({WAITING}, {DONE}):
                journal.forget()
            elif DONE in states:
                self._watch.say(f"{states[DONE]} of {len(self.tasks)} tasks are finished and stay: --resume goes on")
            raise
        journal.forget()

    def _many(self, importer: TaskImporter) -> None:
        waiting = [spec for spec in self._specs if spec.record.state != DONE]
        errors: list[BaseException] = []
        running: dict[Future[None], TaskSpec] = {}
        with self._watch.status() as show, ThreadPoolExecutor(self._options.parallel) as pool:
            importer = replace(importer, watch=self._quietly(show))
            try:
                while running or (waiting and not errors):
                    while waiting and not errors and len(running) < self._options.parallel:
                        spec = waiting.pop(0)
                        running[pool.submit(importer.run, spec)] = spec
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        self._take_result(running.pop(future).record, future, errors)
            except BaseException:
                importer.stop.set()
                raise
        if errors:
            raise errors[0]

    def _take_result(self, task: TaskRecord, future: Future[None], errors: list[BaseException]) -> None:
        if error := future.exception():
            if isinstance(error, ToolkitError):
                error.message = f"task {task.name}: {error.message}"
            errors.append(error)
            return
        done = sum(other.state == DONE for other in self.tasks)
        self._watch.say(f"task {task.task_id}: {task.name}, {task.frames} frames ({done} of {len(self.tasks)})")

    def _quietly(self, show: Callable[[str], None]) -> Watch:
        """Make a watch for one of several tasks at a time: they share one line."""

        def line(text: str) -> None:
            show(f"{sum(task.state == DONE for task in self.tasks)} of {len(self.tasks)} tasks; {text}")

        return Watch(
            progress=lambda what, total: nullcontext(lambda: None),
            status=lambda: nullcontext(line),
            say=self._watch.say,
            warn=self._watch.warn,
        )
