"""Put a folder of images into CVAT as one task, or as several."""

from toolkit.cli.script import run_script

import json
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from toolkit.cli import console
from toolkit.core.text import printable

if TYPE_CHECKING:
    from toolkit.cvat.api import Api
    from toolkit.cvat.connection import Connection
    from toolkit.transfer.images import Found
    from toolkit.transfer.journal import Journal, Part, Record
    from toolkit.transfer.leftovers import Leftover


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
    images_per_task: Annotated[
        int | None,
        typer.Option("--images-per-task", min=1, help="Make tasks name-001, name-002 … of so many images each."),
    ] = None,
    parallel: Annotated[int, typer.Option(min=1, max=8, help="How many of several tasks are sent at a time.")] = 2,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where an import of this name and folder stopped.")
    ] = False,
    start_over: Annotated[
        bool, typer.Option("--start-over", help="Begin anew; the tasks that an earlier import finished stay.")
    ] = False,
    remove_leftover: Annotated[
        bool, typer.Option("--remove-leftover", help="Delete the unfinished tasks that a killed import has left.")
    ] = False,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds that one task may take.")] = 6 * 3600,
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

    Example: `make import CONFIG=configuration.json ARGS="--tags-from-folders --images-per-task 1000"`
    """
    from toolkit.config.load import find_configuration
    from toolkit.config.model import ImportKeys
    from toolkit.core.progress import Watch
    from toolkit.cvat.api import session
    from toolkit.cvat.connection import read_with_connection
    from toolkit.transfer.batches import import_batches, split
    from toolkit.transfer.batches import resume as go_on
    from toolkit.transfer.folder_tags import check_folders
    from toolkit.transfer.images import find_images
    from toolkit.transfer.import_run import Plan
    from toolkit.transfer.journal import DONE, Aim, Record, abandoned
    from toolkit.transfer.preflight import check_images

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
    name = keys.import_task_name.strip() or keys.import_task_name  # as the server keeps it
    batches = split(name, found.images, images_per_task)
    with console.progress("checking images", len(found.images)) as advance:
        sizes = check_images(found.images, verify, advance, images_per_task)
    aim = Aim(connection.url, keys.cvat_project_id, name, str(keys.import_dir))
    record = Record(aim, [batch.part for batch in batches], images_per_task, tags_from_folders)
    with ExitStack() as stack:
        with session(connection, console.warn) as api:
            labels = api.labels(keys.cvat_project_id)
            if tags_from_folders:
                check_folders(found.images, labels, keys.cvat_project_id)
            leftovers = _examine(api, stack.enter_context(abandoned(aim)), connection)
            earlier = _decide(leftovers, resume, start_over)
            _tidy_up(api, leftovers, remove_leftover or earlier is not None, start_over)
            tasks = api.tasks(keys.cvat_project_id)
        plan = Plan(
            project_id=keys.cvat_project_id,
            task_name=name,
            folder=keys.import_dir,
            images=(),
            sizes=sizes,
            tags_from_folders=tags_from_folders,
            timeout=timeout,
        )
        if earlier is None:
            journal = _begin(stack, record)
        else:
            journal, batches = earlier.journal, go_on(earlier.journal, batches)
        watch = Watch(console.progress, console.status_line, console.say, console.warn)
        parts = [batch.part for batch in batches]
        try:
            import_batches(connection, plan, batches, journal, watch, tasks, parallel, keep_failed)
        except KeyboardInterrupt:
            if all(part.state == DONE for part in parts):  # too late to undo anything: say what there is
                _report(connection, parts, found, time.monotonic() - started, as_json)
            raise
    _report(connection, parts, found, time.monotonic() - started, as_json)


def _examine(api: "Api", journals: "Sequence[Journal]", connection: "Connection") -> "list[Leftover]":
    from toolkit.transfer.leftovers import describe, examine

    leftovers = examine(api, journals)
    for leftover in leftovers:
        console.warn("an earlier import of this name and folder was stopped in the middle; it has left")
        for line in describe(connection, leftover):
            console.say(f"  - {line}")
    return leftovers


def _decide(leftovers: "Sequence[Leftover]", resume: bool, start_over: bool) -> "Leftover | None":
    """Choose the earlier import to go on with."""
    from toolkit.cli.console import can_ask
    from toolkit.core.errors import UsageError

    begun = next((leftover for leftover in reversed(leftovers) if leftover.done), None)
    if resume and start_over:
        raise UsageError("--resume and --start-over exclude each other")
    if resume and not leftovers:
        console.say("there is no earlier import to go on with: beginning anew")
    if resume and leftovers:
        return begun or leftovers[-1]
    if begun is None or start_over:
        return None
    total = len(begun.journal.record.parts)
    if can_ask() and typer.confirm(f"{len(begun.done)} of {total} tasks are finished. Go on?", default=True, err=True):
        return begun
    raise UsageError(
        f"an earlier import has finished {len(begun.done)} of {total} tasks: "
        "--resume goes on with it, --start-over begins anew beside them"
    )


def _tidy_up(api: "Api", leftovers: "Sequence[Leftover]", is_asked: bool, forget: bool) -> None:
    """Delete what killed imports have left, if the person wants that."""
    from toolkit.cli.console import can_ask
    from toolkit.transfer.leftovers import remove

    for leftover in leftovers:
        numbers = ", ".join(str(part.task_id) for part in leftover.unfinished)
        question = f"Delete the unfinished task {numbers} (its images are all in the folder)?"
        if not leftover.unfinished:
            pass
        elif is_asked or (can_ask() and typer.confirm(question, default=True, err=True)):
            for line in remove(api, leftover):
                console.say(line)
        else:
            console.say(f"--remove-leftover deletes the unfinished task {numbers}")
            continue
        if forget or not leftover.done:
            leftover.journal.forget()


def _begin(stack: ExitStack, record: "Record") -> "Journal":
    from toolkit.transfer.journal import Journal, begin

    try:
        return stack.enter_context(begin(record))
    except OSError as error:
        console.warn(f"if this import is killed, the next one will not know of it ({error})")
        return Journal(record, None)


def _tell_left_out(found: "Found") -> None:
    for reason, names in found.left_out.items():
        first = ", ".join(printable(name) for name in names[:3])
        console.say(f"left out {len(names)} ({reason}): {first}{', …' * (len(names) > 3)}")


def _report(connection: "Connection", parts: "Sequence[Part]", found: "Found", seconds: float, as_json: bool) -> None:
    addresses = [connection.task_url(part.task_id or 0) for part in parts]
    if not as_json:
        for part, address in zip(parts, addresses, strict=True):
            pace = f" in {seconds:.1f} s" if len(parts) == 1 else f", {part.name}"
            console.result(f"task {part.task_id}: {part.frames} frames{pace}")
            console.result(address)
        if len(parts) > 1:
            console.result(f"{len(parts)} tasks: {len(found.images)} frames in {seconds:.1f} s")
        return
    answer: dict[str, object] = {"frames": len(found.images)}
    if len(parts) == 1:
        answer |= {"task_id": parts[0].task_id, "url": addresses[0]}
    answer["tasks"] = [
        {"task_id": part.task_id, "name": part.name, "frames": part.frames, "url": address}
        for part, address in zip(parts, addresses, strict=True)
    ]
    answer["left_out"] = {reason: len(names) for reason, names in found.left_out.items()}
    console.result(json.dumps(answer, ensure_ascii=False))


if __name__ == "__main__":
    run_script(main)
