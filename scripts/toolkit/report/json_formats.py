"""COCO and Datumaro."""

import json
import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from toolkit.report.annotations import Annotations, numbered, read_size, read_text
from toolkit.report.members import LabelProblem
from toolkit.report.model import DatasetImage

_SPACE = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()


def _json_entries(text: str) -> Iterator[tuple[str, Any]]:
    """Read an object whose lists are long: each entry of a list comes by itself, so that not all are in memory."""

    def expect(position: int, characters: str) -> str:
        found = text[position : position + 1]
        if not found or found not in characters:
            raise json.JSONDecodeError(f"expected {' or '.join(characters)}", text, position)
        return found

    def after(position: int) -> int:
        match = _SPACE.match(text, position)
        assert match is not None
        return match.end()

    position = after(0)
    expect(position, "{")
    position = after(position + 1)
    while expect(position, '"}') != "}":
        key, position = _DECODER.raw_decode(text, position)
        expect(position := after(position), ":")
        position = after(position + 1)
        if text[position : position + 1] == "[":
            position = after(position + 1)
            while text[position : position + 1] != "]":
                value, position = _DECODER.raw_decode(text, position)
                yield key, value
                position = after(position)
                if expect(position, ",]") == ",":
                    position = after(position + 1)
            position += 1
        else:
            value, position = _DECODER.raw_decode(text, position)
            yield key, value
        if expect(position := after(position), ",}") == ",":
            position = after(position + 1)


COCO_FILE = re.compile(r"annotations/instances_(?P<subset>.+)\.json")


def read_coco(found: Annotations) -> None:
    """Read `annotations/instances_<subset>.json`; the images are in `images/<subset>/`."""
    for name, match in found.members.matches(COCO_FILE):
        with found.file(name):
            _read_coco(found, name, match["subset"])


def _read_coco(found: Annotations, file: str, side: str) -> None:
    labels: dict[object, str] = {}
    images: dict[object, DatasetImage] = {}
    waiting = []
    names = set()

    def take(entry: Any) -> None:
        image = images.get(entry["image_id"])
        if image is None:
            raise LabelProblem(f"there is no image with the id {entry['image_id']}")
        if entry["category_id"] not in labels:
            raise LabelProblem(f"there is no category with the id {entry['category_id']} (in {image.name})")
        if not (box := entry.get("bbox")):
            found.other_shapes += 1
            return
        left, top, width, height = map(float, box)
        with found.entry(f"{file}: {image.name}"):
            found.add_box(image, labels[entry["category_id"]], left, top, left + width, top + height)

    try:
        for key, entry in _json_entries(found.members.text(file)):
            names.add(key)
            where = f"{file}: entry of {key}"
            if key == "categories":
                with found.entry(where):
                    labels[entry["id"]] = read_text(entry["name"], "name")
                    found.add_classes([entry["name"]])
            elif key == "images":
                with found.entry(where):
                    if entry["id"] in images:
                        raise LabelProblem(f"the id {entry['id']} is that of {images[entry['id']].name} too")
                    name = read_text(entry["file_name"], "file_name")
                    size = None
                    with found.entry(f"{file}: {name}"):
                        size = read_size(entry["width"], entry["height"])
                    location = found.members.first(f"images/{side}/{name}", f"images/{name}", f"{side}/{name}", name)
                    images[entry["id"]] = found.add_image(name, side, location, size)
            elif key == "annotations":
                with found.entry(where):
                    if entry["image_id"] in images and entry["category_id"] in labels:
                        take(entry)
                    else:
                        waiting.append(entry)  # it may stand before what it speaks of
    finally:
        for entry in waiting:
            with found.entry(f"{file}: annotation {entry.get('id', '')}".rstrip()):
                take(entry)
    if "images" not in names:
        raise LabelProblem("it has no list of images")


DATUMARO_FILE = re.compile(r"annotations/(?!instances_|person_keypoints_|captions_)(?P<subset>[^/]+)\.json")


def read_datumaro(found: Annotations) -> None:
    """Read `annotations/<subset>.json`; the images are in `images/<subset>/`."""
    for file, match in found.members.matches(DATUMARO_FILE):
        if not found.members.begins_with(file, '"dm_format_version"', '"categories"'):
            continue
        with found.file(file):
            labels: list[str] = []
            for key, entry in _json_entries(found.members.text(file)):
                if key == "categories":
                    with found.entry(f"{file}: categories"):
                        labels = [read_text(label["name"], "name") for label in entry["label"]["labels"]]
                        found.add_classes(labels)
                elif key == "items":
                    with found.entry(f"{file}: entry of items"):
                        _datumaro_item(found, file, match["subset"], labels, entry)


def _datumaro_item(found: Annotations, file: str, side: str, labels: list[str], item: Any) -> None:
    name = read_text(item["id"], "id")
    picture = item.get("image") or {}
    path = str(picture.get("path") or "")
    with found.entry(f"{file}: {name}"):
        height, width = picture.get("size") or (None, None)
        size = read_size(width, height) if height is not None else None
    location = found.members.first(f"images/{side}/{path}", f"images/{path}") or found.members.picture(
        f"images/{side}/{name}", f"images/{name}"
    )
    image = found.add_image(name + PurePosixPath(location or path).suffix, side, location, size)
    for shape in item.get("annotations") or ():
        with found.entry(f"{file}: {name}"):
            if shape.get("type") != "bbox":
                found.other_shapes += 1
                continue
            left, top, width, height = map(float, shape["bbox"])
            label = numbered(labels, shape["label_id"])
            found.add_box(image, label, left, top, left + width, top + height)
