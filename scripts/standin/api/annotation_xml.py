"""Reading annotations in the format "CVAT 1.1"."""

from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree

from standin.api import frames, labels
from standin.data.store import Row, Store


class CvatImportError(Exception):
    """The annotations do not fit the task."""


CvatImportError.__module__ = "cvat.apps.dataset_manager.bindings"


def read(store: Store, task: Row, file: Path) -> dict[str, Any]:
    """Read tags and boxes for a task.

    Args:
        store: Where the task is.
        task: The task; images are found by their names, else by their numbers.
        file: The XML file.

    Returns:
        ``{"tags": […], "shapes": […]}`` as the API takes them.

    Raises:
        CvatImportError: An image or a label is not the task's, or an element is of a kind that is not kept here.
        ParseError: It is not XML.
    """
    numbers = {row["name"]: row["number"] for row in frames.of_task(store, task["id"])}
    label_ids = {label["name"]: label["id"] for label in labels.of_task(store, task)}
    found: dict[str, Any] = {"tags": [], "shapes": []}
    for _, element in ElementTree.iterparse(file, events=("end",)):
        if element.tag != "image":
            continue
        frame = _frame(element, numbers)
        for child in element:
            label = child.get("label", "")
            if label not in label_ids:
                raise CvatImportError(f"Label {label!r} is not one of the task's labels")
            common = {"frame": frame, "label_id": label_ids[label], "source": child.get("source", "manual")}
            if child.tag == "tag":
                found["tags"].append(common)
            elif child.tag == "box":
                found["shapes"].append({**common, **_box(child)})
            else:
                raise CvatImportError(f"This stand-in keeps tags and boxes, no <{child.tag}>")
        element.clear()
    return found


def _frame(element: ElementTree.Element, numbers: dict[str, int]) -> int:
    name, number = element.get("name", ""), element.get("id", "")
    if name in numbers:
        return numbers[name]
    if number.isdecimal() and int(number) < len(numbers):
        return int(number)
    stem = name.removesuffix(PurePosixPath(name).suffix)
    raise CvatImportError(f"Could not match item id: '{stem}' with any task frame")


def _box(element: ElementTree.Element) -> dict[str, Any]:
    return {
        "type": "rectangle",
        "points": [float(element.get(side, "nan")) for side in ("xtl", "ytl", "xbr", "ybr")],
        "occluded": element.get("occluded") == "1",
        "z_order": int(element.get("z_order", "0")),
        "rotation": float(element.get("rotation", "0")),
    }
