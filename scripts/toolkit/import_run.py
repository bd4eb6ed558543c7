"""The work of an import: pack the images, make the task, and take back what was begun if it fails."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from toolkit.connection import Connection
from toolkit.folder_tags import write_annotations
from toolkit.image_archive import temporary_folder, write_archive
from toolkit.images import Image
from toolkit.task_import import Upload, send, undo


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
    """

    project_id: int
    task_name: str
    folder: Path
    images: Sequence[Image]
    sizes: Mapping[str, tuple[int, int]]
    tags_from_folders: bool = False
    namesakes: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Watch:
    """How the person is told, on a terminal or in a notebook.

    Attributes:
        progress: Shows a bar for a number of steps; gives a function to call after each.
        status: Shows a line; gives a function to call with each new text.
        say: Tells something to keep.
        warn: Tells a warning to keep.
    """

    progress: Callable[[str, int], AbstractContextManager[Callable[[], None]]]
    status: Callable[[], AbstractContextManager[Callable[[str], None]]]
    say: Callable[[str], None]
    warn: Callable[[str], None]


def import_task(connection: Connection, plan: Plan, watch: Watch, keep_failed: bool = False) -> int:
    """Make a task of images; if that fails or is interrupted, delete it again and say so.

    Args:
        connection: The server.
        plan: What to make.
        watch: Is told how it goes, and what was taken back.
        keep_failed: Keep the task of a failed import for a look at it.

    Returns:
        The task's number.

    Raises:
        ToolkitError: It failed.
        KeyboardInterrupt: It was interrupted.
    """
    with temporary_folder(plan.folder) as folder:
        upload = Upload(
            project_id=plan.project_id,
            task_name=plan.task_name,
            archive=folder / "images.zip",
            frame_names=[image.name for image in plan.images],
            annotations=folder / "annotations.xml" if plan.tags_from_folders else None,
            namesakes=plan.namesakes,
        )
        if upload.annotations is not None:
            tagged = write_annotations(plan.images, plan.sizes, upload.annotations)
            if tagged < len(plan.images):
                watch.warn(f"{len(plan.images) - tagged} images lie in no folder and get no tag")
        with watch.progress("packing", len(plan.images)) as advance:
            write_archive(plan.images, upload.archive, on_image=advance)
        return _send(connection, upload, watch, keep_failed)


def _send(connection: Connection, upload: Upload, watch: Watch, keep_failed: bool) -> int:
    try:
        with watch.status() as show:
            return send(connection, upload, on_line=show)
    except BaseException:
        if upload.task_id is not None and keep_failed:
            watch.say(f"kept the unfinished task {upload.task_id}: {connection.task_url(upload.task_id)}")
        elif done := undo(connection, upload):
            watch.say(done)
        raise
