"""The names that a dataset is made of."""

import hashlib
from collections.abc import Iterator
from enum import StrEnum

from toolkit.core.safe_names import LONGEST_PART


class Format(StrEnum):
    """What a dataset is kept in."""

    FOLDERS = "folders"
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
"""What there is in the place of images that stay where they are."""

CLASSIFICATION_PARTS = (EXPORTED, *ALL_SIDES, *ALIASES, CLASSES, LABELS, MANIFEST)
ALL_PARTS = (*CLASSIFICATION_PARTS[:-2], INDEX_LINES, INDEX_TABLE, *DETECTION_PARTS)
"""All that a conversion may write into the folder of the dataset; everything else in there is the user's."""
FIRST_PARTS = (EXPORTED, TRAINING, VALIDATION, LABELS, MANIFEST)
"""What every dataset had in version 1 of the manifest."""

_JOINT = "__"
_HASH_DIGITS = 8


def flat_candidates(frame: str, identity: str, other_extension: str = "") -> Iterator[str]:
    """Give names without folders for a frame, such as ``garden__1.jpg`` for ``garden/1.jpg``, the best first.

    Args:
        frame: Its path.
        identity: What tells it from others; the names behind the first end with ever more digits of its hash.
        other_extension: Extension of a file beside it that has its stem, which must not get too long either.
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
