"""The names that a dataset is made of."""

from enum import StrEnum


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
