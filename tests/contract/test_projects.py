"""Projects and their labels."""

from pathlib import Path

import pytest
from cvat_sdk import models
from cvat_sdk.exceptions import ApiException

from tests.support.cvat_under_test import CvatUnderTest


def test_create_prints_the_id_alone(cvat: CvatUnderTest) -> None:
    project_id = cvat.new_project("cat", "dog")
    with cvat.client() as client:
        project = client.projects.retrieve(project_id)
        labels = {label.name: label for label in project.get_labels()}
    assert set(labels) == {"cat", "dog"}
    assert labels["cat"].type == "tag"
    assert labels["cat"].project_id == project_id


def test_a_label_without_a_type_is_any(cvat: CvatUnderTest) -> None:
    project_id = int(cvat.cli("project", "create", cvat.unique("any"), "--labels", '[{"name": "thing"}]'))
    cvat.delete_later("project", project_id)
    with cvat.client() as client:
        (label,) = client.projects.retrieve(project_id).get_labels()
    assert label.type == "any"


def test_names_are_not_unique(cvat: CvatUnderTest) -> None:
    name = cvat.unique("twin")
    ids = [int(cvat.cli("project", "create", name)) for _ in range(2)]
    for project_id in ids:
        cvat.delete_later("project", project_id)
    assert len(set(ids)) == 2


def test_wrong_labels_are_a_usage_error(cvat: CvatUnderTest) -> None:
    assert cvat.run("project", "create", cvat.unique("bad"), "--labels", "[{").returncode == 2


def test_a_project_is_renamed_and_gets_labels(cvat: CvatUnderTest) -> None:
    project_id = cvat.new_project("cat")
    name = cvat.unique("renamed")
    with cvat.client() as client:
        project = client.projects.retrieve(project_id)
        project.update(models.PatchedProjectWriteRequest(name=name))
        project.update(models.PatchedProjectWriteRequest(labels=[models.PatchedLabelRequest(name="owl", type="tag")]))
        assert client.projects.retrieve(project_id).name == name
        assert {label.name for label in project.get_labels()} == {"cat", "owl"}


def test_a_deleted_project_is_gone_with_its_tasks(cvat: CvatUnderTest, tree: Path, tmp_path: Path) -> None:
    project_id = cvat.new_project("cat")
    task_id = cvat.new_task(project_id, tree)
    cvat.cli("project", "delete", project_id)
    with cvat.client() as client:
        with pytest.raises(ApiException) as caught:
            client.tasks.retrieve(task_id)
        assert caught.value.status == 404
    done = cvat.run("project", "export-dataset", project_id, tmp_path / "out.zip", "--format", "ImageNet 1.0")
    assert done.returncode == 1
    assert "No Project matches the given query." in done.stderr
    assert not (tmp_path / "out.zip").exists()


def test_a_task_without_data_spoils_the_preview(each_cvat: CvatUnderTest, tree: Path) -> None:
    project_id = each_cvat.new_project("cat")
    each_cvat.new_task(project_id, tree)
    with each_cvat.client() as client:
        path, headers = f"/api/projects/{project_id}/preview", each_cvat.signed_in(client)
        assert each_cvat.http("GET", path, headers=headers).status == 200
        client.tasks.create(models.TaskWriteRequest(name=each_cvat.unique("empty"), project_id=project_id))
        response = each_cvat.http("GET", path, headers=headers)
    if each_cvat.version >= (2, 73):
        assert response.status == 404
    elif each_cvat.version == (2, 54):
        assert response.status == 500
    else:  # measured on those two alone
        assert response.status in (404, 500)
