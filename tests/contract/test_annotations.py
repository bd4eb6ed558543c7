"""Tags and boxes: through the API, and with the images of a task."""

from pathlib import Path

import pytest
from cvat_sdk import models
from cvat_sdk.core.exceptions import BackgroundRequestException

from tests.support.cvat_under_test import CvatUnderTest, read_zip, write_zip
from tests.support.images import jpeg

TAGS = {
    "a/1.jpg": ["cat"],
    "a/2.jpg": ["cat"],
    "b/1.jpg": ["cat", "dog"],
    "b/deep dir/1.jpg": ["dog"],
    "日本 語.jpg": ["日本"],
}


def annotations_xml(path: Path, names: list[str], elements: dict[str, str]) -> Path:
    images = "".join(
        f'<image id="{number}" name="{name}" width="40" height="30">{elements.get(name, "")}</image>'
        for number, name in enumerate(names)
    )
    path.write_text(f"<annotations><version>1.1</version>{images}</annotations>", encoding="utf-8")
    return path


def test_tags_travel_with_the_images(cvat: CvatUnderTest, tree: Path, tmp_path: Path) -> None:
    names = sorted(read_zip(tree))
    elements = {
        name: "".join(f'<tag label="{label}" source="manual"></tag>' for label in labels)
        for name, labels in TAGS.items()
    }
    xml = annotations_xml(tmp_path / "annotations.xml", names, elements)
    project_id = cvat.new_project("cat", "dog", "日本", "empty")
    options = ("--annotation_path", xml, "--annotation_format", "CVAT 1.1")
    task_id = cvat.new_task(project_id, tree, options=options)
    with cvat.client() as client:
        labels = {label.id: label.name for label in client.projects.retrieve(project_id).get_labels()}
        tags = client.tasks.retrieve(task_id).get_annotations().tags
    found: dict[str, list[str]] = {}
    for tag in tags:
        found.setdefault(names[tag.frame], []).append(labels[tag.label_id])
    assert {name: sorted(tagged) for name, tagged in found.items()} == TAGS


def test_annotations_of_images_that_are_not_there_fail(cvat: CvatUnderTest, tree: Path, tmp_path: Path) -> None:
    # A number that the task has would do in place of the name.
    xml = tmp_path / "annotations.xml"
    image = (
        '<image id="999" name="elsewhere.jpg" width="40" height="30"><tag label="cat" source="manual"></tag></image>'
    )
    xml.write_text(f"<annotations><version>1.1</version>{image}</annotations>")
    project_id = cvat.new_project("cat")
    task_id = cvat.new_task(project_id, tree)
    with cvat.client() as client, pytest.raises(BackgroundRequestException, match="Could not match item id"):
        client.tasks.retrieve(task_id).import_annotations("CVAT 1.1", xml)


def test_tags_are_added_replaced_and_removed(cvat: CvatUnderTest, tree: Path) -> None:
    project_id = cvat.new_project("cat", "dog")
    task_id = cvat.new_task(project_id, tree)
    with cvat.client() as client:
        labels = {label.name: label.id for label in client.projects.retrieve(project_id).get_labels()}
        task = client.tasks.retrieve(task_id)

        def tag(name: str, frame: int) -> models.LabeledImageRequest:
            return models.LabeledImageRequest(frame=frame, label_id=labels[name])

        def tagged() -> list[tuple[int, int]]:
            return sorted((item.frame, item.label_id) for item in task.get_annotations().tags)

        task.update_annotations(models.PatchedLabeledDataRequest(tags=[tag("cat", 0), tag("dog", 0), tag("dog", 3)]))
        assert tagged() == sorted([(0, labels["cat"]), (0, labels["dog"]), (3, labels["dog"])])
        task.set_annotations(models.LabeledDataRequest(tags=[tag("cat", 2)]))
        assert tagged() == [(2, labels["cat"])]
        (job,) = task.get_jobs()
        assert [item.frame for item in job.get_annotations().tags] == [2]
        task.remove_annotations()
        assert tagged() == []


def test_boxes_are_kept(cvat: CvatUnderTest, tmp_path: Path) -> None:
    project_id = cvat.new_project("car", kind="rectangle")
    task_id = cvat.new_task(project_id, write_zip(tmp_path / "images.zip", {"1.jpg": jpeg()}))
    with cvat.client() as client:
        (label,) = client.projects.retrieve(project_id).get_labels()
        task = client.tasks.retrieve(task_id)
        box = models.LabeledShapeRequest(type="rectangle", frame=0, label_id=label.id, points=[1.0, 2.0, 30.0, 40.0])
        task.set_annotations(models.LabeledDataRequest(shapes=[box]))
        (kept,) = task.get_annotations().shapes
    assert (kept.type.value, kept.frame, kept.label_id, kept.points) == (
        "rectangle",
        0,
        label.id,
        [1.0, 2.0, 30.0, 40.0],
    )
