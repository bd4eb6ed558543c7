"""A detection dataset: the zip of an export, or the folder of a converted one, with its images and their boxes."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from toolkit.core.errors import ToolkitError, UsageError
from toolkit.core.formats import TaskType
from toolkit.report.annotations import Annotations
from toolkit.report.formats import FORMATS
from toolkit.report.members import FolderMembers, LabelProblem, Members, ZipMembers, is_image
from toolkit.report.model import Dataset, Finding


@contextmanager
def open_export(path: Path) -> Iterator[Dataset]:
    """Read a detection export.

    Args:
        path: The zip, as CVAT made it.

    Yields:
        The dataset; its images can be opened until the end of the block.

    Raises:
        UsageError: The zip holds none of the known layouts.
        ToolkitError: It is no zip or a zip bomb, or nothing of its labels can be read.
    """
    try:
        archive = zipfile.ZipFile(path)
    except OSError:
        raise
    except Exception as error:  # whatever its directory says
        raise ToolkitError(f"{path} is not a complete zip ({error}): export it again") from None
    with archive:
        dataset = _read(path, ZipMembers(path, archive))
        dataset.provenance.insert(2, ("Size of the zip", f"{path.stat().st_size:,} bytes"))
        yield dataset


def read_detection_folder(folder: Path) -> Dataset:
    """Read the folder of a converted detection dataset, or of an unpacked export.

    Raises:
        UsageError: It holds none of the known layouts.
        ToolkitError: Nothing of its labels can be read.
    """
    return _read(folder, FolderMembers(folder))


def _read(path: Path, members: Members) -> Dataset:
    format_name = _format_of(path, members)
    found = Annotations(members)
    try:
        FORMATS[format_name][1](found)
    except LabelProblem as limit:
        found.unreadable.append(str(limit))
    images = found.finish()
    if found.unreadable and not images:
        raise ToolkitError(f"{path}: {found.unreadable[0]}; export it again")
    return Dataset(
        kind=TaskType.DETECTION,
        format_name=format_name,
        source=path,
        sides=sorted({image.side for image in images}, key=_in_order_of_use),
        classes=list(found.classes),
        images=images,
        open_image=members.open,
        findings=list(_findings(found, members)),
        provenance=[("Source", path.name), ("Format", format_name), *found.provenance.items()],
    )


def _in_order_of_use(side: str) -> tuple[int, str]:
    order = ("train", "val", "test")
    return (order.index(side) if side in order else len(order)), side


def _findings(found: Annotations, members: Members) -> Iterator[Finding]:
    images = found.images.values()
    if found.unreadable:
        yield Finding.of(
            "unreadable_labels", found.unreadable, "file of labels is damaged", "files of labels are damaged"
        )
    if found.problems:
        one, many = "entry of the labels is wrong", "entries of the labels are wrong"
        yield Finding.of("bad_label", found.problems, one, many)
    if missing := sorted(image.name for image in images if image.location is None):
        yield Finding.of("missing_image", missing, "image is not in the zip", "images are not in the zip")
    known = {image.location for image in images}
    if unlisted := sorted(name for name in members.names if is_image(name) and name not in known):
        nowhere = "in none of the label files and not counted"
        yield Finding.of("unlisted_image", unlisted, f"image is {nowhere}", f"images are {nowhere}")
    if found.other_shapes:
        what = "label is no box" if found.other_shapes == 1 else "labels are no boxes"
        message = f"{found.other_shapes:,} {what} (polygons, masks, tags …) and not counted"
        yield Finding("other_shapes", message, [])
    if members.junk:
        left = "of a file manager or notebook left out"
        yield Finding.of("junk", members.junk, f"file {left}", f"files {left}")


def _format_of(path: Path, members: Members) -> str:
    is_classification = "synsets.txt" in members or _looks_like_imagenet(members)
    for _ in range(2):
        if format_name := next((name for name, (is_known, _) in FORMATS.items() if is_known(members)), None):
            return format_name
        if not members.look_through_wrapper():
            break
    if is_classification:
        raise UsageError(f"{path} looks like a classification export: convert it, then report on the dataset's folder")
    raise UsageError(f"{path} is none of the exports that a report can read: {', '.join(FORMATS)}")


def _looks_like_imagenet(members: Members) -> bool:
    return bool(members.names) and all("/" in name and is_image(name) for name in members.names)
