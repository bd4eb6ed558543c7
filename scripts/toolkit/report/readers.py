"""What a report reads besides folders of classes: the zip or folder of a detection export, and datasets of shards."""

import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from toolkit.core.errors import ToolkitError, UsageError
from toolkit.core.files import RangedFile
from toolkit.core.formats import IMAGENET, TaskType
from toolkit.core.storage import Place
from toolkit.core.workers import map_in_threads
from toolkit.dataset.archive import open_archive
from toolkit.dataset.detection_labels import Annotations, Box, OtherFormat
from toolkit.dataset.detection_labels import Finding as Kind
from toolkit.dataset.detection_manifest import DetectionManifest
from toolkit.dataset.detection_read import READERS, read_annotations
from toolkit.dataset.export_files import LabelFiles, recognise
from toolkit.dataset.layout import MANIFEST
from toolkit.dataset.manifest import Manifest
from toolkit.dataset.shards import read_facts
from toolkit.dataset.verify import read_manifest
from toolkit.report.facts import Dataset, DatasetImage, Finding


@contextmanager
def open_export(path: Place) -> Iterator[Dataset]:
    """Read a detection export from its zip; the dataset's images can be opened until the end of the block.

    Raises:
        UsageError: The zip holds none of the known layouts.
        ToolkitError: It is no zip or a zip bomb, or nothing of its labels can be read.
    """
    with open_archive(path) as archive:
        kind = recognise([member.name for member in archive.members])
        dataset = _read(path, LabelFiles.of_archive(archive, kind))
        dataset.provenance.insert(2, ("Size of the zip", f"{archive.size:,} bytes"))
        yield dataset


def read_detection_folder(folder: Path) -> Dataset:
    """Read the folder of a converted detection dataset, or of an unpacked export.

    Raises UsageError where it holds none of the known layouts, ToolkitError where nothing of its labels can be read.
    """
    return _read(folder, LabelFiles.of_folder(folder))


def read_detection_files(source: Place, lengths: Mapping[str, int], open_file: Callable[[str], IO[bytes]]) -> Dataset:
    """Read the same of files that are found otherwise; see :func:`read_detection_folder`."""
    sizes = {name: (length, length) for name, length in lengths.items()}
    return _read(source, LabelFiles(sizes, recognise(list(sizes)), open_file))


def _read(path: Place, files: LabelFiles) -> Dataset:
    format_name = files.kind.name
    if format_name == IMAGENET:
        raise UsageError(f"{path} looks like a classification export: convert it, then report on the dataset's folder")
    readable = f"a report can read {', '.join(READERS)}"
    if format_name not in READERS:
        raise UsageError(f"{path} is {'an export in ' * files.kind.is_export}{format_name}; {readable}")
    try:
        found = read_annotations(files)
    except OtherFormat as error:
        raise UsageError(f"{path} {error}; {readable}") from None
    if found.unreadable and not found.images:
        raise ToolkitError(f"{path}: {found.unreadable[0]}; export it again")
    images = sorted(
        (
            DatasetImage(
                image.name,
                image.subset,
                None,
                image.location,
                files.length(image.location) if image.location else 0,
                tuple(image.boxes),
                image.size,
            )
            for image in found.images.values()
        ),
        key=lambda image: (image.side, image.name),
    )
    return Dataset(
        kind=TaskType.DETECTION,
        format_name=format_name,
        source=path,
        sides=sorted({image.side for image in images}, key=_in_order_of_use),
        classes=list(found.classes),
        images=images,
        open_image=files.open,
        findings=list(_findings(found)),
        provenance=[("Source", path.name), ("Format", format_name), *found.provenance.items()],
    )


def _in_order_of_use(side: str) -> tuple[int, str]:
    order = ("train", "val", "test")
    return (order.index(side) if side in order else len(order)), side


def _findings(found: Annotations) -> Iterator[Finding]:
    if found.unreadable:
        yield Finding.of(
            "unreadable_labels", found.unreadable, "file of labels is damaged", "files of labels are damaged"
        )
    if found.problems:
        one, many = "entry of the labels is wrong", "entries of the labels are wrong"
        yield Finding.of("bad_label", found.problems, one, many)
    named = ((image.name, box.label) for image in found.images.values() for box in image.boxes)
    if unknown := [f"{name}: {label}" for name, label in named if label not in found.classes]:
        nobody = "of a class that the labels do not list"
        yield Finding.of("unknown_class", unknown, f"box is {nobody}", f"boxes are {nobody}")
    if missing := sorted(image.name for image in found.images.values() if image.location is None):
        yield Finding.of("missing_image", missing, "image is not in the zip", "images are not in the zip")
    if unlisted := found.unlisted():
        nowhere = "in none of the label files and not counted"
        yield Finding.of("unlisted_image", unlisted, f"image is {nowhere}", f"images are {nowhere}")
    for kind, names in sorted(found.findings.items()):
        if kind not in (Kind.BROKEN, Kind.UNKNOWN, Kind.MALFORMED):  # told one by one above
            message = f"{kind}, {kind.fate}: {len(names):,}"
            yield Finding(kind.name.lower(), message, list(dict.fromkeys(names)))
    if junk := found.files.junk:
        left = "of a file manager or notebook left out"
        yield Finding.of("junk", junk, f"file {left}", f"files {left}")


OpenPart = Callable[[str, int, int], IO[bytes]]
"""Opens a part of a file of the dataset: its name, where the part begins, and its bytes."""
_MOST_THREADS = 16


def read_shards(folder: Path) -> Dataset:
    """Read a dataset of shards; raises ToolkitError where its manifest or a sample cannot be read."""

    def open_part(name: str, start: int, size: int) -> IO[bytes]:
        stream = (folder / name).open("rb", buffering=0)

        def read(offset: int, length: int) -> bytes:
            stream.seek(start + offset)
            return stream.read(length)

        return io.BufferedReader(RangedFile(read, size, stream.close))

    return dataset_of(read_manifest(folder / MANIFEST), folder, open_part)


def dataset_of(
    record: Manifest | DetectionManifest,
    source: Place,
    open_part: OpenPart,
    form: str = "WebDataset: shards of samples",
) -> Dataset:
    """Make a dataset of its record; boxes are read from the samples."""
    is_detection = isinstance(record, DetectionManifest)
    places = {image.path: (image.offset, image.size) for image in record.images}

    def open_image(location: str) -> IO[bytes]:
        offset, size = places[location]
        return open_part(location.partition("/")[0] if offset else location, offset, size)

    images = [
        DatasetImage(image.frame, image.side, getattr(image, "class_name", None), image.path, image.size)
        for image in record.images
    ]
    if isinstance(record, DetectionManifest):
        _add_boxes(record, images, open_part)
    return Dataset(
        kind=TaskType.DETECTION if is_detection else TaskType.CLASSIFICATION,
        format_name=form,
        source=source,
        sides=record.sides,
        classes=sorted(record.labels, key=record.labels.__getitem__),
        images=sorted(images, key=lambda image: (image.side, image.label or "", image.name)),
        open_image=open_image,
    )


def _add_boxes(record: DetectionManifest, images: list[DatasetImage], open_part: OpenPart) -> None:
    def add(number: int) -> None:
        image, known = images[number], record.images[number]
        shard = known.path.partition("/")[0]

        def read(start: int, size: int) -> bytes:
            with open_part(shard, start, size) as stream:
                return stream.read()

        try:
            facts = read_facts(read, known.offset, known.size)
            boxes = [(box["class"], *box["bbox"]) for box in facts["boxes"]]
            image.boxes = tuple(Box(label, x, y, x + width, y + height) for label, x, y, width, height in boxes)
        except FileNotFoundError:
            raise ToolkitError(f"{shard} is missing: make verify tells more") from None
        except (ValueError, KeyError, TypeError) as error:
            raise ToolkitError(f"{known.path} has no readable sample ({error}): make verify tells more") from None
        image.size = known.width, known.height

    map_in_threads(add, range(len(images)), _MOST_THREADS, are_waiting=True)
