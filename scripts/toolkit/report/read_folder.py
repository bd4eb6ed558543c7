"""A converted classification dataset, read from its folder."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from toolkit.core.errors import ToolkitError, UsageError
from toolkit.core.formats import IMAGE_EXTENSIONS, UNLABELLED, TaskType
from toolkit.dataset.layout import ALL_SIDES, LABELS, SIDES
from toolkit.report.model import Dataset, DatasetImage, Finding


def read_tree(folder: Path) -> Dataset:
    """Read what is in the folder of a converted dataset.

    Args:
        folder: The folder with `training`, `validation` and, if there is one, `labels.json`.

    Returns:
        The dataset, sizes of the pictures not yet read.

    Raises:
        UsageError: There is no side in it.
        ToolkitError: `labels.json` is no table of ids by class.
    """
    sides = [side for side in ALL_SIDES if (folder / side).is_dir()]
    if not set(sides) & set(SIDES):
        raise UsageError(
            f"{folder} holds no dataset: neither training nor validation is in it (make convert makes them)"
        )
    images: list[DatasetImage] = []
    others: list[str] = []
    folders: set[str] = set()
    for side in sides:
        for label in sorted(entry.name for entry in os.scandir(folder / side) if entry.is_dir(follow_symlinks=False)):
            folders.add(label)
            for name, entry in sorted(_files(folder / side / label, "")):
                location = f"{side}/{label}/{name}"
                if name.lower().endswith(IMAGE_EXTENSIONS) and entry.is_file(follow_symlinks=False):
                    images.append(DatasetImage(name, side, label, location, entry.stat().st_size))
                else:
                    others.append(location)
    labels = _read_labels(folder / LABELS)
    classes = sorted(labels or {}, key=lambda label: (labels or {})[label])
    unknown = sorted(folders - set(classes))
    dataset = Dataset(
        kind=TaskType.CLASSIFICATION,
        format_name="image classification: one folder a class",
        source=folder,
        sides=[side for side in ALL_SIDES if side in (*SIDES, *sides)],
        classes=[*classes, *unknown],
        images=images,
        open_image=_Opener(folder),
    )
    dataset.findings += _findings(labels, unknown, others, folders)
    return dataset


class _Opener:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, location: str) -> IO[bytes]:
        return (self._folder / location).open("rb")


def _files(folder: Path, prefix: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _files(Path(entry.path), f"{prefix}{entry.name}/")
            else:
                yield prefix + entry.name, entry


def _read_labels(path: Path) -> dict[str, int] | None:
    try:
        labels = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ToolkitError(f"{path} is no JSON ({error}): convert the dataset again") from None
    if not isinstance(labels, dict) or not all(type(number) is int for number in labels.values()):
        raise ToolkitError(f"{path} is no table of ids by class: convert the dataset again")
    return labels


def _findings(
    labels: dict[str, int] | None, unknown: list[str], others: list[str], folders: set[str]
) -> Iterator[Finding]:
    if labels is None:
        yield Finding("no_labels", "there is no labels.json, so the classes are the folders by name", [])
    elif unknown:
        yield Finding.of("unknown_class", unknown, "folder is not in labels.json", "folders are not in labels.json")
    if others:
        yield Finding.of("other_files", others, "file of a class is no image", "files of classes are no images")
    if UNLABELLED in folders:
        message = "images without a tag form a class of their own: tag them in CVAT, or remove this folder"
        yield Finding("unlabelled_class", message, [UNLABELLED])
