"""YOLO, KITTI, WiderFace, MOT and Open Images; as XML, CVAT for images, PASCAL VOC and LabelMe."""

import csv
import math
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import PurePosixPath

from toolkit.dataset.detection_labels import (
    Annotations,
    Finding,
    LabelledImage,
    OtherFormat,
    class_of,
    is_upright_box,
    read_size,
)
from toolkit.dataset.export_files import LabelProblem, is_image, read_text, stem_of, suffix_of

_SIDE_WORDS = frozenset(("train", "training", "val", "valid", "validation", "test", "testing", "default"))
_LISTS = ("obj.names", "classes.txt")
_YAMLS = ("data.yaml", "data.yml", "dataset.yaml")


def read_yolo(found: Annotations) -> None:
    """Read a text file for each image, in any folder; class numbers count the lines of `obj.names` or `data.yaml`.

    The text file lies beside its image, or in a folder `labels` where the image's is called `images`.
    """
    files = found.files
    labels: dict[object, str] = {}
    has_points = False
    file = next((name for name in (*_LISTS, *_YAMLS) if name in files), _LISTS[0])
    with found.file(file):
        if file in _YAMLS:
            labels, has_points = _yaml_names(files.text(file, small=True))
        else:
            labels = dict(enumerate(files.lines(file)))
        found.add_classes(labels.values())
    subsets = {stem_of(name) for name in files.names if "/" not in name and name.endswith(".txt")}
    pictures = {_label_stem(name): name for name in files.names if is_image(name)}
    texts = {_label_stem(name): name for name in files.names if _is_yolo_labels(name)}
    for stem in sorted(pictures.keys() | texts.keys()):
        location = pictures.get(stem)
        subset, name = _yolo_name(location or texts[stem], subsets)
        image = found.image(name, subset, location)
        if file := texts.get(stem, ""):
            with found.file(file):
                for number, line in enumerate(files.lines(file), 1):
                    if not line.startswith("#"):
                        with found.entry(f"{file}, line {number}", image):
                            _yolo_line(found, image, labels, line.split(), has_points)


def _yaml_names(text: str) -> tuple[dict[object, str], bool]:
    """Read the names of `data.yaml`, as a list or by number, and whether its labels have key points."""
    import yaml  # what most runs do without

    content = yaml.safe_load(text)
    given = content["names"]
    numbered = given if isinstance(given, dict) else dict(enumerate(given))
    if not all(isinstance(value, str | int | float) for value in numbered.values()):
        raise LabelProblem("a name of a class is no text")
    return {int(key): str(value) for key, value in numbered.items()}, "kpt_shape" in content


def _label_stem(name: str) -> str:
    """Bring image and label file together: the same path without extension, but for `images` and `labels`."""
    return "/".join("*" if part in ("images", "labels") else part for part in stem_of(name).split("/"))


def _is_yolo_labels(name: str) -> bool:
    return name.endswith(".txt") and "/" in name and PurePosixPath(name).name not in ("classes.txt", "README.txt")


def _yolo_name(path: str, subsets: set[str]) -> tuple[str, str]:
    """Take subset and name out of a path such as `obj_train_data/a.jpg` or `images/train/a.jpg`."""
    *folders, name = path.split("/")
    if folders[:1] == ["data"]:
        folders = folders[1:]
    if folders and (match := re.fullmatch(r"obj_(.+)_data", folders[0])):
        return match[1], "/".join([*folders[1:], name])
    side = "default"
    for index, folder in enumerate(folders[:2]):
        if folder in ("images", "labels"):
            continue
        if folder in subsets or folder in _SIDE_WORDS:
            side = folder
            folders = folders[:index] + folders[index + 1 :]
        break
    if folders[:1] in (["images"], ["labels"]):
        folders = folders[1:]
    return side, "/".join([*folders, name])


def _yolo_line(
    found: Annotations, image: LabelledImage, labels: dict[object, str], words: list[str], has_points: bool
) -> None:
    """Take a line by its length: class and box, the same with a track or key points, or the corners of an outline."""
    label = class_of(labels, int(words[0]))
    values = list(map(float, words[1:]))
    if len(values) in (4, 5) or has_points:
        x, y, width, height = values[:4]
        finding = None
        if has_points:
            finding = Finding.SKELETON
        elif len(values) == 5 and words[5].isdecimal():  # else the confidence of a model
            finding = Finding.TRACK
        found.share(image, label, (x - width / 2, y - height / 2, x + width / 2, y + height / 2), finding)
        return
    if len(values) < 6 or len(values) % 2:
        raise LabelProblem(f"{len(words)} numbers, where a box has 5")
    across, down = values[::2], values[1::2]
    finding = Finding.POLYGON
    if len(across) == 4:
        finding = None if len(set(across)) == len(set(down)) == 2 else Finding.ROTATED
    found.share(image, label, (min(across), min(down), max(across), max(down)), finding)


_KITTI = re.compile(r"(?:(?P<subset>[^/]+)/)?(?:label_2/(?P<name>.+)\.txt|image_2/(?P<image>.+))")


def read_kitti(found: Annotations) -> None:
    """Read `<subset>/label_2/<name>.txt`; the images are in `<subset>/image_2/`."""
    if "label_colors.txt" in found.files:
        with found.file("label_colors.txt"):
            names = (line.split(maxsplit=3)[-1] for line in found.files.lines("label_colors.txt"))
            found.add_classes(name for name in names if name != "background")
    for file, match in found.files.matches(_KITTI):
        side = match["subset"] or "default"
        folder = f"{match['subset']}/" if match["subset"] else ""
        if match["image"] is not None:
            if is_image(file):
                found.image(match["image"], side, file)
            continue
        location = found.files.picture(f"{folder}image_2/{match['name']}")
        image = found.image(match["name"] + suffix_of(location), side, location)
        with found.file(file):
            for number, line in enumerate(found.files.lines(file), 1):
                with found.entry(f"{file}, line {number}", image):
                    fields = line.split()
                    columns = 15 if len(fields) >= 16 else 14  # a score may come last
                    if len(fields) <= columns:
                        raise LabelProblem(f"{len(fields)} columns, where an object has 15")
                    edges = map(float, fields[-columns + 3 : -columns + 7])
                    found.box(image, " ".join(fields[:-columns]), edges)


_WIDERFACE = re.compile(r"wider_face_split/wider_face_(?P<subset>.+)_bbx_gt\.txt")
_WIDERFACE_COLUMNS = 10
"""Columns of a box before the name of its class, which CVAT adds."""


def read_widerface(found: Annotations) -> None:
    """Read `wider_face_split/wider_face_<subset>_bbx_gt.txt`; the images are in `WIDER_<subset>/images/`."""
    if "labels.txt" in found.files:
        with found.file("labels.txt"):
            found.add_classes(found.files.lines("labels.txt"))
    for file, match in found.files.matches(_WIDERFACE):
        image: LabelledImage | None = None
        with found.file(file):
            for number, line in enumerate(found.files.lines(file, small=False), 1):
                with found.entry(f"{file}, line {number}"):
                    fields = line.split(maxsplit=_WIDERFACE_COLUMNS)
                    if is_image(line):
                        location = found.files.first(f"WIDER_{match['subset']}/images/{line}")
                        name = line.removeprefix("no_label/")
                        image = found.image(name, match["subset"], location)
                    elif len(fields) > 1 and image is not None:
                        left, top, width, height = map(float, fields[:4])
                        if not width and not height:
                            continue  # the format's own way to say that there is no face
                        label = fields[_WIDERFACE_COLUMNS] if len(fields) > _WIDERFACE_COLUMNS else "face"
                        found.box(image, label, (left, top, left + width, top + height))
                    elif not line.isdecimal():
                        raise LabelProblem("neither an image nor a box")


_MOT = re.compile(r"(?:(?P<sequence>.+)/)?gt/gt\.txt")


def read_mot(found: Annotations) -> None:
    """Read `gt/gt.txt`, a line for each box; the images are `img1/<frame>.jpg`."""
    for file, match in found.files.matches(_MOT):
        folder = f"{match['sequence']}/" if match["sequence"] else ""
        side = match["sequence"] or "default"
        labels: dict[object, str] = {}
        if (names := f"{folder}gt/labels.txt") in found.files:
            with found.file(names):
                labels |= enumerate(found.files.lines(names), 1)
                found.add_classes(labels.values())
        frames: dict[int, LabelledImage] = {}
        for name in found.files.names:
            if name.startswith(f"{folder}img1/") and is_image(name):
                image = found.image(name.removeprefix(f"{folder}img1/"), side, name)
                if (stem := PurePosixPath(name).stem).isdecimal():
                    frames[int(stem)] = image
        with found.file(file):
            for number, row in enumerate(csv.reader(found.files.lines(file, small=False)), 1):
                with found.entry(f"{file}, line {number}"):
                    frame, left, top, width, height = int(row[0]), *map(float, row[2:6])
                    label = class_of(labels, int(row[7]))
                    if (known := frames.get(frame)) is None:
                        known = frames[frame] = found.image(f"{frame:06}", side, None)
                    found.box(known, label, (left, top, left + width, top + height))


_OPEN_IMAGES = re.compile(r"annotations/(?P<subset>.+)-(?P<kind>annotations-bbox|images-with-rotation)\.csv")


def read_open_images(found: Annotations) -> None:
    """Read `annotations/<subset>-annotations-bbox.csv`; the images are in `images/<subset>/`."""
    files = found.files
    names: dict[str, str] = {}
    if "annotations/class-descriptions.csv" in files:
        with found.file("annotations/class-descriptions.csv"):
            names = {row[0]: row[-1] for row in csv.reader(files.lines("annotations/class-descriptions.csv")) if row}
            found.add_classes(names.values())
    for file, match in sorted(files.matches(_OPEN_IMAGES), key=lambda pair: pair[1]["kind"], reverse=True):
        side = match["subset"]
        with found.file(file):
            for number, row in enumerate(csv.DictReader(files.lines(file, small=False)), 2):
                with found.entry(f"{file}, line {number}"):
                    name = read_text(row["ImageID"], "ImageID")
                    location = files.picture(f"images/{side}/{name}", f"images/{name}")
                    image = found.image(name + suffix_of(location), side, location)
                    if match["kind"] == "annotations-bbox":
                        edges = (float(row[key]) for key in ("XMin", "YMin", "XMax", "YMax"))
                        found.share(image, names.get(row["LabelName"], row["LabelName"]), edges)


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
