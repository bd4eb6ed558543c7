"""Put a folder of images into CVAT as one task, or as several."""

from toolkit.cli.script import run_script

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from toolkit.cli import console
from toolkit.core.text import printable

if TYPE_CHECKING:
    from toolkit.cvat.connection import Connection
    from toolkit.transfer.batches import Decision
    from toolkit.transfer.images import FoundImages
    from toolkit.transfer.journal import InterruptedImport, TaskRecord


def main(
    config: console.Config = None,
    project_id: Annotated[
        int | None, typer.Option("--project-id", "--cvat-project-id", help="Number of the project.")
    ] = None,
    import_dir: Annotated[
        Path | None, typer.Option("--import-dir", help="Folder with the images, at any depth.")
    ] = None,
    from_storage: Annotated[
        int | None,
        typer.Option("--from-storage", min=1, help="In place of a folder: number of a cloud storage that CVAT knows."),
    ] = None,
    prefix: Annotated[
        str | None, typer.Option("--prefix", help="The folder of that bucket; all of it by default.")
    ] = None,
    extension: Annotated[
        str | None,
        typer.Option(
            "--extension",
            "--import-image-extension",
            help="jpg, JPG, jpeg, png …: exactly this spelling; or a list, or images.",
        ),
    ] = None,
    task_name: Annotated[
        str | None, typer.Option("--task-name", "--import-task-name", help="Name of the task to create.")
    ] = None,
    tags_from_folders: Annotated[
        bool, typer.Option("--tags-from-folders", help="Tag each image with the name of its first folder.")
    ] = False,
    images_per_task: Annotated[
        int | None,
        typer.Option("--images-per-task", min=1, help="Make tasks name-001, name-002 … of so many images each."),
    ] = None,
    parallel: Annotated[int, typer.Option(min=1, max=8, help="How many of several tasks are sent at a time.")] = 2,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where an import of this name and folder stopped.")
    ] = False,
    start_over: Annotated[
        bool, typer.Option("--start-over", help="Start over; the tasks that an earlier import finished stay.")
    ] = False,
    remove_leftover: Annotated[
        bool, typer.Option("--remove-leftover", help="Delete the unfinished tasks that a killed import has left.")
    ] = False,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds that one task may take.")] = 6 * 3600,
    verify: Annotated[bool, typer.Option(help="Look into every file before sending any.")] = True,
    skip_broken: Annotated[bool, typer.Option("--skip-broken", help="Leave broken files out, by name.")] = False,
    keep_failed: Annotated[
        bool, typer.Option("--keep-failed", help="Keep the task of a failed import for a look at it.")
    ] = False,
    url: console.Url = None,
    username: console.Username = None,
    as_json: console.Json = False,
    debug: console.Debug = False,
) -> None:
    """Put a folder of images into a project of CVAT as one task; folders stay part of the frames' names.

    Example: `make import CONFIG=configuration.json ARGS="--tags-from-folders --images-per-task 1000"`
    """
    from toolkit.core.errors import UsageError
    from toolkit.cvat.cli import loading

    started = time.monotonic()
    if resume and start_over:
        raise UsageError("--resume and --start-over exclude each other")
    if from_storage and (import_dir or skip_broken):
        raise UsageError("--from-storage takes images that are not here: leave out --import-dir and --skip-broken")
    if prefix is not None and not from_storage:
        raise UsageError("--prefix is a folder of a cloud storage: give --from-storage as well")
    with loading() as client:  # it takes as long as all that comes before the first question to the server
        from toolkit.config.load import find_configuration
        from toolkit.config.model import ImportKeys
        from toolkit.core.text import Watch, some_names
        from toolkit.cvat.api import session, signing_in
        from toolkit.cvat.connection import read_with_connection
        from toolkit.transfer.batches import FolderImport
        from toolkit.transfer.images import (
            BROKEN,
            check_images,
            check_stored,
            describe_left_out,
            find_images,
            find_stored,
            folder_of,
            misnamed_in_exports,
        )
        from toolkit.transfer.journal import ImportTarget
        from toolkit.transfer.task import ImportOptions

        file, warnings = find_configuration(config)
        for warning in warnings:
            console.warn(warning)
        options = {
            "cvat_project_id": project_id,
            "import_dir": Path("/") if from_storage else import_dir,  # else it would be missed
            "import_image_extension": _extensions(extension),
            "import_task_name": task_name,
        }
        keys, connection = read_with_connection(ImportKeys, file, options, url, username)
        place = str(keys.import_dir)
        if from_storage:
            with session(connection, console.warn) as api, console.status_line() as show:
                show("listing the cloud storage")
                storage = api.cloud_storage(from_storage)
                found = find_stored(api, storage, folder_of(prefix), keys.import_image_extension)
            check_stored(found.images, images_per_task)
            place, verify = f"{storage.url}{folder_of(prefix)}", False
            if misnamed := misnamed_in_exports(found.images):
                console.warn(printable(f"exports write these extensions in small letters: {some_names(misnamed)}"))
        else:
            found = find_images(keys.import_dir, keys.import_image_extension)
        watch = Watch(
            console.progress,
            console.status_line,
            lambda line: console.say(printable(line)),
            lambda line: console.warn(printable(line)),
        )
        with signing_in(connection, watch.warn) as sign_in:  # while the images are looked at
            with console.progress("checking images", len(found.images)) as advance:
                broken = check_images(found.images, verify, advance, images_per_task, skip_broken)
            if broken:
                found.images = [image for image in found.images if image.name not in broken]
                found.left_out[BROKEN] = [f"{name}: {problem}" for name, problem in broken.items()]
            for line in describe_left_out(found.left_out):
                console.say(printable(line))
            name = keys.import_task_name.strip() or keys.import_task_name  # as the server keeps it
            target = ImportTarget(connection.url, keys.cvat_project_id, name, place)
            how = ImportOptions(tags_from_folders, images_per_task, parallel, timeout, keep_failed, from_storage)
            work = FolderImport(connection, target, found.images, how, watch, client, sign_in)
            try:
                work.run(lambda interrupted: _decide(interrupted, resume, start_over, remove_leftover))
            except KeyboardInterrupt:
                if work.is_done:  # too late to undo anything: say what there is
                    _report(connection, work.tasks, found, time.monotonic() - started, as_json)
                raise
            _report(connection, work.tasks, found, time.monotonic() - started, as_json)


def _extensions(given: str | None) -> str | list[str] | None:
    """Take a list of extensions apart; what is none of the configuration's four words is a list of one."""
    if given is None or given in ("jpg", "JPG", "jpeg", "JPEG"):
        return given
    return [part.strip().removeprefix(".") for part in given.split(",") if part.strip()]


def _decide(
    interrupted: "Sequence[InterruptedImport]", resume: bool, start_over: bool, remove_leftover: bool
) -> "Decision":
    """Choose what is done about earlier imports that were stopped, asking the person where that is possible."""
    from toolkit.transfer.batches import Decision

    chosen = _resumed(interrupted, resume, start_over)
    numbers = ", ".join(str(task.task_id) for one in interrupted for task in one.unfinished)
    question = f"Delete the unfinished task {numbers} (its images are all in the folder)?"
    is_asked = remove_leftover or chosen is not None
    if numbers and not is_asked and console.can_ask():
        is_asked = typer.confirm(question, default=True, err=True)
    return Decision(chosen, is_asked, start_over)


def _resumed(interrupted: "Sequence[InterruptedImport]", resume: bool, start_over: bool) -> "InterruptedImport | None":
    from toolkit.core.errors import UsageError

    begun = next((one for one in reversed(interrupted) if one.done), None)
    if resume and not interrupted:
        console.say("there is no earlier import to resume: starting over")
    if resume and interrupted:
        return begun or interrupted[-1]
    if begun is None or start_over:
        return None
    total = len(begun.journal.record.tasks)
    if console.can_ask() and typer.confirm(
        f"{len(begun.done)} of {total} tasks are finished. Go on?", default=True, err=True
    ):
        return begun
    raise UsageError(
        f"an earlier import has finished {len(begun.done)} of {total} tasks: "
        "--resume goes on with it, --start-over begins anew beside them"
    )


def _report(
    connection: "Connection", tasks: "Sequence[TaskRecord]", found: "FoundImages", seconds: float, as_json: bool
) -> None:
    addresses = [connection.task_url(task.task_id or 0) for task in tasks]
    if not as_json:
        for task, address in zip(tasks, addresses, strict=True):
            pace = f" in {seconds:.1f} s" if len(tasks) == 1 else f", {task.name}"
            console.result(f"task {task.task_id}: {task.frames} frames{pace}")
            console.result(address)
        if len(tasks) > 1:
            console.result(f"{len(tasks)} tasks: {len(found.images)} frames in {seconds:.1f} s")
        return
    answer: dict[str, object] = {"frames": len(found.images)}
    if len(tasks) == 1:
        answer |= {"task_id": tasks[0].task_id, "url": addresses[0]}
    answer["tasks"] = [
        {"task_id": task.task_id, "name": task.name, "frames": task.frames, "url": address}
        for task, address in zip(tasks, addresses, strict=True)
    ]
    answer["left_out"] = {reason: len(names) for reason, names in found.left_out.items()}
    console.result(json.dumps(answer, ensure_ascii=False))


if __name__ == "__main__":
    run_script(main)
