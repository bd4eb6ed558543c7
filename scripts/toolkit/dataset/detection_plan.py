"""What becomes of detection exports, as far as their labels tell: which images, under which names, on which sides."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from toolkit.core.errors import ProblemsFound, ToolkitError, UsageError
from toolkit.core.safe_names import fold, is_junk
from toolkit.core.storage import Place
from toolkit.dataset import labels, split
from toolkit.dataset.assignment import Assignment, Rules, check_sides, early_assignment
from toolkit.dataset.detection_labels import Finding
from toolkit.dataset.detection_manifest import flat_names
from toolkit.dataset.detection_read import DetectionExport, Frame, merged
from toolkit.dataset.detection_summary import NO_BOX, NO_LABEL, NOT_COMPLETED, UNNAMED
from toolkit.dataset.duplicates import OnLeak
from toolkit.dataset.exports import Exports, Reviewed, in_several, list_beside
from toolkit.dataset.layout import DETECTION_SIDES, SIDE_OF_SUBSET, TEST, TRAINING, VALIDATION
from toolkit.dataset.selection import Image, Reason, Selection, Unlabelled
from toolkit.dataset.split import SplitMethod
from toolkit.dataset.streamed import StreamRequest
from toolkit.dataset.unpack import Contents

_SHOWN = 100

Completed = Mapping[str, Reviewed | None]
"""What is known of the frames by an export's folder; None where nothing is."""
_NOTHING = Reviewed(frozenset(), frozenset())


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


class Plan(NamedTuple):
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


def make_plan(
    request: BoxRequest, exports: Exports, completed: Completed, read: Callable[[], Sequence[DetectionExport]]
) -> Plan:
    """Choose the images and their sides.

    ``read`` gives what each export holds. Raises ToolkitError where the exports hold no box or a split would be empty,
    UsageError where the request cannot be meant so, and ProblemsFound where it calls an image without a label an error.
    """
    if request.rules.method is SplitMethod.SUBSETS and request.rules.on_leak is OnLeak.FIX:
        raise UsageError("--on-leak fix would move images out of their subsets: use another --split-method, or warn")
    if request.rules.method is SplitMethod.SUBSETS and request.rules.test_fraction:
        raise UsageError("--test-split draws images, but --split-method subsets takes CVAT's own: name one of them")
    export = merged([(start, one) for (start, _), one in zip(exports.numbered(), read(), strict=True)])
    left_out = {index: str(Reason.JUNK) if is_junk(exports.members[index].name) else UNNAMED for index in export.others}
    export_of = exports.finder()
    is_background = _background(request, exports, completed)
    without_label = NOT_COMPLETED if request.unlabelled is Unlabelled.COMPLETED else NO_LABEL
    frames = []
    for frame in export.frames:
        known = completed[export_of(frame.member).folder] or _NOTHING
        has_label = frame.is_labelled or frame.name in known.labelled
        if frame.boxes or (not has_label and is_background(frame.name, known)):
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
    return Plan(
        export._replace(frames=frames),
        images,
        _numbers(request, export.classes, frames),
        left_out,
        _early(request.rules, frames, images),
    )


def _check_boxes(exports: Exports, frames: Sequence[Frame]) -> None:
    if not any(frame.boxes for frame in frames):
        raise ToolkitError(f"{exports.title} holds no box: draw some in CVAT, then export again")


def without_unreadable(request: BoxRequest, plan: Plan, exports: Exports, contents: Contents) -> Plan:
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


def _background(request: BoxRequest, exports: Exports, completed: Completed) -> Callable[[str, Reviewed], bool]:
    """Give a function that tells which images without a label are kept as background."""
    if request.unlabelled is not Unlabelled.COMPLETED:
        return lambda _name, _known: request.unlabelled is Unlabelled.KEEP
    if missing := [export.archive.path for export in exports.each if completed[export.folder] is None]:
        raise UsageError(
            f"--unlabelled completed needs {list_beside(missing[0]).name} beside {missing[0]}, of this very export: "
            "make export writes it"
        )
    return lambda name, known: name in known.completed


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
    return early_assignment(rules, selection_of(images))


def selection_of(images: list[Image]) -> Selection:
    """See the images as the splits of tags do; they have no class there."""
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
