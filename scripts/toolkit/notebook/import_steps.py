"""The import notebook: what is imported, the import, and what became of it."""

from collections.abc import Mapping, Sequence

from toolkit.config.model import ImportKeys
from toolkit.core.progress import Watch
from toolkit.core.text import format_size
from toolkit.cvat.api import session
from toolkit.cvat.connection import Connection
from toolkit.notebook.display import show, warn
from toolkit.notebook.notebook_progress import progress, status
from toolkit.notebook.sheets import of_folder, show_sheet
from toolkit.transfer.folder_tags import check_folders
from toolkit.transfer.images import Found, Image, find_images
from toolkit.transfer.import_run import Plan
from toolkit.transfer.import_run import import_task as run
from toolkit.transfer.preflight import check_images


def find_and_check(keys: ImportKeys) -> tuple[Found, dict[str, tuple[int, int]]]:
    """Find the images, look into each, and show what will be imported.

    Args:
        keys: Where they are.

    Returns:
        The images with what is left out, and width and height by image name.

    Raises:
        ToolkitError: There are none, or some cannot be imported; all are named.
    """
    found = find_images(keys.import_dir, keys.import_image_extension)
    with progress("checking images", len(found.images)) as advance:
        sizes = check_images(found.images, on_image=advance)
    for reason, names in found.left_out.items():
        warn(f"left out {len(names)} ({reason}): {', '.join(names[:3])}{', …' * (len(names) > 3)}")
    dataset = of_folder(found.images)
    bytes_ = format_size(sum(image.size for image in found.images))
    folders = f", in {len(dataset.classes)} folders" if len(dataset.classes) > 1 else ""
    show_sheet(dataset, f"{len(found.images):,} images will be imported, {bytes_}{folders}")
    return found, sizes


def import_task(
    connection: Connection,
    keys: ImportKeys,
    images: Sequence[Image],
    sizes: Mapping[str, tuple[int, int]],
    tags_from_folders: bool = False,
) -> int:
    """Import the images as one task; if that fails or is interrupted, the task is deleted again.

    Args:
        connection: The server.
        keys: The project and the task's name.
        images: The images.
        sizes: Their widths and heights.
        tags_from_folders: Tag each image with the name of its first folder.

    Returns:
        The task's number.

    Raises:
        ToolkitError: It failed.
        KeyboardInterrupt: It was interrupted; a note says what was undone.
    """
    said: list[str] = []
    try:
        with session(connection) as api:
            namesakes = api.empty_tasks(keys.cvat_project_id, keys.import_task_name)
            if tags_from_folders:
                check_folders(images, api.labels(keys.cvat_project_id), keys.cvat_project_id)
        plan = Plan(
            project_id=keys.cvat_project_id,
            task_name=keys.import_task_name,
            folder=keys.import_dir,
            images=images,
            sizes=sizes,
            tags_from_folders=tags_from_folders,
            namesakes=frozenset(namesakes),
        )
        return run(connection, plan, Watch(progress, lambda: status("importing"), said.append, warn))
    except BaseException as error:
        for line in said or ["no task had been made"] * isinstance(error, KeyboardInterrupt):
            error.add_note(line)
        raise


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
