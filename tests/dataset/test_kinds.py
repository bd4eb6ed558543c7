"""What an archive is gets told before anything is made of it; what lies around a person's files is no class."""

import json
import os
import zipfile
from pathlib import Path

import pytest

from tests.support.conversions import convert, converted, is_whole, make_zip, names_in, refused, run, side, two_classes

EXPORTS = Path(__file__).parents[1] / "data" / "recordings" / "exports" / "detection"
REFUSED = {
    "camvid_1.0": "CamVid 1.0",
    "cityscapes_1.0": "Cityscapes 1.0",
    "coco_keypoints_1.0": "COCO Keypoints 1.0",
    "icdar_localization_1.0": "ICDAR Localization 1.0",
    "segmentation_mask_1.1": "Segmentation mask 1.1",
}


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "here").mkdir()
    return tmp_path / "here" / "dataset"


@pytest.mark.parametrize("name", REFUSED)
def test_a_format_that_is_not_read_is_called_by_its_name(name: str, here: Path) -> None:
    text = refused(EXPORTS / f"{name}.zip", here)
    assert f"is an export in format {REFUSED[name]}:" in text
    assert "COCO 1.0, YOLO 1.1" in text


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["train/cat/a.jpg", "train/labels.json"], "format Ultralytics YOLO Classification 1.0"),
        (["export/annotations/person_keypoints_x.json", "export/images/a.jpg"], "format COCO Keypoints 1.0"),
        (["pictures/a.jpg", "boxes/a.txt", "pictures/b.jpg", "boxes/b.txt"], "images with a file of annotations each"),
        (["a/1.jpg", "a/1.xml", "b/2.jpg", "b/2.xml"], "images with a file of annotations each"),
        (["train/cat/1.jpg", "val/cat/2.jpg"], "a dataset that is split into sides already"),
        (["training/cat/1.jpg", "validation/cat/2.jpg", "labels.json", "manifest.json"], "that convert made already"),
        (["project.json", "task_0/data/1.jpg", "task_0/task.json"], "a backup of a CVAT project or task"),
        (["report/a.pdf", "report/b.docx"], "an archive without images"),
        (["project_id_1.zip"], "an archive without images"),
    ],
)
def test_what_is_no_export_of_tags_or_boxes_is_refused_by_name(names: list[str], words: str, here: Path) -> None:
    text = refused(make_zip(here.parent / "export.zip", names), here)
    assert words in text
    assert len(text.splitlines()) == 1


JUNK = ["__MACOSX/cat/._1.jpg", "cat/._001.jpg", ".DS_Store", "cat/.DS_Store", ".ipynb_checkpoints/1.jpg"]
JUNK += ["cat/.ipynb_checkpoints/1-checkpoint.jpg", "Thumbs.db", "dog/thumbs.db", "dog/desktop.ini", "@eaDir/x/1.jpg"]


@pytest.mark.parametrize("wrapper", ["", "project_id_1/", "my export/"])
def test_junk_and_a_folder_around_everything_are_no_classes(wrapper: str, here: Path) -> None:
    names = [f"{wrapper}{name}" for name in (*two_classes(), *JUNK)]
    answer = converted(make_zip(here.parent / "export.zip", [*names, "__MACOSX/", "__MACOSX/._x"]), here)
    assert answer["labels"] == {"cat": 0, "dog": 1}
    assert side(here, "training") | side(here, "validation") == set(two_classes())
    assert answer["left_out"] == {"left by an operating system or an editor": len(JUNK) + 1}
    assert any("__MACOSX" in warning and "--keep-junk" in warning for warning in answer["warnings"])
    assert any("is seen through" in warning for warning in answer["warnings"]) == bool(wrapper)
    assert is_whole(here)


def test_junk_is_kept_as_the_reference_has_it_if_asked_for(here: Path) -> None:
    archive = make_zip(here.parent / "export.zip", [*two_classes(), *JUNK])
    answer = converted(archive, here, "--keep-junk")
    assert set(answer["labels"]) == {".ipynb_checkpoints", "@eaDir", "__MACOSX", "cat", "dog"}
    assert any("begin with a dot: .ipynb_checkpoints" in warning for warning in answer["warnings"])


@pytest.mark.parametrize(
    "names",
    [
        [f"cat/{number}.jpg" for number in range(6)],
        [f"cat/garden/{number}.jpg" for number in range(6)],
        [f"cat/cat/{number}.jpg" for number in range(6)] + ["cat/dog/1.jpg"],
        [f"cat/garden/{number}.jpg" for number in range(6)] + ["cat/1.jpg"],
    ],
)
def test_a_single_class_is_no_folder_around_everything(names: list[str], here: Path) -> None:
    assert converted(make_zip(here.parent / "export.zip", names), here)["labels"] == {"cat": 0}


def test_one_class_in_one_folder_is_told_for_two_folders_may_lie_around_everything(here: Path) -> None:
    answer = converted(make_zip(here.parent / "export.zip", [f"a/b/{name}" for name in two_classes()]), here)
    assert answer["labels"] == {"a": 0}
    assert (
        "all images lie in a/b, so there is one class: pack the folders of the classes without it" in answer["warnings"]
    )


def test_a_zip_of_another_project_or_an_older_one_is_told(tmp_path: Path) -> None:
    old = make_zip(tmp_path / "project_id_1.zip", two_classes())
    new = make_zip(tmp_path / "project_id_13.zip", two_classes())
    os.utime(old, (1_700_000_000, 1_700_000_000))
    settings = {
        "cvat_project_id": 13,
        "dataset_conversion_base_file": "./project_id_1.zip",
        "dataset_conversion_dir": "./dataset",
        "dataset_conversion_validation_split": 0.2,
        "dataset_conversion_seed": 7,
    }
    (tmp_path / "configuration.json").write_text(json.dumps(settings))
    done = run("convert_dataset", cwd=tmp_path)
    assert done.returncode == 0
    assert "is the export of project 1, but cvat_project_id is 13" in done.stderr
    assert "is older than project_id_13.zip beside it" in done.stderr
    assert "older than" in convert(old, tmp_path / "other").stderr
    assert "project" not in convert(new, tmp_path / "third").stderr


CONTENTS = {
    "PNG": b"\x89PNG\r\n\x1a\n" + bytes(20),
    "WebP": b"RIFF\x10\0\0\0WEBPVP8 " + bytes(20),
    "TIFF": b"II*\0" + bytes(20),
    "HEIC": b"\0\0\0\x18ftypheic" + bytes(20),
    "nothing": b"",
}


def test_content_that_is_not_what_the_extension_says_is_told(tmp_path: Path) -> None:
    data = {name: b"\xff\xd8\xff\xe0" + name.encode() for name in two_classes()}
    data |= {f"cat/{content}.jpg": head for content, head in CONTENTS.items()}
    data["dog/right.PNG"] = CONTENTS["PNG"] + b"another"
    with zipfile.ZipFile(tmp_path / "export.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in data.items():
            archive.writestr(name, content)
    answer = converted(tmp_path / "export.zip", tmp_path / "dataset")
    told = " ".join(answer["warnings"])
    for content in CONTENTS:
        assert f"1 image holds {content}, not what the extension says" in told
        assert f"cat/{content}.jpg" in told
    assert "right.PNG" not in told
    done = run("verify_dataset", tmp_path / "dataset")
    assert done.returncode == 0
    assert "holds WebP, not what the extension says" in done.stderr
    assert names_in(tmp_path) == {"export.zip", "dataset"}
