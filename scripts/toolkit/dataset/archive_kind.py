"""What kind of export an archive is, told from the names of its members alone."""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from toolkit.core.formats import IMAGE_EXTENSIONS, IMAGENET
from toolkit.core.safe_names import is_junk

IMAGE_KINDS = (*IMAGE_EXTENSIONS, ".tif", ".tiff", ".webp", ".heic", ".avif", ".jfif")
"""What counts as an image where a format is told; more than a dataset takes."""


class Kind(NamedTuple):
    """What an archive is.

    Attributes:
        name: The format as CVAT spells it, such as "ImageNet 1.0" or "YOLO 1.1", or words for what is none of CVAT's.
        is_export: Whether it is an export in a format of CVAT.
        root: Folder that all members lie in, with a slash at the end; empty without one.
    """

    name: str
    is_export: bool
    root: str


def recognise(names: Sequence[str], keep_junk: bool = False) -> Kind:
    """Tell what an archive is.

    Args:
        names: Its members, without folders.
        keep_junk: Take junk, and a folder around everything, for what they look like.

    Returns:
        Its kind; "ImageNet 1.0" where images in folders are all there is.
    """
    kept = [name for name in names if keep_junk or not is_junk(name)]
    outer = _by_files(kept)
    tops = {name.partition("/")[0] if "/" in name else "" for name in kept}
    if outer is not None and outer not in _NO_EXPORT:
        return Kind(outer, True, "")
    if keep_junk or len(tops) != 1 or not (top := tops.pop()):
        return Kind(outer or IMAGENET, outer is None, "")
    inner = [name[len(top) + 1 :] for name in kept]
    found = _by_files(inner)
    if found is not None and (outer is None or found not in _NO_EXPORT):
        return Kind(found, found not in _NO_EXPORT, f"{top}/")
    if outer is not None:  # less telling than a format that is found inside
        return Kind(outer, False, "")
    return Kind(IMAGENET, True, f"{top}/" if _are_classes(inner, top) else "")


def _are_classes(names: Sequence[str], top: str) -> bool:
    """Tell whether the only folder of an archive is one that a person's packing put around the classes.

    A single class whose frames lie in folders looks alike. Images right in it, or a folder of its own name again, tell
    it apart; without these signs a single class for all images is the less likely of the two.
    """
    folders = {name.partition("/")[0] for name in names if "/" in name}
    return len(folders) > 1 and top not in folders and not any("/" not in name and is_image(name) for name in names)


def is_image(name: str) -> bool:
    """Tell by its extension whether a file is an image, also one that a dataset does not take."""
    return name.lower().endswith(IMAGE_KINDS)


_CONVERTED = "a dataset that convert made already"
_SPLIT = "a dataset that is split into sides already"
_ANNOTATED = "images with a file of annotations each"
_BACKUP = "a backup of a CVAT project or task"
_NO_IMAGES = "an archive without images"
_NO_EXPORT = {_CONVERTED, _SPLIT, _ANNOTATED, _BACKUP, _NO_IMAGES}

_FILES: tuple[tuple[str, str], ...] = (
    ("YOLO 1.1", r"obj\.(names|data)|obj_[^/]+_data/.*\.txt"),
    ("COCO 1.0", r"annotations/instances_[^/]*\.json|([^/]+/)?_annotations\.coco\.json"),
    ("COCO Keypoints 1.0", r"annotations/person_keypoints_[^/]*\.json"),
    ("PASCAL VOC 1.1", r"ImageSets/(Main|Layout|Action)/.*\.txt"),
    ("Segmentation mask 1.1", r"SegmentationClass/.*|SegmentationObject/.*"),
    ("PASCAL VOC 1.1", r"JPEGImages/.*"),
    ("LabelMe 3.0", r"Annotations/.*\.xml"),
    ("Open Images V6 1.0", r"annotations/.*\.csv"),
    ("MOTS PNG 1.0", r"[^/]+/instances/labels\.txt"),
    ("MOT 1.1", r"(.*/)?gt/(gt|labels)\.txt"),
    ("WiderFace 1.0", r"wider_face_split/.*|WIDER_[^/]+/images/.*"),
    ("VGGFace2 1.0", r"bb_landmark/.*\.csv"),
    ("LFW 1.0", r"[^/]+/annotations/(pairs|people|landmarks)\.txt"),
    ("Market-1501 1.0", r"bounding_box_(train|test)/.*|images_[^/]+\.txt"),
    ("ICDAR Localization 1.0", r"[^/]+/(.*/)?gt_[^/]*\.txt|[^/]+/gt/.*\.(txt|png)|[^/]+/gt\.txt"),
    ("Cityscapes 1.0", r"gtFine/.*|imgsFine/.*"),
    ("KITTI 1.0", r"([^/]+/)?(label_2/.*\.txt|image_2/.*|semantic_rgb/.*)"),
    ("CamVid 1.0", r"label_colors\.txt"),
    ("CVAT for images 1.1", r"annotations\.xml"),
    ("Datumaro 1.0", r"annotations/[^/]+\.json|dataset_meta\.json"),
    ("TFRecord 1.0", r".*\.tfrecord|label_map\.pbtxt"),
    ("Kitti Raw Format 1.0", r"tracklet_labels\.xml"),
    ("Sly Point Cloud Format 1.0", r"key_id_map\.json"),
    ("Ultralytics YOLO Detection 1.0", r"data\.ya?ml"),
    ("Ultralytics YOLO Classification 1.0", r"(train|val|valid|validation|test|default)/labels\.json"),
)
"""By format: files that only it has; the first that fits is it, so what is more telling comes first.

Formats that differ in their content alone go by one name: "CVAT for images 1.1" is "CVAT for video 1.1" as well, and
"Ultralytics YOLO Detection 1.0" all that have boxes, polygons or points.
"""

_TELLING: Callable[[str], object] = re.compile("|".join(f"(?:{pattern})" for _, pattern in _FILES)).fullmatch
_SIDES = {"train", "training", "val", "valid", "validation", "test", "testing"}


def _by_files(names: Sequence[str]) -> str | None:
    """Recognise what has a file that tells of it; None for images in folders."""
    found = {name for name in names if "/" not in name}
    if {"labels.json", "manifest.json"} <= found and any(name.startswith("training/") for name in names):
        return _CONVERTED
    if found & {"project.json", "task.json"} and not any(is_image(name) and name.count("/") == 1 for name in names):
        return _BACKUP
    telling = list(filter(_TELLING, names))
    for format_name, pattern in _FILES:
        if any(map(re.compile(pattern).fullmatch, telling)):
            return format_name
    images: list[str] = []
    others: list[str] = []
    for name in names:
        (images if is_image(name) else others).append(name)
    if not images:
        without_images = "synsets.txt" in found and len(found) == len(others)  # an export in ImageNet 1.0
        return None if not others or without_images else _NO_IMAGES
    tops = {name.partition("/")[0] for name in images}
    if len(tops) > 1 and {top.lower() for top in tops} <= _SIDES and all(name.count("/") > 1 for name in images):
        return _SPLIT
    return _ANNOTATED if _are_annotated(images, others) else None


def _are_annotated(images: Sequence[str], others: Sequence[str]) -> bool:
    """Tell whether at least half of the images have a text file of their name, beside them or in another folder."""
    stems = {
        name.rpartition("/")[2].rpartition(".")[0]
        for name in others
        if name.lower().endswith((".txt", ".xml", ".json"))
    }
    return bool(stems) and 2 * sum(name.rpartition("/")[2].rpartition(".")[0] in stems for name in images) >= len(
        images
    )
