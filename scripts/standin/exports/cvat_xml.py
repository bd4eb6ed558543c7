"""The format "CVAT for images 1.1"."""

import io
from typing import Any
from xml.sax.saxutils import XMLGenerator
from xml.sax.xmlreader import AttributesImpl

from standin.data.store import Row, now
from standin.exports.archive import Contents, placed
from standin.exports.dataset import DEFAULT_SUBSET, Dataset, Item


def contents(dataset: Dataset, with_images: bool) -> Contents:
    """Lay out an export."""
    files: Contents = {"annotations.xml": _document(dataset).encode()}
    if with_images:
        top = "images/{item.subset}/" if dataset.project else "images/"
        files.update(placed((top.format(item=item) + item.name, item) for item in dataset.items))
    return files


class _Writer:
    """Writes indented XML as CVAT lays it out: an empty element with attributes is closed on its own line."""

    def __init__(self) -> None:
        self.buffer = io.StringIO()
        self._xml = XMLGenerator(self.buffer, "utf-8")
        self._depth = 0
        self._xml.startDocument()

    def _indent(self) -> None:
        self._xml.ignorableWhitespace("  " * self._depth)

    def open(self, name: str, attributes: dict[str, str] | None = None) -> None:
        self._indent()
        self._xml.startElement(name, AttributesImpl(attributes or {}))
        self._xml.ignorableWhitespace("\n")
        self._depth += 1

    def close(self, name: str) -> None:
        self._depth -= 1
        self._indent()
        self._xml.endElement(name)
        self._xml.ignorableWhitespace("\n")

    def text(self, name: str, value: Any) -> None:
        self._indent()
        self._xml.startElement(name, AttributesImpl({}))
        self._xml.characters(str(value))
        self._xml.endElement(name)
        self._xml.ignorableWhitespace("\n")

    def texts(self, values: dict[str, Any]) -> None:
        for name, value in values.items():
            self.text(name, value)


def _document(dataset: Dataset) -> str:
    writer = _Writer()
    writer.open("annotations")
    writer.text("version", "1.1")
    writer.open("meta")
    if dataset.project:
        _project(writer, dataset, dataset.project)
    else:
        _task(writer, dataset, dataset.tasks[0], with_labels=True)
    writer.text("dumped", _moment(now()))
    writer.close("meta")
    label_names = dataset.names_by_label_id()
    for item in dataset.items:
        _image(writer, dataset, item, label_names)
    writer.close("annotations")
    return writer.buffer.getvalue()


def _moment(text: str) -> str:
    return text.replace("T", " ").replace("Z", "+00:00")


def _project(writer: _Writer, dataset: Dataset, project: Row) -> None:
    writer.open("project")
    writer.texts(
        {
            "id": project["id"],
            "name": project["name"],
            "bugtracker": project["bug_tracker"],
            "created": _moment(project["created"]),
            "updated": _moment(project["updated"]),
        }
    )
    writer.open("tasks")
    for task in dataset.tasks:
        _task(writer, dataset, task, with_labels=False)
    writer.close("tasks")
    writer.text("subsets", "\n".join(dataset.subsets()) or DEFAULT_SUBSET)
    _people(writer, dataset, project["owner_id"])
    _labels(writer, dataset)
    writer.close("project")


def _task(writer: _Writer, dataset: Dataset, task: Row, with_labels: bool) -> None:
    writer.open("task")
    writer.texts(
        {
            "id": task["id"],
            "name": task["name"],
            "size": task["size"],
            "mode": "annotation",
            "overlap": 0,
            "bugtracker": task["bug_tracker"],
            "created": _moment(task["created"]),
            "updated": _moment(task["updated"]),
            "subset": task["subset"] or DEFAULT_SUBSET,
            "start_frame": 0,
            "stop_frame": max((task["size"] or 0) - 1, 0),
            "frame_filter": "",
        }
    )
    writer.open("segments")
    for job in dataset.store.all("SELECT * FROM jobs WHERE task_id = ? ORDER BY id", task["id"]):
        writer.open("segment")
        url = f"{dataset.origin}/api/jobs/{job['id']}"
        writer.texts({"id": job["id"], "start": job["start"], "stop": job["stop"], "url": url})
        writer.close("segment")
    writer.close("segments")
    _people(writer, dataset, task["owner_id"])
    if with_labels:
        _labels(writer, dataset)
    writer.close("task")


def _people(writer: _Writer, dataset: Dataset, owner_id: int) -> None:
    owner = dataset.store.one("SELECT * FROM users WHERE id = ?", owner_id)
    writer.open("owner")
    writer.texts({"username": owner["username"] if owner else "", "email": owner["email"] if owner else ""})
    writer.close("owner")
    writer.text("assignee", "")


def _labels(writer: _Writer, dataset: Dataset) -> None:
    writer.open("labels")
    for label in dataset.labels:
        writer.open("label")
        writer.texts({"name": label["name"], "color": label["color"], "type": label["type"]})
        writer.open("attributes")
        writer.close("attributes")
        writer.close("label")
    writer.close("labels")


def _image(writer: _Writer, dataset: Dataset, item: Item, label_names: dict[int, str]) -> None:
    where = {"subset": item.subset, "task_id": str(item.task_id)} if dataset.project else {}
    size = {"width": str(item.frame["width"]), "height": str(item.frame["height"])}
    writer.open("image", {"id": str(item.number), "name": item.name, **where, **size})
    for box in item.boxes:
        writer.open("box", _box(box, label_names))
        writer.close("box")
    for tag in item.tags:
        writer.open("tag", {"label": label_names[tag["label_id"]], "source": tag["source"]})
        writer.close("tag")
    writer.close("image")


def _box(box: dict[str, Any], label_names: dict[int, str]) -> dict[str, str]:
    points = {name: f"{value:.2f}" for name, value in zip(("xtl", "ytl", "xbr", "ybr"), box["points"], strict=True)}
    turned = {"rotation": f"{box['rotation']:.2f}"} if box["rotation"] else {}
    return {
        "label": label_names[box["label_id"]],
        "source": box["source"],
        "occluded": str(int(box["occluded"])),
        **points,
        **turned,
        "z_order": str(box["z_order"]),
    }
