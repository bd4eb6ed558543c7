"""The names that a dataset is made of."""

EXPORTED = "cvat_exported"
"""Folder with the export as it was unpacked."""
TRAINING = "training"
VALIDATION = "validation"
SIDES = (TRAINING, VALIDATION)
LABELS = "labels.json"
MANIFEST = "manifest.json"

SPECIFIED = (LABELS, TRAINING, VALIDATION, EXPORTED)
"""What the specification calls a dataset: any of these in a folder means that there is one."""
OWN = (EXPORTED, TRAINING, VALIDATION, MANIFEST, LABELS)
"""All that a conversion writes into the folder of the dataset; everything else in there is the user's."""
