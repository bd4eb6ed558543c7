"""YOLO, KITTI, WiderFace, MOT and Open Images."""

import csv
import json
import re
from pathlib import PurePosixPath

from toolkit.report.annotations import MOST_CLASSES, Annotations, numbered, read_text
from toolkit.report.members import LabelProblem, is_image
from toolkit.report.model import DatasetImage

_SIDE_WORDS = frozenset(("train", "training", "val", "valid", "validation", "test", "testing", "default"))
_YAML_ENTRY = re.compile(r"(?:-|(?P<number>\d+)\s*:)\s+(?P<name>.*)")
_DECODER = json.JSONDecoder()


def read_yolo(found: Annotations) -> None:
    """Read a text file for each image, in any folder; class numbers count the lines of `obj.names` or `data.yaml`.

    The text file lies beside its image, or in a folder `labels` where the image's is called `images`.
    """
    members = found.members
    labels = _yolo_classes(found)
    pictures = [name for name in members.names if is_image(name)]
    subsets = {PurePosixPath(name).stem for name in members.names if "/" not in name and name.endswith(".txt")}
    by_stem = {_label_stem(name): name for name in pictures}
    files = {_label_stem(name): name for name in members.names if _is_yolo_labels(name)}
    for stem in sorted(by_stem.keys() | files.keys()):
        location = by_stem.get(stem)
        side, name = _yolo_name(location or files[stem], subsets)
        image = found.add_image(name, side, location, None)
        if (file := files.get(stem)) is not None:
            with found.file(file):
                for number, line in enumerate(members.lines(file), 1):
                    with found.entry(f"{file}, line {number}"):
                        _yolo_line(found, image, labels, line)


def _yolo_classes(found: Annotations) -> list[str]:
    members = found.members
    labels: list[str] = []
    for file in ("obj.names", "classes.txt"):
        if file in members:
            with found.file(file):
                labels = members.lines(file)
            break
    else:
        for file in ("data.yaml", "data.yml", "dataset.yaml"):
            if file in members:
                with found.file(file):
                    labels = _yaml_names(members.text(file, small=True))
                break
    with found.file("the list of classes"):
        found.add_classes(labels)
    return labels


def _yaml_names(text: str) -> list[str]:
    """Read the names of `data.yaml`, as a list or by number; no other YAML is needed here."""
    names: dict[int, str] = {}
    lines = iter(text.splitlines())
    for line in lines:
        key, colon, value = line.partition(":")
        if key != "names" or not colon:
            continue
        if (value := value.strip()).startswith("["):
            return [_unquoted(part) for part in value.strip("[]").split(",") if part.strip()]
        for inner in lines:
            if inner.strip() and not inner.lstrip().startswith("#"):
                entry = _YAML_ENTRY.fullmatch(inner.strip())
                if entry is None:
                    break
                names[int(entry["number"] or len(names))] = _unquoted(entry["name"])
    if names and max(names) > len(names) + MOST_CLASSES:
        raise LabelProblem(f"it names a class with the number {max(names)}")
    return [names.get(number, f"class {number}") for number in range(max(names, default=-1) + 1)]


def _unquoted(value: str) -> str:
    value = value.strip()
    if value.startswith('"'):
        return str(_DECODER.raw_decode(value)[0])
    if value.startswith("'"):
        return value.strip("'").replace("''", "'")
    return value.partition(" #")[0].rstrip()


def _label_stem(name: str) -> str:
    """Bring image and label file together: the same path without extension, but for `images` and `labels`."""
    path = PurePosixPath(name).with_suffix("")
    return "/".join("*" if part in ("images", "labels") else part for part in path.parts)


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


def _yolo_line(found: Annotations, image: DatasetImage, labels: list[str], line: str) -> None:
    if line.startswith("#"):
        return
    number, *values = line.split()
    label = numbered(labels, number)
    if len(values) >= 6 and len(values) % 2 == 0:
        found.other_shapes += 1
        raise LabelProblem(f"a polygon of {label} with {len(values) // 2} points, no box")
    if len(values) not in (4, 5):  # the fifth is the confidence of a model
        raise LabelProblem(f"{len(values) + 1} numbers, where a box has 5")
    x, y, width, height = map(float, values[:4])
    found.add_part(image, label, x - width / 2, y - height / 2, x + width / 2, y + height / 2)


KITTI_FILE = re.compile(r"(?:(?P<subset>[^/]+)/)?(?:label_2/(?P<name>.+)\.txt|image_2/(?P<image>.+))")


def read_kitti(found: Annotations) -> None:
    """Read `<subset>/label_2/<name>.txt`; the images are in `<subset>/image_2/`."""
    if "label_colors.txt" in found.members:
        with found.file("label_colors.txt"):
            names = (line.split(maxsplit=3)[-1] for line in found.members.lines("label_colors.txt"))
            found.add_classes(name for name in names if name != "background")
    for file, match in found.members.matches(KITTI_FILE):
        side = match["subset"] or "default"
        folder = f"{match['subset']}/" if match["subset"] else ""
        if match["image"] is not None:
            if is_image(file):
                found.add_image(match["image"], side, file, None)
            continue
        location = found.members.picture(f"{folder}image_2/{match['name']}")
        image = found.add_image(match["name"] + PurePosixPath(location or "").suffix, side, location, None)
        with found.file(file):
            for number, line in enumerate(found.members.lines(file), 1):
                with found.entry(f"{file}, line {number}"):
                    fields = line.split()
                    columns = 15 if len(fields) >= 16 else 14  # a score may come last
                    if len(fields) <= columns:
                        raise LabelProblem(f"{len(fields)} columns, where an object has 15")
                    left, top, right, bottom = map(float, fields[-columns + 3 : -columns + 7])
                    found.add_box(image, " ".join(fields[:-columns]), left, top, right, bottom)


WIDERFACE_FILE = re.compile(r"wider_face_split/wider_face_(?P<subset>.+)_bbx_gt\.txt")
_WIDERFACE_COLUMNS = 10
"""Columns of a box before the name of its class, which CVAT adds."""


def read_widerface(found: Annotations) -> None:
    """Read `wider_face_split/wider_face_<subset>_bbx_gt.txt`; the images are in `WIDER_<subset>/images/`."""
    if "labels.txt" in found.members:
        with found.file("labels.txt"):
            found.add_classes(found.members.lines("labels.txt"))
    for file, match in found.members.matches(WIDERFACE_FILE):
        image: DatasetImage | None = None
        with found.file(file):
            for number, line in enumerate(found.members.lines(file, small=False), 1):
                with found.entry(f"{file}, line {number}"):
                    fields = line.split(maxsplit=_WIDERFACE_COLUMNS)
                    if is_image(line):
                        location = found.members.first(f"WIDER_{match['subset']}/images/{line}")
                        name = line.removeprefix("no_label/")
                        image = found.add_image(name, match["subset"], location, None)
                    elif len(fields) > 1 and image is not None:
                        left, top, width, height = map(float, fields[:4])
                        if not width and not height:
                            continue  # the format's own way to say that there is no face
                        label = fields[_WIDERFACE_COLUMNS] if len(fields) > _WIDERFACE_COLUMNS else "face"
                        found.add_box(image, label, left, top, left + width, top + height)
                    elif not line.isdecimal():
                        raise LabelProblem("neither an image nor a box")


MOT_FILE = re.compile(r"(?:(?P<sequence>.+)/)?gt/gt\.txt")


def read_mot(found: Annotations) -> None:
    """Read `gt/gt.txt`, a line for each box; the images are `img1/<frame>.jpg`."""
    for file, match in found.members.matches(MOT_FILE):
        folder = f"{match['sequence']}/" if match["sequence"] else ""
        side = match["sequence"] or "default"
        labels: list[str] = []
        if f"{folder}gt/labels.txt" in found.members:
            with found.file(f"{folder}gt/labels.txt"):
                labels = found.members.lines(f"{folder}gt/labels.txt")
                found.add_classes(labels)
        frames: dict[int, DatasetImage] = {}
        for name in found.members.names:
            if name.startswith(f"{folder}img1/") and is_image(name):
                image = found.add_image(name.removeprefix(f"{folder}img1/"), side, name, None)
                if (stem := PurePosixPath(name).stem).isdecimal():
                    frames[int(stem)] = image
        with found.file(file):
            for number, row in enumerate(csv.reader(found.members.lines(file, small=False)), 1):
                with found.entry(f"{file}, line {number}"):
                    frame, left, top, width, height = int(row[0]), *map(float, row[2:6])
                    label = numbered(labels, int(row[7]) - 1)
                    if (known := frames.get(frame)) is None:
                        known = frames[frame] = found.add_image(f"{frame:06}", side, None, None)
                    found.add_box(known, label, left, top, left + width, top + height)


OPEN_IMAGES_FILE = re.compile(r"annotations/(?P<subset>.+)-(?P<kind>annotations-bbox|images-with-rotation)\.csv")


def read_open_images(found: Annotations) -> None:
    """Read `annotations/<subset>-annotations-bbox.csv`; the images are in `images/<subset>/`."""
    members = found.members
    names: dict[str, str] = {}
    if "annotations/class-descriptions.csv" in members:
        with found.file("annotations/class-descriptions.csv"):
            names = {row[0]: row[-1] for row in csv.reader(members.lines("annotations/class-descriptions.csv")) if row}
            found.add_classes(names.values())
    for file, match in sorted(members.matches(OPEN_IMAGES_FILE), key=lambda pair: pair[1]["kind"], reverse=True):
        side = match["subset"]
        with found.file(file):
            for number, row in enumerate(csv.DictReader(members.lines(file, small=False)), 2):
                with found.entry(f"{file}, line {number}"):
                    name = read_text(row["ImageID"], "ImageID")
                    location = members.picture(f"images/{side}/{name}", f"images/{name}")
                    image = found.add_image(name + PurePosixPath(location or "").suffix, side, location, None)
                    if match["kind"] == "annotations-bbox":
                        sides = (float(row[key]) for key in ("XMin", "YMin", "XMax", "YMax"))
                        found.add_part(image, names.get(row["LabelName"], row["LabelName"]), *sides)
