"""Projects of CVAT and their labels."""

import json
from collections.abc import Sequence

from toolkit import cvat_cli
from toolkit.connection import Connection
from toolkit.errors import ToolkitError, UsageError
from toolkit.export_formats import TaskType

LABEL_TYPES = {TaskType.CLASSIFICATION: "tag", TaskType.DETECTION: "rectangle"}


def parse_labels(text: str) -> list[str]:
    """Split a list of labels as a person types it.

    Args:
        text: Names between white space or, if there is a comma, between commas.

    Returns:
        The names, in their order.

    Raises:
        UsageError: There is none, or one is given twice.
    """
    parts = text.split(",") if "," in text else text.split()
    names = [part.strip() for part in parts if part.strip()]
    if not names:
        raise UsageError('no label given: LABELS="cat dog"')
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"labels given twice: {', '.join(twice)}")
    return names


def create_project(connection: Connection, name: str, labels: Sequence[str], task_type: TaskType) -> int:
    """Make a project.

    Args:
        connection: The server.
        name: Its name; names need not be unique.
        labels: The names of its labels.
        task_type: Whether the labels are tags (classification) or rectangles (detection).

    Returns:
        The project's number.

    Raises:
        ToolkitError: The server refused it.
    """
    if not name.strip():
        raise UsageError("the project's name is empty: NAME=flowers")
    specification = [{"name": label, "type": LABEL_TYPES[task_type]} for label in labels]
    output = cvat_cli.run(connection, ["project", "create", f"--labels={json.dumps(specification)}", "--", name])
    if not output.isascii() or not output.isdigit():
        raise ToolkitError(f"cvat-cli printed no project number but {output!r}")
    return int(output)
