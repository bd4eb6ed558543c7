"""From exports to a dataset: the export unpacked, its sides, labels.json and manifest.json."""

import os
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.core.errors import ToolkitError, UsageError
from toolkit.core.storage import Address, Place
from toolkit.core.workers import Engine
from toolkit.dataset import labels
from toolkit.dataset.assignment import Assignment, Rules, assign, check_sides, drop_multi_label, early_assignment
from toolkit.dataset.cluster import open_engine
from toolkit.dataset.duplicates import Cluster, MultiLabel, find_near_duplicates
from toolkit.dataset.exports import Exports, read_boxes, read_exports, unpack_exports
from toolkit.dataset.layout import ALIASES, CLASSES, EXPORTED, LABELS, MANIFEST, SPECIFIED, TEST, Format
from toolkit.dataset.manifest import Manifest, record_dataset, write_records
from toolkit.dataset.manifest_reading import recorded_parts
from toolkit.dataset.publish import DatasetPublisher, check_target, dataset_in, recover
from toolkit.dataset.selection import Choice, Image, Layout, Selection, Unlabelled, select
from toolkit.dataset.sides import (
    LinkMode,
    Space,
    check_names,
    check_space,
    linker,
    usable_mode,
    write_aliases,
    write_sides,
)
from toolkit.dataset.split import SplitMethod
from toolkit.dataset.summary import find_warnings
from toolkit.dataset.unpack import Contents

if TYPE_CHECKING:
    from toolkit.dataset.detection_manifest import DetectionManifest
    from toolkit.dataset.streamed import StreamRequest

DEFAULT_SHARD_SIZE = 10**9


@dataclass(frozen=True)
class Request:
    """What is to be converted, and how.

    Attributes:
        base_files: The exported zips, one or several.
        target: Folder for the dataset; made if missing.
        rules: How the images are split.
        unlabelled: What becomes of the images without a tag or box. None leaves them out, but keeps those of completed
            jobs as background where an export of boxes has the list of these beside it.
        labels_file: Pinned names and ids, or None.
        link_mode: How the sides share the bytes of the unpacked export.
        overwrite: Replace a dataset that is there.
        layout: Where images of frames in folders lie.
        keep_junk: Take folders of junk for classes, and a folder around everything for a class, as the reference does.
        aliases: Make the links ``train`` and ``val``.
        exported: Keep the unpacked export beside the sides.
        workers: How many exports are unpacked at a time on this machine; None takes one after the other.
        scheduler: Address of a Dask cluster's scheduler that unpacks them, or None.
        format: What the dataset is kept in; the four before this are for folders.
        shard_size: Bytes of a shard.
    """

    base_files: Sequence[Place]
    target: Place
    rules: Rules
    unlabelled: Unlabelled | None = None
    labels_file: Path | None = None
    link_mode: LinkMode = LinkMode.AUTO
    overwrite: bool = False
    layout: Layout = Layout.FLAT
    keep_junk: bool = False
    aliases: bool = True
    exported: bool = True
    workers: int | None = None
    scheduler: str | None = None
    format: Format = Format.FOLDERS
    shard_size: int = DEFAULT_SHARD_SIZE

    def options(self) -> dict[str, object]:
        """List all that has a say in the dataset, by the names of the command's options."""
        options = {
            **self.rules.options(),
            "unlabelled": self.unlabelled or Unlabelled.DROP,
            "labels": self.labels_file.name if self.labels_file else None,
        }
        if self.format is Format.WEBDATASET and self.stream:
            return {**options, "keep_junk": self.keep_junk, **self.stream.options()}
        return {
            **options,
            "link_mode": self.link_mode,
            "layout": self.layout,
            "keep_junk": self.keep_junk,
            "aliases": self.aliases,
            "exported": self.exported,
        }

    @property
    def stream(self) -> "StreamRequest | None":
        """How file after file is written; None if it is folders of this machine that are made."""
        shard_size = self.shard_size if self.format is Format.WEBDATASET else None
        if shard_size is None and isinstance(self.target, Path):
            return None
        from toolkit.dataset.streamed import StreamRequest

        return StreamRequest(self.target, self.overwrite, shard_size, self.rules.seed)

    @property
    def choice(self) -> Choice:
        """What is taken from the export."""
        unlabelled = self.unlabelled or Unlabelled.DROP
        return Choice(unlabelled, self.rules.method is SplitMethod.REFERENCE, self.keep_junk, self.layout)

    @property
    def parts(self) -> tuple[str, ...]:
        """What is made in the dataset's folder."""
        exported = (EXPORTED,) if self.exported else ()
        return (*exported, *self.rules.sides, *(ALIASES if self.aliases else ()), CLASSES, LABELS, MANIFEST)


@dataclass(frozen=True)
class Converted:
    """What became, or in a dry run would become, of an export.

    Attributes:
        link_mode: How the bytes are shared in fact; None in a dry run, without ``cvat_exported``, and for boxes.
        bytes_needed: Disk space of the dataset.
        replaces: Names of an older dataset that is, or would be, replaced.
        dropped: What the export's format dropped, by what lies beside the export; None if nothing is known of it.
    """

    manifest: "Manifest | DetectionManifest"
    link_mode: LinkMode | None
    bytes_needed: int
    replaces: Sequence[str] = ()
    dropped: str | None = None


def convert(request: Request, on_percent: Callable[[], None] = lambda: None) -> Converted:
    """Make a dataset of one or several exports; it appears as a whole or not at all.

    Args:
        request: What to do.
        on_percent: Called for every hundredth of the unpacking.

    Raises:
        UsageError: The request cannot be meant so.
        ToolkitError: The archive is unsafe or damaged, there is a dataset already, or a split would be empty.
        ProblemsFound: A check found what the request calls an error.
        OSError: Reading or writing failed.
    """
    return _convert(request, on_percent, dry_run=False)


def dry_run(request: Request, on_percent: Callable[[], None] = lambda: None) -> Converted:
    """Do all that :func:`convert` does, but write nothing; a dataset that is there is no error.

    Otherwise it raises what :func:`convert` does; ``on_percent`` is called for every hundredth of the reading.
    """
    return _convert(request, on_percent, dry_run=True)


def _convert(request: Request, on_percent: Callable[[], None], dry_run: bool) -> Converted:
    if isinstance(request.target, Address):
        request = replace(request, exported=False, aliases=False)
    if not dry_run:
        recover(request.target)
    check_target(request.target, request.overwrite or dry_run, ())
    with open_engine(request.base_files, request.target, request.workers, request.scheduler) as engine:
        exports = _read(request, engine)
        if exports.are_boxes:
            return _convert_boxes(request, exports, engine, on_percent, dry_run)
        if request.stream:
            return _convert_streamed(request, request.stream, exports, engine, on_percent, dry_run)
        check_target(request.target, request.overwrite or dry_run, request.parts)
        copies = request.link_mode is LinkMode.COPY and request.exported
        assert isinstance(request.target, Path)
        space = check_space(exports.members, request.target, copies)
        if not dry_run:
            return _write(request, request.target, space, exports, engine, on_percent)
        contents, plan = unpack_exports(exports, None, None, engine, on_percent, partial(_plan, request, exports))
        selection, assignment = _decide(request, plan, exports, contents.hashes, engine)
        manifest = _record(request, exports, plan.labels, selection, assignment, contents)
        return Converted(manifest, None, space.needed(copies), dataset_in(request.target))


def _write(
    request: Request,
    target: Path,
    space: Space,
    exports: Exports,
    engine: Engine,
    on_percent: Callable[[], None],
) -> Converted:
    with DatasetPublisher(target, request.overwrite, request.parts) as publisher:
        tree = publisher.tree
        check_names(exports, tree)
        mode = usable_mode(request.link_mode, tree) if request.exported else None
        aliased = replace(request, aliases=request.aliases and write_aliases(tree))
        exported = tree / EXPORTED if request.exported else publisher.spare / EXPORTED
        planning = partial(_plan, request, exports)
        contents, plan = unpack_exports(exports, exported, publisher.spare, engine, on_percent, planning)
        selection, assignment = _decide(request, plan, exports, contents.hashes, engine)
        classes = dict.fromkeys(request.rules.sides, plan.labels)
        link = linker(mode) if mode else os.rename

        def record() -> Manifest:
            manifest = _record(aliased, exports, plan.labels, selection, assignment, contents)
            write_records(tree, manifest)
            return manifest

        manifest, _ = write_sides(tree, exported, selection.images, assignment.sides, classes, link, record)
        replaced = dataset_in(target)
        publisher.publish()
    return Converted(manifest, mode, space.needed(mode is LinkMode.COPY), replaced)


def _read(request: Request, engine: Engine) -> Exports:
    replaced = {*SPECIFIED, *recorded_parts(request.target / MANIFEST), TEST} - {MANIFEST}
    for path in request.base_files:
        inside = [name for name in replaced if f"{path}/".startswith(f"{request.target}/{name}/")]
        if inside:
            raise UsageError(f"{path} lies in the dataset that would be replaced: move it out of {inside[0]}")
    return read_exports(request.base_files, request.keep_junk, engine)


def _convert_streamed(
    request: Request,
    stream: "StreamRequest",
    exports: Exports,
    engine: Engine,
    on_percent: Callable[[], None],
    dry_run: bool,
) -> Converted:
    """Convert in two passes: one to know what there is, one to write file after file."""
    from toolkit.dataset.streamed import Stream, halves, write_stream

    if stream.shard_size is not None and request.layout is not Layout.FLAT:
        raise UsageError("--layout nested is for folders: shards have none")
    stream.check(request.parts, dry_run)
    if isinstance(request.target, Path):
        check_space(exports.members, request.target, copies=False)
    on_read, on_written = (on_percent, on_percent) if dry_run else halves(on_percent)
    contents, plan = unpack_exports(exports, None, None, engine, on_read, partial(_plan, request, exports))
    selection, assignment = _decide(request, plan, exports, contents.hashes, engine)
    in_folders = _record(request, exports, plan.labels, selection, assignment, contents)
    facts: Iterator[dict[str, object]] = (
        {"path": image.frame, "class": image.class_name, "class_id": plan.labels[image.class_name]}
        for image in selection.images
    )
    what = Stream(exports, contents, array("Q", (image.member for image in selection.images)), facts)
    manifest, size, replaced = write_stream(stream, in_folders, what, on_written, dry_run)
    return Converted(manifest, None, size, replaced)


def _convert_boxes(
    request: Request, exports: Exports, engine: Engine, on_percent: Callable[[], None], dry_run: bool
) -> Converted:
    """Convert detection exports; what has a say for tags alone is refused."""
    from toolkit.dataset.detection_convert import convert_boxes
    from toolkit.dataset.detection_plan import BoxRequest
    from toolkit.dataset.detection_read import dropped_shapes

    for option, is_given in (
        ("--multi-label", request.rules.multi_label is not MultiLabel.KEEP),
        ("--layout nested", request.layout is not Layout.FLAT),
        ("--keep-junk", request.keep_junk),
    ):
        if is_given:
            read_boxes(exports, engine)  # what is wrong with them is told first
            first = exports.each[0]
            raise UsageError(
                f"{option} is for tags, but {first.archive.path} is an export of boxes ({first.kind.name})"
            )
    boxes = BoxRequest(
        request.target, request.rules, request.unlabelled, request.labels_file, request.overwrite, request.stream
    )
    find_near = _near_finder(exports, engine)
    manifest, size, replaced = convert_boxes(boxes, exports, engine, find_near, on_percent, dry_run)
    path = exports.each[0].archive.path
    dropped = dropped_shapes(path) if len(exports.each) == 1 and isinstance(path, Path) else None
    return Converted(manifest, None, size, replaced, dropped)


def _near_finder(
    exports: Exports, engine: Engine
) -> Callable[[Sequence[Image], Sequence[Cluster]], tuple[list[Cluster], bool]]:
    return lambda images, clusters: find_near_duplicates(exports, images, clusters, engine)


@dataclass(frozen=True)
class _Plan:
    """What is known before the first image is read."""

    selection: Selection
    labels: dict[str, int]
    assignment: Assignment | None


def _plan(request: Request, exports: Exports) -> _Plan:
    selection = select(exports, request.choice)
    if request.rules.method is SplitMethod.SUBSETS:
        raise UsageError("--split-method subsets is for exports of boxes; an export of tags names no subsets")
    if request.unlabelled is Unlabelled.COMPLETED:
        raise UsageError("--unlabelled completed is for exports of boxes; images without a tag are no background")
    if request.labels_file is None:
        numbers = labels.number(selection.classes)
    else:
        numbers = labels.read_pinned(request.labels_file)
        labels.check_covers(numbers, selection.classes, request.labels_file)
    if not selection.images:
        raise ToolkitError(f"{exports.title} holds no image in a class folder: tag images in CVAT, then export again")
    return _Plan(selection, numbers, early_assignment(request.rules, selection))


def _decide(
    request: Request, plan: _Plan, exports: Exports, hashes: Sequence[bytes], engine: Engine
) -> tuple[Selection, Assignment]:
    """Decide the sides, now that the content is known."""
    selection = drop_multi_label(request.rules, plan.selection, hashes)
    unchanged = plan.assignment if selection is plan.selection else None
    assignment = assign(request.rules, selection, hashes, unchanged, _near_finder(exports, engine))
    check_sides(request.rules, assignment)
    return selection, assignment


def _record(
    request: Request,
    exports: Exports,
    numbers: Mapping[str, int],
    selection: Selection,
    assignment: Assignment,
    contents: Contents,
) -> Manifest:
    manifest = record_dataset(
        exports,
        selection,
        assignment,
        contents.hashes,
        parts=request.parts,
        numbers=numbers,
        options=request.options(),
    )
    return manifest._replace(warnings=find_warnings(manifest, selection, assignment, exports, contents))
