"""CVAT for images, PASCAL VOC and LabelMe."""

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import PurePosixPath

from toolkit.report.annotations import Annotations, read_size, read_text
from toolkit.report.members import LabelProblem
from toolkit.report.model import DatasetImage

_OTHER_SHAPES = ("polygon", "polyline", "points", "ellipse", "cuboid", "mask", "skeleton", "tag")
_CVAT_TERMS = {
    "project/name": "Project",
    "project/id": "Project id",
    "task/name": "Task",
    "task/id": "Task id",
    "dumped": "Exported at",
}
CVAT_FILE = re.compile(r"annotations\.xml")


def read_cvat(found: Annotations) -> None:
    """Read `annotations.xml` element by element; the images are in `images/<subset>/` or `images/`."""
    (file,) = (name for name, _ in found.members.matches(CVAT_FILE))
    with found.file(file), found.members.open_text(file) as stream:
        parents: list[ElementTree.Element] = []
        for event, element in ElementTree.iterparse(stream, ("start", "end")):
            if event == "start":
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
    name, side = read_text(element.get("name"), "name"), element.get("subset") or "default"
    size = None
    with found.entry(f"{file}: {name}"):
        size = read_size(element.get("width"), element.get("height"))
    image = found.add_image(name, side, found.members.first(f"images/{side}/{name}", f"images/{name}", name), size)
    for shape in element:
        if shape.tag == "box":
            with found.entry(f"{file}: {name}"):
                corners = (float(shape.attrib[corner]) for corner in ("xtl", "ytl", "xbr", "ybr"))
                found.add_box(image, shape.attrib["label"], *corners)
        elif shape.tag in _OTHER_SHAPES:
            found.other_shapes += 1


VOC_FILE = re.compile(r"Annotations/(?P<name>.+)\.xml")
_FLAG = re.compile(r"\s+-?[01]$")
VOC_LIST = re.compile(r"ImageSets/Main/(?P<subset>[^/]+)\.txt")


def read_voc(found: Annotations) -> None:
    """Read `Annotations/<name>.xml` of the images that `ImageSets/Main/<subset>.txt` lists."""
    members = found.members
    if "labelmap.txt" in members:
        with found.file("labelmap.txt"):
            lines = (line for line in members.lines("labelmap.txt") if not line.startswith("#"))
            names = (line.rsplit(":", 3)[0] for line in lines)
            found.add_classes(name for name in names if name != "background")  # CVAT adds it to every list
    lists: dict[str, list[str]] = {}
    for file, match in members.matches(VOC_LIST):
        with found.file(file):
            lists[match["subset"]] = [line.strip('"') for line in members.lines(file) if not line.startswith("#")]
    labelled = {match["name"]: file for file, match in members.matches(VOC_FILE)}
    for side, stem in _voc_images(found, lists, labelled):
        location = members.picture(f"JPEGImages/{stem}", stem)
        image = found.add_image(stem + PurePosixPath(location or "").suffix, side, location, None)
        if (labels := labelled.get(stem)) is not None:
            with found.file(labels):
                _voc_boxes(found, labels, image, ElementTree.fromstring(members.text(labels)))


def _voc_images(found: Annotations, lists: dict[str, list[str]], labelled: dict[str, str]) -> Iterator[tuple[str, str]]:
    def exists(stem: str) -> bool:
        return stem in labelled or found.members.picture(f"JPEGImages/{stem}") is not None

    listed: set[str] = set()
    # The union of others, as in PASCAL VOC itself, comes last: by then its images have a subset.
    for side, entries in sorted(lists.items(), key=lambda pair: (pair[0] == "trainval", pair[0])):
        label, _, rest = side.rpartition("_")
        flagged = bool(entries) and all(_FLAG.search(entry) and not exists(entry) for entry in entries)
        if label and (flagged or (rest in lists and label in found.classes)):
            continue  # of one class: `cat_train.txt` tells which images of `train.txt` show a cat
        for entry in entries:
            stem = entry if exists(entry) or not _FLAG.search(entry) else _FLAG.sub("", entry)
            if side != "trainval" or stem not in listed:
                yield side, stem
            listed.add(stem)
    unlisted = sorted(labelled.keys() - listed)
    if unlisted and lists:
        found.note(f"ImageSets/Main: {len(unlisted):,} labelled images are in none of its lists, such as {unlisted[0]}")
    yield from (("default", stem) for stem in unlisted)


def _voc_boxes(found: Annotations, file: str, image: DatasetImage, root: ElementTree.Element) -> None:
    if image.location is None and (given := root.findtext("filename")):
        image.name = given
    with found.entry(f"{file}: its boxes are read all the same, but"):
        if root.find("size") is None:
            raise LabelProblem("there is no <size>")
        image.size = read_size(root.findtext("size/width"), root.findtext("size/height"))
    for node in root.iter("object"):
        with found.entry(file):
            label = read_text(node.findtext("name"), "name of an object")
            if (box := node.find("bndbox")) is None:
                found.other_shapes += 1
                continue
            corners = [box.findtext(corner) for corner in ("xmin", "ymin", "xmax", "ymax")]
            if None in corners:
                raise LabelProblem(f"a box of {label} lacks a corner")
            found.add_box(image, label, *(float(corner or "") for corner in corners))


LABELME_FILE = re.compile(r"Annotations/(?:(?P<subset>[^/]+)/)?(?P<name>.+)\.xml")


def read_labelme(found: Annotations) -> None:
    """Read `Annotations/<subset>/<name>.xml`; the images are in `Images/<subset>/`."""
    labels: set[str] = set()
    for file, match in found.members.matches(LABELME_FILE):
        with found.file(file):
            side = match["subset"] or "default"
            root = ElementTree.fromstring(found.members.text(file))
            name = root.findtext("filename") or match["name"]
            location = found.members.first(f"Images/{side}/{name}", f"Images/{name}") or found.members.picture(
                f"Images/{side}/{match['name']}", f"Images/{match['name']}"
            )
            size = None
            with found.entry(f"{file}: its boxes are read all the same, but"):
                size = read_size(root.findtext("imagesize/ncols"), root.findtext("imagesize/nrows"))
            image = found.add_image(name, side, location, size)
            for node in root.iter("object"):
                with found.entry(file):
                    if node.findtext("deleted") == "1":
                        continue
                    label = read_text(node.findtext("name"), "name of an object")
                    labels.add(label)
                    points = [
                        (float(point.findtext("x") or ""), float(point.findtext("y") or ""))
                        for point in node.iterfind("polygon/pt")
                    ]
                    across, down = ({point[axis] for point in points} for axis in (0, 1))
                    if len(points) != 4 or len(across) > 2 or len(down) > 2:
                        found.other_shapes += 1
                        continue
                    found.add_box(image, label, min(across), min(down), max(across), max(down))
    found.add_classes(sorted(labels))  # the format has no list of them
