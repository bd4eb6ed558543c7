"""The format "COCO 1.0": boxes in JSON."""

import json
from typing import Any

from standin.exports.archive import Contents, placed
from standin.exports.dataset import Dataset, Item

INFO = {"contributor": "", "date_created": "", "description": "", "url": "", "version": "", "year": ""}


def contents(dataset: Dataset, with_images: bool) -> Contents:
    """Lay out an export."""
    files: Contents = {}
    if with_images:
        files.update(placed((f"images/{item.subset}/{item.lowered_name}", item) for item in dataset.items))
    for subset, items in dataset.subsets().items():
        text = json.dumps(_instances(dataset, items), ensure_ascii=False, separators=(",", ":"))
        files[f"annotations/instances_{subset}.json"] = text.encode()
    return files


def _instances(dataset: Dataset, items: list[Item]) -> dict[str, Any]:
    categories = {label["id"]: place for place, label in enumerate(dataset.labels, 1)}
    found = [(image_id, box) for image_id, item in enumerate(items, 1) for box in item.boxes]
    return {
        "licenses": [{"name": "", "id": 0, "url": ""}],
        "info": INFO,
        "categories": [
            {"id": categories[label["id"]], "name": label["name"], "supercategory": ""} for label in dataset.labels
        ],
        "images": [_image(image_id, item) for image_id, item in enumerate(items, 1)],
        "annotations": [
            _annotation(number, image_id, categories[box["label_id"]], box)
            for number, (image_id, box) in enumerate(found, 1)
        ],
    }


def _image(image_id: int, item: Item) -> dict[str, Any]:
    return {
        "id": image_id,
        "width": item.frame["width"],
        "height": item.frame["height"],
        "file_name": item.lowered_name,
        "license": 0,
        "flickr_url": "",
        "coco_url": "",
        "date_captured": 0,
    }


def _annotation(number: int, image_id: int, category_id: int, box: dict[str, Any]) -> dict[str, Any]:
    left, top, right, bottom = map(float, box["points"])
    width, height = round(right - left, 2), round(bottom - top, 2)
    return {
        "id": number,
        "image_id": image_id,
        "category_id": category_id,
        "segmentation": [],
        "area": round(width * height, 2),
        "bbox": [round(left, 2), round(top, 2), width, height],
        "iscrowd": 0,
        "attributes": {"occluded": bool(box["occluded"]), "rotation": float(box["rotation"])},
    }
