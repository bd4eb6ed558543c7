"""From detection exports to a dataset: images/, labels/, annotations/, data.yaml, labels.json and manifest.json.

Splitting, groups, duplicates, unpacking and publishing are those of :mod:`toolkit.dataset.convert`; only the labels are
of another kind.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache, partial
from itertools import chain
from pathlib import Path

from toolkit import __version__
from toolkit.core.files import make_folders
from toolkit.core.workers import Engine
from toolkit.dataset import labels
from toolkit.dataset.assignment import assign, check_sides
from toolkit.dataset.detection_manifest import (
    DetectionImage,
    DetectionManifest,
    coco,
    data_yaml,
    label_lines,
    lines,
    sample_facts,
)
from toolkit.dataset.detection_plan import BoxRequest, Completed, Plan, make_plan, selection_of, without_unreadable
from toolkit.dataset.detection_read import Frame
from toolkit.dataset.detection_summary import find_box_warnings
from toolkit.dataset.duplicates import Cluster
from toolkit.dataset.exports import Exports, read_boxes, read_completed, unpack_exports
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
)
from toolkit.dataset.manifest import DuplicateRecord, FileRecord, LeftOutRecord, sources_of
from toolkit.dataset.publish import DatasetPublisher, check_target, dataset_in
from toolkit.dataset.selection import Image, Unlabelled
from toolkit.dataset.sides import check_names, check_space, write_sides
from toolkit.dataset.split import SplitMethod
from toolkit.dataset.streamed import Stream, halves, write_stream
from toolkit.dataset.unpack import Contents

FindNear = Callable[[Sequence[Image], Sequence[Cluster]], tuple[list[Cluster], bool]]


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
    planning = partial(make_plan, request, exports, completed, read)
    size = 0
    if isinstance(request.target, Path):
        size = check_space(exports.members, request.target, copies=False).needed(copies=False)
    if request.stream:
        on_read, on_written = (on_percent, on_percent) if dry_run else halves(on_percent)
        contents, plan = unpack_exports(exports, None, None, engine, on_read, planning)
        plan = without_unreadable(request, plan, exports, contents)
        files: list[tuple[str, bytes]] = []
        dataset = _Dataset(request, exports, plan, contents, find_near)
        in_folders = dataset.manifest(dataset.label_files(lambda path, content: files.append((path, content))))
        facts = [sample_facts(frame, plan.numbers) for frame in plan.export.frames] if request.has_shards else ()
        what = Stream(exports, contents, [image.member for image in plan.images], facts, files)
        return write_stream(request.stream, in_folders, what, on_written, dry_run)
    assert isinstance(request.target, Path)
    if dry_run:
        contents, plan = unpack_exports(exports, None, None, engine, on_percent, planning)
        plan = without_unreadable(request, plan, exports, contents)
        dataset = _Dataset(request, exports, plan, contents, find_near)
        return dataset.manifest(dataset.label_files(lambda _path, _content: None)), size, dataset_in(request.target)
    with DatasetPublisher(request.target, request.overwrite, DETECTION_PARTS) as publisher:
        tree, unpacked = publisher.tree, publisher.spare / EXPORTED
        check_names(exports, tree)
        contents, plan = unpack_exports(exports, unpacked, publisher.spare, engine, on_percent, planning)
        plan = without_unreadable(request, plan, exports, contents)
        dataset = _Dataset(request, exports, plan, contents, find_near)
        manifest = dataset.written(unpacked, tree)
        (tree / LABELS).write_text(labels.as_json(plan.numbers), encoding="utf-8")
        with (tree / MANIFEST).open("w", encoding="utf-8") as stream:
            stream.writelines(lines(manifest))
        replaced = dataset_in(request.target)
        publisher.publish()
    return manifest, size, replaced


class _Dataset:
    """A dataset whose content is known."""

    def __init__(
        self, request: BoxRequest, exports: Exports, plan: Plan, contents: Contents, find_near: FindNear
    ) -> None:
        self._request = request
        self._exports = exports
        self._plan = plan
        self._contents = contents
        assignment = assign(request.rules, selection_of(plan.images), contents.hashes, plan.early, find_near)
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
        making = partial(self.manifest, ())
        manifest, records = write_sides(
            tree / IMAGES, unpacked, self._plan.images, self._sides, sides, os.rename, making, parts
        )
        return manifest._replace(files=list(chain.from_iterable(records)))

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
