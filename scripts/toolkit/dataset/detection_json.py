"""COCO and Datumaro."""

import io
import json
import re
from collections.abc import Iterator, Sequence
from typing import IO, Any

from toolkit.dataset.detection_labels import (
    Annotations,
    BadBox,
    Finding,
    LabelledImage,
    class_of,
    is_upright_box,
    read_size,
)
from toolkit.dataset.export_files import LabelProblem, read_text, suffix_of

_BLANKS = " \t\n\r"
_SPACE = re.compile(f"[{_BLANKS}]*")
_PIECE = 1 << 20
_MANY = 100_000
_SHORTEST = 16
"""Characters of an entry, on average, if they are many: of labels each has more."""
_DECODER = json.JSONDecoder()


class JsonFile:
    """A file of JSON, of which no more is in memory than the value that is read."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = io.TextIOWrapper(stream, "utf-8-sig")
        self._text = ""
        self._position = self._passed = 0

    def _more(self) -> bool:
        """Read on, as much again as is there: a long value is tried a few times only."""
        rest = self._text[self._position :]
        piece = self._stream.read(max(_PIECE, len(rest)))
        self._passed += self._position
        self._text, self._position = rest + piece, 0
        return bool(piece)

    def next(self, wanted: str = "") -> str:
        """Look at the next character behind blanks, which must be one of those that are wanted, if any are."""
        found = self._text[self._position : self._position + 1]
        while found in _BLANKS:  # so is the empty text at the end of what was read
            if match := _SPACE.match(self._text, self._position):
                self._position = match.end()
            if self._position == len(self._text) and not self._more():
                found = ""
                break
            found = self._text[self._position : self._position + 1]
        if wanted and (not found or found not in wanted):
            raise LabelProblem(f"no {' or '.join(wanted)} at character {self._passed + self._position}")
        return found

    def take(self, wanted: str) -> str:
        """Take the next character."""
        found = self.next(wanted)
        self._position += 1
        return found

    def value(self) -> Any:
        """Take the next value, which :meth:`next` has found the beginning of."""
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._position)
            except json.JSONDecodeError as error:
                if not self._more():
                    raise LabelProblem(f"{error.msg} at character {self._passed + error.pos}") from None
                continue
            if self._text[end : end + 1] not in ("", ".", "e", "E") or not self._more():  # else a number may go on
                self._position = min(end, len(self._text))
                return value

    def entries(self) -> Iterator[tuple[str, Any]]:
        """Read an object whose lists are long: each entry of a list comes by itself."""
        self.take("{")
        while self.next('"}') != "}":
            key = self.value()
            self.take(":")
            if self.next() == "[":
                self.take("[")
                start, count = self._passed + self._position, 0
                while self.next() != "]":
                    count += 1
                    if count > _MANY and self._passed + self._position - start < _SHORTEST * count:
                        raise LabelProblem(
                            f"its list {key} has more than {_MANY:,} entries with next to nothing in them"
                        )
                    yield key, self.value()
                    if self.next(",]") == ",":
                        self._position += 1
                self.take("]")
            else:
                yield key, self.value()
            if self.next(",}") == ",":
                self.take(",")


_COCO = re.compile(r"annotations/instances_(?P<subset>.+)\.json")
_ROBOFLOW = re.compile(r"(?:(?P<subset>[^/]+)/)?_annotations\.coco\.json")


def read_coco(found: Annotations) -> None:
    """Read `annotations/instances_<subset>.json`; the images are in `images/<subset>/`.

    Roboflow has `<subset>/_annotations.coco.json` among the images instead, and a category above all others, which is
    no class as long as nothing is labelled so.
    """
    tops: set[str] = set()
    for pattern in (_COCO, _ROBOFLOW):
        for file, match in found.files.matches(pattern):
            with found.file(file):
                of_file = _CocoFile(found, file, match["subset"] or "default")
                of_file.read()
                tops |= of_file.tops if pattern is _ROBOFLOW else set()
    if tops:
        for name in tops - {box.label for image in found.images.values() for box in image.boxes}:
            found.classes.pop(name, None)


class _CocoFile:
    def __init__(self, found: Annotations, file: str, subset: str) -> None:
        self._found = found
        self._file = file
        self._subset = subset
        self._labels: dict[object, str] = {}
        self._images: dict[object, LabelledImage] = {}
        self._above: set[str] = set()

    @property
    def tops(self) -> set[str]:
        """The categories that are above others."""
        return {name for name in self._labels.values() if name in self._above}

    def read(self) -> None:
        names = set()
        waiting = []
        takers = {"categories": self._category, "images": self._image}
        try:
            with self._found.files.open_text(self._file) as stream:
                for key, entry in JsonFile(stream).entries():
                    names.add(key)
                    if key in takers:
                        with self._found.entry(f"{self._file}: entry of {key}"):
                            takers[key](entry)
                    elif key == "annotations" and not self._take(entry):
                        waiting.append(entry)  # it may stand before what it speaks of
        finally:
            for entry in waiting:
                self._take(entry, is_last=True)
        if "images" not in names:
            raise LabelProblem("it has no list of images")

    def _category(self, entry: Any) -> None:
        name = read_text(entry["name"], "name")
        if self._labels.setdefault(entry["id"], name) != name:
            raise LabelProblem(f"the id {entry['id']} of {name} is that of {self._labels[entry['id']]} too")
        if entry.get("supercategory") != entry["name"]:
            self._above.add(str(entry.get("supercategory")))
        self._found.add_classes([entry["name"]])

    def _image(self, entry: Any) -> None:
        if entry["id"] in self._images:
            raise LabelProblem(f"the id {entry['id']} is that of {self._images[entry['id']].name} too")
        name, subset = read_text(entry["file_name"], "file_name"), self._subset
        size = None
        with self._found.entry(f"{self._file}: {name}", is_label=False):
            size = read_size(entry["width"], entry["height"])
        location = self._found.files.first(f"images/{subset}/{name}", f"images/{name}", f"{subset}/{name}", name)
        self._images[entry["id"]] = self._found.image(name, subset, location, size)

    def _take(self, entry: Any, is_last: bool = False) -> bool:
        """Take an annotation; False if its image or the categories did not come yet."""
        where, image = f"{self._file}: entry of annotations", None
        if isinstance(entry, dict) and isinstance(entry.get("image_id"), int | str):
            image = self._images.get(entry["image_id"])
            if not is_last and (image is None or not self._labels):
                return False
            where = f"{self._file}: {image.name}" if image else f"{self._file}: annotation {entry.get('id', '')}"
        with self._found.entry(where, image):
            if image is None:
                raise LabelProblem(f"there is no image with the id {entry['image_id']}")
            _take_coco(self._found, image, self._labels, entry)
        return True


def _take_coco(found: Annotations, image: LabelledImage, labels: dict[object, str], entry: dict[str, Any]) -> None:
    if (label := labels.get(entry["category_id"])) is None:
        raise BadBox(Finding.UNKNOWN, f"there is no category with the id {entry['category_id']}")
    left, top, width, height = map(float, entry["bbox"])
    edges = left, top, left + width, top + height
    outline = entry.get("segmentation")
    attributes = entry.get("attributes") or {}
    if isinstance(outline, dict):
        found.note(Finding.MASK, image)
    elif entry.get("num_keypoints"):
        found.note(Finding.SKELETON, image)
    elif outline and not (len(outline) == 1 and is_upright_box(_pairs(outline[0]), edges)):
        found.note(Finding.POLYGON, image)
    if "track_id" in attributes:
        found.note(Finding.TRACK, image)
    found.box(image, label, edges, float(attributes.get("rotation") or 0))


def _pairs(values: Sequence[Any]) -> list[tuple[float, float]]:
    numbers = list(map(float, values))
    return list(zip(numbers[::2], numbers[1::2], strict=True))


_DATUMARO = re.compile(r"annotations/(?!instances_|person_keypoints_|captions_)(?P<subset>[^/]+)\.json")


def read_datumaro(found: Annotations) -> None:
    """Read `annotations/<subset>.json`; the images are in `images/<subset>/` under a name of their own."""
    for file, match in found.files.matches(_DATUMARO):
        with found.file(file), found.files.open_text(file) as stream:
            labels: dict[object, str] = {}
            names = set()
            for key, entry in JsonFile(stream).entries():
                names.add(key)
                with found.entry(f"{file}: entry of {key}"):
                    if key == "categories":
                        given = entry["label"]["labels"]
                        labels |= enumerate(read_text(label["name"], "name") for label in given)
                        found.add_classes(labels.values())
                    elif key == "items":
                        _datumaro_item(found, file, match["subset"], labels, entry)
            if "items" not in names:
                raise LabelProblem("it has no list of items")


def _datumaro_item(found: Annotations, file: str, subset: str, labels: dict[object, str], item: Any) -> None:
    name = read_text(item["id"], "id")
    picture = item.get("image") or {}
    path = str(picture.get("path") or "")
    size = None
    with found.entry(f"{file}: {name}", is_label=False):
        height, width = picture.get("size") or (None, None)
        size = read_size(width, height) if height is not None else None
    location = found.files.first(f"images/{subset}/{path}", f"images/{path}") or found.files.picture(
        f"images/{subset}/{name}", f"images/{name}"
    )
    image = found.image(name + suffix_of(location or path), subset, location, size)
    for shape in item.get("annotations") or ():
        with found.entry(f"{file}: {name}", image):
            _take_datumaro(found, image, labels, shape)


_WITHOUT_BOX = {
    "polyline": Finding.POLYLINE,
    "points": Finding.POINTS,
    "cuboid": Finding.CUBOID,
    "label": Finding.TAG,
}
_OUTLINES = {"polygon": Finding.POLYGON, "ellipse": Finding.ELLIPSE}


def _take_datumaro(found: Annotations, image: LabelledImage, labels: dict[object, str], shape: dict[str, Any]) -> None:
    kind = shape["type"]
    attributes = shape.get("attributes") or {}
    if "track_id" in attributes:
        found.note(Finding.TRACK, image)
    if kind == "bbox":
        left, top, width, height = map(float, shape["bbox"])
        edges = left, top, left + width, top + height
        found.box(image, class_of(labels, shape["label_id"]), edges, float(attributes.get("rotation") or 0))
    elif kind in _OUTLINES:
        found.outline(image, _OUTLINES[kind], class_of(labels, shape["label_id"]), _pairs(shape["points"]))
    elif kind == "mask":
        found.outline(image, Finding.MASK, class_of(labels, shape["label_id"]), _mask_corners(shape["rle"]))
    else:
        found.note(_WITHOUT_BOX.get(kind, Finding.OTHER), image)


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
