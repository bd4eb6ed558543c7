"""Datasets out of a CVAT."""

import json
import zipfile
from pathlib import Path
from urllib.parse import quote
from xml.etree import ElementTree

import pytest
from cvat_sdk import models

from tests.support.cvat_under_test import POLL_SECONDS, CvatUnderTest, read_zip, write_zip
from tests.support.images import jpeg


def tag(cvat: CvatUnderTest, project_id: int, task_id: int, tags: dict[str, list[str]]) -> None:
    with cvat.client() as client:
        labels = {label.name: label.id for label in client.projects.retrieve(project_id).get_labels()}
        task = client.tasks.retrieve(task_id)
        numbers = {frame.name: number for number, frame in enumerate(task.get_meta().frames)}
        requests = [
            models.LabeledImageRequest(frame=numbers[name], label_id=labels[label])
            for name, wanted in tags.items()
            for label in wanted
        ]
        task.update_annotations(models.PatchedLabeledDataRequest(tags=requests))


def tagged_project(cvat: CvatUnderTest, archive: Path, tags: dict[str, list[str]], *labels: str) -> int:
    project_id = cvat.new_project(*labels)
    tag(cvat, project_id, cvat.new_task(project_id, archive), tags)
    return project_id


def test_imagenet_has_a_folder_a_label(cvat: CvatUnderTest, tree: Path, tmp_path: Path) -> None:
    tags = {"a/1.jpg": ["cat"], "b/1.jpg": ["cat", "dog"], "b/deep dir/1.jpg": ["dog"], "日本 語.jpg": ["日本"]}
    project_id = tagged_project(cvat, tree, tags, "cat", "dog", "日本", "empty")
    members = cvat.export(project_id, tmp_path / "out.zip", "ImageNet 1.0")
    sent = read_zip(tree)
    assert members == {
        "cat/a/1.jpg": sent["a/1.jpg"],
        "cat/b/1.jpg": sent["b/1.jpg"],
        "dog/b/1.jpg": sent["b/1.jpg"],
        "dog/b/deep dir/1.jpg": sent["b/deep dir/1.jpg"],
        "日本/日本 語.jpg": sent["日本 語.jpg"],
        "no_label/a/2.jpg": sent["a/2.jpg"],
        "no_label/b/2.jpg": sent["b/2.jpg"],
        "no_label/b/deep dir/2.jpg": sent["b/deep dir/2.jpg"],
    }
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        assert {member.compress_type for member in archive.infolist()} == {zipfile.ZIP_STORED}


def test_imagenet_without_images_is_two_lists(cvat: CvatUnderTest, tmp_path: Path) -> None:
    archive = write_zip(
        tmp_path / "images.zip",
        {"a/1.jpg": jpeg(), "b c/2.jpg": jpeg(), "none.jpg": jpeg()},
    )
    tags = {"a/1.jpg": ["cat", "dog"], "b c/2.jpg": ["dog"]}
    project_id = tagged_project(cvat, archive, tags, "cat", "dog")
    members = cvat.export(project_id, tmp_path / "out.zip", "ImageNet 1.0", images=False)
    assert members["synsets.txt"].decode() == "cat\ndog\n"
    lines = members["default.txt"].decode().splitlines()
    assert [line.rstrip() for line in lines] == ["a/1.jpg 0 1", '"b c/2".jpg 1', "none.jpg"]
    assert set(members) == {"synsets.txt", "default.txt"}


def test_equal_names_of_two_tasks_are_both_there(cvat: CvatUnderTest, tmp_path: Path) -> None:
    contents = [jpeg(), jpeg()]
    project_id = cvat.new_project("cat")
    for number, content in enumerate(contents):
        cvat.new_task(project_id, write_zip(tmp_path / f"{number}.zip", {"x/1.jpg": content}))
    members = cvat.export(project_id, tmp_path / "out.zip", "ImageNet 1.0")
    assert set(members) == {"no_label/x/1.jpg", "no_label/x/1_1.jpg"}
    assert set(members.values()) == set(contents)


def test_the_extension_comes_out_in_small_letters(cvat: CvatUnderTest, tmp_path: Path) -> None:
    content = jpeg()
    project_id = cvat.new_project("cat")
    cvat.new_task(project_id, write_zip(tmp_path / "images.zip", {"UP.JPEG": content}))
    assert cvat.export(project_id, tmp_path / "out.zip", "ImageNet 1.0") == {"no_label/UP.jpeg": content}


def test_a_folder_of_the_labels_name_is_repeated_or_merged(cvat: CvatUnderTest, tmp_path: Path) -> None:
    # With datumaro 1.10 the label's folder comes before the frame's own; CVAT's fork of datumaro merges the two.
    images = {"cat/1.jpg": jpeg(), "cat/sub/1.jpg": jpeg()}
    tags = {name: ["cat"] for name in images}
    project_id = tagged_project(cvat, write_zip(tmp_path / "images.zip", images), tags, "cat", "dog")
    members = cvat.export(project_id, tmp_path / "out.zip", "ImageNet 1.0")
    repeated = {f"cat/{name}": content for name, content in images.items()}
    assert members in (repeated, images)


def test_cvat_for_images_has_boxes_and_tags(cvat: CvatUnderTest, tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "images.zip", {"a/1.jpg": jpeg(), "a/2.jpg": jpeg()})
    project_id = cvat.new_project("car", kind="rectangle")
    task_id = cvat.new_task(project_id, archive)
    with cvat.client() as client:
        (label,) = client.projects.retrieve(project_id).get_labels()
        box = models.LabeledShapeRequest(type="rectangle", frame=1, label_id=label.id, points=[1.0, 2.0, 30.0, 40.0])
        client.tasks.retrieve(task_id).set_annotations(models.LabeledDataRequest(shapes=[box]))
    members = cvat.export(project_id, tmp_path / "out.zip", "CVAT for images 1.1")
    assert set(members) == {"annotations.xml", "images/default/a/1.jpg", "images/default/a/2.jpg"}
    images = ElementTree.fromstring(members["annotations.xml"]).findall("image")
    assert [image.get("name") for image in images] == ["a/1.jpg", "a/2.jpg"]
    assert len(images[0]) == 0
    (found,) = images[1]
    corners = [found.get(name) for name in ("xtl", "ytl", "xbr", "ybr")]
    assert (found.tag, found.get("label"), corners) == ("box", "car", ["1.00", "2.00", "30.00", "40.00"])

    coco = cvat.export(project_id, tmp_path / "coco.zip", "COCO 1.0")
    instances = json.loads(coco["annotations/instances_default.json"])
    assert [image["file_name"] for image in instances["images"]] == ["a/1.jpg", "a/2.jpg"]
    (annotation,) = instances["annotations"]
    assert annotation["bbox"] == [1.0, 2.0, 29.0, 38.0]
    assert "images/default/a/1.jpg" in coco


def test_a_task_is_exported_alone(cvat: CvatUnderTest, tmp_path: Path) -> None:
    project_id = cvat.new_project("cat")
    images = {"a/1.jpg": jpeg()}
    task_id = cvat.new_task(project_id, write_zip(tmp_path / "one.zip", images))
    cvat.new_task(project_id, write_zip(tmp_path / "two.zip", {"b/1.jpg": jpeg()}))
    cvat.cli(
        *("task", "export-dataset", task_id, tmp_path / "out.zip", "--format", "ImageNet 1.0", "--with-images", "yes"),
        *("--completion_verification_period", POLL_SECONDS),
    )
    assert read_zip(tmp_path / "out.zip") == {"no_label/a/1.jpg": images["a/1.jpg"]}


def test_an_existing_file_is_not_overwritten(cvat: CvatUnderTest, tree: Path, tmp_path: Path) -> None:
    project_id = cvat.new_project("cat")
    cvat.new_task(project_id, tree)
    target = tmp_path / "out.zip"
    target.write_text("mine")
    done = cvat.run("project", "export-dataset", project_id, target, "--format", "ImageNet 1.0")
    assert done.returncode == 1
    assert "FileExistsError" in done.stderr
    assert target.read_text() == "mine"


@pytest.mark.parametrize("format_name", ["Nope 1.0", "TFRecord 1.0"])
def test_an_unknown_format_is_refused(cvat: CvatUnderTest, tmp_path: Path, format_name: str) -> None:
    project_id = cvat.new_project("cat")
    done = cvat.run("project", "export-dataset", project_id, tmp_path / "out.zip", "--format", format_name)
    assert done.returncode == 1
    assert "Status Code: 400" in done.stderr
    assert "Unknown format specified for the request" in done.stderr


def test_an_export_can_be_asked_after(each_cvat: CvatUnderTest, tree: Path) -> None:
    project_id = each_cvat.new_project("cat")
    each_cvat.new_task(project_id, tree)
    with each_cvat.client() as client:
        headers = each_cvat.signed_in(client)
        path = f"/api/projects/{project_id}/dataset/export?format=ImageNet%201.0&save_images=true"
        request_id = each_cvat.http("POST", path, headers=headers).json()["rq_id"]
        client.wait_for_completion(request_id)
        request = each_cvat.http("GET", f"/api/requests/{quote(request_id)}", headers=headers).json()
    operation = {"type": "export:dataset", "target": "project", "project_id": project_id, "format": "ImageNet 1.0"}
    operation |= {"task_id": None, "job_id": None, "lightweight": None}
    if each_cvat.version >= (2, 65):
        operation |= {"org_id": None}
    assert request["operation"] == operation
    assert request["result_url"].startswith(each_cvat.url)


def test_a_request_that_is_not_there(cvat: CvatUnderTest) -> None:
    with cvat.client() as client:
        path = "/api/requests/" + quote("action=export&target=project&target_id=999999999&user_id=1&subresource=backup")
        assert cvat.http("GET", path, headers=cvat.signed_in(client)).status == 404


def test_a_backup_makes_the_same_project_again(cvat: CvatUnderTest, tree: Path, tmp_path: Path) -> None:
    project_id = tagged_project(cvat, tree, {"a/1.jpg": ["cat"]}, "cat", "dog")
    backup = tmp_path / "backup.zip"
    cvat.cli("project", "backup", project_id, backup, "--completion_verification_period", POLL_SECONDS)
    output = cvat.cli("project", "create-from-backup", backup, "--completion_verification_period", POLL_SECONDS)
    restored = int(output.split()[-1])
    cvat.delete_later("project", restored)
    assert restored != project_id
    before = cvat.export(project_id, tmp_path / "before.zip", "ImageNet 1.0")
    assert cvat.export(restored, tmp_path / "after.zip", "ImageNet 1.0") == before
