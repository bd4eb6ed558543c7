"""One bad entry, file or picture must not cost the report: it is named, and the rest is shown."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.support.reports import jpeg, report, run, write_dataset


def write_zip(path: Path, files: dict[str, str | bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def picture(form: str, seed: int = 1, size: tuple[int, int] = (64, 48), **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise(size, 20 + seed).convert("RGB").save(buffer, form, **options)
    return buffer.getvalue()


CAT = [{"id": 1, "name": "cat"}]
A = {"id": 1, "width": 64, "height": 48, "file_name": "a.jpg"}
BOX = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 10, 20, 20]}


def coco(annotations: list[Any], images: list[Any] | None = None, **more: Any) -> dict[str, str | bytes]:
    content = {"annotations": annotations, "categories": CAT, "images": images or [A]} | more
    return {"annotations/instances_default.json": json.dumps(content), "images/default/a.jpg": jpeg(1, (64, 48))}


def cvat(*boxes: str, size: str = 'width="64" height="48"') -> dict[str, str | bytes]:
    shapes = "".join(f'<box label="cat" {box}/>' for box in boxes)
    image = f'<image id="0" name="a.jpg" {size}>{shapes}</image>'
    return {"annotations.xml": f"<annotations>{image}</annotations>", "images/default/a.jpg": jpeg(1, (64, 48))}


def voc(box: str, size: str = "<size><width>64</width><height>48</height></size>") -> dict[str, str | bytes]:
    good = "<object><name>cat</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object>"
    bad = f"<object><name>cat</name><bndbox>{box}</bndbox></object>" if box else ""
    return {
        "ImageSets/Main/train.txt": "# a comment\na\n",
        "ImageSets/Main/cat_train.txt": "a 1\n",
        "JPEGImages/a.jpg": jpeg(1, (64, 48)),
        "Annotations/a.xml": f"<annotation><filename>a.jpg</filename>{size}{good}{bad}</annotation>",
    }


def yolo(lines: str) -> dict[str, str | bytes]:
    return {
        "obj.names": "cat\ndog\n",
        "train.txt": "# list\ndata/obj_train_data/a.jpg\n",
        "cat_train.txt": "data/obj_train_data/a.jpg\n",
        "obj_train_data/a.jpg": jpeg(1, (64, 48)),
        "obj_train_data/a.txt": f"# a comment\n0 0.5 0.5 0.2 0.2\n{lines}\n",
    }


GOOD = 'xtl="1" ytl="2" xbr="30" ybr="40"'


@pytest.mark.parametrize(
    ("files", "said"),
    [
        pytest.param(cvat(GOOD, 'xtl="30" ytl="40" xbr="1" ybr="2"'), "a.jpg: its box of cat is flipped", id="flipped"),
        pytest.param(cvat(GOOD, 'xtl="wide" ytl="4" xbr="1" ybr="2"'), "could not convert", id="no number"),
        pytest.param(cvat(GOOD, 'xtl="nan" ytl="4" xbr="9" ybr="9"'), "are no numbers", id="not finite"),
        pytest.param(cvat(GOOD, 'xtl="1"'), "has no ytl", id="corner missing"),
        pytest.param(cvat(GOOD, size='width="wide" height="48"'), "its size is no width and height", id="size"),
        pytest.param(coco([BOX, BOX | {"category_id": 9}]), "a.jpg: there is no category with the id 9", id="category"),
        pytest.param(coco([BOX, BOX | {"image_id": 7}]), "no image with the id 7", id="image"),
        pytest.param(coco([BOX, BOX | {"bbox": [9, 9, -5, 3]}]), "is flipped", id="negative width"),
        pytest.param(coco([BOX, 5]), "entry of annotations", id="number for an object"),
        pytest.param(coco([BOX, BOX | {"image_id": [1]}]), "entry of annotations", id="list for an id"),
        pytest.param(coco([BOX], [A, {"id": 1, "file_name": "b.jpg"}]), "is that of a.jpg too", id="id given twice"),
        pytest.param(
            coco([BOX], categories=[*CAT, {"id": 1, "name": "dog"}]), "the id 1 of dog is that of cat", id="id of two"
        ),
        pytest.param(voc("", size=""), "there is no <size>", id="no size"),
        pytest.param(voc("<xmin>1</xmin>"), "a box of cat lacks a corner", id="voc corner"),
        pytest.param(yolo("7 0.3 0.3 0.1 0.1"), "line 3: there is no class with the number 7", id="class number"),
        pytest.param(yolo("-1 0.3 0.3 0.1 0.1"), "there is no class with the number -1", id="negative number"),
        pytest.param(yolo("1 .1 .1 .3 .1 .3 .3 .2"), "line 3: 8 numbers, where a box has 5", id="outline"),
        pytest.param(yolo("1 .1"), "2 numbers, where a box has 5", id="too few"),
    ],
)
def test_the_rest_is_shown(tmp_path: Path, files: dict[str, str | bytes], said: str) -> None:
    facts, page = report(write_zip(tmp_path / "x.zip", files), tmp_path)
    assert (facts["images"], facts["boxes"]) == (1, 1)
    assert len(facts["subsets"]) == 1, "a list of one class is no subset"
    assert said in page.findings["bad_label"]


def test_a_box_of_a_class_that_is_not_listed_is_named(tmp_path: Path) -> None:
    files = cvat(GOOD)
    labels = "<meta><project><labels><label><name>dog</name></label></labels></project></meta><image"
    files["annotations.xml"] = str(files["annotations.xml"]).replace("<image", labels, 1)
    _, page = report(write_zip(tmp_path / "x.zip", files), tmp_path)
    assert "a.jpg: cat" in page.findings["unknown_class"]


def test_labels_of_other_shapes_are_drawn_as_the_box_around_them(tmp_path: Path) -> None:
    facts, page = report(write_zip(tmp_path / "x.zip", yolo("1 .1 .1 .3 .1 .3 .3")), tmp_path)
    assert facts["boxes"] == 2
    assert " ".join(page.findings["polygon"].split()) == "polygons, taken as the upright box around each: 1 a.jpg"
    assert 'x="6.4" y="4.8" width="12.8" height="9.6"' in (tmp_path / "report.html").read_text("utf-8")


def test_a_file_that_is_cut_off_counts_until_there(tmp_path: Path) -> None:
    files = cvat(GOOD)
    files["annotations.xml"] = str(files["annotations.xml"]).replace("</annotations>", "<image")
    facts, page = report(write_zip(tmp_path / "x.zip", files), tmp_path)
    assert (facts["images"], facts["boxes"]) == (1, 1)
    assert "annotations.xml cannot be read to its end" in page.findings["unreadable_labels"]


@pytest.mark.parametrize(
    ("image", "labels"),
    [
        ("images/train/a.jpg", "labels/train/a.txt"),
        ("train/images/a.jpg", "train/labels/a.txt"),
        ("photos/a.jpg", "photos/a.txt"),
        ("wrapper/obj_train_data/a.jpg", "wrapper/obj_train_data/a.txt"),
    ],
)
@pytest.mark.parametrize("names", ["obj.names", "data.yaml"])
def test_yolo_trees_of_other_folders(tmp_path: Path, image: str, labels: str, names: str) -> None:
    top = "wrapper/" if image.startswith("wrapper/") else ""
    classes = "cat\ndog\n" if names == "obj.names" else "train: images/train\nnames:\n  0: cat\n  1: 'dog'\n"
    files = {f"{top}{names}": classes, image: jpeg(1, (64, 48)), labels: "1 0.5 0.5 0.2 0.2"}
    facts, _ = report(write_zip(tmp_path / "x.zip", files), tmp_path)
    assert (facts["images"], facts["boxes"], facts["broken"]) == (1, 1, [])
    assert [(row["name"], sum(row["boxes"].values())) for row in facts["classes"]] == [("cat", 0), ("dog", 1)]
    assert list(facts["subsets"]) == ["default" if "train" not in image else "train"]


def test_a_converted_detection_dataset(tmp_path: Path) -> None:
    folder = tmp_path / "dataset"
    for number, side in enumerate(("train", "val", "test")):
        for path, content in (
            (f"images/{side}/{number}.jpg", jpeg(number, (64, 48))),
            (f"labels/{side}/{number}.txt", b"0 0.5 0.5 0.2 0.2\n"),
        ):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
    (folder / "data.yaml").write_text("train: images/train\nval: images/val\nnames:\n  0: cat\n")
    facts, page = report(folder, tmp_path)
    assert facts["subsets"] == {"train": 1, "val": 1, "test": 1}
    assert facts["boxes"] == page.numbers["boxes"] == 3


def test_junk_and_other_formats_are_named(tmp_path: Path) -> None:
    files = yolo("") | {
        "__MACOSX/obj_train_data/._a.jpg": b"x",
        "obj_train_data/Thumbs.db": b"x",
        "obj_train_data/b.jpg": picture("PNG"),
        "obj_train_data/c.jpg": picture("WEBP"),
        "obj_train_data/d.jpg": picture("TIFF"),
    }
    facts, page = report(write_zip(tmp_path / "x.zip", files), tmp_path)
    assert facts["images"] == 4
    assert facts["broken"] == []
    assert "2 files of a file manager" in page.findings["junk"]
    for name in ("b.jpg: PNG", "c.jpg: WebP", "d.jpg: TIFF"):
        assert name in page.findings["wrong_extension"]


@pytest.mark.parametrize(
    "files",
    [
        pytest.param({"obj.names": "a\n" * 8_000_000, "obj_train_data/a.jpg": b"x"}, id="names"),
        pytest.param({"annotations/instances_x.json": '{"images":[' + "{}," * 5_000_000 + "{}]}"}, id="objects"),
        pytest.param({f"obj_train_data/{number}.jpg": bytes(10**6) for number in range(30)}, id="many"),
    ],
)
def test_what_unpacks_to_far_too_much_is_refused(tmp_path: Path, files: dict[str, str | bytes]) -> None:
    done = run(write_zip(tmp_path / "x.zip", files | {"obj.data": ""}), cwd=tmp_path)
    assert done.returncode == 1
    assert "as a zip bomb does" in done.stderr
    assert done.stderr.count("\n") <= 2, "a line, and one for each member"


def test_a_list_that_is_too_long_is_named(tmp_path: Path) -> None:
    names = "\n".join(f"class {number * 7919 % 1_000_003}" for number in range(500_000))
    facts, page = report(write_zip(tmp_path / "x.zip", yolo("") | {"obj.names": names}), tmp_path)
    assert facts["images"] == 1
    assert "too much for a list" in page.findings["unreadable_labels"]


def test_a_picture_too_large_to_draw_is_not_broken(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "d", {"cat": (2, 1)})
    Image.new("L", (13_000, 13_000)).save(dataset / "training/cat/large.jpg", quality=1)
    facts, page = report(dataset, tmp_path)
    assert facts["broken"] == []
    assert facts["sizes"]["largest"] == [13_000, 13_000]
    assert "large.jpg: too large to draw (13000 × 13000)" in page.findings["not_drawn"]
    assert "too large to draw" in page.text


@pytest.mark.parametrize("value", [None, 5, "x", [], [5], {}, {"a": 1}])
@pytest.mark.parametrize("key", ["source", "tool", "options", "warnings", "equal_images", "images", "left_out"])
def test_a_manifest_of_wrong_types_is_a_line(tmp_path: Path, key: str, value: Any) -> None:
    from toolkit.report.read_folder import read_folder

    dataset = write_dataset(tmp_path / "d", {"cat": (2, 1)})
    good: dict[str, Any] = {
        "format": "cvat-toolkit dataset manifest",
        "version": 1,
        "tool": {"version": "1"},
        "source": {"name": "x.zip", "size": 1, "sha256": "0"},
        "options": {},
        "labels": {"cat": 0},
        "warnings": [],
        "equal_images": [],
        "left_out": [],
        "images": [],
    }
    start = f'{{\n"format": {json.dumps(good["format"])},\n'
    rest = json.dumps({name: content for name, content in (good | {key: value}).items() if name != "format"})
    (dataset / "manifest.json").write_text(start + rest[1:])
    kinds = [finding.kind for finding in read_folder(dataset).findings]
    assert ("bad_manifest" in kinds) or type(value) is type(good[key])


def test_duplicates_within_a_split_are_counted(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "d", {"cat": (12, 4)})
    for number in range(3):
        (dataset / "training/cat" / f"copy{number}.jpg").write_bytes((dataset / "training/cat/t0000.jpg").read_bytes())
    facts, page = report(dataset, tmp_path)
    assert "3 images are duplicates of another in the same split" in page.findings["duplicate"]
    (duplicate,) = [finding for finding in facts["warnings"] if finding["kind"] == "duplicate"]
    assert "training/cat/copy0.jpg" in duplicate["names"][0]
    assert "training/cat/t0000.jpg" in duplicate["names"][0]


def test_outliers_are_shown(tmp_path: Path) -> None:
    from PIL import ImageFilter
    from sklearn.datasets import load_sample_images

    photo = Image.fromarray(load_sample_images().images[0])
    dataset = tmp_path / "d"
    for side in ("training", "validation"):
        place = dataset / side / "china"
        place.mkdir(parents=True)
        for number in range(12):
            left, top = 23 * number, 11 * number + (side == "validation") * 30
            photo.crop((left, top, left + 260, top + 200)).save(place / f"{side} {number}.jpg", quality=92)
    place = dataset / "training" / "china"
    photo.filter(ImageFilter.GaussianBlur(9)).save(place / "blurred.jpg")
    photo.point(lambda level: level // 8).save(place / "dark.jpg")
    photo.point(lambda level: 245 + level // 30).save(place / "bright.jpg")
    photo.crop((0, 200, 640, 260)).save(place / "narrow.jpg")
    with Image.open(place / "training 5.jpg") as first:
        first.save(place / "again.jpg", quality=50)
    facts, page = report(dataset, tmp_path)
    found = {kind["kind"]: " ".join(kind["names"]) for kind in facts["outliers"]["kinds"]}
    assert "blurred.jpg" in found["blurred"]
    assert "training 3.jpg" not in found["blurred"]
    assert "dark.jpg" in found["dark"]
    assert "bright.jpg" in found["bright"]
    assert "narrow.jpg" in found["odd_shape"]
    assert "again.jpg ≈ training/china/training 5.jpg" in found["near_duplicate"]
    assert page.outlier_pictures >= 6
    facts, _ = report(dataset, tmp_path, "--examine", 0)
    assert facts["outliers"]["examined"] == 0


def test_boxes_that_stand_out(tmp_path: Path) -> None:
    more = "0 0.5 0.5 0.2 0.2\n1 0.3 0.3 0.002 0.002"
    files = yolo(more) | {"obj_train_data/a.jpg": picture("JPEG", size=(1000, 800))}
    facts, _ = report(write_zip(tmp_path / "x.zip", files), tmp_path)
    found = {kind["kind"]: kind["names"] for kind in facts["outliers"]["kinds"]}
    assert found["tiny_box"] == ["a.jpg: dog 2 × 2"]
    assert found["overlapping_boxes"] == ["a.jpg: cat and cat cover nearly the same"]


@pytest.mark.parametrize(
    ("picture_size", "box", "is_listed"),
    [
        ((320, 240), (1, 1), True),
        ((256, 256), (2, 3), True),
        ((320, 240), (2, 60), True),
        ((320, 240), (6, 6), False),
        ((64, 64), (6, 6), False),
        ((64, 64), (3, 3), True),
        ((8, 8), (3, 3), False),
        ((1000, 800), (12, 12), True),
    ],
)
def test_a_tiny_box_is_one_in_a_small_picture_too(
    tmp_path: Path, picture_size: tuple[int, int], box: tuple[int, int], is_listed: bool
) -> None:
    shares = " ".join(str(side / whole) for side, whole in zip(box, picture_size, strict=True))
    files = yolo(f"1 0.5 0.5 {shares}") | {"obj_train_data/a.jpg": picture("JPEG", size=picture_size)}
    facts, _ = report(write_zip(tmp_path / "x.zip", files), tmp_path)
    found = {kind["kind"]: kind["names"] for kind in facts["outliers"]["kinds"]}
    assert ("a.jpg: dog {} × {}".format(*box) in found.get("tiny_box", [])) == is_listed


def test_a_long_list_of_next_to_nothing_is_not_read_to_its_end(tmp_path: Path) -> None:
    files = coco([BOX], info=[{}] * 200_000)
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    done = run(tmp_path / "export.zip", cwd=tmp_path)
    assert done.returncode == 0
    assert "its list info has more than 100,000 entries with next to nothing in them" in done.stderr


def test_labels_larger_than_any_are_not_read(tmp_path: Path) -> None:
    write_dataset(tmp_path / "dataset", {"cat": (2, 2)})
    (tmp_path / "dataset" / "labels.json").write_text("[" + "{}," * 2_000_000 + "{}]")
    done = run(tmp_path / "dataset", cwd=tmp_path)
    assert done.returncode == 1
    assert "is too large for a table of ids (5.7 MiB): 4.0 MiB are read" in done.stderr


def test_a_manifest_of_other_lines_is_read_to_a_bound(tmp_path: Path) -> None:
    write_dataset(tmp_path / "dataset", {"cat": (2, 2)})
    start = '{\n"format": "cvat-toolkit dataset manifest",\n"version": 2,\n"parts": ["training", "validation"],\n'
    (tmp_path / "dataset" / "manifest.json").write_text(start + '"images": [' + "{}," * 6_000_000 + "{}]}")
    _, page = report(tmp_path / "dataset", tmp_path)
    assert "more than 16.0 MiB of it are not written as it is made" in page.text
