"""From detection exports to a dataset: images/, labels/, annotations/, data.yaml, labels.json and manifest.json.

Splitting, groups, duplicates, unpacking and publishing are those of :mod:`toolkit.dataset.convert`; only the labels are
of another kind.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from toolkit import __version__
from toolkit.core.errors import ProblemsFound, ToolkitError, UsageError
from toolkit.core.files import make_folders
from toolkit.core.safe_names import fold, is_junk
from toolkit.core.storage import Place
from toolkit.core.workers import Engine
from toolkit.dataset import labels, split
from toolkit.dataset.assignment import Assignment, Rules, assign, check_sides, early_assignment
from toolkit.dataset.detection_labels import Finding
from toolkit.dataset.detection_manifest import (
    DetectionImage,
    DetectionManifest,
    coco,
    data_yaml,
    flat_names,
    label_lines,
    lines,
    sample_facts,
)
from toolkit.dataset.detection_read import DetectionExport, Frame, merged
from toolkit.dataset.detection_summary import NO_BOX, NO_LABEL, NOT_COMPLETED, UNNAMED, find_box_warnings
from toolkit.dataset.duplicates import Cluster, OnLeak
from toolkit.dataset.exports import (
    Exports,
    Reviewed,
    in_several,
    list_beside,
    read_boxes,
    read_completed,
    unpack_exports,
)
from toolkit.dataset.layout import (
    ALL_SIDES,
    ANNOTATIONS,
    BOXES,
    DATA_YAML,
    DETECTION_PARTS,
    DETECTION_SIDES,
    EXPORTED,
    IMAGES,
    LABELS,
    MANIFEST,
    SIDE_OF_SUBSET,
    TEST,
    TRAINING,
    VALIDATION,
)
from toolkit.dataset.manifest import DuplicateRecord, FileRecord, LeftOutRecord, sources_of
from toolkit.dataset.publish import DatasetPublisher, check_target, dataset_in
from toolkit.dataset.selection import Image, Reason, Selection, Unlabelled
from toolkit.dataset.sides import check_names, check_space, write_sides
from toolkit.dataset.split import SplitMethod
from toolkit.dataset.streamed import Stream, StreamRequest, halves, write_stream
from toolkit.dataset.unpack import Contents

_SHOWN = 100

FindNear = Callable[[Sequence[Image], Sequence[Cluster]], tuple[list[Cluster], bool]]


Completed = Mapping[str, Reviewed | None]
"""What is known of the frames by an export's folder; None where nothing is."""


@dataclass(frozen=True)
class BoxRequest:
    """What is to be converted, and how; see :class:`toolkit.dataset.convert.Request`."""

    target: Place
    rules: Rules
    unlabelled: Unlabelled | None = None
    labels_file: Path | None = None
    overwrite: bool = False
    stream: StreamRequest | None = None

    @property
    def has_shards(self) -> bool:
        """Whether it is shards that are made."""
        return self.stream is not None and self.stream.shard_size is not None


class _Plan(NamedTuple):
    """What is known before the first image is read; all lists are by image of the dataset.

    The export is without the images that are left out, which are given by index of the member, with the reason. The
    images are as the split knows them; their places are their names in the dataset. ``numbers`` are ids by class,
    ``early`` their sides, if they are known already.
    """

    export: DetectionExport
    images: list[Image]
    numbers: dict[str, int]
    left_out: dict[int, str]
    early: Assignment | None


def convert_boxes(
    request: BoxRequest,
    exports: Exports,
    engine: Engine,
    find_near: FindNear,
    on_percent: Callable[[], None],
    dry_run: bool,
) -> tuple[DetectionManifest, int, list[str]]:
    """Make a dataset of detection exports, or only say what it would be.

    Returns the record, the bytes that it takes on the disk, and the names of what it replaces. Near-duplicates are
    looked for if the rules ask for them; ``on_percent`` is called for every hundredth of the unpacking. It raises what
    :func:`toolkit.dataset.convert.convert` does.
    """
    if request.stream:
        request.stream.check(DETECTION_PARTS, dry_run)
    else:
        check_target(request.target, request.overwrite or dry_run, DETECTION_PARTS)
    completed: Completed = {export.folder: read_completed(export.archive) for export in exports.each}
    if request.unlabelled is None:
        is_listed = None not in completed.values()
        request = replace(request, unlabelled=Unlabelled.COMPLETED if is_listed else Unlabelled.DROP)
    read = cache(partial(read_boxes, exports, engine))
    if len(exports.each) > 1 or engine.parallel == 1:
        read()  # the processes, or machines, that unpack are needed for that first
    planning = partial(_plan, request, exports, completed, read)
    size = 0
    if isinstance(request.target, Path):
        size = check_space(exports.members, request.target, copies=False).needed(copies=False)
    if request.stream:
        on_read, on_written = (on_percent, on_percent) if dry_run else halves(on_percent)
        contents, plan = unpack_exports(exports, None, None, engine, on_read, planning)
        plan = _without_unreadable(request, plan, exports, contents)
        files: list[tuple[str, bytes]] = []
        dataset = _Dataset(request, exports, plan, contents, find_near)
        in_folders = dataset.manifest(dataset.label_files(lambda path, content: files.append((path, content))))
        facts = [sample_facts(frame, plan.numbers) for frame in plan.export.frames] if request.has_shards else ()
        what = Stream(exports, contents, [image.member for image in plan.images], facts, files)
        return write_stream(request.stream, in_folders, what, on_written, dry_run)
    assert isinstance(request.target, Path)
    if dry_run:
        contents, plan = unpack_exports(exports, None, None, engine, on_percent, planning)
        plan = _without_unreadable(request, plan, exports, contents)
        dataset = _Dataset(request, exports, plan, contents, find_near)
        return dataset.manifest(dataset.label_files(lambda _path, _content: None)), size, dataset_in(request.target)
    with DatasetPublisher(request.target, request.overwrite, DETECTION_PARTS) as publisher:
        tree, unpacked = publisher.tree, publisher.spare / EXPORTED
        check_names(exports, tree)
        contents, plan = unpack_exports(exports, unpacked, publisher.spare, engine, on_percent, planning)
        plan = _without_unreadable(request, plan, exports, contents)
        dataset = _Dataset(request, exports, plan, contents, find_near)
        manifest = dataset.written(unpacked, tree)
        (tree / LABELS).write_text(labels.as_json(plan.numbers), encoding="utf-8")
        with (tree / MANIFEST).open("w", encoding="utf-8") as stream:
            stream.writelines(lines(manifest))
        replaced = dataset_in(request.target)
        publisher.publish()
    return manifest, size, replaced


def _plan(
    request: BoxRequest, exports: Exports, completed: Completed, read: Callable[[], Sequence[DetectionExport]]
) -> _Plan:
    if request.rules.method is SplitMethod.SUBSETS and request.rules.on_leak is OnLeak.FIX:
        raise UsageError("--on-leak fix would move images out of their subsets: use another --split-method, or warn")
    if request.rules.method is SplitMethod.SUBSETS and request.rules.test_fraction:
        raise UsageError("--test-split draws images, but --split-method subsets takes CVAT's own: name one of them")
    export = merged([(start, one) for (start, _), one in zip(exports.numbered(), read(), strict=True)])
    left_out = {index: str(Reason.JUNK) if is_junk(exports.members[index].name) else UNNAMED for index in export.others}
    is_background = _background(request, exports, completed)
    is_labelled = _labelled_in_cvat(exports, completed)
    without_label = NOT_COMPLETED if request.unlabelled is Unlabelled.COMPLETED else NO_LABEL
    frames = []
    for frame in export.frames:
        has_label = frame.is_labelled or is_labelled(frame)
        if frame.boxes or (not has_label and is_background(frame)):
            frames.append(frame)
        else:
            left_out[frame.member] = NO_BOX if has_label else without_label
    if request.unlabelled is Unlabelled.ERROR:
        unlabelled = [frame.name for frame in export.frames if left_out.get(frame.member) == NO_LABEL]
        _refuse_unlabelled(exports.title, unlabelled)
    _check_boxes(exports, frames)
    images = [
        Image(member.name, "", frame.name, name, member.size, frame.member)
        for frame, name in zip(frames, flat_names(_told_apart(frames, exports)), strict=True)
        if (member := exports.members[frame.member])
    ]
    return _Plan(
        export._replace(frames=frames),
        images,
        _numbers(request, export.classes, frames),
        left_out,
        _early(request.rules, frames, images),
    )


def _check_boxes(exports: Exports, frames: Sequence[Frame]) -> None:
    if not any(frame.boxes for frame in frames):
        raise ToolkitError(f"{exports.title} holds no box: draw some in CVAT, then export again")


def _without_unreadable(request: BoxRequest, plan: _Plan, exports: Exports, contents: Contents) -> _Plan:
    """Leave out what is no picture after all, as is done at once where a format tells no sizes."""
    kept = [index for index, image in enumerate(plan.images) if image.member not in contents.unreadable]
    if len(kept) == len(plan.images):
        return plan
    findings = {finding: list(names) for finding, names in plan.export.findings.items()}
    lost = [image.frame for image in plan.images if image.member in contents.unreadable]
    findings.setdefault(Finding.NO_SIZE, []).extend(lost)
    frames, images = [plan.export.frames[index] for index in kept], [plan.images[index] for index in kept]
    _check_boxes(exports, frames)
    export = plan.export._replace(frames=frames, findings=findings)
    return plan._replace(export=export, images=images, early=_early(request.rules, frames, images))


def _told_apart(frames: list[Frame], exports: Exports) -> list[Frame]:
    """Put the folder of its export before the name of each image that has its name in another export as well."""
    if len(exports.each) == 1:
        return frames
    export_of = exports.finder()
    folders = [export_of(frame.member).folder for frame in frames]
    named = list(frames)
    for index in in_several([fold(frame.name.rpartition(".")[0]) for frame in frames], folders):
        named[index] = frames[index]._replace(name=f"{folders[index]}/{frames[index].name}")
    return named


def _background(request: BoxRequest, exports: Exports, completed: Completed) -> Callable[[Frame], bool]:
    """Give a function that tells which images without a label are kept as background."""
    if request.unlabelled is not Unlabelled.COMPLETED:
        return lambda frame: request.unlabelled is Unlabelled.KEEP
    if missing := [export.archive.path for export in exports.each if completed[export.folder] is None]:
        raise UsageError(
            f"--unlabelled completed needs {list_beside(missing[0]).name} beside {missing[0]}, of this very export: "
            "make export writes it"
        )
    find = exports.finder()
    return lambda frame: (known := completed[find(frame.member).folder]) is not None and frame.name in known.completed


def _labelled_in_cvat(exports: Exports, completed: Completed) -> Callable[[Frame], bool]:
    """Give a function that tells which images have a label in CVAT, be it one that the format drops."""
    find = exports.finder()
    return lambda frame: (known := completed[find(frame.member).folder]) is not None and frame.name in known.labelled


def _refuse_unlabelled(title: str, names: list[str]) -> None:
    if names:
        raise ProblemsFound(
            f"{title} holds {len(names)} images without a label: label them in CVAT and export again, "
            "or use --unlabelled drop, or keep or completed for background",
            [*names[:_SHOWN], *(["…"] if len(names) > _SHOWN else [])],
        )


def _numbers(request: BoxRequest, classes: Sequence[str], frames: Sequence[Frame]) -> dict[str, int]:
    if request.labels_file is None:
        return labels.number(classes)
    numbers = labels.read_pinned(request.labels_file)
    used = {box.label for frame in frames for box in frame.boxes}
    labels.check_covers(numbers, [name for name in classes if name in used], request.labels_file)
    return numbers


def _early(rules: Rules, frames: Sequence[Frame], images: list[Image]) -> Assignment | None:
    """Split before the content is known, if the method can."""
    if rules.method is SplitMethod.SUBSETS:
        return Assignment(_sides_of_subsets(frames), [])
    if rules.method is SplitMethod.STRATIFIED:
        assignment = Assignment(_stratified(rules, frames, images), [])
        check_sides(rules, assignment)
        return assignment
    return early_assignment(rules, _selection(images))


def _selection(images: list[Image]) -> Selection:
    return Selection([""], images, {})


def _sides_of_subsets(frames: Sequence[Frame]) -> list[str]:
    subsets = Counter(frame.subset for frame in frames)
    unknown = sorted(subset for subset in subsets if subset.casefold() not in SIDE_OF_SUBSET)
    if unknown:
        raise ToolkitError(
            "--split-method subsets needs subsets named train, val (or validation) and test, but the export has "
            f"{', '.join(unknown)}: set them in the tasks' details in CVAT, or take another method"
        )
    sides = [SIDE_OF_SUBSET[frame.subset.casefold()] for frame in frames]
    if missing := [DETECTION_SIDES[side] for side in (TRAINING, VALIDATION) if side not in sides]:
        raise ToolkitError(
            f"no image with a label is in a subset {missing[0]} (the export has {', '.join(sorted(subsets))}): "
            "set the tasks' subsets in CVAT, or take another --split-method"
        )
    return sides


def _stratified(rules: Rules, frames: Sequence[Frame], images: Sequence[Image]) -> list[str]:
    """Split so that each class keeps the share of its boxes; the background counts as a class, with a box an image."""
    keys = rules.group_by.keys(images) if rules.group_by else None
    units = [[index] for index in range(len(images))] if keys is None else split.units(keys)
    contents = [
        Counter(label for index in unit for label in [box.label for box in frames[index].boxes] or [""])
        for unit in units
    ]
    sides = [TRAINING] * len(images)
    taken: set[int] = set()
    for side, fraction in ((VALIDATION, rules.validation_fraction), (TEST, rules.test_fraction)):
        if fraction:
            chosen = split.stratified_boxes(contents, fraction, rules.seed, taken)
            taken |= chosen
            for number in chosen:
                for index in units[number]:
                    sides[index] = side
    return sides


class _Dataset:
    """A dataset whose content is known."""

    def __init__(
        self, request: BoxRequest, exports: Exports, plan: _Plan, contents: Contents, find_near: FindNear
    ) -> None:
        self._request = request
        self._exports = exports
        self._plan = plan
        self._contents = contents
        assignment = assign(request.rules, _selection(plan.images), contents.hashes, plan.early, find_near)
        if request.rules.method is not SplitMethod.SUBSETS:
            check_sides(request.rules, assignment)
        self._assignment = assignment
        names = dict(zip(ALL_SIDES, ALL_SIDES, strict=True)) if request.has_shards else DETECTION_SIDES
        self._sides = [names[side] for side in assignment.sides]
        self._used_sides = [side for side in names.values() if side in self._sides]

    def written(self, unpacked: Path, tree: Path) -> DetectionManifest:
        """Give the images of the unpacked export their places, and write all that is made from the labels."""
        make_folders(tree, (IMAGES, BOXES, ANNOTATIONS))
        make_folders(tree / BOXES, self._used_sides)

        def write(path: str, content: bytes) -> None:
            with (tree / path).open("xb", buffering=0) as file:
                file.write(content)

        parts = [partial(_recorded, part, write) for part in self._parts()]
        sides: dict[str, tuple[str, ...]] = dict.fromkeys(self._used_sides, ())
        made: list[DetectionManifest] = []
        records = write_sides(
            tree / IMAGES,
            unpacked,
            self._plan.images,
            self._sides,
            sides,
            os.rename,
            parts,
            lambda: made.append(self.manifest([])),
        )
        return made[0]._replace(files=list(chain.from_iterable(records)))

    def label_files(self, take: Callable[[str, bytes], object]) -> list[FileRecord]:
        """Make all that is made from the labels; ``take`` gets path and content of each file."""
        return [record for part in self._parts() for record in _recorded(part, take)]

    def manifest(self, files: Sequence[FileRecord]) -> DetectionManifest:
        """Put together what the dataset is, with the files that are made from the labels."""
        plan, exports = self._plan, self._exports
        export_of = exports.finder()
        frames = plan.export.frames
        rules = {name: value for name, value in self._request.rules.options().items() if name != "multi_label"}
        labels_file = self._request.labels_file
        manifest = DetectionManifest(
            tool=__version__,
            sources=sources_of(exports),
            format_name=plan.export.format_name,
            options={
                **rules,
                "unlabelled": self._request.unlabelled,
                "labels": labels_file.name if labels_file else None,
                **(self._request.stream.options() if self._request.stream and self._request.has_shards else {}),
            },
            labels=plan.numbers,
            warnings=[],
            findings={str(finding): len(names) for finding, names in sorted(plan.export.findings.items())},
            duplicates=[
                DuplicateRecord(
                    str(cluster.kind),
                    sorted({self._sides[index] for index in cluster.images}),
                    [f"{IMAGES}/{self._sides[index]}/{plan.images[index].place}" for index in cluster.images],
                )
                for cluster in self._assignment.clusters
            ],
            left_out=sorted(
                LeftOutRecord(
                    exports.members[index].name, reason, exports.members[index].size, self._contents.hashes[index].hex()
                )
                for index, reason in plan.left_out.items()
            ),
            files=files,
            images=[
                DetectionImage(
                    f"{IMAGES}/{side}/{image.place}",
                    side,
                    frame.name,
                    frame.subset,
                    *frame.size,
                    dict(sorted(Counter(box.label for box in frame.boxes).items())),
                    image.size,
                    self._contents.hashes[image.member].hex(),
                    export_of(image.member).folder,
                )
                for image, frame, side in zip(plan.images, frames, self._sides, strict=True)
            ],
        )
        found = find_box_warnings(manifest, plan.export, plan.images, self._assignment, self._contents)
        return manifest._replace(warnings=found)

    def _parts(self) -> list[Iterable[tuple[str, bytes]]]:
        """Give path and content of all that is made from the labels, in parts that can be made at the same time."""
        if self._request.has_shards:
            return []
        plan = self._plan
        names = labels.by_number(plan.numbers)
        of_side: dict[str, list[tuple[int, str, Frame]]] = {side: [] for side in self._used_sides}
        for index, (frame, side) in enumerate(zip(plan.export.frames, self._sides, strict=True)):
            of_side[side].append((index + 1, plan.images[index].place, frame))

        def annotations(side: str) -> Iterator[tuple[str, bytes]]:
            yield f"{ANNOTATIONS}/instances_{side}.json", coco(of_side[side], names, plan.numbers)

        def boxes(side: str) -> Iterator[tuple[str, bytes]]:
            for _, name, frame in of_side[side]:
                yield f"{BOXES}/{side}/{name.rpartition('.')[0]}.txt", label_lines(frame, plan.numbers)

        of_sides = [part for side in of_side for part in (annotations(side), boxes(side))]
        return [[(DATA_YAML, data_yaml(names, self._used_sides))], *of_sides]


def _recorded(files: Iterable[tuple[str, bytes]], take: Callable[[str, bytes], object]) -> list[FileRecord]:
    """Hand over some files, by path and content."""
    records = []
    for path, content in files:
        take(path, content)
        records.append(FileRecord(path, len(content), hashlib.sha256(content).hexdigest()))
    return records
