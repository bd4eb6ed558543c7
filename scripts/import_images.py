"""Put a folder of images into CVAT as one task."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from toolkit import console

if TYPE_CHECKING:
    from toolkit.connection import Connection
    from toolkit.images import Found


def main(
    config: console.Config = None,
    project_id: Annotated[
        int | None, typer.Option("--project-id", "--cvat-project-id", help="Number of the project.")
    ] = None,
    import_dir: Annotated[
        Path | None, typer.Option("--import-dir", help="Folder with the images, at any depth.")
    ] = None,
    extension: Annotated[
        str | None,
        typer.Option("--extension", "--import-image-extension", help="jpg, JPG, jpeg or JPEG: exactly this spelling."),
    ] = None,
    task_name: Annotated[
        str | None, typer.Option("--task-name", "--import-task-name", help="Name of the task to create.")
    ] = None,
    tags_from_folders: Annotated[
        bool, typer.Option("--tags-from-folders", help="Tag each image with the name of its first folder.")
    ] = False,
    verify: Annotated[bool, typer.Option(help="Look into every file before sending any.")] = True,
    keep_failed: Annotated[
        bool, typer.Option("--keep-failed", help="Keep the task of a failed import for a look at it.")
    ] = False,
    url: console.Url = None,
    username: console.Username = None,
    as_json: console.Json = False,
    debug: console.Debug = False,
) -> None:
    """Put a folder of images into a project of CVAT as one task; folders stay part of the frames' names.

    Example: `make import CONFIG=configuration.json ARGS=--tags-from-folders`
    """
    from toolkit.configuration import ImportKeys
    from toolkit.cvat_api import session
    from toolkit.folder_tags import check_folders
    from toolkit.images import find_images
    from toolkit.import_run import Plan, Watch, import_task
    from toolkit.preflight import check_images
    from toolkit.settings import find_configuration, read_with_connection

    started = time.monotonic()
    file, warnings = find_configuration(config)
    for warning in warnings:
        console.warn(warning)
    options = {
        "cvat_project_id": project_id,
        "import_dir": import_dir,
        "import_image_extension": extension,
        "import_task_name": task_name,
    }
    keys, connection = read_with_connection(ImportKeys, file, options, url, username)
    found = find_images(keys.import_dir, keys.import_image_extension)
    _tell_left_out(found)
    with console.progress("checking images", len(found.images)) as advance:
        sizes = check_images(found.images, decode=verify, on_image=advance)
    with session(connection) as api:
        labels = api.labels(keys.cvat_project_id)
        namesakes = api.empty_tasks(keys.cvat_project_id, keys.import_task_name)
    if tags_from_folders:
        check_folders(found.images, labels, keys.cvat_project_id)
    plan = Plan(
        project_id=keys.cvat_project_id,
        task_name=keys.import_task_name,
        folder=keys.import_dir,
        images=found.images,
        sizes=sizes,
        tags_from_folders=tags_from_folders,
        namesakes=frozenset(namesakes),
    )
    watch = Watch(console.progress, console.status_line, console.say, console.warn)
    task_id = import_task(connection, plan, watch, keep_failed)
    _report(connection, task_id, found, time.monotonic() - started, as_json)


def _tell_left_out(found: "Found") -> None:
    for reason, names in found.left_out.items():
        first = ", ".join(console.printable(name) for name in names[:3])
        console.say(f"left out {len(names)} ({reason}): {first}{', …' * (len(names) > 3)}")


def _report(connection: "Connection", task_id: int, found: "Found", seconds: float, as_json: bool) -> None:
    address = connection.task_url(task_id)
    if as_json:
        left_out = {reason: len(names) for reason, names in found.left_out.items()}
        answer = {"task_id": task_id, "frames": len(found.images), "url": address, "left_out": left_out}
        console.result(json.dumps(answer, ensure_ascii=False))
        return
    console.result(f"task {task_id}: {len(found.images)} frames in {seconds:.1f} s")
    console.result(address)


if __name__ == "__main__":
    console.run(main)
