"""Open the newest task in the browser, to tag its images."""

from toolkit.cli.script import run_script

import json
from typing import Annotated

import typer

from toolkit.cli import console


def main(
    config: console.Config = None,
    project_id: Annotated[
        int | None, typer.Option("--project-id", "--cvat-project-id", min=1, help="Project; else the configuration's.")
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open a browser; without it, only print the address.")] = True,
    url: console.Url = None,
    username: console.Username = None,
    as_json: console.Json = False,
    debug: console.Debug = False,
) -> None:
    """Open the newest task of the project in the browser, or print its address where there is no browser.

    Where the project's labels are all tags, it is the task's first job that is not completed, ready for tagging.

    In GitHub Codespaces the address is that of the forwarded port. Example: `make open`
    """
    from toolkit.cli.console import open_page
    from toolkit.config.load import find_configuration
    from toolkit.config.model import ProjectKeys
    from toolkit.core.errors import ToolkitError
    from toolkit.cvat.api import session
    from toolkit.cvat.connection import read_with_connection

    file, warnings = find_configuration(config)
    for warning in warnings:
        console.warn(warning)
    keys, connection = read_with_connection(ProjectKeys, file, {"cvat_project_id": project_id}, url, username)
    with session(connection) as api:
        labels = api.labels(keys.cvat_project_id)  # says clearly that there is no such project
        tasks = api.tasks(keys.cvat_project_id)
        if not tasks:
            raise ToolkitError(f"project {keys.cvat_project_id} has no task yet: put images in with make import")
        newest = tasks[-1]
        job_id = api.next_job(newest.id)
    is_tagged = bool(labels) and all(label.type == "tag" for label in labels)
    address = connection.tagging_url(newest.id, job_id) if is_tagged and job_id else connection.task_url(newest.id)
    if as_json:
        answer = {
            "task_id": newest.id,
            "job_id": job_id,
            "name": newest.name,
            "frames": newest.frames,
            "url": address,
        }
        console.result(json.dumps(answer, ensure_ascii=False))
        return
    console.result(address)
    if browser and not open_page(address):
        console.say("no browser can be opened from here: open the address yourself")


if __name__ == "__main__":
    run_script(main)
