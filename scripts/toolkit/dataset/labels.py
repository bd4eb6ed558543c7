"""The classes and their ids: labels.json."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from toolkit.core.errors import ToolkitError, UsageError
from toolkit.core.safe_names import unsafe_names

MOST_IDS = 100_000
"""Training code counts the classes from 0, so an id has to be below that."""


def number(classes: Sequence[str]) -> dict[str, int]:
    """Give ids from 0 to classes as the reference does, in the order of the names' code points."""
    return {name: index for index, name in enumerate(sorted(classes))}


def as_json(labels: Mapping[str, int]) -> str:
    """Write labels as the reference does: one line, non-ASCII as it is, no newline at the end."""
    return json.dumps(labels, ensure_ascii=False)


def by_number(labels: Mapping[str, int]) -> dict[int, str]:
    """Name every id from 0: tools count the names, so that a gap would move or forbid what comes after it."""
    names = {number: name for name, number in labels.items()}
    return {number: names.get(number) or _unused(number, labels) for number in range(max(names, default=-1) + 1)}


def _unused(number: int, labels: Mapping[str, int]) -> str:
    """Name an id that no class has as no class is named."""
    name = f"unused_{number}"
    while name in labels:
        name += "_"
    return name


def as_lines(labels: Mapping[str, int]) -> str:
    """Write the names for tools that want one a line: that of id 0 in the first."""
    return "".join(f"{name}\n" for name in by_number(labels).values())


def read_pinned(path: Path) -> dict[str, int]:
    """Read names and ids that are to stay as they are, from a labels.json or a text file with one name a line, from 0.

    They are in the order of their ids. Raises UsageError where the file cannot be read, or says no such thing.
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
    if labels and max(labels.values()) >= MOST_IDS:
        raise UsageError(
            f"{path} has an id of {max(labels.values())}: training code counts the classes from 0, "
            f"so ids must be below {MOST_IDS} (--labels)"
        )
    return labels


def _from_lines(path: Path, text: str) -> dict[str, int]:
    names = [line.strip() for line in text.splitlines() if line.strip()]
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise UsageError(f"{path} names classes twice (--labels)", twice)
    return {name: index for index, name in enumerate(names)}


def check_covers(pinned: Mapping[str, int], classes: Sequence[str], path: Path) -> None:
    """Check that every class of an export has a pinned id; raises ToolkitError, which names both lists, otherwise."""
    missing = [name for name in classes if name not in pinned]
    if missing:
        raise ToolkitError(
            f"the export has classes that {path} does not name: add them at its end, or correct the label in CVAT",
            [f"only in the export: {', '.join(missing)}", f"in {path.name}: {', '.join(pinned)}"],
        )


def order_warning(labels: Mapping[str, int]) -> str | None:
    """Warn of ids that training code would not guess: not those that Keras gives to the sorted folder names."""
    if dict(labels) == number(list(labels)):
        return None
    return (
        "the pinned ids are not those of the sorted class folders: training code that numbers the folders itself, "
        "as Keras does, must be given the class names in the order of labels.json (docs/reading.md shows how)"
    )


def gap_warnings(labels: Mapping[str, int], filled: str) -> Iterator[str]:
    """Warn of ids between others that no class has, and say what fills them."""
    if labels and max(labels.values()) >= len(labels):
        yield f"the ids have gaps; {filled} with classes named unused_…"
