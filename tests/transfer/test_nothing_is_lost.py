"""What an export is held against, and what an import warns of before frames are lost."""

import io
import json
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from tests.support.standin_api import Api
from toolkit.transfer.compare import Frame, ProjectFrames, compare

from .conftest import jpeg
from .test_export import settings as export_settings
from .test_import import one_line, settings


def export_of(folder: Path, *members: str) -> Path:
    with zipfile.ZipFile(folder / "export.zip", "w") as archive:
        for name in members:
            archive.writestr(name, b"x")
    return folder / "export.zip"


def frames(*names: str, deleted: tuple[str, ...] = ()) -> ProjectFrames:
    return ProjectFrames([Frame(name) for name in names], list(deleted))


@pytest.mark.parametrize(
    ("format_name", "members"),
    [
        ("COCO 1.0", ["images/default/a/1.jpg", "images/default/b.png", "annotations/instances_default.json"]),
        ("CVAT for images 1.1", ["images/a/1.jpg", "images/b.png", "annotations.xml"]),
        ("YOLO 1.1", ["obj_train_data/a/1.jpg", "obj_train_data/a/1.txt", "obj_train_data/b.png", "train.txt"]),
        (
            "PASCAL VOC 1.1",
            ["JPEGImages/a/1.jpg", "JPEGImages/b.png", "SegmentationClass/b.png", "SegmentationObject/a/1.png"],
        ),
        ("CamVid 1.0", ["default/a/1.jpg", "default/b.png", "defaultannot/b.png"]),
        ("MOT 1.1", ["img1/000001.jpg", "img1/000002.png", "gt/gt.txt"]),
        ("Ultralytics YOLO Detection 1.0", ["images/train/a/1.JPG", "images/train/b.png", "data.yaml"]),
    ],
)
def test_a_whole_export_of_any_format_is_no_difference(tmp_path: Path, format_name: str, members: list[str]) -> None:
    difference = compare(frames("a/1.jpg", "b.png"), export_of(tmp_path, *members), format_name)
    assert difference.warnings() == []


def test_what_is_missing_doubled_or_deleted_is_named(tmp_path: Path) -> None:
    listed = frames("image.jpg", "image.jpg", "image_1.jpg", "x.jpg", deleted=("gone.jpg",))
    made = export_of(tmp_path, *(f"images/{name}.jpg" for name in ("image", "image_1", "x", "gone")), "images/b/x.jpg")
    difference = compare(listed, made, "COCO 1.0")
    assert (difference.missing, difference.doubled) == (["image.jpg"], ["images/b/x.jpg"])
    assert difference.deleted == ["gone.jpg"]


def test_a_number_of_the_servers_is_no_loss(tmp_path: Path) -> None:
    made = export_of(tmp_path, "images/1.jpg", "images/1_1.jpg", "images/1_2.jpg")
    assert compare(frames("1.jpg", "1.jpg", "1.jpg"), made, "COCO 1.0").warnings() == []
    assert compare(frames("1.jpg", "2.jpg", "3.jpg"), made, "COCO 1.0").missing == ["2.jpg", "3.jpg"]


def test_fewer_pictures_under_new_names_are_counted(tmp_path: Path) -> None:
    difference = compare(frames("a.jpg", "b.jpg"), export_of(tmp_path, "img1/000001.jpg"), "MOT 1.1")
    assert difference.warnings() == ["the project has 2 frames, the export 1 images, under other names"]


@pytest.mark.parametrize("repeats", [True, False])
def test_tags_make_as_many_members_as_labels(tmp_path: Path, repeats: bool) -> None:
    listed = ProjectFrames([Frame("cat/1.jpg", ("cat", "dog")), Frame("2.JPEG", ("dog",)), Frame("dog/3.jpg")])
    members = ["cat/cat/1.jpg" if repeats else "cat/1.jpg", "dog/cat/1.jpg", "dog/2.jpeg", "no_label/dog/3.jpg"]
    assert compare(listed, export_of(tmp_path, *members), "ImageNet 1.0").warnings() == []
    for number, missing in enumerate(["cat/cat/1.jpg", "dog/cat/1.jpg", "dog/2.JPEG", "no_label/dog/3.jpg"]):
        made = export_of(tmp_path, *members[:number], *members[number + 1 :])
        assert compare(listed, made, "ImageNet 1.0").missing == [missing]


def sent(shell, project: int, *names: str, task: str = "t") -> int:
    for name in names:
        (shell.folder / task / name).parent.mkdir(parents=True, exist_ok=True)
        (shell.folder / task / name).write_bytes(jpeg())
    answer = shell.run("import_images", *settings(project, shell.folder / task, task), "--json")
    assert answer.returncode == 0, answer.stderr
    shell.said = answer.stderr
    return json.loads(answer.stdout)["task_id"]


@pytest.mark.parametrize("format_name", ["ImageNet 1.0", "COCO 1.0", "CVAT for images 1.1"])
def test_frames_that_the_servers_renaming_overwrites(shell, format_name):
    project = shell.project("cat")
    for task, name in (("first", "image.jpg"), ("second", "image.jpg"), ("third", "image_1.jpg")):
        Api(shell.server).tag(sent(shell, project, name, task=task), (0, "cat"))
    assert "would lose 1 of these images, because it renames frames of one name" in shell.said
    options = [*export_settings(project, ".", format_name), "--task-type=classification", "--json"]
    if format_name != "ImageNet 1.0":
        options[-2] = "--task-type=detection"
    answer = shell.run("export_dataset", *options)
    assert answer.returncode == 0, answer.stderr
    images = [name for name in zipfile.ZipFile(json.loads(answer.stdout)["file"]).namelist() if name.endswith(".jpg")]
    assert json.loads(answer.stdout)["frames"] == 3
    assert len(json.loads(answer.stdout)["missing"]) == 3 - len(images)
    assert ("are not in the export" in answer.stderr) == (len(images) < 3)


def test_a_deleted_frame_is_neither_missing_nor_counted(shell):
    project = shell.project("cat")
    task = sent(shell, project, "1.jpg", "2.jpg", "3.jpg")
    Api(shell.server).json("PATCH", f"tasks/{task}/data/meta", json={"deleted_frames": [0]})
    answer = shell.run("export_dataset", *export_settings(project, "."))
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.startswith("2 frames as ImageNet 1.0")
    assert "warning" not in answer.stderr


def test_the_same_folder_again_is_told_with_the_earlier_task(shell):
    project = shell.project("x")
    first = sent(shell, project, "a/1.jpg", "a/2.jpg")
    answer = shell.run("import_images", *settings(project, shell.folder / "t", "again"))
    assert answer.returncode == 0, answer.stderr
    assert f"warning: task {first} (t) holds frames of the same names already: is this folder imported twice?" in (
        answer.stderr
    )


def test_the_same_folder_at_the_same_time_is_told(shell):
    project = shell.project("x")
    folder = shell.images("1.jpg")
    running = [shell.start("import_images", *settings(project, folder, f"t{number}")) for number in range(3)]
    said = [process.communicate(timeout=120)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], said
    twice = ["under way, as t" in text or "is this folder imported twice?" in text for text in said]
    assert sum(twice) >= 2, said


def test_broken_files_are_left_out_by_name_on_demand(shell, tasks_of):
    project = shell.project("x")
    folder = shell.images("1.jpg")
    (folder / "2.jpg").write_bytes(b"hello")
    answer = shell.run("import_images", *settings(project, folder))
    assert "--skip-broken leaves broken files out, --no-verify sends them unseen" in one_line(answer)
    answer = shell.run("import_images", *settings(project, folder), "--skip-broken")
    assert answer.returncode == 0, answer.stderr
    assert "left out 1 (broken): 2.jpg: not a JPEG image" in answer.stderr
    assert [task["size"] for task in tasks_of(shell.server, project)] == [1]


def test_mixed_data_by_a_list_of_extensions(shell, tasks_of):
    project = shell.project("x")
    folder = shell.images("1.jpg", "2.JPG")
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "PNG")
    (folder / "3.png").write_bytes(stream.getvalue())
    for given in ("jpg,JPG,png", "images"):
        options = [option for option in settings(project, folder) if not option.startswith("--extension")]
        answer = shell.run("import_images", *options, f"--extension={given}")
        assert answer.returncode == 0, answer.stderr
    assert [task["size"] for task in tasks_of(shell.server, project)] == [3, 3]
    answer = shell.run("import_images", *options, "--extension=exe", CVAT_PROJECT_ID="one")
    assert answer.returncode == 2
    assert "(from --import-image-extension)" in answer.stderr


def test_a_format_that_only_the_server_knows(shell):
    project = shell.labelled_project("cat/1.jpg")
    answer = shell.run("export_dataset", *export_settings(project, ".", "Ultralytics YOLO Nothing 1.0"))
    assert answer.returncode != 0
    assert "should not happen" not in one_line(answer)
