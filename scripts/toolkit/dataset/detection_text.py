"""Labels in lines of text: YOLO, KITTI, WiderFace, MOT and Open Images."""

import csv
import re
from pathlib import PurePosixPath

from toolkit.dataset.detection_labels import (
    Annotations,
    Finding,
    LabelledImage,
    class_of,
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
