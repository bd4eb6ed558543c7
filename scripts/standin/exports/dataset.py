"""What an export is made of: frames with the names they get in it, and their annotations."""

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from standin.api import annotations, frames, labels, tasks
from standin.data.store import Row, Store

DEFAULT_SUBSET = "default"


@dataclass(slots=True)
class Item:
    """One frame in an export.

    Attributes:
        name: The frame's name, made unique within the project's subset.
        number: The frame's place in its task.
        tags: Ids of labels.
        boxes: Rectangles as the API shows them.
    """

    frame: Row
    name: str
    subset: str
    number: int
    task_id: int
    tags: list[dict[str, Any]] = field(default_factory=list)
    boxes: list[dict[str, Any]] = field(default_factory=list)

    @property
    def stem(self) -> str:
        """The name without its extension, folders kept."""
        return str(self.name).removesuffix(PurePosixPath(self.name).suffix)

    @property
    def lowered_name(self) -> str:
        """The name as datumaro writes it: with the extension in small letters."""
        return self.stem + PurePosixPath(self.name).suffix.lower()


@dataclass
class Dataset:
    """A project, or one task, to be exported."""

    store: Store
    project: Row | None
    tasks: list[Row]
    labels: list[Row]
    items: list[Item]
    origin: str

    def names_by_label_id(self) -> dict[int, str]:
        """Return the labels' names by their ids."""
        return {label["id"]: label["name"] for label in self.labels}

    def subsets(self) -> dict[str, list[Item]]:
        """Return the items by subset."""
        found: dict[str, list[Item]] = {}
        for item in self.items:
            found.setdefault(item.subset, []).append(item)
        return found


def of_project(store: Store, project: Row, origin: str) -> Dataset:
    """Collect a project; of frames with one name in one subset all but the first are renamed."""
    in_project = store.all("SELECT * FROM tasks WHERE project_id = ? AND size IS NOT NULL ORDER BY id", project["id"])
    names = Names()
    items = [item for task in in_project for item in _items(store, task, names)]
    return Dataset(store, project, in_project, labels.of_project(store, project["id"]), items, origin)


def of_task(store: Store, task: Row, origin: str) -> Dataset:
    """Collect one task."""
    return Dataset(store, None, [task], labels.of_task(store, task), list(_items(store, task, None)), origin)


class Names:
    """The names of a project's frames, made unique as CVAT does it.

    The second ``a/x.jpg`` of a subset becomes ``a/x_1.jpg``, the third ``a/x_2.jpg``. Only the part before the
    extension counts: ``x.jpg`` and ``x.png`` collide as well.
    """

    def __init__(self) -> None:
        self._taken: defaultdict[tuple[str, str], int] = defaultdict(int)

    def unique(self, name: str, subset: str) -> str:
        """Return the name that a frame gets."""
        stem, dot, extension = name.rpartition(".")
        times = self._taken[subset, stem]
        self._taken[subset, stem] += 1
        if not times:
            return name
        renamed = f"{stem}_{times}"
        # A renamed frame does not itself take the name: a later original of that name overwrites it, in a CVAT too.
        number = 0
        candidate = renamed
        while self._taken.get((subset, candidate)):
            number += 1
            candidate = f"{renamed}_{number}"
        return f"{candidate}{dot}{extension}"


def _items(store: Store, task: Row, names: Names | None) -> Iterator[Item]:
    subset = task["subset"] or DEFAULT_SUBSET
    deleted = tasks.deleted_frames(task)
    rows = annotations.of_task(store, task["id"])
    tags: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    boxes: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        target = tags if row["kind"] == "tag" else boxes
        target[row["frame"]].append({"label_id": row["label_id"], **json.loads(row["body"])})
    for frame in frames.of_task(store, task["id"]):
        name = names.unique(frame["name"], subset) if names else frame["name"]
        number = frame["number"]
        if number not in deleted:
            yield Item(frame, name, subset, number, task["id"], tags[number], boxes[number])
