"""Boxes of the detection exports, read by globox; this module only knows where CVAT puts which file."""

import json
import re
import xml.etree.ElementTree as ElementTree
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from toolkit.report.model import Box, DatasetImage

if TYPE_CHECKING:
    from globox import Annotation

COCO_FILE = re.compile(r"annotations/instances_(?P<subset>.+)\.json")
VOC_LIST = re.compile(r"ImageSets/Main/(?P<subset>[^/]+)\.txt")
_YOLO_FILE = re.compile(r"obj_(?P<subset>[^/]+)_data/(?P<name>.+)")
_IMAGE_EXTENSIONS = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp"))
_LARGEST_LABEL_FILE = 1 << 30
"""Bytes; a larger one is more likely an attack than the labels of a dataset."""
_OTHER_SHAPES = ("polygon", "polyline", "points", "ellipse", "cuboid", "mask", "skeleton", "tag")


class UnreadableLabels(ValueError):
    """A file of labels is not what its format says; the message names the file."""


class Labels(NamedTuple):
    """What the files of labels say.

    Attributes:
        classes: Names in the order of their ids, those without a box included.
        images: The images, in no particular order.
        other_shapes: How many labels are no boxes, where the format tells them apart.
        provenance: What the format tells of its origin, as pairs of a term and its value.
    """

    classes: list[str]
    images: list[DatasetImage]
    other_shapes: int = 0
    provenance: list[tuple[str, str]] = []  # noqa: RUF012 - never changed


@dataclass
class LabelFiles:
    """The members of an export.

    Attributes:
        archive: The zip.
        folder: An empty folder for what globox wants as a file.
    """

    archive: zipfile.ZipFile
    folder: Path
    names: list[str] = field(init=False)
    _lengths: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        self._lengths = {entry.filename: entry.file_size for entry in self.archive.infolist() if not entry.is_dir()}
        self.names = list(self._lengths)

    def text(self, name: str) -> str:
        """Read a member as text.

        Raises:
            UnreadableLabels: It is damaged, too large, or no UTF-8.
        """
        if self._lengths[name] > _LARGEST_LABEL_FILE:
            raise UnreadableLabels(f"{name} is too large for a file of labels ({self._lengths[name]} bytes)")
        with _readable(name):
            return self.archive.read(name).decode("utf-8-sig")

    def as_file(self, name: str, text: str) -> Path:
        """Write text where globox can read it; it opens files in the encoding of the locale, so it must be ASCII."""
        path = self.folder / name
        path.write_text(text, "ascii")
        return path

    def image(self, name: str, side: str, candidates: Iterable[str], annotation: "Annotation | None") -> DatasetImage:
        """Make the image with these boxes; its bytes are the first of the candidates that is in the zip."""
        location = next((candidate for candidate in candidates if candidate in self._lengths), None)
        boxes = () if annotation is None else tuple(Box(str(box.label), *box.ltrb) for box in annotation.boxes)
        size = annotation.image_size if annotation else None
        return DatasetImage(name, side, None, location, self._lengths.get(location or "", 0), boxes, size)


@contextmanager
def _readable(name: str) -> Iterator[None]:
    """Turn what globox and the parsers below it raise on bad input into one error."""
    from globox import ParsingError

    try:
        yield
    except (
        ParsingError,
        AssertionError,  # globox asserts what it expects of a box and of an image
        ElementTree.ParseError,
        zipfile.BadZipFile,
        KeyError,
        IndexError,
        TypeError,
        ValueError,
        AttributeError,
        OverflowError,
        RecursionError,
        EOFError,
    ) as error:
        raise UnreadableLabels(f"{name} cannot be read ({type(error).__name__}: {error})") from error


def is_image(name: str) -> bool:
    """Tell by its extension whether a member is an image."""
    return PurePosixPath(name).suffix.lower() in _IMAGE_EXTENSIONS


def is_video(files: LabelFiles) -> bool:
    """Tell "CVAT for video" from "CVAT for images": the same file name, but tracks instead of images."""
    if "annotations.xml" not in files.names:
        return False
    with _readable("annotations.xml"), files.archive.open("annotations.xml") as stream:
        for _, element in ElementTree.iterparse(stream, ("start",)):
            if element.tag in ("image", "track"):
                return bool(element.tag == "track")
    return False


def read_coco(files: LabelFiles) -> Labels:
    """Read `annotations/instances_<subset>.json`; the images are in `images/<subset>/`."""
    from globox import AnnotationSet

    classes: dict[str, None] = {}
    images = []
    for name, match in _matches(COCO_FILE, files.names):
        text = files.text(name)
        with _readable(name):
            content = json.loads(text)
            classes.update(dict.fromkeys(str(category["name"]) for category in content["categories"]))
            ascii_text = json.dumps(content)
            del content, text
            annotations = AnnotationSet.from_coco(files.as_file("labels.json", ascii_text))
            del ascii_text
        images += [_in_images_folder(files, match["subset"], annotation) for annotation in annotations]
    return Labels(list(classes), images)


def read_cvat(files: LabelFiles) -> Labels:
    """Read `annotations.xml` element by element; the images are in `images/<subset>/` or `images/`."""
    from globox import Annotation

    name = "annotations.xml"
    classes: dict[str, None] = {}
    images = []
    other_shapes = 0
    provenance: dict[str, str] = {}
    with _readable(name), files.archive.open(name) as stream:
        parents: list[ElementTree.Element] = []
        for event, element in ElementTree.iterparse(stream, ("start", "end")):
            if event == "start":
                parents.append(element)
                continue
            parents.pop()
            path = "/".join(parent.tag for parent in parents)
            if element.tag == "image":
                annotation = Annotation.from_cvat(element)
                images.append(_in_images_folder(files, element.get("subset") or "", annotation))
                other_shapes += sum(1 for shape in element if shape.tag in _OTHER_SHAPES)
                parents[-1].clear()  # so that memory does not grow with the file
            elif element.tag == "name" and path.endswith("labels/label"):
                classes[element.text or ""] = None
            elif (term := _CVAT_TERMS.get(f"{path}/{element.tag}".partition("meta/")[2])) and element.text:
                provenance.setdefault(term, element.text.strip())
    return Labels(list(classes), images, other_shapes, list(provenance.items()))


_CVAT_TERMS = {
    "project/name": "Project",
    "project/id": "Project id",
    "task/name": "Task",
    "task/id": "Task id",
    "dumped": "Exported at",
}


def _in_images_folder(files: LabelFiles, subset: str, annotation: "Annotation") -> DatasetImage:
    name, side = annotation.image_id, subset or "default"
    return files.image(name, side, (f"images/{side}/{name}", f"images/{name}"), annotation)


def read_voc(files: LabelFiles) -> Labels:
    """Read `Annotations/<name>.xml` of the images that `ImageSets/Main/<subset>.txt` lists."""
    classes = _voc_classes(files)
    members = set(files.names)
    locations = {
        _stem(name).removeprefix("JPEGImages/"): name for name in files.names if name.startswith("JPEGImages/")
    }
    images = []
    lists = dict(_matches(VOC_LIST, files.names))
    of_one_class = {f"{label}_{match['subset']}" for match in lists.values() for label in classes}
    for list_name, match in lists.items():
        if match["subset"] in of_one_class:
            continue
        for line in files.text(list_name).splitlines():
            if not (stem := line.strip().strip('"')):
                continue
            label_file = f"Annotations/{stem}.xml"
            annotation = None
            if label_file in members:
                text = files.text(label_file)
                with _readable(label_file):
                    annotation = _voc_annotation(stem, ElementTree.fromstring(text))
            location = locations.get(stem, "")
            name = location.removeprefix("JPEGImages/") or (annotation.image_id if annotation else stem)
            images.append(files.image(name, match["subset"], (location,), annotation))
    return Labels(classes, images)


def _voc_annotation(stem: str, root: ElementTree.Element) -> "Annotation":
    from globox import Annotation, BoundingBox

    size = int(root.findtext("size/width", "")), int(root.findtext("size/height", ""))
    name = root.findtext("filename") or stem
    return Annotation(name, size, [BoundingBox.from_xml(node) for node in root.iter("object")])


def _voc_classes(files: LabelFiles) -> list[str]:
    if "labelmap.txt" not in files.names:
        return []
    lines = (line.strip() for line in files.text("labelmap.txt").splitlines())
    names = [line.rsplit(":", 3)[0] for line in lines if line and not line.startswith("#")]
    return [name for name in names if name != "background"]  # CVAT adds it; nothing can be labelled so


def read_yolo(files: LabelFiles) -> Labels:
    """Read `obj_<subset>_data/<name>.txt` beside the images; class numbers count the lines of `obj.names`."""
    from globox import Annotation, BoundingBox

    classes = [line.strip() for line in files.text("obj.names").splitlines() if line.strip()]
    numbers = {str(number): name for number, name in enumerate(classes)}
    label_files: dict[str, str] = {}
    locations: dict[str, str] = {}
    for name in files.names:
        if _YOLO_FILE.fullmatch(name):
            (locations if is_image(name) else label_files)[_stem(name)] = name
    images = []
    for stem in sorted(label_files.keys() | locations.keys()):
        match = _YOLO_FILE.fullmatch(locations.get(stem, label_files.get(stem, "")))
        if match is None:
            continue
        image = files.image(match["name"], match["subset"], (locations.get(stem, ""),), None)
        if stem in label_files and (text := files.text(label_files[stem]).strip()):
            image.size = _size_of(files, image)
            with _readable(label_files[stem]):
                size = image.size or (1, 1)
                boxes = [BoundingBox.from_yolo_darknet(line, image_size=size) for line in text.splitlines()]
                annotation = Annotation(image.name, size, boxes).map_labels(numbers)
            image = files.image(image.name, image.side, (image.location or "",), annotation)
            image.size = annotation.image_size if image.location else None
        images.append(image)
    return Labels(classes, images)


def _size_of(files: LabelFiles, image: DatasetImage) -> tuple[int, int] | None:
    from toolkit.core.images import NoImage, read_size

    if image.location is None:
        return None
    try:
        with files.archive.open(image.location) as stream:
            return read_size(stream, upright=True)
    except (NoImage, zipfile.BadZipFile):
        return None


def _stem(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))


def _matches(pattern: re.Pattern[str], names: list[str]) -> Iterator[tuple[str, re.Match[str]]]:
    for name in sorted(names):
        if match := pattern.fullmatch(name):
            yield name, match
