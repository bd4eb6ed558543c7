"""The formats that a report reads: what each is known by, and its reader."""

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable

from toolkit.report.annotations import Annotations
from toolkit.report.json_formats import COCO_FILE, DATUMARO_FILE, read_coco, read_datumaro
from toolkit.report.members import LabelProblem, Members
from toolkit.report.text_formats import (
    KITTI_FILE,
    MOT_FILE,
    OPEN_IMAGES_FILE,
    WIDERFACE_FILE,
    read_kitti,
    read_mot,
    read_open_images,
    read_widerface,
    read_yolo,
)
from toolkit.report.xml_formats import LABELME_FILE, VOC_FILE, VOC_LIST, read_cvat, read_labelme, read_voc

FORMATS: dict[str, tuple[Callable[[Members], bool], Callable[[Annotations], None]]] = {
    "COCO 1.0": (lambda members: members.has(COCO_FILE), read_coco),
    "YOLO 1.1": (lambda members: "obj.names" in members or "obj.data" in members, read_yolo),
    "Ultralytics YOLO": (
        lambda members: any(name in members for name in ("data.yaml", "data.yml", "dataset.yaml")),
        read_yolo,
    ),
    "PASCAL VOC 1.1": (
        lambda members: (members.has(VOC_FILE) and not members.has_folder("Images")) or members.has(VOC_LIST),
        read_voc,
    ),
    "CVAT for images 1.1": (lambda members: _has_cvat_images(members), read_cvat),
    "Datumaro 1.0": (lambda members: _has_datumaro(members), read_datumaro),
    "KITTI 1.0": (lambda members: members.has(KITTI_FILE), read_kitti),
    "LabelMe 3.0": (lambda members: members.has(LABELME_FILE) and members.has_folder("Images"), read_labelme),
    "MOT 1.1": (lambda members: members.has(MOT_FILE), read_mot),
    "Open Images V6 1.0": (lambda members: members.has(OPEN_IMAGES_FILE), read_open_images),
    "WiderFace 1.0": (lambda members: members.has(WIDERFACE_FILE), read_widerface),
}
"""By format: what an export of it is known by, and the function that reads it."""


def _has_cvat_images(members: Members) -> bool:
    """Tell "CVAT for images" from "CVAT for video": the same file name, but images instead of tracks."""
    if "annotations.xml" not in members:
        return False
    try:
        with members.open_text("annotations.xml") as stream:
            for _, element in ElementTree.iterparse(stream, ("start",)):
                if element.tag in ("image", "track"):
                    return bool(element.tag == "image")
    except (ElementTree.ParseError, LabelProblem):
        pass  # the reader says what is wrong
    return True


def _has_datumaro(members: Members) -> bool:
    return any(
        members.begins_with(name, '"dm_format_version"', '"categories"') for name, _ in members.matches(DATUMARO_FILE)
    )
