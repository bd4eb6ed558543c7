"""Reading manifest.json, which anybody can have changed, or made: with bounds, and line by line where it is long."""

import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from toolkit.core.errors import ToolkitError
from toolkit.core.storage import Place
from toolkit.core.text import format_size
from toolkit.dataset import labels
from toolkit.dataset.layout import (
    CLASSES,
    CLASSIFICATION_PARTS,
    FIRST_PARTS,
    INDEX_LINES,
    INDEX_TABLE,
    LABELS,
    MANIFEST,
    SIDES,
    entries_of,
    side_of_shards,
)
from toolkit.dataset.manifest import (
    FORMAT,
    START,
    VERSION_OF_SEVERAL,
    DuplicateRecord,
    FileRecord,
    ImageRecord,
    KeptRecords,
    LeftOutRecord,
    Manifest,
    Source,
)


def is_manifest(path: Place) -> bool:
    """Tell whether a file begins as the manifests of this toolkit do."""
    return bool(recorded_parts(path))


def recorded_parts(path: Place) -> tuple[str, ...]:
    """Read which entries of a dataset's folder were made by a conversion, from the first lines of its manifest.

    Returns:
        Their names; none if there is no manifest of this toolkit, those of the first version if the lines are damaged.
    """
    try:
        if not path.is_file():
            return ()
        with path.open("rb") as stream:
            if stream.read(len(START)) != START.encode():
                return ()
            _, line = stream.readline(_LONGEST_LINE), stream.readline(_LONGEST_LINE)
    except OSError:
        return ()
    try:
        named = json.loads(b"{%s}" % line.rstrip(b",\n"))["parts"]
        return tuple(entries_of(named))
    except (ValueError, KeyError, TypeError, RecursionError):
        return FIRST_PARTS


_LONGEST_LINE = 1000
_LARGEST_REST = 16 << 20
_LIST = re.compile(r'"(images|left_out|duplicates)": \[\n')

Take = Callable[[dict[str, Any]], None]
"""Gets an entry of a list."""


def read_lines(path: Place, take: Mapping[str, Take]) -> dict[str, Any]:
    """Read a manifest but for its long lists, whose entries stand on a line each: no more than one is in memory.

    Args:
        path: The manifest.
        take: By the names of lists, images, left_out and duplicates, what gets each of their entries.

    Returns:
        All other values.

    Raises:
        ValueError: It is no JSON object, or too much of it is on no such lines.
        OSError: It cannot be read.
    """
    rest: list[str] = []
    length = 0
    taken: Take | None = None
    with io.TextIOWrapper(path.open("rb"), encoding="utf-8") as lines:
        while line := lines.readline(_LARGEST_REST):
            if taken and line.startswith("{"):
                taken(json.loads(line.rstrip().removesuffix(",")))
                continue
            taken = take.get(found[1]) if (found := _LIST.fullmatch(line)) else None
            rest.append(line)
            length += len(line)
            if length > _LARGEST_REST:
                raise ValueError(f"more than {format_size(_LARGEST_REST)} of it are not written as it is made")
    values = json.loads("".join(rest))
    if not isinstance(values, dict):
        raise _Damaged("it is no object")
    for name, function in take.items():  # of a manifest that somebody has laid out anew
        for entry in _objects({name: [], **values}, name):
            function(entry)
    return values


class _Damaged(ValueError):
    """A manifest has something else where it should have what the text names."""


def read(path: Place) -> Manifest:
    """Read a manifest.

    Raises:
        ToolkitError: There is no such file, or it is no manifest that this version of the toolkit knows.
    """
    try:
        if isinstance(path, Path) and path.exists() and not path.is_file():  # a pipe would be waited for
            raise ToolkitError(f"{path} is no regular file: convert the export again")
        images = KeptRecords()
        classes: set[str] = set()
        others: dict[str, list[Any]] = {"left_out": [], "duplicates": []}
        collect = {name: entries.append for name, entries in others.items()}

        def take_image(entry: dict[str, Any]) -> None:
            image = _image(entry)
            images.append(image)
            classes.add(image.class_name)

        values = read_lines(path, {"images": take_image, **collect})
    except (FileNotFoundError, NotADirectoryError):
        raise ToolkitError(f"{path} does not exist: only datasets made by convert_dataset have a manifest") from None
    except (ValueError, RecursionError) as error:
        raise ToolkitError(f"{path} is damaged ({error}): convert the export again") from None
    if values.get("format") != FORMAT:
        raise ToolkitError(f"{path} is not a manifest of a dataset")
    values |= {name: entries for name, entries in others.items() if name in values}
    parts = values.get("parts")
    if isinstance(parts, list) and INDEX_LINES in parts:
        raise ToolkitError(f"{path} is of an index: its images lie elsewhere, so there is nothing to look at here")
    version = values.get("version")
    if type(version) is not int or not 1 <= version <= VERSION_OF_SEVERAL:
        raise ToolkitError(f"{path} is a manifest of version {version}: update this toolkit to read it")
    try:
        return _manifest(_from_version_1(values) if version == 1 else values, images, classes)
    except _Damaged as error:
        raise ToolkitError(f"{path} is damaged ({error}): convert the export again") from None


def _from_version_1(values: dict[str, Any]) -> dict[str, Any]:
    source = _of_type(values, "source", dict)
    return {
        **values,
        "parts": list(FIRST_PARTS),
        "source": {**source, "directory_sha256": source.get("sha256")},
        "duplicates": values.get("equal_images"),
    }


_NO_FIT = "path, side and class of one of the images do not fit"


def _manifest(values: dict[str, Any], images: Sequence[ImageRecord], classes: set[str]) -> Manifest:
    numbers = _of_type(values, "labels", dict)
    if not all(type(number) is int for number in numbers.values()):
        raise _Damaged("an id in labels is no integer")
    parts = _texts(values, "parts")
    if CLASSES in parts and not all(0 <= number < labels.MOST_IDS for number in numbers.values()):
        raise _Damaged("an id in labels is too large or too small")
    files = [_record(FileRecord, entry, "files") for entry in _objects({"files": [], **values}, "files")]
    of_shards = {CLASSES, LABELS, MANIFEST, INDEX_TABLE, *filter(side_of_shards, parts)}
    known = of_shards if files else {*CLASSIFICATION_PARTS}
    if not {LABELS, MANIFEST, *(() if files else SIDES)} <= {*parts} <= known:
        raise _Damaged("parts are not those of a dataset")
    if not {record.path for record in files} <= {*entries_of(parts)}:
        raise _Damaged("files are not those of its parts")
    _objects(values, "images")
    if not classes <= numbers.keys():
        raise _Damaged(_NO_FIT)
    return Manifest(
        tool=_of_type(_of_type(values, "tool", dict), "version", str),
        sources=[_record(Source, entry, "sources") for entry in _objects(values, "sources")]
        if "sources" in values
        else [_record(Source, _of_type(values, "source", dict), "source")],
        parts=parts,
        options=_of_type(values, "options", dict),
        labels=numbers,
        warnings=_texts(values, "warnings"),
        duplicates=[
            DuplicateRecord(_of_type(entry, "kind", str), _texts(entry, "sides"), _texts(entry, "paths"))
            for entry in _objects(values, "duplicates")
        ],
        folders=_texts(values, "folders"),
        images=images,
        left_out=[_record(LeftOutRecord, entry, "left_out") for entry in _objects(values, "left_out")],
        files=files,
    )


_KINDS = {record: get_type_hints(record) for record in (Source, ImageRecord, LeftOutRecord, FileRecord)}
_Record = TypeVar("_Record", Source, ImageRecord, LeftOutRecord, FileRecord)


def _image(entry: dict[str, Any]) -> ImageRecord:
    name = str(entry.get("path")).partition("/")[2]  # version 1 says it once
    old = {"exported": name, "frame": name.partition("/")[2]}
    image = _record(ImageRecord, {**old, **entry, "class_name": entry.get("class")}, "images")
    folder = f"{image.side}-" if image.offset else f"{image.side}/{image.class_name}/"
    if not image.path.startswith(folder) or image.offset < 0:
        raise _Damaged(_NO_FIT)
    return image


def _record(kind: type[_Record], entry: dict[str, Any], where: str) -> _Record:
    entry = {**kind._field_defaults, **entry}
    for name, wanted in _KINDS[kind].items():
        if type(entry.get(name)) is not wanted:
            raise _Damaged(f"{name.partition('_name')[0]} of {where} is missing or of another type")
    return kind(*(entry[name] for name in kind._fields))


def _of_type(values: dict[str, Any], name: str, wanted: type) -> Any:
    if type(values.get(name)) is not wanted:
        raise _Damaged(f"{name} is missing or of another type")
    return values[name]


def _texts(values: dict[str, Any], name: str) -> list[str]:
    found: list[str] = _of_type(values, name, list)
    if not all(type(text) is str for text in found):
        raise _Damaged(f"one of {name} is no text")
    return found


def _objects(values: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = _of_type(values, name, list)
    if not all(type(entry) is dict for entry in found):
        raise _Damaged(f"one of {name} is no object")
    return found
