"""Contact sheets in a notebook: thumbnails of the images of a dataset, class by class."""

import dataclasses
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, cast

from toolkit.core.formats import IMAGE_EXTENSIONS, TaskType
from toolkit.notebook.display import Output, progress
from toolkit.report.facts import Dataset, DatasetImage
from toolkit.report.sheet import TileMaker, count_thumbnails, make_sheet
from toolkit.transfer.images import Image

MOST_SECTIONS = 12
"""Classes or folders of which images are shown; a notebook is a file, which should stay small."""
_NO_FOLDER = "(in no folder)"


def of_folder(images: Sequence[Image]) -> Dataset:
    """See images that are to be imported as a dataset, with their first folders as its classes.

    Args:
        images: The images.

    Returns:
        The dataset.
    """
    found = [
        DatasetImage(image.name, "", image.folder or _NO_FOLDER, str(image.path), image.size, (), None)
        for image in images
    ]
    return _dataset(found, lambda location: Path(location).open("rb"))


def of_zip(archive: zipfile.ZipFile, by_folder: bool) -> Dataset:
    """See the images of a zip as a dataset.

    Args:
        archive: The opened zip.
        by_folder: Whether the first folders are the classes, as in an "ImageNet 1.0" export; else there is one class.

    Returns:
        The dataset.
    """
    found = []
    for member in archive.infolist():
        if not member.filename.lower().endswith(IMAGE_EXTENSIONS):
            continue
        first, slash, rest = member.filename.partition("/")
        label, name = (first, rest) if slash and by_folder else ("images", member.filename)
        found.append(DatasetImage(name, "", label, member.filename, member.file_size))
    return _dataset(found, lambda location: cast(BinaryIO, archive.open(location)))


def _dataset(images: list[DatasetImage], open_image: Callable[[str], BinaryIO]) -> Dataset:
    return Dataset(
        kind=TaskType.CLASSIFICATION,
        format_name="",
        source=Path(),
        sides=[""],
        classes=sorted({str(image.label) for image in images}),
        images=images,
        open_image=open_image,
    )


def show_sheet(dataset: Dataset, caption: str, per_class: int = 8) -> None:
    """Show thumbnails of a dataset, with boxes if it has them.

    Args:
        dataset: The dataset.
        caption: What one sees, in words.
        per_class: Images of each class at most; they are spread evenly over all it has.
    """
    classes = [name for name in dataset.classes if name in _seen(dataset)]
    shown = dataclasses.replace(dataset, images=_of_classes(dataset, classes[:MOST_SECTIONS]))
    output = Output()
    with progress("drawing thumbnails", count_thumbnails(shown, per_class), output) as advance:
        sections = [section for section in make_sheet(shown, per_class, TileMaker(shown, advance)) if section.total]
    output.show(
        "sheet",
        f"{caption}\n" + "\n".join(f"{section.words}: {section.total} images" for section in sections),
        sections=sections,
        caption=caption,
        classes=dataset.classes,
        is_detection=dataset.kind is TaskType.DETECTION,
        hidden=len(classes[MOST_SECTIONS:]),
    )


def _labels(image: DatasetImage) -> set[str]:
    return {image.label} if image.label is not None else {box.label for box in image.boxes}


def _seen(dataset: Dataset) -> set[str]:
    return {label for image in dataset.images for label in _labels(image)}


def _of_classes(dataset: Dataset, classes: Sequence[str]) -> list[DatasetImage]:
    wanted = set(classes)
    return [image for image in dataset.images if not _labels(image) or _labels(image) & wanted]
