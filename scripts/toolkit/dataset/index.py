"""An index of images that stay where they are: address, class and side of each, made of an export without images."""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from toolkit import __version__
from toolkit.core.errors import ProblemsFound, ToolkitError, UsageError
from toolkit.core.formats import IMAGE_EXTENSIONS, IMAGENET, UNLABELLED
from toolkit.core.storage import Place
from toolkit.core.text import some_names
from toolkit.dataset import labels
from toolkit.dataset.archive import Archive, open_archive
from toolkit.dataset.assignment import Rules, assign, check_sides, drop_multi_label
from toolkit.dataset.export_files import LabelFiles, LabelProblem, recognise
from toolkit.dataset.layout import CLASSES, INDEX_LINES, INDEX_TABLE, LABELS, MANIFEST
from toolkit.dataset.manifest import Manifest, Source, write_records
from toolkit.dataset.publish import DatasetPublisher, check_target, recover
from toolkit.dataset.selection import Image, Reason, Selection, Unlabelled
from toolkit.dataset.split import SplitMethod
from toolkit.dataset.summary import split_warnings

CLASS_NAMES = "synsets.txt"
_ADDRESS = re.compile(r"(?:https?|s3|gs|az|abfs|file)://[^\s?#@]+")
_LINE = re.compile(r'(?:"((?:[^"\\]|\\.)*)"(\S*)|(\S+))((?: \d{1,9})*)')
_RENAMED = re.compile(r"(.+)_\d+(\.[^./]+)")


@dataclass(frozen=True)
class IndexRequest:
    """What is to be indexed, and how.

    Attributes:
        base_files: The exports without images; a frame in several is one image with all their tags.
        target: Folder for the index; made if missing.
        rules: How the images are split.
        base_url: What stands before a frame's name in its address.
        unlabelled: What becomes of the images without a tag.
        labels_file: Pinned names and ids, or None.
        overwrite: Replace a dataset or index that is there.
    """

    base_files: Sequence[Path]
    target: Path
    rules: Rules
    base_url: str
    unlabelled: Unlabelled = Unlabelled.DROP
    labels_file: Path | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        if not _ADDRESS.fullmatch(self.base_url):
            raise UsageError(
                "--base-url must be such as s3://bucket/folder/ or https://images.example.com/, "
                "without user name, ? and #"
            )
        if self.rules.near_duplicates:
            raise UsageError("--near-duplicates compares pictures, of which an index has none")
        if self.rules.method is SplitMethod.SUBSETS:
            raise UsageError("--split-method subsets is for exports of boxes; an export of tags names no subsets")

    def url(self, frame: str) -> str:
        """Return the address of a frame: as a web server wants it, or as a bucket spells its keys."""
        path = quote(frame) if self.base_url.startswith("http") else frame
        return f"{self.base_url.rstrip('/')}/{path}"


class Index(NamedTuple):
    """An index as it was made.

    Attributes:
        labels: Ids by class.
        counts: Images by class, a number for each side.
        left_out: Numbers of frames that are not in it, by reason.
        warnings: What to be warned of, one line each.
        files: What was written; empty in a dry run.
    """

    labels: dict[str, int]
    counts: dict[str, dict[str, int]]
    left_out: dict[str, int]
    warnings: list[str]
    files: list[str]


def make_index(request: IndexRequest, dry_run: bool = False) -> Index:
    """Make the index of an export without images; it appears as a whole or not at all.

    Sides are decided by the frames' names, in the place of the bytes that a conversion has: the methods `reference` and
    `stratified` give each image the side that it has in a dataset of the same frames, `stable` gives another.

    Raises:
        UsageError: The request cannot be meant so.
        ToolkitError: The archive is damaged or no such export, there is a dataset already, or a split would be empty.
        ProblemsFound: A check found what the request calls an error.
    """
    has_table = find_spec("pyarrow") is not None
    files = [INDEX_LINES, *([INDEX_TABLE] if has_table else []), CLASSES, LABELS, MANIFEST]
    if not dry_run:
        recover(request.target)
    check_target(request.target, request.overwrite or dry_run, tuple(files))
    tags_of: dict[str, list[str]] = {}
    sources = []
    for path in request.base_files:
        for frame, tags in read_frames(path):
            tags_of.setdefault(frame, []).extend(tags)
        with open_archive(path) as archive:
            sources.append(Source(path.name, archive.size, archive.directory_sha256()))
    frames = list(tags_of.items())
    selection = _select(request, frames)
    numbers = _numbers(request, selection)
    hashes = [hashlib.sha256(frame.encode("utf-8", "surrogatepass")).digest() for frame, _ in frames]
    selection = drop_multi_label(request.rules, selection, hashes)
    assignment = assign(request.rules, selection, hashes, None, lambda images, clusters: ([], False))
    check_sides(request.rules, assignment)
    warnings = [*split_warnings(assignment, selection.images, assignment.sides), *_renamed(frames)]
    counts = {name: dict.fromkeys(request.rules.sides, 0) for name in numbers}
    for image, side in zip(selection.images, assignment.sides, strict=True):
        counts[image.class_name][side] += 1
    reasons = [str(reason) for reason in selection.left_out.values()]
    left_out = {reason: reasons.count(reason) for reason in dict.fromkeys(reasons)}
    if dry_run:
        return Index(numbers, counts, left_out, warnings, [])
    options = {
        **request.rules.options(),
        "unlabelled": request.unlabelled,
        "labels": request.labels_file.name if request.labels_file else None,
        "base_url": request.base_url,
    }
    manifest = Manifest(__version__, sources, files, options, numbers, warnings, [], [], [], [])
    with DatasetPublisher(request.target, request.overwrite, tuple(files)) as publisher:
        rows = [
            {
                "url": request.url(frames[image.member][0]),
                "class": image.class_name,
                "class_id": numbers[image.class_name],
                "side": side,
                "frame": frames[image.member][0],
            }
            for image, side in zip(selection.images, assignment.sides, strict=True)
        ]
        _write(publisher.tree, rows, has_table)
        write_records(publisher.tree, manifest)
        publisher.publish()
    return Index(numbers, counts, left_out, warnings, files)


def read_frames(path: Place) -> list[tuple[str, list[str]]]:
    """Read the frames of an export without images, each with the names of its tags.

    Raises:
        UsageError: There is no such file.
        ToolkitError: It is damaged, or is no such export.
    """
    with open_archive(path) as archive:
        return list(_frames(archive))


def _frames(archive: Archive) -> Iterator[tuple[str, list[str]]]:
    kind = recognise([member.name for member in archive.members])
    files = LabelFiles.of_archive(archive, kind)
    lists = [name for name in files.names if "/" not in name and name.endswith(".txt") and name != CLASS_NAMES]
    if kind.name != IMAGENET or CLASS_NAMES not in files or any("/" in name for name in files.names):
        raise ToolkitError(
            f"{archive.path} is no export in {IMAGENET} without images: make export ARGS=--without-images makes one "
            "(of an export with images, --format folders makes a dataset)"
        )
    try:
        names = list(files.lines(CLASS_NAMES))
        for text in lists:
            for line in files.lines(text, small=False):
                yield _read_line(line, names)
    except (LabelProblem, UnicodeDecodeError) as error:
        raise ToolkitError(f"{archive.path}: {error}: export it again") from None


def _read_line(line: str, names: Sequence[str]) -> tuple[str, list[str]]:
    match = _LINE.fullmatch(line)
    numbers = [int(word) for word in match[4].split()] if match else []
    if match is None or any(number >= len(names) for number in numbers):
        raise LabelProblem(f"the line {line[:80]!r} is none of a frame and its labels")
    quoted, extension, plain = match[1], match[2], match[3]
    frame = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted) + extension
    if not frame.lower().endswith(IMAGE_EXTENSIONS):
        raise LabelProblem(f"the frame {frame[:80]!r} has no extension of an image, so it has no address")
    return frame, [names[number] for number in numbers]


def _select(request: IndexRequest, frames: Sequence[tuple[str, list[str]]]) -> Selection:
    """Take each frame once for each of its tags, in the order in which a conversion has them."""
    images, left_out = [], {}
    for number, (frame, tags) in enumerate(frames):
        if not tags and request.unlabelled is Unlabelled.ERROR:
            without = [name for name, none in frames if not none]
            raise ProblemsFound(
                f"there are images without a tag ({len(without)}): tag them in CVAT and export again, or use "
                f"--unlabelled drop or keep: {some_names(without)}"
            )
        if not tags and request.unlabelled is Unlabelled.DROP:
            left_out[number] = Reason.UNLABELLED
        for name in dict.fromkeys(tags) if tags else [UNLABELLED] if number not in left_out else []:
            own = frame.removeprefix(f"{name}/")
            images.append(Image(f"{name}/{frame}", name, own, f"{name}/{own}", 0, number))
    if not images:
        shown = some_names(map(str, request.base_files), len(request.base_files))
        raise ToolkitError(f"{shown} holds no image with a tag: tag images in CVAT, then export again")
    images.sort(key=lambda image: (image.class_name, *image.place.rpartition("/")))
    return Selection(sorted({image.class_name for image in images}), images, left_out)


def _numbers(request: IndexRequest, selection: Selection) -> dict[str, int]:
    if request.labels_file is None:
        return labels.number(selection.classes)
    numbers = labels.read_pinned(request.labels_file)
    labels.check_covers(numbers, selection.classes, request.labels_file)
    return numbers


def _renamed(frames: Sequence[tuple[str, list[str]]]) -> Iterator[str]:
    names = {frame for frame, _ in frames}
    renamed = [name for name in names if (match := _RENAMED.fullmatch(name)) and match[1] + match[2] in names]
    if renamed:
        yield (
            f"{len(renamed)} names look as if the server had renamed a second frame of one name for the export, and "
            f"have no address of their own then: {some_names(sorted(renamed))}"
        )


def _write(tree: Path, rows: list[dict[str, object]], has_table: bool) -> None:
    with (tree / INDEX_LINES).open("w", encoding="utf-8") as stream:
        stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    if has_table:
        table = import_module("pyarrow").Table.from_pylist(rows)
        import_module("pyarrow.parquet").write_table(table, tree / INDEX_TABLE)
