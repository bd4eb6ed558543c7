"""The dataset formats of the specification, by task type."""

from enum import StrEnum


class TaskType(StrEnum):
    """What a project's labels are for: tags on whole images, or boxes around objects."""

    CLASSIFICATION = "classification"
    DETECTION = "detection"


IMAGENET = "ImageNet 1.0"

FORMATS: dict[TaskType, tuple[str, ...]] = {
    TaskType.CLASSIFICATION: (IMAGENET,),
    TaskType.DETECTION: (
        "CamVid 1.0",
        "Cityscapes 1.0",
        "COCO 1.0",
        "COCO Keypoints 1.0",
        "CVAT for images 1.1",
        "CVAT for video 1.1",
        "Datumaro 1.0",
        "ICDAR Localization 1.0",
        "KITTI 1.0",
        "LabelMe 3.0",
        "MOT 1.1",
        "Open Images V6 1.0",
        "PASCAL VOC 1.1",
        "Segmentation mask 1.1",
        "TFRecord 1.0",
        "VGGFace2 1.0",
        "WiderFace 1.0",
        "YOLO 1.1",
    ),
}
"""Names exactly as the server spells them (case sensitive). Servers since 2.54 no longer offer "TFRecord 1.0"."""

ALL_FORMATS: tuple[str, ...] = tuple(name for names in FORMATS.values() for name in names)


def task_type_of(format_name: str) -> TaskType:
    """Tell which task type's list names a format, one of :data:`ALL_FORMATS`."""
    return TaskType.CLASSIFICATION if format_name in FORMATS[TaskType.CLASSIFICATION] else TaskType.DETECTION


def kinds_of(format_name: str) -> set[TaskType]:
    """Tell what kinds of work a format is for, one that the specification does not name as well; both where unknown."""
    if format_name in ALL_FORMATS:
        return {task_type_of(format_name)}
    if "Classification" in format_name:
        return {TaskType.CLASSIFICATION}
    return {TaskType.DETECTION} if format_name.startswith("Ultralytics YOLO ") else set(TaskType)


UNLABELLED = "no_label"
"""Folder in which CVAT puts the images without a tag."""


IMAGE_EXTENSIONS = (".bmp", ".gif", ".jpeg", ".jpg", ".png")
"""What the reference counts as an image, by the lower-cased end of the name."""
