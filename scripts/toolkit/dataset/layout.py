"""The names that a dataset is made of."""

import hashlib
import re
from collections.abc import Iterable, Iterator
from enum import StrEnum

from toolkit.core.safe_names import LONGEST_PART


class Format(StrEnum):
    """What a dataset is kept in."""

    FOLDERS = "folders"
    WEBDATASET = "webdataset"
    INDEX = "index"


EXPORTED = "cvat_exported"
"""Folder with the export as it was unpacked."""
TRAINING = "training"
VALIDATION = "validation"
TEST = "test"
SIDES = (TRAINING, VALIDATION)
ALL_SIDES = (*SIDES, TEST)
LABELS = "labels.json"
CLASSES = "classes.txt"
MANIFEST = "manifest.json"
ALIASES = {"train": TRAINING, "val": VALIDATION}
"""Links beside the sides, by the names that some tools look for."""

SPECIFIED = (LABELS, TRAINING, VALIDATION, EXPORTED)
"""What the specification calls a dataset: any of these in a folder means that there is one."""

IMAGES = "images"
BOXES = "labels"
"""Folders of a detection dataset: ``images/train/1.jpg`` has its boxes in ``labels/train/1.txt``."""
ANNOTATIONS = "annotations"
DATA_YAML = "data.yaml"
DETECTION_SIDES = {TRAINING: "train", VALIDATION: "val", TEST: "test"}
"""What the sides are called in a detection dataset, as its readers expect them."""
SIDE_OF_SUBSET = {
    "train": TRAINING,
    "training": TRAINING,
    "val": VALIDATION,
    "valid": VALIDATION,
    "validation": VALIDATION,
    "test": TEST,
    "testing": TEST,
}
"""The sides that CVAT's subsets are, by their names in small letters."""
DETECTION_PARTS = (IMAGES, BOXES, ANNOTATIONS, DATA_YAML, LABELS, MANIFEST)

INDEX_LINES = "index.jsonl"
INDEX_TABLE = "index.parquet"
"""What there is in the place of images that stay where they are; beside shards the table alone."""
_SHARD_DIGITS = 6
MOST_SHARDS = 10**_SHARD_DIGITS
_SHARD = re.compile(rf"({'|'.join(ALL_SIDES)})-\d{{{_SHARD_DIGITS}}}\.tar", re.ASCII)
_SHARDS = re.compile(rf"({'|'.join(ALL_SIDES)})-\{{(0{{{_SHARD_DIGITS}}})\.\.(\d{{{_SHARD_DIGITS}}})\}}\.tar", re.ASCII)

CLASSIFICATION_PARTS = (EXPORTED, *ALL_SIDES, *ALIASES, CLASSES, LABELS, MANIFEST)
ALL_PARTS = (*CLASSIFICATION_PARTS[:-2], INDEX_LINES, INDEX_TABLE, *DETECTION_PARTS)
"""All that a conversion may write into the folder of the dataset, besides shards; everything else is the user's."""
FIRST_PARTS = (EXPORTED, TRAINING, VALIDATION, LABELS, MANIFEST)
"""What every dataset had in version 1 of the manifest."""

_JOINT = "__"
_HASH_DIGITS = 8


def flat_candidates(frame: str, identity: str, other_extension: str = "") -> Iterator[str]:
    """Give names without folders for a frame, such as ``garden__1.jpg`` for ``garden/1.jpg``, the best first.

    The names behind the first end with ever more digits of the hash of ``identity``, which tells the frame from others.
    ``other_extension`` is that of a file beside it that has its stem, which must not get too long either.
    """
    name = frame.replace("/", _JOINT)
    if name.startswith("."):  # tools pass over hidden files
        name = f"_{name}"
    extension = name[name.rfind(".") :]
    stem = name.removesuffix(extension).encode("utf-8", "surrogatepass")
    longest = LONGEST_PART - max(len(extension.encode("utf-8", "surrogatepass")), len(other_extension))
    if len(stem) <= longest:
        yield name
    digest = hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()
    for digits in range(_HASH_DIGITS, len(digest) + 1, _HASH_DIGITS):
        end = f"-{digest[:digits]}"
        yield stem[: longest - len(end)].decode("utf-8", "ignore") + end + extension


def shard_name(side: str, number: int) -> str:
    """Name a shard, such as ``training-000000.tar``."""
    return f"{side}-{number:0{_SHARD_DIGITS}}.tar"


def shards_part(side: str, count: int) -> str:
    """Name all shards of a side as WebDataset does, such as ``training-{000000..000011}.tar``."""
    return f"{side}-{{{0:0{_SHARD_DIGITS}}..{count - 1:0{_SHARD_DIGITS}}}}.tar"


def is_shard(name: str) -> bool:
    """Tell whether a file is named as a shard is."""
    return _SHARD.fullmatch(name) is not None


def has_shards(parts: Iterable[str]) -> bool:
    """Tell whether recorded parts are those of a dataset of shards."""
    return any(map(side_of_shards, parts))


def side_of_shards(part: str) -> str | None:
    """Tell whose shards a part is, None for another part."""
    return found[1] if (found := _SHARDS.fullmatch(part)) else None


def entries_of(parts: Iterable[str]) -> list[str]:
    """Name the entries of a dataset's folder that recorded parts stand for, without what is no part of a dataset."""
    given = list(parts)
    entries = [name for name in ALL_PARTS if name in given]
    last = {found[1]: int(found[3]) for part in given if (found := _SHARDS.fullmatch(part))}
    return [shard_name(side, number) for side in last for number in range(last[side] + 1)] + entries
