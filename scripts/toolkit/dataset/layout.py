"""The names that a dataset is made of."""

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
ALL_PARTS = (EXPORTED, *ALL_SIDES, *ALIASES, CLASSES, LABELS, MANIFEST)
"""All that a conversion may write into the folder of the dataset; everything else in there is the user's."""
FIRST_PARTS = (EXPORTED, TRAINING, VALIDATION, LABELS, MANIFEST)
"""What every dataset had in version 1 of the manifest."""
