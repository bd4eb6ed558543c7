"""The first steps of every notebook: the configuration file, its parameters, signing in."""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from pydantic import SecretStr

from toolkit.config.file import DEFAULT_FILE, SAMPLE, ConfigurationFile
from toolkit.config.load import find_configuration
from toolkit.config.model import Configuration, Keys
from toolkit.core.errors import UsageError
from toolkit.cvat.api import Api, Label
from toolkit.cvat.connection import Connection
from toolkit.cvat.probes import server_version
from toolkit.notebook.display import from_top, show, warn


def open_configuration() -> ConfigurationFile:
    """Open the configuration.json beside the notebook, and show where it is.

    Returns:
        The file, not yet checked.

    Raises:
        UsageError: It is missing (the message has the command that copies the sample) or is no JSON object.
    """
    folder = Path.cwd()
    if not os.path.lexists(DEFAULT_FILE):
        sample, wanted = (shlex.quote(str(folder / name)) for name in (SAMPLE, DEFAULT_FILE))
        raise UsageError(
            f"{DEFAULT_FILE} does not exist beside this notebook: copy the sample, fill it in, and run again",
            [f"cp {sample} {wanted}"],
        )
    found = find_configuration(Path(DEFAULT_FILE))
    assert found.file is not None
    text = f"{DEFAULT_FILE} exists, in {from_top(folder)}"
    show("finished", text, text=text, good=True)
    for line in found.warnings:
        warn(line)
    return found.file


def show_keys(keys: Keys, connection: Connection | None = None) -> None:
    """Show the parameters of a step, which are all there and right; never a password.

    Args:
        keys: The step's part of the configuration.
        connection: The server and the user, for a step that needs them.
    """
    rows: list[Sequence[object]] = []
    if connection is not None:
        who = connection.username or "the owner of the access token"
        secret = "access token" if connection.token else "password"
        rows = [
            ("CVAT", connection.url, "The server."),
            ("user", who, f"Signs in with a {secret}, which is not shown."),
        ]
    for key in type(keys).model_fields:
        value = getattr(keys, key)
        rows.append((key, _shown(value), Configuration.model_fields[key].description or ""))
    text = "\n".join(f"{name}: {value}" for name, value, _ in rows)
    show("table", text, headings=("parameter", "value", "meaning"), rows=rows, good="every parameter is there")


def _shown(value: object) -> str:
    if isinstance(value, SecretStr):
        return "not shown"
    return from_top(value) if isinstance(value, Path) else str(value)


def show_project(api: Api, connection: Connection, project_id: int) -> list[Label]:
    """Show the project that one is signed in to see.

    Args:
        api: The signed-in session.
        connection: The server.
        project_id: The project.

    Returns:
        The project's labels.

    Raises:
        ToolkitError: There is no such project, or the server did not answer.
    """
    labels = api.labels(project_id)
    tasks = api.tasks(project_id)
    name = api.project_name(project_id)
    who = f"signed in as {connection.username}" if connection.username else "signed in with the access token"
    good = f"{who} to CVAT {server_version(connection.url)}"
    rows = [
        ("project", {"text": f"{project_id}: {name}", "url": connection.project_url(project_id)}),
        ("labels", ", ".join(f"{label.name} ({label.type})" for label in labels) or "none yet"),
        ("tasks", f"{len(tasks)}, with {sum(task.frames for task in tasks):,} frames"),
    ]
    text = f"{good}\nproject {project_id}: {name}\nlabels: {rows[1][1]}\ntasks: {rows[2][1]}"
    show("table", text, headings=("", ""), rows=rows, good=good)
    return labels
