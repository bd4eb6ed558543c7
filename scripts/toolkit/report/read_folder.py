"""A converted dataset, read from its folder: its images, and what its manifest tells of where it comes from."""

import hashlib
import io
import json
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, TypeVar

from toolkit.core.errors import ToolkitError, UsageError
from toolkit.core.formats import IMAGE_EXTENSIONS, UNLABELLED, TaskType
from toolkit.core.safe_names import LARGEST_LIST, is_junk
from toolkit.core.storage import Address, Place
from toolkit.core.text import format_size
from toolkit.dataset import manifest_reading
from toolkit.dataset.duplicates import name_equal
from toolkit.dataset.layout import ALL_SIDES, IMAGES, LABELS, MANIFEST, SIDES, is_shard
from toolkit.dataset.verify import read_manifest
from toolkit.report.facts import MOST_SEARCHED, Dataset, DatasetImage, Finding
from toolkit.report.readers import dataset_of, read_detection_files, read_detection_folder, read_shards

_TEST = "test"


def read_folder(folder: Path) -> Dataset:
    """Read a converted dataset of either kind, and its manifest.

    Args:
        folder: The folder of the dataset.

    Returns:
        The dataset, sizes of the pictures not yet read.

    Raises:
        UsageError: There is no dataset in it.
        ToolkitError: Its labels cannot be read.
    """
    if any(map(is_shard, manifest_reading.recorded_parts(folder / MANIFEST))):
        dataset = read_shards(folder)
    elif not any((folder / side).is_dir() for side in SIDES) and _looks_like_detection(folder):
        dataset = read_detection_folder(folder)
    else:
        dataset = read_tree(folder)
    _add_provenance(dataset)
    return dataset


def read_stored(address: Address) -> Dataset:
    """Read a converted dataset at an address.

    Raises:
        UsageError: There is none.
        ToolkitError: Its labels or its manifest cannot be read.
    """

    def open_part(name: str, start: int, size: int) -> IO[bytes]:
        return io.BytesIO((address / name).read(start, size))

    parts = manifest_reading.recorded_parts(address / MANIFEST)
    if not parts:
        raise UsageError(f"{address} holds no dataset: no {MANIFEST} is there (make convert makes one)")
    if any(map(is_shard, parts)):
        dataset = dataset_of(read_manifest(address / MANIFEST), address, open_part)
    else:
        files = address.files()

        def open_file(name: str) -> IO[bytes]:
            return open_part(name, 0, files[name])

        if IMAGES in parts:
            dataset = read_detection_files(address, files, open_file)
        else:
            dataset = dataset_of(read_manifest(address / MANIFEST), address, open_part, "image classification")
    _add_provenance(dataset)
    return dataset


def _looks_like_detection(folder: Path) -> bool:
    names = ("images", "annotations", "data.yaml", "obj.names", "Annotations", "annotations.xml")
    return any((folder / name).exists() for name in names) or any(folder.glob("*/_annotations.coco.json"))


def read_tree(folder: Path) -> Dataset:
    """Read a classification dataset: `training`, `validation`, perhaps `test`, and `labels.json` if there is one.

    Raises:
        UsageError: There is no side in it.
        ToolkitError: `labels.json` is no table of ids by class.
    """
    sides = [side for side in ALL_SIDES if (folder / side).is_dir()]
    if not set(sides) & set(SIDES):
        raise UsageError(
            f"{folder} holds no dataset: neither training nor validation is in it (make convert makes them)"
        )
    images: list[DatasetImage] = []
    others: list[str] = []
    junk: list[str] = []
    folders: set[str] = set()
    for side in sides:
        with os.scandir(folder / side) as entries:
            labels_there = sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
        for label in labels_there:
            if is_junk(f"{label}/"):
                junk.append(f"{side}/{label}")
                continue
            folders.add(label)
            files = []
            for name, length in _files(folder / side / label):
                if length is not None and name.lower().endswith(IMAGE_EXTENSIONS) and not is_junk(name):
                    files.append((name, length))
                else:
                    (junk if is_junk(name) else others).append(f"{side}/{label}/{name}")
            files.sort()
            images += (DatasetImage(name, side, label, f"{side}/{label}/{name}", length) for name, length in files)
    labels = _read_labels(folder / LABELS)
    classes = sorted(labels or {}, key=lambda label: (labels or {})[label])
    unknown = sorted(folders - set(classes))
    dataset = Dataset(
        kind=TaskType.CLASSIFICATION,
        format_name="image classification: one folder a class",
        source=folder,
        sides=[side for side in ALL_SIDES if side in (*SIDES, *sides)],
        classes=[*classes, *unknown],
        images=images,
        open_image=_Opener(folder),
    )
    dataset.findings += _findings(labels, unknown, sorted(others), folders)
    if junk:
        left = "of a file manager or notebook left out"
        dataset.findings.append(Finding.of("junk", sorted(junk), f"entry {left}", f"entries {left}"))
    return dataset


class _Opener:
    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)

    def __call__(self, location: str) -> IO[bytes]:
        return open(f"{self._folder}/{location}", "rb", buffering=0)  # noqa: PTH123 - a million of them, read once


def _files(folder: Path) -> Iterator[tuple[str, int | None]]:
    """Find all files below a folder, with their bytes; None for what is no regular file or cannot be looked at."""
    waiting = [(str(folder), "")]
    while waiting:
        place, prefix = waiting.pop()
        try:
            entries = os.scandir(place)
        except OSError:
            yield prefix.rstrip("/"), None
            continue
        with entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append((entry.path, f"{prefix}{entry.name}/"))
                elif entry.is_file(follow_symlinks=False):
                    yield prefix + entry.name, entry.stat(follow_symlinks=False).st_size
                else:
                    yield prefix + entry.name, None


def _read_labels(path: Path) -> dict[str, int] | None:
    try:
        if (size := path.stat().st_size) > LARGEST_LIST:
            most = format_size(LARGEST_LIST)
            raise ToolkitError(f"{path} is too large for a table of ids ({format_size(size)}): {most} are read")
        labels = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError) as error:
        raise ToolkitError(f"{path} is no JSON ({error}): convert the dataset again") from None
    if not isinstance(labels, dict) or not all(type(number) is int for number in labels.values()):
        raise ToolkitError(f"{path} is no table of ids by class: convert the dataset again")
    return labels


def _findings(
    labels: dict[str, int] | None, unknown: list[str], others: list[str], folders: set[str]
) -> Iterator[Finding]:
    if labels is None:
        yield Finding("no_labels", "there is no labels.json, so the classes are the folders by name", [])
    elif unknown:
        yield Finding.of("unknown_class", unknown, "folder is not in labels.json", "folders are not in labels.json")
    if others:
        yield Finding.of("other_files", others, "file of a class is no image", "files of classes are no images")
    if UNLABELLED in folders:
        message = "images without a tag form a class of their own: tag them in CVAT, or remove this folder"
        yield Finding("unlabelled_class", message, [UNLABELLED])


# --- where it comes from, and images of equal bytes -----------------------------------------------------------------


def _add_provenance(dataset: Dataset) -> None:
    """Add what the manifest tells; without a readable one, look for duplicates oneself."""
    path = dataset.source / MANIFEST
    is_there = path.is_file() and manifest_reading.is_manifest(path)
    if is_there:
        try:
            _add_record(dataset, path)
            return
        except (ValueError, TypeError, AttributeError, LookupError, OverflowError, RecursionError) as error:
            message = f"{MANIFEST} is damaged ({type(error).__name__}: {error}): convert the export again"
            dataset.findings.append(Finding("bad_manifest", message, []))
    dataset.findings[:0] = describe_duplicates(dataset, find_duplicates(dataset))
    if not dataset.provenance:
        origin = "damaged" if is_there else "none: where it comes from is not known"
        dataset.provenance = [("Folder", dataset.source.name), ("Manifest", origin)]


def _add_record(dataset: Dataset, path: Place) -> None:
    """Add what a manifest says; nothing is added if a value in it has a wrong type."""
    differing = {str(image.location) for image in dataset.images if image.location is not None}
    absent: list[str] = []
    duplicates: list[dict[str, Any]] = []
    frames: dict[str, str] = {}
    are_searched = len(dataset.images) <= MOST_SEARCHED
    left_out = 0

    def compare(image: dict[str, Any]) -> None:
        try:
            differing.remove(_of_type(image["path"], str))
        except KeyError:
            absent.append(image["path"])
        else:
            if are_searched and "frame" in image:
                frames[image["path"]] = _of_type(image["frame"], str)

    def count(_entry: dict[str, Any]) -> None:
        nonlocal left_out
        left_out += 1

    record = manifest_reading.read_lines(path, {"images": compare, "left_out": count, "duplicates": duplicates.append})
    differing.update(absent)
    sources = record["sources"] if "sources" in record else [record["source"]]
    options = record["options"]
    groups = []
    for equal in duplicates or _of_type(record.get("duplicates", record.get("equal_images")), list):
        if equal["kind"] != "near-duplicate":
            groups.append([_of_type(name, str) for name in _of_type(equal["paths"], list)])
    findings = list(describe_duplicates(dataset, groups))
    if differing:
        not_both = "not both in the folder and in its manifest (make verify tells more)"
        names = sorted(differing)
        findings.append(Finding.of("manifest_differs", names, f"image is {not_both}", f"images are {not_both}"))
    origin = [
        *(line for source in _of_type(sources, list) for line in _source(source)),
        ("Converted by", f"cvat-toolkit {_of_type(record['tool']['version'], str)}"),
        *((name.replace("_", " ").capitalize(), _shown(value)) for name, value in _of_type(options, dict).items()),
    ]
    if left_out:
        origin.append(("Left out of all splits", f"{left_out:,} files of the export"))
    dataset.notes = [_of_type(warning, str) for warning in _of_type(record["warnings"], list)]
    dataset.findings[:0] = findings
    dataset.provenance = origin
    dataset.frames = frames


def _source(source: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Tell of one of the exports that a dataset was made of."""
    yield "Source", _of_type(source["name"], str)
    yield "Size of the source", f"{_of_type(source['size'], int):,} bytes"
    for key, words in (("sha256", "SHA-256 of the source"), ("directory_sha256", "SHA-256 of the source's directory")):
        if source.get(key):
            yield words, _of_type(source[key], str)


_Type = TypeVar("_Type")


def _of_type(value: object, wanted: type[_Type]) -> _Type:
    if type(value) is not wanted:
        raise ValueError(f"{wanted.__name__} expected, found {str(value)[:40]}")
    return value


def _shown(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def describe_duplicates(dataset: Dataset, groups: Iterable[Iterable[str]]) -> Iterator[Finding]:
    """Tell what is wrong with images of equal bytes.

    Args:
        dataset: The dataset that they are in.
        groups: For each content that is there more than once, the locations.

    Yields:
        A finding for data leakage between splits, one for images in several classes, and one for duplicates within a
        split, if there are any.
    """
    wanted = [sorted(group) for group in groups]
    listed = {path for group in wanted for path in group}
    images = {image.location: image for image in dataset.images if image.location in listed}
    leaks: list[str] = []
    ambiguous: list[str] = []
    repeated: list[str] = []
    copies = 0
    leaking: set[str] = set()
    for group in wanted:
        known = [images[path] for path in group if path in images]
        paths = [str(image.location) for image in known]
        by_side: dict[str, list[str]] = defaultdict(list)
        for image in known:
            by_side[image.side].append(str(image.location))
        if len(by_side) > 1:
            leaks.append(name_equal(paths))
            leaking.update(by_side)
        if len({image.label for image in known}) > 1:
            ambiguous.append(name_equal(paths))
        for side_paths in by_side.values():
            if len(side_paths) > 1:
                repeated.append(name_equal(side_paths))
                copies += len(side_paths) - 1
    if leaks:
        splits = "in " + " and in ".join(side for side in dataset.sides if side in leaking)
        both = f"{splits}, byte for byte, so validation will look too good"
        yield Finding.of("leak", leaks, f"image is {both}", f"images are {both}")
    if ambiguous:
        yield Finding.of("several_classes", ambiguous, "image is in several classes", "images are in several classes")
    if repeated:
        count = f"{copies:,} image is a duplicate" if copies == 1 else f"{copies:,} images are duplicates"
        yield Finding("duplicate", f"{count} of another in the same split, byte for byte", repeated)


def find_duplicates(dataset: Dataset) -> Iterator[list[str]]:
    """Find images of equal bytes; only those of equal length are read.

    Yields:
        The locations of the images of one content, two or more.
    """
    by_length: dict[int, list[str]] = defaultdict(list)
    for image in dataset.images:
        if image.location is not None and image.length:
            by_length[image.length].append(image.location)
    for locations in by_length.values():
        if len(locations) > 1:
            by_content: dict[bytes, list[str]] = defaultdict(list)
            for location in locations:
                by_content[_sha256(dataset, location)].append(location)
            yield from (equal for equal in by_content.values() if len(equal) > 1)


def _sha256(dataset: Dataset, location: str) -> bytes:
    digest = hashlib.sha256()
    try:
        with dataset.open_image(location) as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
    except Exception:  # it is found to be broken when its header is read
        return location.encode("utf-8", "surrogateescape")
    return digest.digest()
