"""The classes and their ids: labels.json."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from toolkit.core.errors import ToolkitError, UsageError
from toolkit.core.safe_names import unsafe_names


def number(classes: Sequence[str]) -> dict[str, int]:
    """Give ids to classes as the reference does.

    Args:
        classes: Names of the class folders.

    Returns:
        Ids from 0, in the order of the names' code points.
    """
    return {name: index for index, name in enumerate(sorted(classes))}


def as_json(labels: Mapping[str, int]) -> str:
    """Write labels as the reference does: one line, non-ASCII as it is, no newline at the end."""
    return json.dumps(labels, ensure_ascii=False)


def as_lines(labels: Mapping[str, int]) -> str:
    """Write the names for tools that want one a line, in the order of the ids."""
    return "".join(f"{name}\n" for name in sorted(labels, key=lambda name: labels[name]))


def read_pinned(path: Path) -> dict[str, int]:
    """Read names and ids that are to stay as they are.

    Args:
        path: A labels.json, or a text file with one name a line, numbered from 0.

    Returns:
        The labels in the order of their ids.

    Raises:
        UsageError: The file cannot be read, or says no such thing.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror} (--labels)") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8 text (--labels)") from None
    if text.lstrip().startswith("[") and _is_json(text):
        raise UsageError(f'{path} holds a list: give {{"name": id, …}}, or a text file with one name a line (--labels)')
    labels = _from_json(path, text) if text.lstrip().startswith("{") else _from_lines(path, text)
    if not labels:
        raise UsageError(f"{path} names no class (--labels)")
    problems = [f"{name}: is no name for a folder" for name in labels if "/" in name]
    problems.extend(unsafe_names(labels))
    if problems:
        raise UsageError(f"{path} has names that cannot be class folders (--labels)", problems)
    return dict(sorted(labels.items(), key=lambda label: label[1]))


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _from_json(path: Path, text: str) -> dict[str, int]:
    try:
        pairs: list[tuple[str, object]] = json.loads(text, object_pairs_hook=list)
    except json.JSONDecodeError as error:
        raise UsageError(
            f"{path}, line {error.lineno}, column {error.colno}: not JSON: {error.msg} (--labels)"
        ) from None
    labels: dict[str, int] = {}
    for name, value in pairs:
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise UsageError(f"{path}: the id of {name} must be an integer from 0 (--labels)")
        if name in labels:
            raise UsageError(f"{path}: {name} is there twice (--labels)")
        labels[name] = value
    if len(set(labels.values())) < len(labels):
        raise UsageError(f"{path}: two names have the same id (--labels)")
    return labels


def _from_lines(path: Path, text: str) -> dict[str, int]:
    names = [line.strip() for line in text.splitlines() if line.strip()]
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise UsageError(f"{path} names classes twice (--labels)", twice)
    return {name: index for index, name in enumerate(names)}


def check_covers(pinned: Mapping[str, int], classes: Sequence[str], path: Path) -> None:
    """Check that every class of an export has a pinned id.

    Args:
        pinned: The pinned labels.
        classes: The export's classes.
        path: Where the labels come from.

    Raises:
        ToolkitError: A class is not pinned; both lists are named.
    """
    missing = [name for name in classes if name not in pinned]
    if missing:
        raise ToolkitError(
            f"the export has classes that {path} does not name: add them at its end, or correct the label in CVAT",
            [f"only in the export: {', '.join(missing)}", f"in {path.name}: {', '.join(pinned)}"],
        )


def order_warning(labels: Mapping[str, int]) -> str | None:
    """Warn of ids that training code would not guess.

    Args:
        labels: Names and ids.

    Returns:
        A warning if the ids are not those that Keras gives to the sorted folder names, else None.
    """
    if dict(labels) == number(list(labels)):
        return None
    return (
        "the pinned ids are not those of the sorted class folders: training code that numbers the folders itself, "
        "as Keras does, must be given the class names in the order of labels.json"
    )
