"""manifest.json of a detection dataset; the rules of :mod:`toolkit.dataset.manifest` hold here as well."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from toolkit.core.errors import ToolkitError
from toolkit.core.formats import TaskType
from toolkit.core.storage import Place
from toolkit.dataset.layout import ALL_SIDES, DETECTION_PARTS, DETECTION_SIDES, entries_of
from toolkit.dataset.manifest import (
    FORMAT,
    VERSION,
    VERSION_OF_SEVERAL,
    DuplicateRecord,
    FileRecord,
    LeftOutRecord,
    Source,
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

    def entry(self) -> dict[str, Any]:
        """Give what the manifest has of it."""
        return {key: value for key, value in self._asdict().items() if value != self._field_defaults.get(key)}


class DetectionManifest(NamedTuple):
    """A detection dataset.

    Attributes:
        tool: Version of this toolkit.
        sources: The exports.
        format_name: The export's format.
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
    lists: tuple[tuple[str, Iterable[dict[str, Any]]], ...] = (
        ("duplicates", (record._asdict() for record in manifest.duplicates)),
        ("left_out", (record._asdict() for record in manifest.left_out)),
        ("files", (record._asdict() for record in manifest.files)),
        ("images", (record.entry() for record in manifest.images)),
    )
    for key, entries in lists:
        yield f'"{key}": ['
        yield ",".join(f"\n{_json(entry)}" for entry in entries)
        yield "\n]\n}\n" if key == "images" else "\n],\n"


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


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

    Args:
        path: The file.

    Returns:
        Its content.

    Raises:
        ToolkitError: It is damaged, or of a version that this toolkit does not know.
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
