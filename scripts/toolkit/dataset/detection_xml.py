"""Labels in XML: CVAT for images, PASCAL VOC and LabelMe."""

import math
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator

from toolkit.dataset.detection_labels import (
    Annotations,
    Finding,
    LabelledImage,
    OtherFormat,
    is_upright_box,
    read_size,
)
from toolkit.dataset.export_files import LabelProblem, read_text, suffix_of

_DEEPEST = 32
"""Elements in one another: CVAT's own are six deep."""

_CVAT_TERMS = {
    "project/name": "Project",
    "project/id": "Project id",
    "task/name": "Task",
    "task/id": "Task id",
    "dumped": "Exported at",
}


def read_cvat(found: Annotations) -> None:
    """Read `annotations.xml` element by element; the images are in `images/<subset>/` or `images/`."""
    file = "annotations.xml"
    with found.file(file), found.files.open_text(file) as stream:
        parents: list[ElementTree.Element] = []
        for event, element in ElementTree.iterparse(stream, ("start", "end")):
            if event == "start":
                if element.tag == "track":
                    raise OtherFormat(
                        "is an export in CVAT for video 1.1, whose tracks are not read: "
                        "export it again as CVAT for images 1.1 or COCO 1.0"
                    )
                if len(parents) == _DEEPEST:
                    raise LabelProblem(f"has elements in elements, more than {_DEEPEST} deep")
                parents.append(element)
                continue
            parents.pop()
            path = "/".join(parent.tag for parent in parents)
            if element.tag == "image":
                with found.entry(f"{file}: {element.get('name', 'an image')}"):
                    _cvat_image(found, file, element)
            elif element.tag == "name" and path.endswith("labels/label"):
                found.add_classes([element.text or ""])
            elif (term := _CVAT_TERMS.get(f"{path}/{element.tag}".partition("meta/")[2])) and element.text:
                found.provenance.setdefault(term, element.text.strip())
            if len(parents) == 1:
                parents[0].clear()  # so that memory does not grow with the file


def _cvat_image(found: Annotations, file: str, element: ElementTree.Element) -> None:
    name, subset = read_text(element.get("name"), "name"), element.get("subset") or "default"
    size = None
    with found.entry(f"{file}: {name}", is_label=False):
        size = read_size(element.get("width"), element.get("height"))
    location = found.files.first(f"images/{subset}/{name}", f"images/{name}", name)
    image = found.image(name, subset, location, size)
    for shape in element:
        with found.entry(f"{file}: {name}", image):
            _cvat_shape(found, image, shape)


_WITHOUT_BOX = {"polyline": Finding.POLYLINE, "points": Finding.POINTS, "cuboid": Finding.CUBOID, "tag": Finding.TAG}


def _cvat_shape(found: Annotations, image: LabelledImage, shape: ElementTree.Element) -> None:
    if shape.tag not in ("box", "polygon", "ellipse", "mask", "skeleton"):
        found.note(_WITHOUT_BOX.get(shape.tag, Finding.OTHER), image)
        return
    label = shape.attrib["label"]
    rotation = float(shape.get("rotation", "0"))

    def numbers(*names: str) -> list[float]:
        return [float(shape.attrib[name]) for name in names]

    if shape.tag == "box":
        found.box(image, label, numbers("xtl", "ytl", "xbr", "ybr"), rotation)
    elif shape.tag == "polygon":
        found.outline(image, Finding.POLYGON, label, _points(shape.attrib["points"]))
    elif shape.tag == "ellipse":
        x, y, across, down = numbers("cx", "cy", "rx", "ry")
        sine, cosine = math.sin(math.radians(rotation)), math.cos(math.radians(rotation))
        across, down = math.hypot(across * cosine, down * sine), math.hypot(across * sine, down * cosine)
        found.outline(image, Finding.ELLIPSE, label, [(x - across, y - down), (x + across, y + down)])
    elif shape.tag == "mask":
        left, top, width, height = numbers("left", "top", "width", "height")
        found.outline(image, Finding.MASK, label, [(left, top), (left + width, top + height)])
    else:
        parts = [part.attrib["points"] for part in shape if part.tag == "points" and part.get("outside") != "1"]
        found.outline(image, Finding.SKELETON, label, [point for part in parts for point in _points(part)])


def _points(text: str) -> list[tuple[float, float]]:
    pairs = (pair.split(",") for pair in text.split(";"))
    return [(float(x), float(y)) for x, y in pairs]


_VOC_LABELS = re.compile(r"Annotations/(?P<name>.+)\.xml")
_VOC_LIST = re.compile(r"ImageSets/Main/(?P<subset>[^/]+)\.txt")
_VOC_MASKS = re.compile(r"Segmentation(?:Class|Object)/(?P<name>.+)\.png")
_FLAG = re.compile(r"\s+-?[01]$")


def read_voc(found: Annotations) -> None:
    """Read `Annotations/<name>.xml` of the images that `ImageSets/Main/<subset>.txt` lists."""
    files = found.files
    if "labelmap.txt" in files:
        with found.file("labelmap.txt"):
            names = (line.rsplit(":", 3)[0] for line in files.lines("labelmap.txt") if not line.startswith("#"))
            found.add_classes(name for name in names if name != "background")  # CVAT adds it to every list
    lists: dict[str, list[str]] = {}
    for file, match in files.matches(_VOC_LIST):
        with found.file(file):
            lists[match["subset"]] = [
                line.strip('"') for line in files.lines(file, small=False) if not line.startswith("#")
            ]
    labelled = {match["name"]: file for file, match in files.matches(_VOC_LABELS)}
    masks = {file: match["name"] for file, match in files.matches(_VOC_MASKS)}
    found.masks, masked = set(masks), set(masks.values())
    for subset, stem in _voc_images(found, lists, labelled):
        location = files.picture(f"JPEGImages/{stem}", stem)
        image = found.image(stem + suffix_of(location), subset, location)
        if stem in masked:  # what they show is not told in boxes
            found.note(Finding.MASK_PICTURE, image)
        if (file := labelled.get(stem, "")) and not image.boxes:
            with found.file(file):
                _voc_boxes(found, file, image, ElementTree.fromstring(files.text(file, small=True)))


def _voc_images(found: Annotations, lists: dict[str, list[str]], labelled: dict[str, str]) -> Iterator[tuple[str, str]]:
    def exists(stem: str) -> bool:
        return stem in labelled or found.files.picture(f"JPEGImages/{stem}") is not None

    listed: set[str] = set()
    # The union of others, as in PASCAL VOC itself, comes last: by then its images have a subset.
    for subset, entries in sorted(lists.items(), key=lambda pair: (pair[0] == "trainval", pair[0])):
        label, _, rest = subset.rpartition("_")
        flagged = bool(entries) and all(_FLAG.search(entry) and not exists(entry) for entry in entries)
        if label and (flagged or (rest in lists and label in found.classes)):
            continue  # of one class: `cat_train.txt` tells which images of `train.txt` show a cat
        for entry in entries:
            stem = entry if exists(entry) or not _FLAG.search(entry) else _FLAG.sub("", entry)
            if subset != "trainval" or stem not in listed:
                yield subset, stem
            listed.add(stem)
    unlisted = sorted(labelled.keys() - listed)
    if unlisted and lists:
        found.remark(
            f"ImageSets/Main: {len(unlisted):,} labelled images are in none of its lists, such as {unlisted[0]}"
        )
    yield from (("default", stem) for stem in unlisted)


def _voc_boxes(found: Annotations, file: str, image: LabelledImage, root: ElementTree.Element) -> None:
    with found.entry(f"{file}: its boxes are read all the same, but", is_label=False):
        if root.find("size") is None:
            raise LabelProblem("there is no <size>")
        image.size = read_size(root.findtext("size/width"), root.findtext("size/height"))
    for node in root.iter("object"):
        with found.entry(file, image):
            label = read_text(node.findtext("name"), "name of an object")
            if (box := node.find("bndbox")) is None:
                found.note(Finding.OTHER, image)
                continue
            corners = [box.findtext(corner) for corner in ("xmin", "ymin", "xmax", "ymax")]
            if None in corners:
                raise LabelProblem(f"a box of {label} lacks a corner")
            attributes = {it.findtext("name"): it.findtext("value") for it in node.iter("attribute")}
            if "track_id" in attributes:
                found.note(Finding.TRACK, image)
            edges = [float(corner or "") for corner in corners]
            found.box(image, label, edges, float(attributes.get("rotation") or 0))


_LABELME = re.compile(r"Annotations/(?:(?P<subset>[^/]+)/)?(?P<name>.+)\.xml")


def read_labelme(found: Annotations) -> None:
    """Read `Annotations/<subset>/<name>.xml`; the images are in `Images/<subset>/`."""
    for file, match in found.files.matches(_LABELME):
        with found.file(file):
            subset = match["subset"] or "default"
            root = ElementTree.fromstring(found.files.text(file, small=True))
            name = root.findtext("filename") or match["name"]
            location = found.files.first(f"Images/{subset}/{name}", f"Images/{name}") or found.files.picture(
                f"Images/{subset}/{match['name']}", f"Images/{match['name']}"
            )
            size = None
            with found.entry(f"{file}: its boxes are read all the same, but", is_label=False):
                size = read_size(root.findtext("imagesize/ncols"), root.findtext("imagesize/nrows"))
            image = found.image(name, subset, location, size)
            for node in root.iter("object"):
                if node.findtext("deleted") != "1":
                    with found.entry(file, image):
                        _labelme_object(found, image, node)


def _labelme_object(found: Annotations, image: LabelledImage, node: ElementTree.Element) -> None:
    label = read_text(node.findtext("name"), "name of an object")
    points = [
        (float(point.findtext("x") or ""), float(point.findtext("y") or "")) for point in node.iterfind("polygon/pt")
    ]
    if not points:
        found.note(Finding.OTHER, image)
        return
    across, down = zip(*points, strict=True)
    edges = min(across), min(down), max(across), max(down)
    if is_upright_box(points, edges):
        found.box(image, label, edges)
    else:
        found.outline(image, Finding.POLYGON, label, points)
