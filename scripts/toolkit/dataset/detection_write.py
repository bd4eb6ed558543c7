"""The files of a detection dataset: names of the images, labels of each, data.yaml and the COCO annotations."""

import json
from collections.abc import Iterable, Mapping, Sequence

from toolkit.core.safe_names import fold
from toolkit.dataset.detection_read import Frame
from toolkit.dataset.layout import DETECTION_SIDES, IMAGES, flat_candidates

_LABEL_EXTENSION = ".txt"


def flat_names(frames: Sequence[Frame]) -> list[str]:
    """Give the images names without folders, such as ``garden__north__1.jpg`` for ``garden/north/1.jpg``.

    No two have the same stem, also where case or Unicode form does not count, so that each has a file of labels of its
    own; what would collide, or be too long, gets a hash of its path at the end of the stem. What lies in no folder
    keeps its name before others.

    Args:
        frames: The images.

    Returns:
        A name each.
    """
    names = [""] * len(frames)
    taken: set[str] = set()
    order = sorted(range(len(frames)), key=lambda index: ("/" in frames[index].name, frames[index][:2]))
    for index in order:
        frame = frames[index]
        candidates = flat_candidates(frame.name, f"{frame.subset}\n{frame.name}", _LABEL_EXTENSION)
        name = next(name for name in candidates if fold(_stem(name)) not in taken)
        taken.add(fold(_stem(name)))
        names[index] = name
    return names


def _stem(name: str) -> str:
    return name.rpartition(".")[0]


def label_lines(frame: Frame, numbers: Mapping[str, int]) -> bytes:
    """Write the boxes of an image as YOLO does: class number, centre and size in shares of the picture."""
    width, height = frame.size
    lines = (
        f"{numbers[label]} {(left + right) / 2 / width:.6f} {(top + bottom) / 2 / height:.6f} "
        f"{(right - left) / width:.6f} {(bottom - top) / height:.6f}\n"
        for label, left, top, right, bottom in frame.boxes
    )
    return "".join(lines).encode()


def data_yaml(names: Mapping[int, str], sides: Iterable[str]) -> bytes:
    """Write what ultralytics and others read; without ``path:``, so that folders count from the file itself."""
    lines = [f"{side}: {IMAGES}/{side}\n" for side in DETECTION_SIDES.values() if side in sides]
    lines += ["names:\n", *(f"  {number}: {_yaml_text(name)}\n" for number, name in names.items())]
    return "".join(lines).encode()


def _yaml_text(text: str) -> str:
    """Quote text as JSON does, which YAML reads but for surrogates; what is not printable is escaped as YAML has it."""
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(it if it.isprintable() else f"\\U{ord(it):08x}" for it in quoted)


def sample_facts(frame: Frame, numbers: Mapping[str, int]) -> dict[str, object]:
    """Tell of an image what a shard has beside it.

    Returns:
        Path, size and boxes; ``bbox`` is left, top, width and height in pixels as in COCO, ``bbox_normalized`` the
        centre, width and height in shares of the picture as in YOLO.
    """
    width, height = frame.size
    boxes = [
        {
            "class": label,
            "class_id": numbers[label],
            "bbox": [round(value, 2) for value in (left, top, right - left, bottom - top)],
            "bbox_normalized": [
                *(round((left + right) / 2 / width, 6), round((top + bottom) / 2 / height, 6)),
                *(round((right - left) / width, 6), round((bottom - top) / height, 6)),
            ],
        }
        for label, left, top, right, bottom in frame.boxes
    ]
    return {"path": frame.name, "width": width, "height": height, "boxes": boxes}


def coco(frames: Sequence[tuple[int, str, Frame]], names: Mapping[int, str], numbers: Mapping[str, int]) -> bytes:
    """Write the annotations of one side in COCO's form.

    Args:
        frames: Id, name and content of each image.
        names: All classes by number.
        numbers: The same the other way round, without the unused ones.

    Returns:
        JSON; boxes are left, top, width and height in pixels, to two digits as CVAT writes them.
    """
    annotations: list[dict[str, object]] = []
    for image_id, _, frame in frames:
        for label, left, top, right, bottom in frame.boxes:
            width, height = round(right - left, 2), round(bottom - top, 2)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": numbers[label],
                    "bbox": [round(left, 2), round(top, 2), width, height],
                    "area": round(width * height, 2),
                    "iscrowd": 0,
                    "segmentation": [],
                }
            )
    content = {
        "images": [
            {"id": image_id, "file_name": name, "width": frame.size[0], "height": frame.size[1]}
            for image_id, name, frame in frames
        ],
        "categories": [{"id": number, "name": name, "supercategory": ""} for number, name in names.items()],
        "annotations": annotations,
    }
    return json.dumps(content, ensure_ascii=False).encode()
