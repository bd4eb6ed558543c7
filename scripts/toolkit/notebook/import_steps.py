"""The import notebook: what is imported, the import, and what became of it."""

from collections.abc import Sequence

from toolkit.config.model import ImportKeys
from toolkit.core.progress import Watch
from toolkit.core.text import format_size
from toolkit.cvat.api import session
from toolkit.cvat.connection import Connection
from toolkit.notebook.display import progress, show, status, warn
from toolkit.notebook.sheets import of_folder, show_sheet
from toolkit.transfer.batches import Decision, FolderImport
from toolkit.transfer.images import FoundImages, Image, check_images, describe_left_out, find_images
from toolkit.transfer.journal import ImportTarget
from toolkit.transfer.task import ImportOptions


def find_and_check(keys: ImportKeys) -> FoundImages:
    """Find the images, look into each, and show what will be imported.

    Args:
        keys: Where they are.

    Returns:
        The images with what is left out.

    Raises:
        ToolkitError: There are none, or some cannot be imported; all are named.
    """
    found = find_images(keys.import_dir, keys.import_image_extension)
    with progress("checking images", len(found.images)) as advance:
        check_images(found.images, on_image=advance)
    for line in describe_left_out(found.left_out):
        warn(line)
    dataset = of_folder(found.images)
    bytes_ = format_size(sum(image.size for image in found.images))
    folders = f", in {len(dataset.classes)} folders" if len(dataset.classes) > 1 else ""
    show_sheet(dataset, f"{len(found.images):,} images will be imported, {bytes_}{folders}")
    return found


def import_task(
    connection: Connection, keys: ImportKeys, images: Sequence[Image], tags_from_folders: bool = False
) -> int:
    """Import the images as one task; if that fails or is interrupted, the task is deleted again.

    What a killed kernel has left of an import of the same name and folder is deleted first, if it is unfinished.

    Args:
        connection: The server.
        keys: The project and the task's name.
        images: The images.
        tags_from_folders: Tag each image with the name of its first folder.

    Returns:
        The task's number.

    Raises:
        ToolkitError: It failed.
        KeyboardInterrupt: It was interrupted; a note says what was undone.
    """
    said: list[str] = []
    name = keys.import_task_name.strip() or keys.import_task_name  # as the server keeps it
    target = ImportTarget(connection.url, keys.cvat_project_id, name, str(keys.import_dir))
    watch = Watch(progress, lambda: status("importing"), said.append, warn)
    work = FolderImport(connection, target, images, ImportOptions(tags_from_folders), watch)
    try:
        work.run(lambda interrupted: Decision(roll_back=True))
    except BaseException as error:
        for line in said or ["no task had been made"] * isinstance(error, KeyboardInterrupt):
            error.add_note(line)
        raise
    (task,) = work.tasks
    assert task.task_id is not None
    return task.task_id


def show_task(connection: Connection, keys: ImportKeys, task_id: int) -> None:
    """Show the task that was made, with a link to it, among the others of its project.

    Args:
        connection: The server.
        keys: The project.
        task_id: The task.
    """
    with session(connection) as api:
        tasks = api.tasks(keys.cvat_project_id)
    (task,) = (task for task in tasks if task.id == task_id)
    address = connection.task_url(task_id)
    title = f"task {task_id}: {task.frames:,} frames"
    caption = "Open it, click on its job, and tag. Then run the export notebook."
    show("link", f"{title}\n{address}", text=f"Open {title}", url=address, caption=caption)
    newest = tasks[::-1][:10]
    rows = [({"text": f"{task.id}", "url": connection.task_url(task.id)}, task.name, task.frames) for task in newest]
    show(
        "table",
        "\n".join(f"task {task.id}: {task.name}, {task.frames} frames" for task in newest),
        headings=("task", "name", "frames"),
        rows=rows,
        numbers=(2,),
        caption=f"The {len(newest)} newest tasks of project {keys.cvat_project_id}:"
        if len(tasks) > len(newest)
        else f"The tasks of project {keys.cvat_project_id}:",
        total=("all tasks", "", sum(task.frames for task in tasks)) if len(tasks) > 1 else None,
    )
