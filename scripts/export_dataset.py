"""Take the dataset of a project out of CVAT."""

from toolkit.cli.script import run_script

import json
import time
from typing import TYPE_CHECKING, Annotated

import typer

from toolkit.cli import console
from toolkit.core.formats import TaskType
from toolkit.core.text import format_size, printable

if TYPE_CHECKING:
    from toolkit.config.model import ExportKeys
    from toolkit.transfer.task_exports import TaskExport


def main(
    config: console.Config = None,
    project_id: Annotated[
        int | None, typer.Option("--project-id", "--cvat-project-id", help="Number of the project.")
    ] = None,
    export_format: Annotated[
        str | None, typer.Option("--format", "--export-format", help='Such as "ImageNet 1.0" or "COCO 1.0".')
    ] = None,
    export_dir: Annotated[
        str | None,
        typer.Option(
            "--export-dir", help="Folder that gets project_id_<id>.zip; made if missing. Or s3://…, gs://…, az://…"
        ),
    ] = None,
    task_type: Annotated[
        TaskType | None, typer.Option("--task-type", help="What formats may be asked for; else told by the labels.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an older export.")] = False,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait for the server and the download.")] = 1800,
    per_task: Annotated[
        bool, typer.Option("--per-task", help="Export each task as task-<id>.zip; a second run skips what is done.")
    ] = False,
    parallel: Annotated[int, typer.Option(min=1, max=8, help="How many tasks are exported at a time.")] = 2,
    with_images: Annotated[
        bool,
        typer.Option("--with-images/--without-images", help="Without them: labels alone, for convert --format index."),
    ] = True,
    url: console.Url = None,
    username: console.Username = None,
    as_json: console.Json = False,
    debug: console.Debug = False,
) -> None:
    """Take the dataset of a project, with its images, out of CVAT as project_id_<id>.zip.

    Example: `make export CONFIG=configuration.json`
    """
    from toolkit.config.load import find_configuration
    from toolkit.config.model import ExportKeys, target_in
    from toolkit.core.errors import UsageError
    from toolkit.core.storage import size_of
    from toolkit.core.text import Watch
    from toolkit.cvat.api import session
    from toolkit.cvat.connection import read_with_connection
    from toolkit.transfer.compare import compare_with_server
    from toolkit.transfer.export import Export, ExportProgress, check_format, check_offered, check_target, fetch
    from toolkit.transfer.task_exports import TaskExports

    started = time.monotonic()
    file, warnings = find_configuration(config)
    for warning in warnings:
        console.warn(warning)
    options = {"cvat_project_id": project_id, "export_format": export_format, "export_dir": export_dir}
    keys, connection = read_with_connection(ExportKeys, file, options, url, username)
    target = target_in(keys.export_dir, keys.cvat_project_id)
    if not per_task:
        check_target(target, overwrite)
    with session(connection, console.warn) as api:
        labels = api.labels(keys.cvat_project_id)
        check_format(keys.export_format, task_type, labels)
        check_offered(api, keys.export_format, keys.cvat_project_id)
    if per_task and not with_images:
        raise UsageError("--per-task splits what is large, and an export without images is not: leave it out")
    if per_task:
        watch = Watch(
            console.progress,
            console.status_line,
            lambda line: console.say(printable(line)),
            lambda line: console.warn(printable(line)),
        )
        work = TaskExports(connection, keys.cvat_project_id, keys.export_format, keys.export_dir, watch, timeout)
        _report_tasks(work.run(overwrite, parallel), keys, time.monotonic() - started, as_json)
        return
    export = Export(keys.cvat_project_id, keys.export_format, target, overwrite, timeout, with_images=with_images)
    with console.status_line() as show:
        fetch(connection, export, ExportProgress(show, console.warn))
        show("comparing it with the project")
        frames, difference = compare_with_server(
            connection, keys.cvat_project_id, target, keys.export_format, with_images=with_images
        )
    for line in difference.warnings():
        console.warn(printable(line))
    size = size_of(target) or 0
    if as_json:
        answer = {"file": str(target), "format": keys.export_format, "size": size, "frames": frames}
        answer |= {"missing": difference.missing, "doubled": difference.doubled, "deleted": difference.deleted}
        answer |= {} if with_images else {"unlisted": difference.unlisted}
        console.result(json.dumps(answer, ensure_ascii=False))
        return
    console.result(
        f"{frames} frames as {keys.export_format}, {format_size(size)} in {time.monotonic() - started:.1f} s"
    )
    console.result(str(target))


def _report_tasks(exports: "list[TaskExport]", keys: "ExportKeys", seconds: float, as_json: bool) -> None:
    frames, size = sum(one.frames for one in exports), sum(one.size for one in exports)
    if as_json:
        tasks = [
            {"task_id": one.task_id, "file": str(keys.export_dir / one.file), "size": one.size, "frames": one.frames}
            for one in exports
        ]
        answer = {"tasks": tasks, "format": keys.export_format, "size": size, "frames": frames}
        console.result(json.dumps(answer, ensure_ascii=False))
        return
    console.result(
        f"{frames} frames of {len(exports)} tasks as {keys.export_format}, {format_size(size)} in {seconds:.1f} s"
    )
    console.result(str(keys.export_dir / "task-*.zip"))


if __name__ == "__main__":
    run_script(main)
