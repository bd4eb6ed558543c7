"""A project exported task by task: what a project that is too large for one zip needs, and what can be resumed."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass

from toolkit.core.errors import ToolkitError
from toolkit.core.files import read_own
from toolkit.core.storage import Address, Place, size_of, write
from toolkit.core.text import Watch
from toolkit.cvat.api import Task, session
from toolkit.cvat.connection import Connection
from toolkit.transfer.compare import compare_with_server
from toolkit.transfer.export import Export, ExportProgress, check_target, fetch

_VERSION = 1


@dataclass(frozen=True)
class TaskExport:
    """A task that was exported.

    Attributes:
        updated: When it was last changed on the server before the export, in the server's words.
        file: The name of its zip.
        size: The zip's bytes.
        frames: Its frames that are not deleted.
    """

    task_id: int
    name: str
    updated: str
    file: str
    size: int
    frames: int


def index_file(export_dir: Place, project_id: int) -> Place:
    """Return the list of what is done."""
    return export_dir / f"project_id_{project_id}.tasks.json"


class TaskExports:
    """The exports of all tasks of a project, each a zip of its own named `task-<id>.zip`.

    The folder gets the zips and the list of what is done; one task may take ``timeout`` seconds.
    """

    def __init__(
        self,
        connection: Connection,
        project_id: int,
        format_name: str,
        export_dir: Place,
        watch: Watch,
        timeout: float,
    ) -> None:
        self._connection = connection
        self._project_id = project_id
        self._format = format_name
        self._folder = export_dir
        self._watch = watch
        self._timeout = timeout
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._heading = {
            "version": _VERSION,
            "url": connection.url,
            "project_id": project_id,
            "format": format_name,
        }
        self._done: dict[int, TaskExport] = {}

    def run(self, overwrite: bool = False, parallel: int = 2) -> list[TaskExport]:
        """Export each task that was not exported before, or has changed since; to overwrite, all of them anew.

        Returns all exports, in the order of the tasks' numbers; ``parallel`` are made at a time.

        Raises:
            ToolkitError: One failed, or a zip is in the way; those that are done stay, and another run goes on.
            KeyboardInterrupt: It was interrupted.
        """
        with session(self._connection, self._watch.warn) as api:
            tasks = [task for task in api.tasks(self._project_id) if task.frames]
        if not tasks:
            raise ToolkitError(f"project {self._project_id} has no task with images: put some in with make import")
        before = {} if overwrite else self._read_index()
        self._done = {task.id: before[task.id] for task in tasks if self._is_current(task, before.get(task.id))}
        waiting = [task for task in tasks if task.id not in self._done]
        for task in waiting:
            check_target(self._target(task), overwrite or task.id in before)
        if self._done:
            self._watch.say(f"{len(self._done)} of {len(tasks)} tasks were exported before and have not changed")
        self._export(waiting, len(tasks), parallel)
        return [self._done[task.id] for task in tasks]

    def _target(self, task: Task) -> Place:
        return self._folder / f"task-{task.id}.zip"

    def _is_current(self, task: Task, done: TaskExport | None) -> bool:
        if (
            done is None
            or (done.name, done.updated) != (task.name, task.updated)
            or done.file != self._target(task).name
        ):
            return False
        path = self._target(task)
        is_link = not isinstance(path, Address) and path.is_symlink()
        return not is_link and size_of(path) == done.size

    def _read_index(self) -> dict[int, TaskExport]:
        path = index_file(self._folder, self._project_id)
        try:
            values = json.loads(path.read_bytes() if isinstance(path, Address) else read_own(path))
            exports = [TaskExport(**one) for one in values.pop("tasks")]
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ToolkitError(f"{path} is no list of exports ({type(error).__name__}): remove it") from error
        if values != self._heading:
            raise ToolkitError(
                f"{path} is of an export of another format or server: set another export_dir, or give --overwrite"
            )
        return {one.task_id: one for one in exports}

    def _export(self, waiting: list[Task], total: int, parallel: int) -> None:
        errors: list[BaseException] = []
        running: dict[Future[None], Task] = {}
        with self._watch.status() as show, ThreadPoolExecutor(parallel) as pool:
            try:
                while running or (waiting and not errors):
                    while waiting and not errors and len(running) < parallel:
                        task = waiting.pop(0)
                        running[pool.submit(self._one, task, total, show)] = task
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        task = running.pop(future)
                        if error := future.exception():
                            if isinstance(error, ToolkitError):
                                error.message = f"task {task.id}: {error.message}"
                            errors.append(error)
            except BaseException:
                self._stop.set()
                raise
        if errors:
            raise errors[0]

    def _one(self, task: Task, total: int, show: Callable[[str], None]) -> None:
        target = self._target(task)
        progress = ExportProgress(lambda text: show(f"{len(self._done)} of {total} tasks; {text}"), self._watch.warn)
        export = Export(self._project_id, self._format, target, True, self._timeout, task.id)
        fetch(self._connection, export, progress, self._stop)
        frames, difference = compare_with_server(self._connection, self._project_id, target, self._format, task.id)
        for line in difference.warnings():
            self._watch.warn(f"task {task.id}: {line}")
        done = TaskExport(task.id, task.name, task.updated, target.name, size_of(target) or 0, frames)
        with self._lock:
            self._done[task.id] = done
            exports = [asdict(self._done[number]) for number in sorted(self._done)]
            text = json.dumps({**self._heading, "tasks": exports}, ensure_ascii=False, indent=1)
            write(index_file(self._folder, self._project_id), text + "\n")
            self._watch.say(f"{target.name}: {done.frames} frames of {task.name} ({len(self._done)} of {total})")
