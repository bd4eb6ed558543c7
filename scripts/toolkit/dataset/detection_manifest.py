"""What is written beside the images of a detection dataset: manifest.json, names, labels, data.yaml, COCO annotations.

The rules of :mod:`toolkit.dataset.manifest` hold here as well.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from json.encoder import encode_basestring
from typing import Any, NamedTuple

from toolkit.core.errors import ToolkitError
from toolkit.core.formats import TaskType
from toolkit.core.safe_names import fold
from toolkit.core.storage import Place
from toolkit.dataset.detection_read import Frame
from toolkit.dataset.layout import ALL_SIDES, DETECTION_PARTS, DETECTION_SIDES, IMAGES, entries_of, flat_candidates
from toolkit.dataset.manifest import (
    FORMAT,
    VERSION,
    VERSION_OF_SEVERAL,
    DuplicateRecord,
    FileRecord,
    LeftOutRecord,
    Source,
    content_entries,
    file_line,
    source_entry,
    version_of,
)


class DetectionImage(NamedTuple):
    """An image of the dataset.

    Attributes:
        path: Below the dataset's folder, such as ``images/train/garden__1.jpg``, or shard and name in it.
        side: ``train``, ``val`` or ``test``; in shards ``training``, ``validation`` or ``test``.
        frame: Its path in CVAT, such as ``garden/1.jpg``.
        subset: Its subset in CVAT.
        width: Pixels, as the boxes count them.
        height: Pixels.
        boxes: Number of boxes by class.
        size: Bytes.
        sha256: In hexadecimal digits.
        source: The folder of its export, if there are several.
        offset: Where in its shard its bytes begin; 0 for a file of its own.
    """

    path: str
    side: str
    frame: str
    subset: str
    width: int
    height: int
    boxes: Mapping[str, int]
    size: int
    sha256: str
    source: str = ""
    offset: int = 0


class DetectionManifest(NamedTuple):
    """A detection dataset.

    Attributes:
        tool: Version of this toolkit.
        options: Every option that had a say, by name.
        labels: Ids by class.
        warnings: What was warned of, one line each.
        findings: Labels and images that are otherwise than in the export or left out, counted by kind.
        duplicates: All images of equal bytes, on one side or several.
        left_out: Images of the export that are on no side, by their path in it.
        files: All that was written from the labels; or the shards and their index.
        images: All images in listing order.
        parts: Names of all that was made in the dataset's folder.
    """

    tool: str
    sources: Sequence[Source]
    format_name: str
    options: Mapping[str, Any]
    labels: Mapping[str, int]
    warnings: Sequence[str]
    findings: Mapping[str, int]
    duplicates: Sequence[DuplicateRecord]
    left_out: Sequence[LeftOutRecord]
    files: Sequence[FileRecord]
    images: Sequence[DetectionImage]
    parts: Sequence[str] = DETECTION_PARTS

    def all_files(self) -> Iterator[FileRecord]:
        """Name every file of the dataset but those of labels and the manifest itself."""
        for image in self.images:
            if not image.offset:
                yield FileRecord(image.path, image.size, image.sha256)
        yield from self.files

    @property
    def sides(self) -> list[str]:
        """The sides that have an image."""
        found = {image.side for image in self.images}
        return [side for side in dict.fromkeys((*DETECTION_SIDES.values(), *ALL_SIDES)) if side in found]


def lines(manifest: DetectionManifest) -> Iterator[str]:
    """Write a manifest as JSON, in pieces."""
    yield f'{{\n"format": {json.dumps(FORMAT)},\n"version": {version_of(manifest.sources)},\n'
    for key, value in (
        ("parts", manifest.parts),
        ("task", TaskType.DETECTION),
        ("tool", {"name": "cvat-toolkit", "version": manifest.tool}),
        source_entry(manifest.sources),
        ("export_format", manifest.format_name),
        ("options", manifest.options),
        ("labels", manifest.labels),
        ("warnings", manifest.warnings),
        ("findings", manifest.findings),
    ):
        yield f'"{key}": {_json(value)},\n'
    lists: tuple[tuple[str, Iterable[str]], ...] = (
        ("duplicates", (_json(record._asdict()) for record in manifest.duplicates)),
        ("left_out", (_json(record._asdict()) for record in manifest.left_out)),
        ("files", map(file_line, manifest.files)),
        ("images", map(_image_line, manifest.images)),
    )
    for key, entries in lists:
        yield f'"{key}": ['
        yield ",".join(f"\n{entry}" for entry in entries)
        yield "\n]\n}\n" if key == "images" else "\n],\n"


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _image_line(record: DetectionImage) -> str:
    path, side, frame, subset, width, height, boxes, size, sha256, source, offset = record
    numbers = ", ".join(f"{encode_basestring(name)}: {count}" for name, count in boxes.items())
    return (
        f'{{"path": {encode_basestring(path)}, "side": "{side}", "frame": {encode_basestring(frame)}, '
        f'"subset": {encode_basestring(subset)}, "width": {width}, "height": {height}, "boxes": {{{numbers}}}, '
        f"{content_entries(size, sha256, source, offset)}}}"
    )


def is_detection(path: Place) -> bool:
    """Tell by its first lines whether a file is the manifest of a detection dataset."""
    try:
        with path.open("rb") as stream:
            head = stream.read(1000).decode(errors="replace").split("\n")
    except OSError:
        return False
    return head[:2] == ["{", f'"format": {json.dumps(FORMAT)},'] and '"task": "detection",' in head


def read(path: Place) -> DetectionManifest:
    """Read the manifest of a detection dataset.

    Raises ToolkitError where it is damaged, or of a version that this toolkit does not know.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["version"] not in (VERSION, VERSION_OF_SEVERAL):
            raise ToolkitError(f"{path} is a manifest of version {values['version']}: update this toolkit to read it")
        manifest = DetectionManifest(
            tool=values["tool"]["version"],
            sources=[Source(**entry) for entry in values.get("sources") or [values["source"]]],
            format_name=values["export_format"],
            options=values["options"],
            labels=values["labels"],
            warnings=values["warnings"],
            findings=values["findings"],
            duplicates=[DuplicateRecord(**record) for record in values["duplicates"]],
            left_out=[LeftOutRecord(**record) for record in values["left_out"]],
            files=[FileRecord(**record) for record in values["files"]],
            images=[DetectionImage(**record) for record in values["images"]],
            parts=values["parts"],
        )
        _check(manifest)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ToolkitError(f"{path} is damaged ({error!r}): convert the export again") from None
    return manifest


def _check(manifest: DetectionManifest) -> None:
    known = {*entries_of(manifest.parts)}
    for record in manifest.all_files():
        inside = record.path.split("/")
        if inside[0] not in known or ".." in inside or type(record.size) is not int:
            raise ValueError(f"{record.path} is no file of a detection dataset")


def counts(manifest: DetectionManifest) -> dict[str, dict[str, int]]:
    """Count the boxes of each class on each side, in the order of the labels."""
    found: Counter[tuple[str, str]] = Counter()
    for image in manifest.images:
        for name, count in image.boxes.items():
            found[name, image.side] += count
    return {name: {side: found[name, side] for side in manifest.sides} for name in manifest.labels}


def images_of_sides(manifest: DetectionManifest) -> dict[str, int]:
    """Count the images of each side."""
    found = Counter(image.side for image in manifest.images)
    return {side: found[side] for side in manifest.sides}


def background_of(manifest: DetectionManifest) -> int:
    """Count the images without a box."""
    return sum(not image.boxes for image in manifest.images)


_LABEL_EXTENSION = ".txt"


def flat_names(frames: Sequence[Frame]) -> list[str]:
    """Give the images names without folders, such as ``garden__north__1.jpg`` for ``garden/north/1.jpg``.

    No two have the same stem, also where case or Unicode form does not count, so that each has a file of labels of its
    own; what would collide, or be too long, gets a hash of its path at the end of the stem. What lies in no folder
    keeps its name before others.
    """
    names = [""] * len(frames)
    taken: set[str] = set()
    order = sorted(range(len(frames)), key=lambda index: ("/" in frames[index].name, frames[index][:2]))
    counts = Counter(frame.name for frame in frames)
    for index in order:
        frame = frames[index]
        # Formats call a subset differently that has no name; so it tells apart only what the name does not.
        identity = frame.name if counts[frame.name] == 1 else f"{frame.subset}\n{frame.name}"
        candidates = flat_candidates(frame.name, identity, _LABEL_EXTENSION)
        name = next(name for name in candidates if fold(_stem(name)) not in taken)
        taken.add(fold(_stem(name)))
        names[index] = name
    return names


def _stem(name: str) -> str:
    return name.rpartition(".")[0]


def label_lines(frame: Frame, numbers: Mapping[str, int]) -> bytes:
    """Write the boxes of an image as YOLO does: class number, centre and size in shares of the picture."""
    width, height = frame.size
    lines = (
        f"{numbers[label]} {(left + right) / 2 / width:.6f} {(top + bottom) / 2 / height:.6f} "
        f"{(right - left) / width:.6f} {(bottom - top) / height:.6f}\n"
        for label, left, top, right, bottom in frame.boxes
    )
    return "".join(lines).encode()


def data_yaml(names: Mapping[int, str], sides: Iterable[str]) -> bytes:
    """Write what ultralytics and others read; without ``path:``, so that folders count from the file itself."""
    lines = [f"{side}: {IMAGES}/{side}\n" for side in DETECTION_SIDES.values() if side in sides]
    lines += ["names:\n", *(f"  {number}: {_yaml_text(name)}\n" for number, name in names.items())]
    return "".join(lines).encode()


def _yaml_text(text: str) -> str:
    """Quote text as JSON does, which YAML reads but for surrogates; what is not printable is escaped as YAML has it."""
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(it if it.isprintable() else f"\\U{ord(it):08x}" for it in quoted)


def sample_facts(frame: Frame, numbers: Mapping[str, int]) -> dict[str, object]:
    """Tell of an image what a shard has beside it: path, size and boxes.

    ``bbox`` is left, top, width and height in pixels as in COCO, ``bbox_normalized`` the centre, width and height in
    shares of the picture as in YOLO.
    """
    width, height = frame.size
    boxes = [
        {
            "class": label,
            "class_id": numbers[label],
            "bbox": [round(value, 2) for value in (left, top, right - left, bottom - top)],
            "bbox_normalized": [
                *(round((left + right) / 2 / width, 6), round((top + bottom) / 2 / height, 6)),
                *(round((right - left) / width, 6), round((bottom - top) / height, 6)),
            ],
        }
        for label, left, top, right, bottom in frame.boxes
    ]
    return {"path": frame.name, "width": width, "height": height, "boxes": boxes}


def coco(frames: Sequence[tuple[int, str, Frame]], names: Mapping[int, str], numbers: Mapping[str, int]) -> bytes:
    """Write the annotations of one side, given by id, name and content of each image, as JSON in COCO's form.

    Boxes are left, top, width and height in pixels, to two digits as CVAT writes them. ``names`` has all classes by
    number, ``numbers`` the same the other way round, without the unused ones.
    """
    annotations: list[dict[str, object]] = []
    for image_id, _, frame in frames:
        for label, left, top, right, bottom in frame.boxes:
            width, height = round(right - left, 2), round(bottom - top, 2)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": numbers[label],
                    "bbox": [round(left, 2), round(top, 2), width, height],
                    "area": round(width * height, 2),
                    "iscrowd": 0,
                    "segmentation": [],
                }
            )
    content = {
        "images": [
            {"id": image_id, "file_name": name, "width": frame.size[0], "height": frame.size[1]}
            for image_id, name, frame in frames
        ],
        "categories": [{"id": number, "name": name, "supercategory": ""} for number, name in names.items()],
        "annotations": annotations,
    }
    return json.dumps(content, ensure_ascii=False).encode()
