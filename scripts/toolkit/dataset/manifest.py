"""manifest.json: what a dataset consists of and where it comes from.

It holds neither times nor absolute paths, so the same export and options give the same bytes. Each image has a line of
its own, so that two manifests can be compared by any tool that compares lines.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from json.encoder import encode_basestring
from pathlib import Path
from typing import Any, NamedTuple

from toolkit.core.errors import ToolkitError

FORMAT = "cvat-toolkit dataset manifest"
VERSION = 1
_START = f'{{\n"format": "{FORMAT}",\n'


class Source(NamedTuple):
    """The export that a dataset was made of: file name, bytes, SHA-256 in hexadecimal digits."""

    name: str
    size: int
    sha256: str


class ImageRecord(NamedTuple):
    """An image of the dataset.

    Attributes:
        path: Below the dataset's folder, such as ``training/cat/1.jpg``.
        side: ``training`` or ``validation``.
        class_name: Its class; ``class`` in the file.
        size: Bytes.
        sha256: In hexadecimal digits.
    """

    path: str
    side: str
    class_name: str
    size: int
    sha256: str

    @property
    def exported_path(self) -> str:
        """The same image in the unpacked export."""
        return f"cvat_exported/{self.path.partition('/')[2]}"


class LeftOutRecord(NamedTuple):
    """A file of the export that is on neither side; its path begins with ``cvat_exported``."""

    path: str
    reason: str
    size: int
    sha256: str


class LeakRecord(NamedTuple):
    """Images of equal bytes.

    Attributes:
        kind: ``multi-label``, ``renamed twin`` or ``identical``.
        sides: The sides that they are on; two sides are a leak.
        paths: Below the dataset's folder.
    """

    kind: str
    sides: list[str]
    paths: list[str]


class Manifest(NamedTuple):
    """A dataset.

    Attributes:
        tool: Version of this toolkit.
        source: The export.
        options: Every option that had a say, by name.
        labels: Ids by class.
        warnings: What was warned of, one line each.
        equal_images: All images of equal bytes, on one side or two.
        folders: Folders of the unpacked export that have no file in them.
        images: All images by path in listing order.
        left_out: All other files of the export.
    """

    tool: str
    source: Source
    options: Mapping[str, Any]
    labels: Mapping[str, int]
    warnings: Sequence[str]
    equal_images: Sequence[LeakRecord]
    folders: Sequence[str]
    images: Sequence[ImageRecord]
    left_out: Sequence[LeftOutRecord]


def lines(manifest: Manifest) -> Iterator[str]:
    """Write a manifest as JSON.

    Args:
        manifest: What to write; ``images`` and ``left_out`` are gone through once.

    Yields:
        The text in pieces.
    """
    yield _START
    yield f'"version": {VERSION},\n'
    for key, value in (
        ("tool", {"name": "cvat-toolkit", "version": manifest.tool}),
        ("source", manifest.source._asdict()),
        ("options", manifest.options),
        ("labels", manifest.labels),
    ):
        yield f'"{key}": {_json(value)},\n'
    yield from _list("warnings", map(_json, manifest.warnings))
    yield from _list("equal_images", (_json(record._asdict()) for record in manifest.equal_images))
    yield from _list("folders", map(_json, manifest.folders))
    yield from _list("left_out", (_json(record._asdict()) for record in manifest.left_out))
    yield from _list("images", map(_image_line, manifest.images), last=True)
    yield "}\n"


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _image_line(record: ImageRecord) -> str:
    path, side, class_name, size, sha256 = record
    return (
        f'{{"path": {encode_basestring(path)}, "side": "{side}", "class": {encode_basestring(class_name)}, '
        f'"size": {size}, "sha256": "{sha256}"}}'
    )


def _list(key: str, items: Iterable[str], last: bool = False) -> Iterator[str]:
    yield f'"{key}": ['
    separator = "\n"
    for item in items:
        yield f"{separator}{item}"
        separator = ",\n"
    yield ("" if separator == "\n" else "\n") + ("]\n" if last else "],\n")


def is_manifest(path: Path) -> bool:
    """Tell whether a file begins as the manifests of this toolkit do."""
    try:
        with path.open("rb") as stream:
            return stream.read(len(_START)) == _START.encode()
    except OSError:
        return False


def read(path: Path) -> Manifest:
    """Read a manifest.

    Args:
        path: The file.

    Returns:
        Its content.

    Raises:
        ToolkitError: There is no such file, or it is no manifest that this version of the toolkit knows.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise ToolkitError(f"{path} does not exist: only datasets made by convert_dataset have a manifest") from None
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ToolkitError(f"{path} is damaged ({error}): convert the export again") from None
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise ToolkitError(f"{path} is not a manifest of a dataset")
    if values.get("version") != VERSION:
        raise ToolkitError(f"{path} is a manifest of version {values.get('version')}: update this toolkit to read it")
    try:
        return Manifest(
            tool=values["tool"]["version"],
            source=Source(**values["source"]),
            options=values["options"],
            labels=values["labels"],
            warnings=values["warnings"],
            equal_images=[LeakRecord(**record) for record in values["equal_images"]],
            folders=values["folders"],
            images=[
                ImageRecord(record["path"], record["side"], record["class"], record["size"], record["sha256"])
                for record in values["images"]
            ],
            left_out=[LeftOutRecord(**record) for record in values["left_out"]],
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ToolkitError(f"{path} is damaged ({error!r}): convert the export again") from None
