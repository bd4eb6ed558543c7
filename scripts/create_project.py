"""Make a project with labels, so that a first one needs no Web UI."""

from toolkit.cli.script import run_script

import json
from typing import Annotated

import typer

from toolkit.cli import console
from toolkit.core.formats import TaskType
from toolkit.core.text import printable


def main(
    name: Annotated[str, typer.Option(help="Name of the project.")],
    labels: Annotated[str, typer.Option(help='Labels: "cat dog", or with commas if one holds a space.')],
    task_type: Annotated[
        TaskType, typer.Option("--type", help="classification makes tag labels, detection rectangles.")
    ] = TaskType.CLASSIFICATION,
    config: console.Config = None,
    url: console.Url = None,
    username: console.Username = None,
    as_json: console.Json = False,
    debug: console.Debug = False,
) -> None:
    """Make a project with labels and print its number, for cvat_project_id.

    Example: `make project NAME=flowers LABELS="daisy rose tulip"`
    """
    from toolkit.config.load import find_configuration
    from toolkit.cvat.connection import resolve_connection
    from toolkit.cvat.project import create_project, parse_labels

    file, warnings = find_configuration(config)
    for warning in warnings:
        console.warn(warning)
    names = parse_labels(labels)
    connection = resolve_connection(file, url, username)
    project_id = create_project(connection, name, names, task_type, console.warn)
    address = connection.project_url(project_id)
    if as_json:
        console.result(json.dumps({"project_id": project_id, "url": address, "labels": names}, ensure_ascii=False))
        return
    console.result(f"project {project_id}: {printable(name)} with {len(names)} {task_type} labels")
    console.result(address)
    console.say(f'next: put "cvat_project_id": {project_id} into configuration.json, then make import')


if __name__ == "__main__":
    run_script(main)
