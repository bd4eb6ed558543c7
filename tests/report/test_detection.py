"""The report of a detection export: real zips of CVAT in every format, against what they say themselves."""

import base64
import io
import json
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.support.reports import DETECTION, SCRIPT, environment, jpeg, report, run

FORMATS = {
    "COCO 1.0": "coco_1.0.zip",
    "YOLO 1.1": "yolo_1.1.zip",
    "PASCAL VOC 1.1": "pascal_voc_1.1.zip",
    "CVAT for images 1.1": "cvat_for_images_1.1.zip",
    "Datumaro 1.0": "datumaro_1.0.zip",
    "KITTI 1.0": "kitti_1.0.zip",
    "LabelMe 3.0": "labelme_3.0.zip",
    "MOT 1.1": "mot_1.1.zip",
    "Open Images V6 1.0": "open_images_v6_1.0.zip",
    "WiderFace 1.0": "widerface_1.0.zip",
}


def truth() -> dict[str, list[tuple[str, float, float, float, float]]]:
    """Boxes by image of the project that all recorded zips were exported of, by CVAT's own format."""
    with zipfile.ZipFile(DETECTION / FORMATS["CVAT for images 1.1"]) as archive:
        root = ElementTree.fromstring(archive.read("annotations.xml"))
    return {
        image.attrib["name"]: [
            (box.attrib["label"], *(float(box.attrib[side]) for side in ("xtl", "ytl", "xbr", "ybr")))  # type: ignore[misc]
            for box in image.iter("box")
        ]
        for image in root.iter("image")
    }


@pytest.mark.parametrize("format_name", FORMATS)
def test_recorded_exports(tmp_path: Path, format_name: str) -> None:
    expected = truth()
    facts, page = report(DETECTION / FORMATS[format_name], tmp_path)
    assert facts["kind"] == "detection"
    assert facts["format"] == format_name
    assert facts["images"] == page.numbers["images"] == len(expected) == 7
    labels = Counter(box[0] for boxes in expected.values() for box in boxes)
    assert [row["name"] for row in facts["classes"]] == ["car", "person"]
    assert {row["name"]: sum(row["boxes"].values()) for row in facts["classes"]} == labels
    assert facts["boxes"] == page.numbers["boxes"] == labels.total()
    per_image = Counter(len(boxes) for boxes in expected.values())
    assert facts["images_by_boxes"] == {str(number): count for number, count in sorted(per_image.items())}
    assert facts["images_without_boxes"] == page.numbers["without-boxes"] == per_image[0]
    assert facts["sizes"]["counts"] == [{"width": 320, "height": 240, "images": 7}]
    assert facts["broken"] == []
    assert page.table[1:] == [["car", "2", "2"], ["person", "2", "2"]]
    assert page.pictures == 8, "an image with two classes is under both, those without boxes are there too"
    if format_name != "MOT 1.1":  # it knows frames by their numbers alone
        for name in expected:
            assert name in page.text, "nested folders and other scripts keep their names"


@pytest.mark.parametrize("format_name", FORMATS)
def test_boxes_are_drawn_where_they_are(tmp_path: Path, format_name: str) -> None:
    report(DETECTION / FORMATS[format_name], tmp_path)
    html = (tmp_path / "report.html").read_text("utf-8")
    for boxes in truth().values():
        for _, left, top, right, bottom in boxes:
            drawn = [float(value) for value in (left, top, right - left, bottom - top)]
            assert 'x="{}" y="{}" width="{}" height="{}"'.format(*drawn) in html


OTHERS = sorted({path.name for path in DETECTION.glob("*.zip")} - {*FORMATS.values(), "imagenet_1.0.zip"})


@pytest.mark.parametrize("name", OTHERS)
def test_other_formats_are_refused_by_name(tmp_path: Path, name: str) -> None:
    done = run(DETECTION / name, "--output", tmp_path / "r.html", cwd=tmp_path)
    assert done.returncode == 2
    assert "COCO 1.0, YOLO 1.1, Ultralytics YOLO Detection 1.0, PASCAL VOC 1.1, CVAT for images 1.1" in done.stderr
    assert not (tmp_path / "r.html").exists()


@pytest.mark.parametrize("name", ["classification_imagenet_1.0.zip", "classification_imagenet_1.0_without_images.zip"])
def test_a_classification_export_is_sent_to_convert(tmp_path: Path, name: str) -> None:
    done = run(DETECTION.parent / name, cwd=tmp_path)
    assert done.returncode == 2
    assert "convert it" in done.stderr


def coco(boxes_by_image: dict[str, list[Any]], **more: Any) -> str:
    names = sorted({box[0] for boxes in boxes_by_image.values() for box in boxes} | {"never"})
    return json.dumps(
        {
            "categories": [{"id": number + 1, "name": name} for number, name in enumerate(names)],
            "images": [
                {"id": number, "file_name": name, "width": 40, "height": 30}
                for number, name in enumerate(boxes_by_image)
            ],
            "annotations": [
                {"id": 0, "image_id": number, "category_id": names.index(label) + 1, "bbox": list(box)}
                for number, boxes in enumerate(boxes_by_image.values())
                for label, *box in boxes
            ],
        }
        | more
    )


def test_subsets_missing_images_broken_images_and_boxes_outside(tmp_path: Path) -> None:
    path = tmp_path / "export.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(
            "annotations/instances_Train.json",
            coco({"a/1.jpg": [("<b>", 1, 1, 5, 5), ("<b>", 2, 2, 9, 9)], "gone.jpg": [("<b>", 0, 0, 3, 3)]}),
        )
        archive.writestr("annotations/instances_Test.json", coco({"a/1.jpg": [("cat", 20, 20, 30, 5)], "bad.jpg": []}))
        archive.writestr("images/Train/a/1.jpg", jpeg(1))
        archive.writestr("images/Test/a/1.jpg", jpeg(2))
        archive.writestr("images/Test/bad.jpg", b"\xff\xd8 no picture")
    facts, page = report(path, tmp_path)
    assert facts["subsets"] == {"Test": 2, "Train": 2}
    assert [(row["name"], row["boxes"]) for row in facts["classes"]] == [
        ("cat", {"Test": 1, "Train": 0}),
        ("never", {"Test": 0, "Train": 0}),
        ("<b>", {"Test": 0, "Train": 3}),
    ]
    assert "1 image is not in the zip" in page.findings["missing_image"]
    assert "gone.jpg" in page.findings["missing_image"]
    assert "bad.jpg" in page.findings["broken_image"]
    assert "a/1.jpg" in page.findings["outside"]
    assert "b" not in page.tags


def test_yolo_without_images_counts_all_the_same(tmp_path: Path) -> None:
    with (
        zipfile.ZipFile(DETECTION / FORMATS["YOLO 1.1"]) as recorded,
        zipfile.ZipFile(tmp_path / "x.zip", "w") as stripped,
    ):
        for entry in recorded.infolist():
            if not entry.filename.endswith(".jpg"):
                stripped.writestr(entry, recorded.read(entry))
    facts, _ = report(tmp_path / "x.zip", tmp_path)
    assert (facts["images"], facts["boxes"]) == (7, 4)
    assert [len(item["names"]) for item in facts["warnings"] if item["kind"] == "missing_image"] == [7]


@pytest.mark.parametrize(
    ("member", "content"),
    [
        ("annotations/instances_default.json", "{"),
        ("annotations/instances_default.json", "[]"),
        ("annotations/instances_default.json", '{"categories": []}'),
        ("annotations.xml", "<annotations><image"),
        ("annotations.xml", "no XML"),
    ],
)
def test_damaged_labels_are_one_line(tmp_path: Path, member: str, content: str) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(member, content)
    done = run("x.zip", cwd=tmp_path)
    assert done.returncode == 1
    assert member in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert not (tmp_path / "report.html").exists()


def turned_jpeg() -> bytes:
    """A picture of 60 × 40 pixels that EXIF turns to 40 × 60, red where 10 ≤ x < 20 and 30 ≤ y < 50 then."""
    upright = Image.new("RGB", (40, 60), "white")
    upright.paste((255, 0, 0), (10, 30, 20, 50))
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    upright.transpose(Image.Transpose.ROTATE_90).save(buffer, "JPEG", quality=98, exif=exif)
    return buffer.getvalue()


@pytest.mark.parametrize("format_name", ["COCO 1.0", "YOLO 1.1"])
def test_boxes_fit_a_picture_that_exif_turns(tmp_path: Path, format_name: str) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        if format_name == "COCO 1.0":
            image = {"id": 0, "file_name": "1.jpg", "width": 40, "height": 60}
            labels = coco({"1.jpg": [("red", 10, 30, 10, 20)]}, images=[image])
            archive.writestr("annotations/instances_default.json", labels)
            archive.writestr("images/default/1.jpg", turned_jpeg())
        else:
            archive.writestr("obj.names", "never\nred\n")
            archive.writestr("obj_train_data/1.txt", f"1 {15 / 40} {40 / 60} {10 / 40} {20 / 60}\n")
            archive.writestr("obj_train_data/1.jpg", turned_jpeg())
    facts, _ = report(tmp_path / "x.zip", tmp_path)
    assert facts["sizes"]["largest"] == [40, 60]
    html = (tmp_path / "report.html").read_text("utf-8")
    assert 'x="10.0" y="30.0" width="10.0" height="20.0"' in html
    (data,) = set(re.findall(r'href="data:image/webp;base64,([^"]+)"', html))
    with Image.open(io.BytesIO(base64.b64decode(data))) as drawn:
        assert drawn.size == (40, 60)
        assert all(abs(a - b) < 40 for a, b in zip(drawn.convert("RGB").getpixel((15, 40)), (255, 0, 0), strict=True))
        assert min(drawn.convert("RGB").getpixel((30, 20))) > 200


@pytest.mark.parametrize("end", [0, 10, 5000])
def test_no_zip(tmp_path: Path, end: int) -> None:
    (tmp_path / "x.zip").write_bytes((DETECTION / "coco_1.0.zip").read_bytes()[:end])
    done = run("x.zip", cwd=tmp_path)
    assert done.returncode == 1
    assert "not a complete zip" in done.stderr


@pytest.mark.parametrize("format_name", [name for name in FORMATS if name != "MOT 1.1"])
def test_names_of_other_scripts_in_a_latin_1_locale(tmp_path: Path, format_name: str) -> None:
    shutil.copy(DETECTION / FORMATS[format_name], tmp_path / "x.zip")
    done = subprocess.run(
        [sys.executable, SCRIPT, "x.zip", "--json"],
        cwd=tmp_path,
        env=environment(LC_ALL="en_US.ISO-8859-1", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0"),
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    assert "日本 語.jpg" in (tmp_path / "report.html").read_text("utf-8")
