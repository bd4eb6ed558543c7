"""Detection exports: images, their boxes, and what in the labels is no box or no good one.

Each entry is read by itself, so that a bad one costs neither its neighbours nor the export: it is left out and counted.
"""

import json
import math
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterable, Iterator, Sequence
from io import BytesIO
from pathlib import PurePosixPath
from typing import Any

from toolkit.core.errors import ToolkitError
from toolkit.dataset.archive import Archive
from toolkit.dataset.archive_kind import IMAGE_KINDS, Kind
from toolkit.dataset.detection_labels import TOLERANCE, DetectionExport, Finding, ImageLabels, Reading
from toolkit.dataset.detection_yolo import read_ultralytics, read_yolo, stem_of

_COCO = re.compile(r"annotations/instances_(?P<subset>.+)\.json")
_DATUMARO = re.compile(r"annotations/(?P<subset>[^/]+)\.json")
_VOC_LIST = re.compile(r"ImageSets/Main/(?P<subset>[^/]+)\.txt")


def read_export(archive: Archive, kind: Kind) -> DetectionExport:
    """Read the labels of a detection export.

    Args:
        archive: The open archive.
        kind: What it was recognised as, one of :data:`toolkit.dataset.archive_kind.BOX_FORMATS`.

    Returns:
        Its images with their boxes.

    Raises:
        ToolkitError: A file of labels as a whole cannot be read, or no image is in the zip.
    """
    reading = Reading(archive, kind.root)
    _READERS[kind.name](reading)
    if not reading.frames:
        if Finding.NO_BYTES in reading.findings:
            raise ToolkitError(
                f"{archive.path} was exported without images: export it again with images "
                "(make export takes them along)"
            )
        raise ToolkitError(
            f"{archive.path} ({kind.name}) names no image where CVAT's exports do: export a project that has some"
        )
    reading.frames.sort(key=lambda frame: (*frame.name.rpartition("/")[::2], frame.subset))
    others = [
        index
        for index, member in enumerate(archive.members)
        if index not in reading.taken
        and member.name.lower().endswith(IMAGE_KINDS)
        and not _is_mask(kind, member.name.removeprefix(kind.root))
    ]
    return DetectionExport(kind.name, list(reading.classes), reading.frames, reading.findings, others)


def _is_mask(kind: Kind, name: str) -> bool:
    return kind.name == "PASCAL VOC 1.1" and name.startswith(("SegmentationClass/", "SegmentationObject/"))


def _size(width: object, height: object) -> tuple[int, int] | None:
    try:
        size = int(str(width)), int(str(height))
    except ValueError:
        return None
    return size if min(size) > 0 else None


def _matches(pattern: re.Pattern[str], names: Iterable[str]) -> Iterator[tuple[str, re.Match[str]]]:
    for name in names:
        if match := pattern.fullmatch(name):
            yield name, match


def _in_images(subset: str, name: str) -> tuple[str, str]:
    return f"images/{subset}/{name}", f"images/{name}"


def _read_coco(reading: Reading) -> None:
    """Read `annotations/instances_<subset>.json`; the images are in `images/<subset>/`."""
    for file, match in _matches(_COCO, reading.names):
        text = reading.text(file)
        with reading.readable(file):
            content = json.loads(text)
            labels = {entry["id"]: str(entry["name"]) for entry in content["categories"]}
            reading.classes.update(dict.fromkeys(labels.values()))
            images = {entry["id"]: entry for entry in content["images"]}
            by_image: dict[Any, list[Any]] = {image_id: [] for image_id in images}
            for entry in content["annotations"]:
                image_id = entry.get("image_id") if isinstance(entry, dict) else None
                if isinstance(image_id, int | str) and image_id in by_image:
                    by_image[image_id].append(entry)
                else:
                    reading.note(Finding.MALFORMED, file)
            for image_id, image in images.items():
                of_image = ImageLabels(reading, str(image["file_name"]))
                for entry in by_image[image_id]:
                    with of_image.entry():
                        _take_coco(of_image, entry, labels.get(entry["category_id"]))
                size = _size(image.get("width"), image.get("height"))
                of_image.finish(match["subset"], _in_images(match["subset"], of_image.name), size)


def _take_coco(labels: ImageLabels, entry: dict[str, Any], label: str | None) -> None:
    left, top, width, height = map(float, entry["bbox"])
    edges = left, top, left + width, top + height
    outline = entry.get("segmentation")
    attributes = entry.get("attributes") or {}
    if isinstance(outline, dict):
        labels.note(Finding.MASK)
    elif entry.get("num_keypoints"):
        labels.note(Finding.SKELETON)
    elif outline and not _is_box(outline, edges):
        labels.note(Finding.POLYGON)
    if "track_id" in attributes:
        labels.note(Finding.TRACK)
    labels.box(label, edges, float(attributes.get("rotation") or 0))


def _is_box(outline: Sequence[Sequence[float]], edges: tuple[float, ...]) -> bool:
    """Tell whether an outline says no more than its box."""
    points = outline[0]
    return (
        len(outline) == 1
        and len(points) == 8
        and all(
            min(abs(value - edges[axis % 2]), abs(value - edges[axis % 2 + 2])) <= TOLERANCE
            for axis, value in enumerate(points)
        )
    )


def _read_cvat(reading: Reading) -> None:
    """Read `annotations.xml` image by image; the images are in `images/<subset>/` or `images/`."""
    file = "annotations.xml"
    text = reading.text(file)
    with reading.readable(file):
        parents: list[ElementTree.Element] = []
        for event, element in ElementTree.iterparse(BytesIO(text.encode()), ("start", "end")):
            if event == "start":
                if element.tag == "track":
                    raise ToolkitError(
                        f"{reading.archive.path} is an export in CVAT for video 1.1, whose tracks are not read: "
                        "export it again as CVAT for images 1.1 or COCO 1.0"
                    )
                parents.append(element)
                continue
            parents.pop()
            if element.tag == "image":
                _take_cvat(reading, element)
                parents[-1].clear()  # so that memory does not grow with the file
            elif element.tag == "name" and [parent.tag for parent in parents[-2:]] == ["labels", "label"]:
                reading.classes[element.text or ""] = None


def _take_cvat(reading: Reading, image: ElementTree.Element) -> None:
    name, subset = image.attrib["name"], image.get("subset") or "default"
    labels = ImageLabels(reading, name)
    for shape in image:
        with labels.entry():
            _take_cvat_shape(labels, shape)
    labels.finish(subset, _in_images(subset, name), _size(image.get("width"), image.get("height")))


_WITHOUT_BOX = {"polyline": Finding.POLYLINE, "points": Finding.POINTS, "cuboid": Finding.CUBOID, "tag": Finding.TAG}


def _take_cvat_shape(labels: ImageLabels, shape: ElementTree.Element) -> None:
    label = shape.get("label")
    rotation = float(shape.get("rotation", "0"))

    def numbers(*names: str) -> list[float]:
        return [float(shape.attrib[name]) for name in names]

    if shape.tag == "box":
        labels.box(label, numbers("xtl", "ytl", "xbr", "ybr"), rotation)
    elif shape.tag == "polygon":
        labels.outline(Finding.POLYGON, label, _points(shape.attrib["points"]))
    elif shape.tag == "ellipse":
        x, y, across, down = numbers("cx", "cy", "rx", "ry")
        sine, cosine = math.sin(math.radians(rotation)), math.cos(math.radians(rotation))
        width, height = math.hypot(across * cosine, down * sine), math.hypot(across * sine, down * cosine)
        labels.outline(Finding.ELLIPSE, label, [(x - width, y - height), (x + width, y + height)])
    elif shape.tag == "mask":
        left, top, width, height = numbers("left", "top", "width", "height")
        labels.outline(Finding.MASK, label, [(left, top), (left + width, top + height)])
    elif shape.tag == "skeleton":
        parts = [part.attrib["points"] for part in shape if part.tag == "points" and part.get("outside") != "1"]
        labels.outline(Finding.SKELETON, label, [point for part in parts for point in _points(part)])
    else:
        labels.note(_WITHOUT_BOX.get(shape.tag, Finding.OTHER))


def _points(text: str) -> list[tuple[float, float]]:
    pairs = (pair.split(",") for pair in text.split(";"))
    return [(float(x), float(y)) for x, y in pairs]


def _read_voc(reading: Reading) -> None:
    """Read `Annotations/<name>.xml` of the images that `ImageSets/Main/<subset>.txt` lists."""
    if "labelmap.txt" in reading:
        lines = (line.strip() for line in reading.text("labelmap.txt", is_list=True).splitlines())
        names = [line.rsplit(":", 3)[0] for line in lines if line and not line.startswith("#")]
        # CVAT adds "background"; nothing can be labelled so.
        reading.classes.update(dict.fromkeys(name for name in names if name != "background"))
    folder = "JPEGImages/"
    located = {stem_of(name).removeprefix(folder): name for name in reading.names if name.startswith(folder)}
    lists = {match["subset"]: name for name, match in _matches(_VOC_LIST, reading.names)}
    of_one_class = {f"{label}_{subset}" for subset in lists for label in reading.classes}
    for subset in lists.keys() - of_one_class:
        for line in reading.text(lists[subset]).splitlines():
            if stem := line.strip().strip('"'):
                _take_voc(reading, subset, stem, located.get(stem))
    for name in reading.names:
        if name.startswith("SegmentationObject/"):
            reading.note(Finding.MASK, name)


def _take_voc(reading: Reading, subset: str, stem: str, location: str | None) -> None:
    labels = ImageLabels(reading, location.removeprefix("JPEGImages/") if location else stem)
    file = f"Annotations/{stem}.xml"
    size = None
    if file in reading:
        text = reading.text(file, is_list=True)
        with reading.readable(file):
            root = ElementTree.fromstring(text)
            size = _size(root.findtext("size/width"), root.findtext("size/height"))
            for entry in root.iter("object"):
                with labels.entry():
                    edges = [float(entry.findtext(f"bndbox/{edge}", "")) for edge in ("xmin", "ymin", "xmax", "ymax")]
                    attributes = {it.findtext("name"): it.findtext("value") for it in entry.iter("attribute")}
                    if "track_id" in attributes:
                        labels.note(Finding.TRACK)
                    labels.box(entry.findtext("name"), edges, float(attributes.get("rotation") or 0))
    labels.finish(subset, [location] if location else [], size)


def _read_datumaro(reading: Reading) -> None:
    """Read `annotations/<subset>.json`; the images are in `images/<subset>/` under a name of their own."""
    for file, match in _matches(_DATUMARO, reading.names):
        text = reading.text(file)
        with reading.readable(file):
            content = json.loads(text)
            labels = dict(enumerate(str(entry["name"]) for entry in content["categories"]["label"]["labels"]))
            reading.classes.update(dict.fromkeys(labels.values()))
            for item in content["items"]:
                image = item.get("image") or {}
                path = str(image.get("path") or f"{item['id']}.jpg")
                of_image = ImageLabels(reading, str(item["id"]) + PurePosixPath(path).suffix)
                for entry in item.get("annotations", ()):
                    with of_image.entry():
                        _take_datumaro(of_image, entry, labels.get(entry.get("label_id")))
                height, width = image.get("size") or (None, None)
                size = _size(width, height)
                of_image.finish(match["subset"], _in_images(match["subset"], path), size)


_DATUMARO_WITHOUT_BOX = {
    "polyline": Finding.POLYLINE,
    "points": Finding.POINTS,
    "cuboid": Finding.CUBOID,
    "label": Finding.TAG,
}


def _take_datumaro(labels: ImageLabels, entry: dict[str, Any], label: str | None) -> None:
    kind = entry["type"]
    attributes = entry.get("attributes") or {}
    if "track_id" in attributes:
        labels.note(Finding.TRACK)
    if kind == "bbox":
        left, top, width, height = map(float, entry["bbox"])
        labels.box(label, (left, top, left + width, top + height), float(attributes.get("rotation") or 0))
    elif kind == "polygon":
        points = list(map(float, entry["points"]))
        labels.outline(Finding.POLYGON, label, zip(points[::2], points[1::2], strict=True))
    elif kind == "ellipse":
        points = list(map(float, entry["points"]))
        labels.outline(Finding.ELLIPSE, label, zip(points[::2], points[1::2], strict=True))
    elif kind == "mask":
        labels.outline(Finding.MASK, label, _mask_corners(entry["rle"]))
    else:
        labels.note(_DATUMARO_WITHOUT_BOX.get(kind, Finding.OTHER))


def _mask_corners(rle: dict[str, Any]) -> list[tuple[float, float]]:
    """Find corners of a mask in the run lengths of pycocotools, which go column by column."""
    height = int(rle["size"][0])
    runs: list[int] = []
    value = shift = 0
    for character in str(rle["counts"]):
        code = ord(character) - 48
        value |= (code & 0x1F) << shift
        shift += 5
        if not code & 0x20:
            if code & 0x10:
                value -= 1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    points: list[tuple[float, float]] = []
    start = 0
    for number, length in enumerate(runs):
        if number % 2 and length > 0:
            first, last = divmod(start, height), divmod(start + length - 1, height)
            spans = first[0] != last[0]
            points.append((first[0], 0 if spans else first[1]))
            points.append((last[0] + 1, height if spans else last[1] + 1))
        start += length
    return points


_READERS: dict[str, Callable[[Reading], None]] = {
    "COCO 1.0": _read_coco,
    "YOLO 1.1": read_yolo,
    "Ultralytics YOLO Detection 1.0": read_ultralytics,
    "PASCAL VOC 1.1": _read_voc,
    "CVAT for images 1.1": _read_cvat,
    "Datumaro 1.0": _read_datumaro,
}
