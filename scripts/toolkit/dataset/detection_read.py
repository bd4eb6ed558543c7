"""Detection exports of every format that is read: for the report as they are, for a dataset as frames."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from toolkit.core.errors import ToolkitError
from toolkit.core.safe_names import problem_with_name
from toolkit.dataset.archive import Archive, may_hold, open_archive
from toolkit.dataset.detection_json import read_coco, read_datumaro
from toolkit.dataset.detection_labels import TOLERANCE, Annotations, Box, Finding, LabelledImage, OtherFormat
from toolkit.dataset.detection_text import read_kitti, read_mot, read_open_images, read_widerface, read_yolo
from toolkit.dataset.detection_xml import read_cvat, read_labelme, read_voc
from toolkit.dataset.export_files import Kind, LabelFiles, LabelProblem, is_image, recognise

READERS: dict[str, Callable[[Annotations], None]] = {
    "COCO 1.0": read_coco,
    "YOLO 1.1": read_yolo,
    "Ultralytics YOLO Detection 1.0": read_yolo,
    "PASCAL VOC 1.1": read_voc,
    "CVAT for images 1.1": read_cvat,
    "Datumaro 1.0": read_datumaro,
    "KITTI 1.0": read_kitti,
    "LabelMe 3.0": read_labelme,
    "MOT 1.1": read_mot,
    "Open Images V6 1.0": read_open_images,
    "WiderFace 1.0": read_widerface,
}
"""By format as :func:`toolkit.dataset.export_files.recognise` calls it."""


def read_annotations(files: LabelFiles) -> Annotations:
    """Read the labels of a detection export, as far as they can be read.

    Raises OtherFormat where it is of another format than it looks like.
    """
    found = Annotations(files)
    try:
        READERS[files.kind.name](found)
        found.finish()
    except LabelProblem as limit:
        found.unreadable.append(str(limit))
    return found


class Frame(NamedTuple):
    """An image that a dataset can be made of, by its path and its subset in CVAT.

    Attributes:
        member: Its index among the archive's members.
        size: Width and height in pixels, as the boxes count them.
        boxes: Its boxes, inside the picture.
        is_labelled: Whether the export has any label of it, be it one that gave no box.
    """

    name: str
    subset: str
    member: int
    size: tuple[int, int]
    boxes: tuple[Box, ...]
    is_labelled: bool


class DetectionExport(NamedTuple):
    """What a detection export holds for a dataset.

    Attributes:
        format_name: As the server spells it.
        classes: Names in the export's order, those without a box included.
        frames: The images, by folder and name.
        findings: By kind, the image of each label that is meant, or the file where there is no image.
        others: Images in the zip that the labels do not name, as indices of members.
    """

    format_name: str
    classes: list[str]
    frames: list[Frame]
    findings: dict[Finding, list[str]]
    others: list[int]


def merged(exports: Sequence[tuple[int, DetectionExport]]) -> DetectionExport:
    """See several exports as one, each given with the index that its first member has among those of all."""
    if len(exports) == 1:
        return exports[0][1]
    findings: dict[Finding, list[str]] = {}
    for _, export in exports:
        for finding, names in export.findings.items():
            findings.setdefault(finding, []).extend(names)
    frames = [frame._replace(member=start + frame.member) for start, export in exports for frame in export.frames]
    return DetectionExport(
        ", ".join(sorted({export.format_name for _, export in exports})),
        list(dict.fromkeys(name for _, export in exports for name in export.classes)),
        sorted(frames, key=_order),
        findings,
        [start + index for start, export in exports for index in export.others],
    )


def _order(frame: Frame) -> tuple[str, str, str]:
    return *frame.name.rpartition("/")[::2], frame.subset


def read_export(archive: Archive, kind: Kind) -> DetectionExport:
    """Read the images and boxes of a detection export, which was recognised as one of :data:`READERS`.

    Raises ToolkitError where a file of labels as a whole cannot be read, or no image is in the zip.
    """
    root = archive.prefix + kind.root
    files = LabelFiles.of_archive(archive, kind._replace(root=root))
    try:
        found = read_annotations(files)
    except OtherFormat as error:
        raise ToolkitError(f"{archive.path} {error.message}") from None
    if found.unreadable:
        raise ToolkitError(f"{archive.path}: {found.unreadable[0]}: export it again")
    index = {member.name: number for number, member in enumerate(archive.members)}
    taken: set[str] = set()
    frames = []
    for image in found.images.values():
        if image.location is None:
            found.note(Finding.NO_BYTES, image)
        elif image.location in taken:
            found.note(Finding.REPEATED, image)
        else:
            taken.add(image.location)
            if (frame := _frame(found, image, index[root + image.location])) is not None:
                frames.append(frame)
    if not frames:
        if Finding.NO_BYTES in found.findings:
            raise ToolkitError(
                f"{archive.path} was exported without images: export it again with images "
                "(make export takes them along)"
            )
        raise ToolkitError(
            f"{archive.path} ({kind.name}) names no image where CVAT's exports do: export a project that has some"
        )
    frames.sort(key=_order)
    junk = filter(is_image, files.junk)
    others = sorted(index[name] for name in (*junk, *(root + name for name in found.unlisted())))
    return DetectionExport(kind.name, list(found.classes), frames, found.findings, others)


def _frame(found: Annotations, image: LabelledImage, member: int) -> Frame | None:
    assert image.location is not None
    name = image.location if problem_with_name(image.name) else image.name
    size = image.size or found.files.picture_size(image.location)
    if size is None:
        found.note(Finding.NO_SIZE, image)
        return None
    boxes = tuple(box for box in (_clipped(found, image, box, size) for box in image.boxes) if box is not None)
    return Frame(name, image.subset, member, size, boxes, image.is_labelled)


def _clipped(found: Annotations, image: LabelledImage, box: Box, size: tuple[int, int]) -> Box | None:
    label, left, top, right, bottom = box
    if label not in found.classes:
        found.note(Finding.UNKNOWN, image)
        return None
    if left >= 0 and top >= 0 and right <= size[0] and bottom <= size[1]:
        return box
    kept = Box(label, max(left, 0.0), max(top, 0.0), min(right, float(size[0])), min(bottom, float(size[1])))
    if kept.right <= kept.left or kept.bottom <= kept.top:
        found.note(Finding.OUTSIDE, image)
        return None
    if max(abs(was - now) for was, now in zip(box[1:], kept[1:], strict=True)) > TOLERANCE:
        found.note(Finding.CLIPPED, image)
    return kept


COMPLETE = "CVAT for images 1.1"
"""The format that tells all shapes there are."""
_OUTLINES = (Finding.POLYGON, Finding.ELLIPSE, Finding.MASK, Finding.SKELETON)
_BOXLESS = (Finding.POLYLINE, Finding.POINTS, Finding.CUBOID, Finding.TAG)
_MOST_BESIDE = 10


def dropped_shapes(path: Path) -> str | None:
    """Say in a line what the format of a converted zip has dropped, by a complete export of the same images beside it.

    None where there is nothing to tell.
    """
    others = [other for other in path.parent.glob("*.zip") if other.name != path.name and other.is_file()]
    others.sort(key=lambda other: other.stat().st_mtime, reverse=True)
    export: Annotations | None = None
    for other in filter(_may_be_complete, others[:_MOST_BESIDE]):
        complete = _open_annotations(other, (COMPLETE,))
        if complete is None:
            continue
        if export is None and (export := _open_annotations(path, set(READERS) - {COMPLETE})) is None:
            return None
        if {image.name for image in export.images.values()} == {image.name for image in complete.images.values()}:
            lost = _lost(export, complete)
            of_format = f"{export.files.kind.name} has dropped, as {other.name} beside it tells"
            return f"{of_format}: {', '.join(lost)}: convert that one to have them" if lost else None
    return None


def _may_be_complete(path: Path) -> bool:
    try:
        return may_hold(path, "annotations.xml")
    except OSError:
        return False


def _open_annotations(path: Path, formats: Collection[str]) -> Annotations | None:
    try:
        with open_archive(path) as archive:
            kind = recognise([member.name for member in archive.members])
            if kind.name not in formats:
                return None
            found = read_annotations(LabelFiles.of_archive(archive, kind))
            return None if found.unreadable else found
    except (ToolkitError, OSError):  # it is not what was asked for, and need not be whole
        return None


def _lost(export: Annotations, complete: Annotations) -> list[str]:
    def count(found: Annotations, finding: Finding) -> int:
        return len(found.findings.get(finding, ()))

    def fewer(findings: Iterable[Finding]) -> Iterator[str]:
        for finding in findings:
            if (number := count(complete, finding) - count(export, finding)) > 0:
                yield f"{number} {finding}"

    def boxes(found: Annotations) -> int:
        return sum(len(image.boxes) for image in found.images.values())

    lost = list(fewer(_BOXLESS))
    if boxes(complete) > boxes(export):  # else the one is told as the other
        lost = [*fewer(_OUTLINES), *lost] or [f"{boxes(complete) - boxes(export)} boxes"]
    turned = count(complete, Finding.ROTATED) - count(export, Finding.ROTATED)
    if turned > 0:
        lost.append(f"the rotation of {turned} boxes")
    return lost
