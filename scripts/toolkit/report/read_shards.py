"""A dataset of shards, read by its manifest: the images stay in the tar files, the boxes come out of the samples."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import IO

from toolkit.core.errors import ToolkitError
from toolkit.core.files import RangedFile
from toolkit.core.formats import TaskType
from toolkit.core.storage import Place
from toolkit.core.workers import map_in_threads
from toolkit.dataset.detection_labels import Box
from toolkit.dataset.detection_manifest import DetectionManifest
from toolkit.dataset.layout import MANIFEST
from toolkit.dataset.manifest import Manifest
from toolkit.dataset.shards import read_facts
from toolkit.dataset.verify import read_manifest
from toolkit.report.model import Dataset, DatasetImage

OpenPart = Callable[[str, int, int], IO[bytes]]
"""Opens a part of a file of the dataset: its name, where the part begins, and its bytes."""
_MOST_THREADS = 16


def read_shards(folder: Path) -> Dataset:
    """Read a dataset of shards.

    Raises:
        ToolkitError: Its manifest or a sample cannot be read.
    """

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
