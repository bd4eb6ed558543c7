"""Projects of CVAT and their labels."""

import json
import re
from collections.abc import Callable, Sequence

from toolkit.core.errors import ToolkitError, UsageError
from toolkit.core.formats import UNLABELLED, TaskType
from toolkit.core.retry import retry
from toolkit.core.safe_names import unsafe_names
from toolkit.cvat import cli as cvat_cli
from toolkit.cvat.api import session
from toolkit.cvat.connection import Connection

_CREATED = re.compile(r"INFO: Created project ID: (\d+) NAME: ")
CREATE_TIMEOUT = 600.0
"""Seconds for all attempts to make a project."""

LABEL_TYPES = {TaskType.CLASSIFICATION: "tag", TaskType.DETECTION: "rectangle"}


def parse_labels(text: str) -> list[str]:
    """Split a list of labels, as a person types it, at white space or, if there is a comma, at commas.

    Raises UsageError where there is none, or one is given twice.
    """
    parts = text.split(",") if "," in text else text.split()
    names = [part.strip() for part in parts if part.strip()]
    if not names:
        raise UsageError('no label given: LABELS="cat dog"')
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"labels given twice: {', '.join(twice)}")
    return names


def check_class_names(labels: Sequence[str]) -> None:
    """Check that each label of a classification project can become a class folder of its own.

    An export has a folder a label. One with a slash would be two folders, two that differ by case alone would be one on
    some systems, and ``no_label`` is where an export puts the images without a tag.

    Raises UsageError with one detail line for each that cannot.
    """
    problems = [f"{label}: holds a slash, which would make two folders of it" for label in labels if "/" in label]
    problems += [f"{label}: is where exports put images without a tag" for label in labels if label == UNLABELLED]
    problems.extend(unsafe_names(label for label in labels if "/" not in label))
    if problems:
        raise UsageError("these labels cannot be class folders of a dataset: choose other names", problems)


def create_project(
    connection: Connection,
    name: str,
    labels: Sequence[str],
    task_type: TaskType,
    notice: Callable[[str], None] = lambda line: None,
) -> int:
    """Make a project, and return its number; names need not be unique.

    Where the answer is lost the server is asked whether it has made it: a project that was not there before, with that
    name and those labels, is taken for ours.

    Args:
        task_type: Whether the labels are tags (classification) or rectangles (detection).
        notice: Called with a line when something is tried again or taken back.

    Raises:
        UsageError: The name is empty, or a label cannot be a class folder.
        ToolkitError: The server refused it.
        KeyboardInterrupt: It was interrupted; a project that was made already is deleted again.
    """
    if not name.strip():
        raise UsageError("the project's name is empty: NAME=flowers")
    if task_type is TaskType.CLASSIFICATION:
        check_class_names(labels)
    with session(connection, notice) as api:
        before = api.projects(name)

    def attempt() -> int:
        try:
            return _create(connection, name, labels, task_type, notice)
        except ToolkitError as error:
            try:
                made = _made_all_the_same(connection, name, labels, before, notice)
            except ToolkitError:  # nobody knows what a second attempt would do
                raise ToolkitError(error.message, error.details) from None
            if made is None:
                raise
            notice(f"the answer was lost, but the server has made project {made}")
            return made

    return retry(attempt, notice)


def _create(
    connection: Connection, name: str, labels: Sequence[str], task_type: TaskType, notice: Callable[[str], None]
) -> int:
    specification = [{"name": label, "type": LABEL_TYPES[task_type]} for label in labels]
    made: list[int] = []

    def watch(line: str) -> None:
        if found := _CREATED.search(line):
            made.append(int(found[1]))

    try:
        output = cvat_cli.run(
            connection,
            ["project", "create", f"--labels={json.dumps(specification)}", "--", name],
            on_line=watch,
            deadline=CREATE_TIMEOUT,
            may_stop=lambda: bool(made),
            notice=notice,
        )
    except KeyboardInterrupt:
        _roll_back(connection, name, made, notice)
        raise
    if not output.isascii() or not output.isdigit():
        raise ToolkitError(f"cvat-cli printed no project number but {output!r}")
    return int(output)


def _roll_back(connection: Connection, name: str, made: Sequence[int], notice: Callable[[str], None]) -> None:
    if not made:
        notice(f"a project named {name} may have been made all the same: look at {connection.url}/projects")
        return
    try:
        with session(connection) as api:
            api.delete_project(made[0])
    except ToolkitError as error:
        notice(f"project {made[0]} could not be deleted ({error.message}): {connection.project_url(made[0])}")
        return
    notice(f"deleted project {made[0]} again")


def _made_all_the_same(
    connection: Connection, name: str, labels: Sequence[str], before: set[int], notice: Callable[[str], None]
) -> int | None:
    with session(connection, notice) as api:
        new = api.projects(name) - before
        if len(new) != 1:
            return None
        number = new.pop()
        return number if {label.name for label in api.labels(number)} == set(labels) else None
