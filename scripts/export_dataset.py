"""Take the dataset of a project out of CVAT."""

from toolkit.cli.script import run_script

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from toolkit.cli import console
from toolkit.core.formats import TaskType
from toolkit.core.text import format_size, printable


def main(
    config: console.Config = None,
    project_id: Annotated[
        int | None, typer.Option("--project-id", "--cvat-project-id", help="Number of the project.")
    ] = None,
    export_format: Annotated[
        str | None, typer.Option("--format", "--export-format", help='Such as "ImageNet 1.0" or "COCO 1.0".')
    ] = None,
    export_dir: Annotated[
        Path | None, typer.Option("--export-dir", help="Folder that gets project_id_<id>.zip; made if missing.")
    ] = None,
    task_type: Annotated[
        TaskType | None, typer.Option("--task-type", help="What formats may be asked for; else told by the labels.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an older export.")] = False,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait for the server and the download.")] = 1800,
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
    from toolkit.cvat.api import session
    from toolkit.cvat.connection import read_with_connection
    from toolkit.transfer.compare import compare, list_frames
    from toolkit.transfer.export import Export, ExportProgress, check_format, check_offered, check_target, fetch

    started = time.monotonic()
    file, warnings = find_configuration(config)
    for warning in warnings:
        console.warn(warning)
    options = {"cvat_project_id": project_id, "export_format": export_format, "export_dir": export_dir}
    keys, connection = read_with_connection(ExportKeys, file, options, url, username)
    target = target_in(keys.export_dir, keys.cvat_project_id)
    check_target(target, overwrite)
    with session(connection, console.warn) as api:
        labels = api.labels(keys.cvat_project_id)
        check_format(keys.export_format, task_type, labels)
        check_offered(api, keys.export_format, keys.cvat_project_id)
    export = Export(keys.cvat_project_id, keys.export_format, target, overwrite, timeout)
    with console.status_line() as show:
        fetch(connection, export, ExportProgress(show, console.warn))
        show("comparing it with the project")
        with session(connection, console.warn) as api:
            tasks = [task.id for task in api.tasks(keys.cvat_project_id) if task.frames]
            listed = list_frames(api, tasks, labels, keys.export_format)
        difference = compare(listed, target, keys.export_format)
    for line in difference.warnings():
        console.warn(printable(line))
    frames, size = len(listed.present), target.stat().st_size
    if as_json:
        answer = {"file": str(target), "format": keys.export_format, "size": size, "frames": frames}
        answer |= {"missing": difference.missing, "doubled": difference.doubled, "deleted": difference.deleted}
        console.result(json.dumps(answer, ensure_ascii=False))
        return
    console.result(
        f"{frames} frames as {keys.export_format}, {format_size(size)} in {time.monotonic() - started:.1f} s"
    )
    console.result(str(target))


if __name__ == "__main__":
    run_script(main)
