"""A detection export: which of the known layouts it has, its images and their boxes."""

import re
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from toolkit.core.errors import ToolkitError, UsageError
from toolkit.core.formats import TaskType
from toolkit.report import read_export as formats
from toolkit.report.model import Dataset, Finding
from toolkit.report.read_export import LabelFiles, Labels, UnreadableLabels

_READERS: dict[str, tuple[re.Pattern[str], Callable[[LabelFiles], Labels]]] = {
    "COCO 1.0": (formats.COCO_FILE, formats.read_coco),
    "YOLO 1.1": (re.compile(r"obj\.names"), formats.read_yolo),
    "PASCAL VOC 1.1": (formats.VOC_LIST, formats.read_voc),
    "CVAT for images 1.1": (re.compile(r"annotations\.xml"), formats.read_cvat),
}
"""By format: a file that only an export of this format has, and the function that reads it."""


@contextmanager
def open_export(path: Path) -> Iterator[Dataset]:
    """Read a detection export.

    Args:
        path: The zip, as CVAT made it.

    Yields:
        The dataset; its images can be opened until the end of the block.

    Raises:
        UsageError: The zip holds none of the known layouts.
        ToolkitError: It is no zip, or its labels cannot be read.
    """
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError, ValueError, EOFError) as error:
        raise ToolkitError(f"{path} is not a complete zip ({error}): export it again") from None
    with archive, tempfile.TemporaryDirectory(prefix="cvat-report-") as folder:
        yield _read(path, archive, Path(folder))


def _read(path: Path, archive: zipfile.ZipFile, folder: Path) -> Dataset:
    files = LabelFiles(archive, folder)
    try:
        format_name = _format_of(path, files)
        labels = _READERS[format_name][1](files)
    except UnreadableLabels as error:
        raise ToolkitError(f"{path}: {error}; export it again") from None
    labels.images.sort(key=lambda image: (image.side, image.name))
    missing = [image.name for image in labels.images if image.location is None]
    findings = []
    if missing:
        findings.append(Finding.of("missing_image", missing, "image is not in the zip", "images are not in the zip"))
    if labels.other_shapes:
        message = f"{labels.other_shapes:,} labels are no boxes (polygons, masks, tags …) and not counted"
        findings.append(Finding("other_shapes", message, []))
    return Dataset(
        kind=TaskType.DETECTION,
        format_name=format_name,
        source=path,
        sides=sorted({image.side for image in labels.images}),
        classes=labels.classes,
        images=labels.images,
        open_image=archive.open,
        findings=findings,
        provenance=[
            ("Source", path.name),
            ("Format", format_name),
            ("Size of the zip", f"{path.stat().st_size:,} bytes"),
            *labels.provenance,
        ],
    )


def _format_of(path: Path, files: LabelFiles) -> str:
    found = [name for name, (pattern, _) in _READERS.items() if any(map(pattern.fullmatch, files.names))]
    if len(found) == 1 and not formats.is_video(files):
        return found[0]
    known = ", ".join(_READERS)
    if "synsets.txt" in files.names or _looks_like_imagenet(files.names):
        raise UsageError(f"{path} looks like a classification export: convert it, then report on the dataset's folder")
    raise UsageError(f"{path} is none of the exports that a report can read: {known}")


def _looks_like_imagenet(names: list[str]) -> bool:
    return bool(names) and all("/" in name and formats.is_image(name) for name in names)
