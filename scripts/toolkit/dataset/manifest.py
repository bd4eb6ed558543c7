"""manifest.json: what a dataset consists of and where it comes from.

It holds neither times nor absolute paths, so the same export and options give the same bytes. Each image has a line of
its own, so that two manifests can be compared by any tool that compares lines.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from json.encoder import encode_basestring
from pathlib import Path
from typing import Any, NamedTuple

from toolkit import __version__
from toolkit.core.sequences import Compact, Computed
from toolkit.dataset import labels
from toolkit.dataset.archive import Archive
from toolkit.dataset.assignment import Assignment
from toolkit.dataset.exports import Export, Exports
from toolkit.dataset.layout import (
    ALL_SIDES,
    CLASSES,
    EXPORTED,
    LABELS,
    MANIFEST,
    side_of_shards,
)
from toolkit.dataset.selection import Image, Selection

FORMAT = "cvat-toolkit dataset manifest"
VERSION = 2
VERSION_OF_SEVERAL = 3
"""That of a dataset of several exports: it names them all, and the one that each image came from."""
START = f'{{\n"format": "{FORMAT}",\n'


class Source(NamedTuple):
    """The export that a dataset was made of: file name, bytes, and what its content is known by.

    ``directory_sha256`` is the SHA-256 of all members' names, sizes and CRCs, in hexadecimal digits. ``folder`` is what
    one of several is called in the dataset, as in ``cvat_exported``; the only one has none.
    """

    name: str
    size: int
    directory_sha256: str
    folder: str = ""


class ImageRecord(NamedTuple):
    """An image of the dataset.

    Attributes:
        path: Below the dataset's folder, such as ``training/cat/garden__1.jpg``, or shard and name in it, such as
            ``training-000000.tar/000000012.jpg``.
        side: ``training``, ``validation`` or ``test``.
        class_name: Its class; ``class`` in the file.
        exported: The member of the export, such as ``cat/garden/1.jpg``.
        frame: The frame's own path in CVAT, such as ``garden/1.jpg``.
        size: Bytes.
        sha256: In hexadecimal digits.
        source: The folder of its export, if there are several.
        offset: Where in its shard its bytes begin; 0 for a file of its own.
    """

    path: str
    side: str
    class_name: str
    exported: str
    frame: str
    size: int
    sha256: str
    source: str = ""
    offset: int = 0

    @property
    def exported_path(self) -> str:
        """The same image in the unpacked export."""
        return f"{EXPORTED}/{self.exported}"


class LeftOutRecord(NamedTuple):
    """A file of the export that is on no side; its path begins with ``cvat_exported``."""

    path: str
    reason: str
    size: int
    sha256: str


class FileRecord(NamedTuple):
    """A file that is neither an image nor one of labels; its path is below the dataset's folder."""

    path: str
    size: int
    sha256: str


class DuplicateRecord(NamedTuple):
    """Images of equal bytes, or that look the same.

    Attributes:
        kind: ``multi-label``, ``renamed copy``, ``identical`` or ``near-duplicate``.
        sides: The sides that they are on; more than one is data leakage.
        paths: Below the dataset's folder.
    """

    kind: str
    sides: list[str]
    paths: list[str]


class Manifest(NamedTuple):
    """A dataset.

    Attributes:
        tool: Version of this toolkit.
        sources: The exports.
        parts: Names of all that was made in the dataset's folder.
        options: Every option that had a say, by name.
        labels: Ids by class.
        warnings: What was warned of, one line each.
        duplicates: All images of equal bytes, on one side or several.
        folders: Folders of the unpacked export that have no file in them.
        images: All images by path in listing order.
        left_out: All other files of the export.
        files: The shards and their index, if there are any.
    """

    tool: str
    sources: Sequence[Source]
    parts: Sequence[str]
    options: Mapping[str, Any]
    labels: Mapping[str, int]
    warnings: Sequence[str]
    duplicates: Sequence[DuplicateRecord]
    folders: Sequence[str]
    images: Sequence[ImageRecord]
    left_out: Sequence[LeftOutRecord]
    files: Sequence[FileRecord] = ()

    @property
    def sides(self) -> list[str]:
        """The sides that there are."""
        found = {side_of_shards(part) or part for part in self.parts}
        return [side for side in ALL_SIDES if side in found]


def record_dataset(
    exports: Exports,
    selection: Selection,
    assignment: Assignment,
    hashes: Sequence[bytes],
    *,
    parts: Sequence[str],
    numbers: Mapping[str, int],
    options: Mapping[str, object],
) -> Manifest:
    """Put together what a dataset consists of, still without warnings; ``hashes`` are the SHA-256 of every member."""
    sides = assignment.sides
    left_out = [
        LeftOutRecord(f"{EXPORTED}/{member.name}", str(reason), member.size, hashes[index].hex())
        for index, reason in selection.left_out.items()
        if (member := exports.members[index])
    ]
    duplicates = [
        DuplicateRecord(
            str(cluster.kind),
            sorted({sides[index] for index in cluster.images}),
            [f"{sides[index]}/{selection.images[index].place}" for index in cluster.images],
        )
        for cluster in assignment.clusters
    ]
    return Manifest(
        tool=__version__,
        sources=sources_of(exports),
        parts=parts,
        options=options,
        labels=numbers,
        warnings=(),
        duplicates=duplicates,
        folders=[folder for archive in exports.archives for folder in _empty_folders(archive)],
        images=_Records(selection.images, sides, hashes, exports.finder()),
        left_out=sorted(left_out),
    )


class _Records(Computed[ImageRecord]):
    """The records of images, each made when it is asked for."""

    def __init__(
        self,
        images: Sequence[Image],
        sides: Sequence[str],
        hashes: Sequence[bytes],
        export_of: Callable[[int], Export],
    ) -> None:
        self._images, self._sides, self._hashes, self._export_of = images, sides, hashes, export_of
        self.counts = Counter(zip((image.class_name for image in images), sides, strict=True))

    def __len__(self) -> int:
        return len(self._images)

    def at(self, index: int) -> ImageRecord:
        """Make the record of an image."""
        return self._record(self._images[index], self._sides[index])

    def __iter__(self) -> Iterator[ImageRecord]:
        return map(self._record, self._images, self._sides)

    def _record(self, image: Image, side: str) -> ImageRecord:
        return ImageRecord(
            f"{side}/{image.place}",
            side,
            image.class_name,
            image.name,
            image.frame,
            image.size,
            self._hashes[image.member].hex(),
            self._export_of(image.member).folder,
        )


def count_images(manifest: Manifest) -> Counter[tuple[str, str]]:
    """Count the images by class and side."""
    images = manifest.images
    if isinstance(images, _Records):
        return images.counts
    return Counter((record.class_name, record.side) for record in images)


class _Shape(NamedTuple):
    """What very many records have in common; path and export's member up to the frame, if they end with it."""

    path: str | None
    exported: str | None
    side: str
    class_name: str
    source: str


class _KeptRow(NamedTuple):
    """What a record has of its own: path and export's member where they do not end with the frame; a hash as bytes."""

    shape: int
    path: str
    exported: str
    frame: str
    size: int
    sha256: bytes | str
    offset: int


class KeptRecords(Computed[ImageRecord]):
    """Records that are kept without what they say twice."""

    def __init__(self) -> None:
        self._shapes: dict[_Shape, int] = {}
        self._shape_of: list[_Shape] = []
        self._rows = Compact(_KeptRow)

    def append(self, record: ImageRecord) -> None:
        """Add one at the end."""
        path, side, class_name, exported, frame, size, sha256, source, offset = record
        path_start = path.removesuffix(frame) if path.endswith(frame) else None
        exported_start = exported.removesuffix(frame) if exported.endswith(frame) else None
        shape = _Shape(path_start, exported_start, side, class_name, source)
        if (number := self._shapes.get(shape)) is None:
            number = self._shapes[shape] = len(self._shape_of)
            self._shape_of.append(shape)
        own_path, own_exported = "" if path_start is not None else path, "" if exported_start is not None else exported
        digest = bytes.fromhex(sha256) if _SHA256.fullmatch(sha256) else sha256
        self._rows.append(_KeptRow(number, own_path, own_exported, frame, size, digest, offset))

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[ImageRecord]:
        return map(self._record, self._rows)

    def at(self, index: int) -> ImageRecord:
        """Make a record."""
        return self._record(self._rows.at(index))

    def _record(self, row: _KeptRow) -> ImageRecord:
        number, path, exported, frame, size, digest, offset = row
        path_start, exported_start, side, class_name, source = self._shape_of[number]
        return ImageRecord(
            path if path_start is None else path_start + frame,
            side,
            class_name,
            exported if exported_start is None else exported_start + frame,
            frame,
            size,
            digest.hex() if isinstance(digest, bytes) else digest,
            source,
            offset,
        )


_SHA256 = re.compile("[0-9a-f]{64}")


def sources_of(exports: Exports) -> list[Source]:
    """Record the exports themselves."""
    return [
        Source(archive.path.name, archive.size, archive.directory_sha256(), export.folder)
        for export in exports.each
        if (archive := export.archive)
    ]


def _empty_folders(archive: Archive) -> list[str]:
    if not archive.folders:
        return []
    filled = {member.name.rpartition("/")[0] for member in archive.members} | {
        folder.rpartition("/")[0] for folder in archive.folders
    }
    return sorted(f"{EXPORTED}/{folder}" for folder in archive.folders if folder not in filled)


def write_records(tree: Path, manifest: Manifest) -> None:
    """Write labels.json, and classes.txt if it is a part, and manifest.json into the folder of a dataset."""
    (tree / LABELS).write_text(labels.as_json(manifest.labels), encoding="utf-8")
    if CLASSES in manifest.parts:
        (tree / CLASSES).write_text(labels.as_lines(manifest.labels), encoding="utf-8")
    with (tree / MANIFEST).open("w", encoding="utf-8") as stream:
        stream.writelines(lines(manifest))


def lines(manifest: Manifest) -> Iterator[str]:
    """Write a manifest as JSON, in pieces."""
    yield START
    yield f'"version": {version_of(manifest.sources)},\n'
    for key, value in (
        ("parts", list(manifest.parts)),
        ("tool", {"name": "cvat-toolkit", "version": manifest.tool}),
        source_entry(manifest.sources),
        ("options", manifest.options),
        ("labels", manifest.labels),
    ):
        yield f'"{key}": {_json(value)},\n'
    yield from _list("warnings", map(_json, manifest.warnings))
    yield from _list("duplicates", (_json(record._asdict()) for record in manifest.duplicates))
    yield from _list("folders", map(_json, manifest.folders))
    yield from _list("left_out", (_json(record._asdict()) for record in manifest.left_out))
    if manifest.files:
        yield from _list("files", map(file_line, manifest.files))
    yield from _list("images", map(_image_line, manifest.images), last=True)
    yield "}\n"


def version_of(sources: Sequence[Source]) -> int:
    """Tell the version of a manifest: one export is recorded as ever."""
    return VERSION if len(sources) == 1 else VERSION_OF_SEVERAL


def source_entry(sources: Sequence[Source]) -> tuple[str, object]:
    """Give the key of a manifest that says where a dataset comes from, and its value."""
    if len(sources) == 1:
        return "source", {key: value for key, value in sources[0]._asdict().items() if key != "folder"}
    return "sources", [source._asdict() for source in sources]


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _image_line(record: ImageRecord) -> str:
    path, side, class_name, exported, frame, size, sha256, source, offset = record
    return (
        f'{{"path": {encode_basestring(path)}, "side": "{side}", "class": {encode_basestring(class_name)}, '
        f'"exported": {encode_basestring(exported)}, "frame": {encode_basestring(frame)}, '
        f"{content_entries(size, sha256, source, offset)}}}"
    )


def content_entries(size: int, sha256: str, source: str, offset: int) -> str:
    """Write what the line of every image ends with: its bytes, and its export and place in a shard if it has one."""
    origin = f', "source": {encode_basestring(source)}' if source else ""
    place = f', "offset": {offset}' if offset else ""
    return f'"size": {size}, "sha256": "{sha256}"{origin}{place}'


def file_line(record: FileRecord) -> str:
    """Write the line of a file."""
    return f'{{"path": {encode_basestring(record.path)}, "size": {record.size}, "sha256": "{record.sha256}"}}'


def _list(key: str, items: Iterable[str], last: bool = False) -> Iterator[str]:
    yield f'"{key}": ['
    separator = "\n"
    for item in items:
        yield f"{separator}{item}"
        separator = ",\n"
    yield ("" if separator == "\n" else "\n") + ("]\n" if last else "],\n")
