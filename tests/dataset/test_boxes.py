"""What becomes of a detection export: its boxes in every format, the sides, and what is said about the rest."""

import io
import json
import random
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from globox import AnnotationSet
from PIL import Image

from tests.support.conversions import convert, converted, is_whole, make_zip, names_in, refused, run, tree

RECORDED = Path(__file__).parents[1] / "data/recordings/exports/detection"
FORMATS = ("coco_1.0", "yolo_1.1", "pascal_voc_1.1", "cvat_for_images_1.1", "datumaro_1.0")
MORE_FORMATS = ("kitti_1.0", "labelme_3.0", "open_images_v6_1.0", "widerface_1.0")
PARTS = {"images", "labels", "annotations", "data.yaml", "labels.json", "manifest.json"}

CAR = ("car", 10, 20, 110, 120)
RECORDED_BOXES = {
    "a__1.jpg": {CAR, ("person", 200, 30, 260, 200)},
    "a__2.jpg": {("car", 5, 5, 50, 60)},
    "b__deep dir__1.jpg": {("person", 100, 100, 140, 220)},
}
"""By image: label, left, top, right, bottom; as the recorded "CVAT for images" export says."""

Boxes = dict[str, set[tuple[Any, ...]]]


def picture(colour: int, size: tuple[int, int] = (64, 48)) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, (colour % 256, 90, 200 - colour % 200)).save(stream, "JPEG")
    return stream.getvalue()


def cvat_zip(path: Path, images: Mapping[str, str], labels: str = "cat dog", subset: str = "default") -> Path:
    """Write an export in CVAT for images: what is in each image's element, by its name, perhaps after its subset."""
    members = {}
    elements = []
    for number, (name, shapes) in enumerate(images.items()):
        of_subset, _, frame = name.rpartition(":")
        of_subset = of_subset or subset
        members[f"images/{of_subset}/{frame}"] = picture(number * 7)
        elements.append(
            f'<image id="{number}" name="{frame}" subset="{of_subset}" width="64" height="48">{shapes}</image>'
        )
    names = "".join(f"<label><name>{name}</name></label>" for name in labels.split())
    meta = f"<meta><project><labels>{names}</labels></project></meta>"
    xml = f"<annotations><version>1.1</version>{meta}{''.join(elements)}</annotations>"
    return make_zip(path, {"annotations.xml": xml.encode(), **members})


def box(label: str = "cat", edges: str = "1 2 30 40", rotation: str = "") -> str:
    left, top, right, bottom = edges.split()
    turned = f' rotation="{rotation}"' if rotation else ""
    return f'<box label="{label}" xtl="{left}" ytl="{top}" xbr="{right}" ybr="{bottom}"{turned}></box>'


def many(count: int = 20) -> dict[str, str]:
    return {f"{number:02}.jpg": box("cat" if number % 2 else "dog") for number in range(count)}


def coco_boxes(dataset: Path) -> Boxes:
    """Read the annotations by globox."""
    return {
        annotation.image_id: {(found.label, *(round(edge, 1) for edge in found.ltrb)) for found in annotation.boxes}
        for file in (dataset / "annotations").iterdir()
        for annotation in AnnotationSet.from_coco(file)
    }


def yolo_boxes(dataset: Path) -> Boxes:
    """Read the files of labels as ultralytics does: found beside each image, numbers named by data.yaml."""
    content = yaml.safe_load((dataset / "data.yaml").read_text("utf-8"))
    boxes: Boxes = {}
    for side in ("train", "val", "test"):
        for path in (dataset / content[side]).iterdir() if side in content else ():
            width, height = Image.open(path).size
            lines = (dataset / "labels" / side / f"{path.stem}.txt").read_text().splitlines()
            found = boxes.setdefault(path.name, set())
            for number, *numbers in map(str.split, lines):
                x, y, across, down = map(float, numbers)
                edges = (
                    (x - across / 2) * width,
                    (y - down / 2) * height,
                    (x + across / 2) * width,
                    (y + down / 2) * height,
                )
                found.add((content["names"][int(number)], *(round(edge, 1) for edge in edges)))
    return boxes


@pytest.mark.parametrize("name", [*FORMATS, *MORE_FORMATS])
def test_every_format_gives_the_same_boxes_ids_and_sides(name: str, tmp_path: Path) -> None:
    pinned = tmp_path / "pinned.json"
    pinned.write_text('{"person": 0, "car": 1}')
    target = tmp_path / "dataset"
    answer = converted(RECORDED / f"{name}.zip", target, "--labels", pinned, "--validation-split", 0.4)
    assert names_in(target) == PARTS
    assert yolo_boxes(target) == RECORDED_BOXES
    assert coco_boxes(target) == RECORDED_BOXES
    assert json.loads((target / "labels.json").read_text()) == {"person": 0, "car": 1}
    content = yaml.safe_load((target / "data.yaml").read_text())
    assert content == {"train": "images/train", "val": "images/val", "names": {0: "person", 1: "car"}}
    coco = json.loads((target / "annotations/instances_train.json").read_text())
    assert {category["id"]: category["name"] for category in coco["categories"]} == {0: "person", 1: "car"}
    assert names_in(target / "images/val") == {"b__deep dir__1.jpg"}
    assert answer["left_out"] == {"no label": 4}
    assert answer["findings"] == {}
    assert is_whole(target)


def test_a_folder_around_everything_and_junk_are_seen_through(tmp_path: Path) -> None:
    with zipfile.ZipFile(RECORDED / "yolo_1.1.zip") as recorded:
        members = {f"my export/{name}": recorded.read(name) for name in recorded.namelist() if not name.endswith("/")}
    members |= {"__MACOSX/my export/._obj.names": b"x", "my export/obj_train_data/._1.jpg": b"x"}
    answer = converted(make_zip(tmp_path / "export.zip", members), tmp_path / "dataset", "--validation-split", 0.4)
    assert yolo_boxes(tmp_path / "dataset") == RECORDED_BOXES
    assert answer["left_out"]["left by an operating system or an editor"] == 1


@pytest.mark.parametrize("method", ["reference", "stratified", "stable"])
def test_a_test_side_leaves_validation_as_it_is(method: str, tmp_path: Path) -> None:
    archive = cvat_zip(tmp_path / "export.zip", many(30))
    converted(archive, tmp_path / "two", "--split-method", method)
    answer = converted(archive, tmp_path / "three", "--split-method", method, "--test-split", 0.3)
    assert names_in(tmp_path / "two/images/val") == names_in(tmp_path / "three/images/val")
    assert sum(answer["sides"].values()) == 30
    assert answer["sides"]["test"] > 3
    assert yaml.safe_load((tmp_path / "three/data.yaml").read_text())["test"] == "images/test"
    assert is_whole(tmp_path / "three")


def test_pictures_that_look_the_same_stay_on_one_side(tmp_path: Path) -> None:
    images = {f"{number:02}.jpg": box() for number in range(24)}
    archive = cvat_zip(tmp_path / "export.zip", images)
    with zipfile.ZipFile(archive) as whole:
        xml = whole.read("annotations.xml")
    noise = random.Random(1)
    pictures = []
    for _ in range(12):
        coarse = Image.new("L", (8, 6))
        coarse.putdata([noise.randrange(256) for _ in range(48)])
        pictures.append(coarse.resize((64, 48)))
    members = {"annotations.xml": xml}
    for number in range(24):
        stream = io.BytesIO()
        pictures[number % 12].save(stream, "JPEG", quality=95 - number)
        members[f"images/default/{number:02}.jpg"] = stream.getvalue()
    make_zip(archive, members)
    assert converted(archive, tmp_path / "blind")["leaks"] == []
    answer = converted(
        archive, tmp_path / "dataset", "--near-duplicates", "--on-leak", "fix", "--validation-split", 0.5
    )
    assert answer["leaks"] == []
    val = {int(name[:2]) for name in names_in(tmp_path / "dataset/images/val")}
    assert val == {(number + 12) % 24 for number in val}


@pytest.mark.parametrize("name", FORMATS)
def test_images_without_a_label_can_be_kept_as_background(name: str, tmp_path: Path) -> None:
    target = tmp_path / "dataset"
    answer = converted(RECORDED / f"{name}.zip", target, "--unlabelled", "keep")
    assert answer["images"] == 7
    background = {"b__1.jpg", "b__2.jpg", "b__deep dir__2.jpg", "日本 語.jpg"}
    assert yolo_boxes(target) == RECORDED_BOXES | {image: set() for image in background}
    text = refused(RECORDED / f"{name}.zip", tmp_path / "other", "--unlabelled", "error", code=3)
    assert "4 images without a label" in text


def yolo_zip(path: Path, lines: str, data: str = "names:\n  0: cat\n  1: dog\n") -> Path:
    members = {"data.yaml": data.encode(), "train.txt": b""}
    for number in range(4):
        members[f"images/train/x/{number}.jpg"] = picture(number, (100, 50))
        members[f"labels/train/x/{number}.txt"] = lines.encode()
    return make_zip(path, members)


@pytest.mark.parametrize(
    ("lines", "data", "finding"),
    [
        ("1 0.5 0.5 0.2 0.4", "names: [cat, dog]", None),
        ("1 0.5 0.5 0.2 0.4 17", "names: [cat, dog]", "boxes of tracks"),
        ("1 0.4 0.3 0.6 0.3 0.6 0.7 0.4 0.7", "names: {0: cat, 1: dog}", None),
        ("1 0.4 0.5 0.5 0.3 0.6 0.5 0.5 0.7", "names: {0: cat, 1: dog}", "rotated boxes"),
        ("1 0.4 0.5 0.5 0.3 0.6 0.7", "names: {0: cat, 1: dog}", "polygons"),
        ("1 0.5 0.5 0.2 0.4 0.5 0.5 2", "names: {0: cat, 1: dog}\nkpt_shape: [1, 3]", "skeletons"),
    ],
)
def test_ultralytics_lines_of_every_kind_become_boxes(
    lines: str, data: str, finding: str | None, tmp_path: Path
) -> None:
    answer = converted(yolo_zip(tmp_path / "export.zip", lines, data), tmp_path / "dataset", "--validation-split", 0.5)
    assert set(map(frozenset, yolo_boxes(tmp_path / "dataset").values())) == {frozenset({("dog", 40, 15, 60, 35)})}
    assert answer["findings"] == ({finding: 4} if finding else {})


def in_two_formats(folder: Path, pictures: Mapping[str, bytes]) -> list[Path]:
    """Write an export in CVAT for images and one in Ultralytics YOLO, a box in each image."""
    pictures = dict(sorted(pictures.items()))
    elements = "".join(f'<image id="0" name="{name}" width="64" height="48">{box()}</image>' for name in pictures)
    meta = "<meta><project><labels><label><name>cat</name></label></labels></project></meta>"
    cvat = {"annotations.xml": f"<annotations>{meta}{elements}</annotations>".encode()}
    yolo = {"data.yaml": b"names: [cat]", "train.txt": b""}
    for name, content in pictures.items():
        cvat[f"images/{name}"] = yolo[f"images/train/{name}"] = content
        yolo[f"labels/train/{name.rpartition('.')[0]}.txt"] = b"0 0.25 0.5 0.4 0.75"
    return [make_zip(folder / "cvat.zip", cvat), make_zip(folder / "yolo.zip", yolo)]


def test_what_nothing_can_open_is_left_out_whatever_the_format(tmp_path: Path) -> None:
    broken = {"text": b"no picture", "cut": picture(1)[:200], "empty": b"", "page": b"<html>hello</html>"}
    pictures = {f"{number}.jpg": picture(number) for number in range(8)}
    pictures |= {f"{name}.jpg": content for name, content in broken.items()}
    for archive in in_two_formats(tmp_path, pictures):
        answer = converted(archive, tmp_path / archive.stem)
        assert (answer["images"], answer["findings"]) == (8, {"unreadable images": 4})
        assert set(yolo_boxes(tmp_path / archive.stem)) == {f"{number}.jpg" for number in range(8)}
        assert is_whole(tmp_path / archive.stem)


def test_names_that_collide_are_the_same_in_every_format(tmp_path: Path) -> None:
    pictures = {f"{number}.jpg": picture(number) for number in range(8)}
    pictures |= {"a/b/1.jpg": picture(10), "a__b/1.jpg": picture(11)}
    found = []
    for archive in in_two_formats(tmp_path, pictures):
        converted(archive, tmp_path / archive.stem)
        found.append({path.name: path.read_bytes() for path in (tmp_path / archive.stem / "images").rglob("*.jpg")})
    assert len(found[0]) == 10
    assert found[0] == found[1]


SHAPES = {
    "rotated.jpg": (box(edges="20 10 40 20", rotation="90"), ("cat", 25, 5, 35, 25), "rotated boxes"),
    "polygon.jpg": ('<polygon label="dog" points="1,2;30,5;20,40"/>', ("dog", 1, 2, 30, 40), "polygons"),
    "ellipse.jpg": ('<ellipse label="cat" cx="20" cy="20" rx="10" ry="5"/>', ("cat", 10, 15, 30, 25), "ellipses"),
    "mask.jpg": ('<mask label="cat" rle="1" left="3" top="4" width="5" height="6"/>', ("cat", 3, 4, 8, 10), "masks"),
    "edge.jpg": (box(edges="-5 2 70 40"), ("cat", 0, 2, 64, 40), "boxes over the edge"),
}
NO_BOXES = {
    "flipped.jpg": (box(edges="30 40 1 2"), "boxes without area"),
    "outside.jpg": (box(edges="70 2 90 40"), "boxes outside the picture"),
    "unknown.jpg": (box("emu"), "boxes of an unknown class"),
    "nan.jpg": (box(edges="nan 2 30 40"), "unreadable labels"),
    "words.jpg": (box(edges="a 2 30 40"), "unreadable labels"),
    "line.jpg": ('<polyline label="cat" points="1,2;3,4"/>', "polylines"),
    "tag.jpg": ('<tag label="cat"/>', "tags"),
}


def test_what_is_no_good_box_is_counted_and_costs_nothing_else(tmp_path: Path) -> None:
    images = {name: shape for name, (shape, *_) in {**SHAPES, **NO_BOXES}.items()}
    archive = cvat_zip(tmp_path / "export.zip", {**images, "good.jpg": box()})
    target = tmp_path / "dataset"
    # What has only labels that are no boxes is no background.
    answer = converted(archive, target, "--unlabelled", "keep")
    expected = {name: {found} for name, (_, found, _) in SHAPES.items()}
    assert yolo_boxes(target) == coco_boxes(target) == {**expected, "good.jpg": {("cat", 1, 2, 30, 40)}}
    assert answer["left_out"] == {"none of its labels is a box": len(NO_BOXES)}
    assert answer["findings"] == {
        **{finding: 1 for *_, finding in (*SHAPES.values(), *NO_BOXES.values())},
        "unreadable labels": 2,
    }
    table = convert(archive, target, "--overwrite", "--dry-run")
    assert "1 rotated boxes: taken as the upright box around each" in table.stdout


def test_one_bad_entry_of_coco_and_yolo_is_left_out_alone(tmp_path: Path) -> None:
    good = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 10, 20, 20], "segmentation": []}
    bad = [{**good, "category_id": 9}, {**good, "bbox": [1, 2]}, {**good, "image_id": 7}, {**good, "bbox": None}, 5]
    images = [{"id": number, "width": 64, "height": 48, "file_name": f"{number}.jpg"} for number in (1, 2)]
    content = {"categories": [{"id": 1, "name": "cat"}], "images": images}
    content["annotations"] = [good, *bad, {**good, "image_id": 2}]
    members = {f"images/default/{number}.jpg": picture(number) for number in (1, 2)}
    archive = make_zip(
        tmp_path / "coco.zip", {"annotations/instances_default.json": json.dumps(content).encode(), **members}
    )
    answer = converted(archive, tmp_path / "coco", "--validation-split", 0.5)
    assert answer["findings"] == {"boxes of an unknown class": 1, "unreadable labels": 4}
    assert yolo_boxes(tmp_path / "coco") == {f"{number}.jpg": {("cat", 10, 10, 30, 30)} for number in (1, 2)}
    lines = b"0 0.5 0.5 0.5 0.5\n7 0.3 0.3 0.1 0.1\nx\n"
    names = {"obj.names": b"cat\ndog\n", "obj.data": b"", "train.txt": b""}
    for number in (1, 2):
        names |= {f"obj_train_data/{number}.jpg": picture(number), f"obj_train_data/{number}.txt": lines}
    answer = converted(make_zip(tmp_path / "yolo.zip", names), tmp_path / "yolo", "--validation-split", 0.5)
    assert answer["findings"] == {"boxes of an unknown class": 2, "unreadable labels": 2}
    assert yolo_boxes(tmp_path / "yolo") == {f"{number}.jpg": {("cat", 16, 12, 48, 36)} for number in (1, 2)}


def test_a_stored_file_of_labels_is_read_whole(tmp_path: Path) -> None:
    """Its pieces come through one buffer, which holds a part of it at a time."""
    labels = {"categories": [{"id": 1, "name": "cat"}], "info": {"description": "x" * 2_500_000}}
    labels["images"] = [{"id": number, "width": 64, "height": 48, "file_name": f"{number}.jpg"} for number in (1, 2)]
    labels["annotations"] = [{"image_id": number, "category_id": 1, "bbox": [1, 2, 29, 38]} for number in (1, 2)]
    members = {f"images/default/{number}.jpg": picture(number) for number in (1, 2)}
    members["annotations/instances_default.json"] = json.dumps(labels).encode()
    converted(make_zip(tmp_path / "export.zip", members), tmp_path / "dataset", "--validation-split", 0.5)
    assert yolo_boxes(tmp_path / "dataset") == {f"{number}.jpg": {("cat", 1, 2, 30, 40)} for number in (1, 2)}


def test_names_lose_their_folders_and_never_collide(tmp_path: Path) -> None:
    names = ["a/b/1.jpg", "a__b__1.jpg", "a/b__1.jpg", "x.jpg", "x.png", ".hidden.jpg", f"{'d' * 200}/{'e' * 200}.jpg"]
    images = {f"train:{name}": box() for name in names} | {"val:x.jpg": box("dog")}
    target = tmp_path / "dataset"
    converted(cvat_zip(tmp_path / "export.zip", images), target, "--split-method", "subsets")
    record = json.loads((target / "manifest.json").read_text())
    assert len({Path(image["path"]).stem for image in record["images"]}) == 8
    by_frame = {(image["subset"], image["frame"]): Path(image["path"]).name for image in record["images"]}
    assert by_frame["train", "a__b__1.jpg"] == "a__b__1.jpg"
    assert by_frame["train", "x.jpg"] == "x.jpg"
    assert by_frame["train", ".hidden.jpg"] == "_.hidden.jpg"
    for image in record["images"]:
        labels = target / image["path"].replace("images/", "labels/", 1)
        assert labels.with_suffix(".txt").is_file()


def test_subsets_are_sides(tmp_path: Path) -> None:
    images = {"Train:1.jpg": box(), "Train:2.jpg": box(), "Validation:3.jpg": box(), "Test:4.jpg": box("dog")}
    target = tmp_path / "dataset"
    answer = converted(cvat_zip(tmp_path / "export.zip", images), target, "--split-method", "subsets")
    assert answer["sides"] == {"train": 2, "val": 1, "test": 1}
    assert yaml.safe_load((target / "data.yaml").read_text())["test"] == "images/test"
    assert names_in(target / "images/test") == {"4.jpg"}
    assert is_whole(target)


@pytest.mark.parametrize(
    ("images", "options", "words"),
    [
        ({"a.jpg": box()}, ["--split-method", "subsets"], "the export has default"),
        ({"train:a.jpg": box()}, ["--split-method", "subsets"], "in a subset val"),
        ({"a.jpg": "", "b.jpg": ""}, [], "holds no box"),
        ({"a.jpg": box()}, [], "would be empty"),
        ({"a.jpg": "<track></track>"}, [], "CVAT for video 1.1"),
        ({"a.jpg": "<a>" * 50_000 + "</a>" * 50_000}, [], "more than 32 deep"),
    ],
)
def test_what_cannot_be_a_dataset_is_refused(
    images: dict[str, str], options: list[str], words: str, tmp_path: Path
) -> None:
    assert words in refused(cvat_zip(tmp_path / "export.zip", images), tmp_path / "dataset", *options)


def test_options_of_the_other_kind_of_labels_are_refused(tmp_path: Path) -> None:
    boxes = cvat_zip(tmp_path / "boxes.zip", many())
    tags = make_zip(tmp_path / "tags.zip", [f"cat/{number}.jpg" for number in range(9)])
    for options in (["--multi-label", "drop"], ["--layout", "nested"], ["--keep-junk"]):
        assert options[0] in refused(boxes, tmp_path / "dataset", *options, code=2)
    both = ["--split-method", "subsets", "--test-split", 0.1]
    assert "--test-split" in refused(boxes, tmp_path / "dataset", *both, code=2)
    assert "subsets" in refused(tags, tmp_path / "dataset", "--split-method", "subsets", code=2)
    assert "completed" in refused(tags, tmp_path / "dataset", "--unlabelled", "completed", code=2)
    words = "needs boxes.completed.json beside"
    assert words in refused(boxes, tmp_path / "dataset", "--unlabelled", "completed", code=2)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("data.yaml", "a: &a [x, x]\nb: &b [*a, *a]\nnames: [*b, *b]", "data.yaml cannot be read"),
        ("data.yaml", "names: [", "data.yaml cannot be read"),
        ("data.yaml", "#" * 5_000_000, "too large"),
        ("obj.data", "", "holds no obj.names"),
    ],
)
def test_a_list_of_classes_that_is_none_is_told(name: str, content: str, words: str, tmp_path: Path) -> None:
    members = {name: content.encode(), "images/train/1.jpg": picture(1), "obj_train_data/1.jpg": picture(1)}
    with_stored = make_zip(tmp_path / "export.zip", members)
    text = refused(with_stored, tmp_path / "dataset")
    assert words in text
    assert len(text.splitlines()) == 1


def test_an_export_without_images_or_with_broken_labels_is_refused(tmp_path: Path) -> None:
    archive = cvat_zip(tmp_path / "export.zip", many())
    for name, drop, content in (("bare.zip", "images/", None), ("cut.zip", "annotations.xml", b"<annotations><im")):
        with zipfile.ZipFile(archive) as whole:
            members = {item: whole.read(item) for item in whole.namelist() if not item.startswith(drop)}
        make_zip(tmp_path / name, members | ({"annotations.xml": content} if content else {}))
    assert "without images" in refused(tmp_path / "bare.zip", tmp_path / "dataset")
    assert "annotations.xml cannot be read" in refused(tmp_path / "cut.zip", tmp_path / "dataset")


def test_stratified_keeps_the_share_of_boxes_and_stable_keeps_old_images(tmp_path: Path) -> None:
    archive = cvat_zip(tmp_path / "export.zip", {f"{n:02}.jpg": box("dog" if n < 5 else "cat") for n in range(25)})
    answer = converted(archive, tmp_path / "dataset", "--split-method", "stratified")
    assert answer["classes"] == {"cat": {"train": 16, "val": 4}, "dog": {"train": 4, "val": 1}}
    crowd = {f"{n:02}.jpg": box("dog" if n % 3 else "cat") * (1 + n % 7) for n in range(60)}
    answer = converted(cvat_zip(tmp_path / "crowd.zip", crowd), tmp_path / "crowd", "--split-method", "stratified")
    assert answer["sides"] == {"train": 48, "val": 12}
    assert all(abs(sides["val"] - sum(sides.values()) / 5) <= 2 for sides in answer["classes"].values())
    sides = []
    for count in (20, 25):
        grown = cvat_zip(tmp_path / f"{count}.zip", dict(list(many(25).items())[:count]))
        converted(grown, tmp_path / str(count), "--split-method", "stable", "--seed", 3)
        sides.append(names_in(tmp_path / str(count) / "images/val"))
    assert sides[0] == {name for name in sides[1] if int(name[:2]) < 20}


def test_groups_stay_together_and_equal_images_are_named(tmp_path: Path) -> None:
    images = {f"film{number // 5}/{number}.jpg": box() for number in range(20)}
    target = tmp_path / "dataset"
    converted(cvat_zip(tmp_path / "export.zip", images), target, "--group-by", 1, "--validation-split", 0.25)
    assert len({name.partition("__")[0] for name in names_in(target / "images/val")}) == 1
    same = {"train:1.jpg": picture(1), "val:1.jpg": picture(1)}
    archive = cvat_zip(tmp_path / "twins.zip", dict.fromkeys(same, box()))
    with zipfile.ZipFile(archive) as whole:
        xml = whole.read("annotations.xml")
    twins = {f"images/{name.replace(':', '/')}": content for name, content in same.items()}
    make_zip(archive, {"annotations.xml": xml, **twins})
    answer = converted(archive, tmp_path / "twins", "--split-method", "subsets")
    assert [leak["sides"] for leak in answer["leaks"]] == [["train", "val"]]
    refused(archive, tmp_path / "none", "--split-method", "subsets", "--on-leak", "error", code=3)


def test_ids_with_gaps_are_filled_for_tools_that_count(tmp_path: Path) -> None:
    pinned = tmp_path / "pinned.json"
    pinned.write_text('{"dog": 1, "cat": 3}')
    target = tmp_path / "dataset"
    answer = converted(cvat_zip(tmp_path / "export.zip", many()), target, "--labels", pinned)
    names = yaml.safe_load((target / "data.yaml").read_text())["names"]
    assert names == {0: "unused_0", 1: "dog", 2: "unused_2", 3: "cat"}
    assert answer["labels"] == {"dog": 1, "cat": 3}
    assert any("gaps" in warning for warning in answer["warnings"])


def test_a_dry_run_says_what_would_be_made_and_writes_nothing(tmp_path: Path) -> None:
    archive = cvat_zip(tmp_path / "export.zip", many())
    before = tree(tmp_path)
    planned = converted(archive, tmp_path / "dataset", "--dry-run")
    assert tree(tmp_path) == before
    made = converted(archive, tmp_path / "dataset")
    for answer in (planned, made):
        del answer["dataset"], answer["seconds"]
    assert planned == made


def test_the_same_export_gives_the_same_bytes(tmp_path: Path) -> None:
    archive = cvat_zip(tmp_path / "export.zip", many())
    converted(archive, tmp_path / "one")
    converted(archive, tmp_path / "two")
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


def test_nothing_of_the_user_is_replaced(tmp_path: Path) -> None:
    target = tmp_path / "dataset"
    archive = cvat_zip(tmp_path / "export.zip", many())
    (target / "images").mkdir(parents=True)
    (target / "images/mine.jpg").write_bytes(b"mine")
    assert "images is in the way" in refused(archive, target, "--overwrite")
    shutil.rmtree(target)
    converted(archive, target)
    (target / "notes.txt").write_text("mine")
    assert "already contains a dataset" in refused(archive, target)
    converted(cvat_zip(tmp_path / "new.zip", many(10)), target, "--overwrite")
    assert names_in(target) == PARTS | {"notes.txt"}
    tags = make_zip(tmp_path / "tags.zip", [f"cat/{number}.jpg" for number in range(9)])
    converted(tags, target, "--overwrite")
    assert not names_in(target) & (PARTS - {"labels.json", "manifest.json"})
    converted(archive, target, "--overwrite")
    assert names_in(target) == PARTS | {"notes.txt"}
    assert is_whole(target)


def test_verify_names_what_differs(tmp_path: Path) -> None:
    target = tmp_path / "dataset"
    converted(cvat_zip(tmp_path / "export.zip", many()), target)
    (target / "labels/train.cache").write_bytes(b"what ultralytics leaves")
    assert is_whole(target)
    image = next((target / "images/train").iterdir())
    labels = target / "labels/train" / f"{image.stem}.txt"
    labels.write_text(
        labels.read_text().replace("0 ", "1 ", 1) if labels.read_text()[0] == "0" else "0 0.5 0.5 0.1 0.1\n"
    )
    (target / "images/val/new.jpg").write_bytes(b"new")
    (target / "data.yaml").unlink()
    done = run("verify_dataset", target)
    assert done.returncode == 3
    found = {tuple(line.split(maxsplit=1)) for line in done.stdout.splitlines()}
    assert {(kind, path.partition(":")[0]) for kind, path in found} == {
        ("changed", f"labels/train/{labels.name}"),
        ("extra", "images/val/new.jpg"),
        ("missing", "data.yaml"),
    }


def test_masks_of_pascal_voc_are_told_as_lost(tmp_path: Path) -> None:
    objects = (
        "<object><name>cat</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30</xmax><ymax>40</ymax></bndbox></object>"
    )
    members = {"labelmap.txt": b"# label:color:parts:acts\nbackground:0,0,0::\ncat:1,2,3::\n"}
    members["ImageSets/Main/default.txt"] = "".join(f"{number}\n" for number in range(6)).encode()
    for number in range(6):
        members[f"JPEGImages/{number}.jpg"] = picture(number)
        members[f"Annotations/{number}.xml"] = f"<annotation>{objects * (number < 4)}</annotation>".encode()
    for folder in ("SegmentationClass", "SegmentationObject"):
        members |= {f"{folder}/{number}.png": picture(number) for number in (3, 4)}
    target = tmp_path / "dataset"
    answer = converted(make_zip(tmp_path / "export.zip", members), target, "--unlabelled", "keep")
    assert answer["findings"] == {"pictures of masks": 2}
    assert answer["left_out"] == {"none of its labels is a box": 1}, "an image with a mask alone is no background"
    assert answer["images"] == 5
    assert any("pictures of masks, left out, for no boxes" in warning for warning in answer["warnings"])


def roboflow_zip(path: Path, form: str) -> Path:
    members: dict[str, bytes] = {"README.roboflow.txt": b"x", "README.dataset.txt": b"x"}
    number = 0
    for subset, count in (("train", 5), ("valid", 2), ("test", 1)):
        images, annotations = [], []
        for _ in range(count):
            number += 1
            name = f"p{number}_jpg.rf.ab{number}"
            if form == "yolo":
                members[f"{subset}/images/{name}.jpg"] = picture(number)
                members[f"{subset}/labels/{name}.txt"] = b"1 0.5 0.5 0.5 0.5"
            else:
                members[f"{subset}/{name}.jpg"] = picture(number)
                images.append({"id": number, "file_name": f"{name}.jpg", "width": 64, "height": 48})
                annotations.append({"id": 1, "image_id": number, "category_id": 2, "bbox": [16, 12, 32, 24]})
        if form == "coco":
            names = (("pets", "none"), ("cat", "pets"), ("dog", "pets"))
            categories = [{"id": id_, "name": name, "supercategory": top} for id_, (name, top) in enumerate(names)]
            content = {"categories": categories, "images": images, "annotations": annotations}
            members[f"{subset}/_annotations.coco.json"] = json.dumps(content).encode()
    if form == "yolo":
        members["data.yaml"] = b"train: ../train/images\nval: ../valid/images\nnc: 2\nnames: ['cat', 'dog']\n"
    return make_zip(path, members)


@pytest.mark.parametrize("form", ["yolo", "coco"])
def test_zips_of_roboflow(form: str, tmp_path: Path) -> None:
    archive = roboflow_zip(tmp_path / "pets.zip", form)
    target = tmp_path / "dataset"
    answer = converted(archive, target, "--split-method", "subsets")
    assert answer["sides"] == {"train": 5, "val": 2, "test": 1}
    assert answer["labels"] == {"cat": 0, "dog": 1}
    assert set(map(frozenset, yolo_boxes(target).values())) == {frozenset({("dog", 16, 12, 48, 36)})}
    told = converted(archive, tmp_path / "other")["warnings"]
    assert "the export has the subsets test, train, valid: --split-method subsets keeps them" in told


def test_pictures_that_exif_turns_are_named(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x10F] = "a camera"
    exif[0x112] = 6
    archive = cvat_zip(tmp_path / "export.zip", many(6))
    with zipfile.ZipFile(archive) as whole:
        members = {name: whole.read(name) for name in whole.namelist()}
    stream = io.BytesIO()
    Image.new("RGB", (48, 64)).save(stream, "JPEG", exif=exif)
    members["images/default/03.jpg"] = stream.getvalue()
    told = converted(make_zip(archive, members), tmp_path / "dataset")["warnings"]
    (line,) = [line for line in told if "EXIF" in line]
    assert line.startswith("1 image is turned by EXIF, and the boxes fit the picture as it is shown")
    assert line.endswith(": images/default/03.jpg")


def test_what_a_format_dropped_is_counted_by_the_complete_export_beside_it(tmp_path: Path) -> None:
    polygon = '<polygon label="dog" points="1,2;30,5;20,40"/><tag label="cat"/>'
    names = [f"{number}.jpg" for number in range(4)]
    cvat_zip(tmp_path / "complete.zip", dict.fromkeys(names, box(rotation="20") + polygon))
    cvat_zip(tmp_path / "of another project.zip", {"a.jpg": polygon})
    members = {f"obj_train_data/{name}": picture(number) for number, name in enumerate(names)}
    members |= {f"obj_train_data/{name[:-4]}.txt": b"0 0.5 0.5 0.5 0.5" for name in names}
    lossy = make_zip(tmp_path / "lossy.zip", {"obj.names": b"cat\ndog\n", "obj.data": b"", **members})
    said = "YOLO 1.1 has dropped, as complete.zip beside it tells: 4 polygons, 4 tags, the rotation of 4 boxes"
    done = convert(lossy, tmp_path / "dataset", "--validation-split", 0.5)
    assert f"warning: {said}: convert that one to have them" in done.stderr
    (tmp_path / "complete.zip").unlink()
    assert converted(lossy, tmp_path / "other", "--validation-split", 0.5)["dropped"] is None
