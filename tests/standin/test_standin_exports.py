"""The names that frames get in exports, and what is refused."""

from collections.abc import Iterator

import pytest

from standin.process import StandinProcess
from tests.support.images import jpeg
from tests.support.standin_api import Api


@pytest.fixture
def api(standin: StandinProcess) -> Api:
    return Api(standin)


@pytest.fixture(scope="module")
def merging(request: pytest.FixtureRequest) -> Iterator[Api]:
    with StandinProcess(options=("--merge-label-folder",)) as server:
        yield Api(server)


def test_twins_are_renamed_by_the_part_before_the_extension(api: Api) -> None:
    project_id = api.project("cat")
    tasks = [{"x.jpg": jpeg(1)}, {"x.jpg": jpeg(2), "y.jpeg": jpeg(3)}, {"x.png": jpeg(4), "y.jpg": jpeg(5)}]
    for contents in tasks:
        api.images(project_id, contents)
    assert api.export(f"projects/{project_id}") == {
        "no_label/x.jpg": jpeg(1),
        "no_label/x_1.jpg": jpeg(2),
        "no_label/y.jpeg": jpeg(3),
        "no_label/x_2.png": jpeg(4),
        "no_label/y_1.jpg": jpeg(5),
    }


def test_twins_of_different_subsets_overwrite_each_other(api: Api) -> None:
    project_id = api.project("cat")
    api.images(project_id, {"x.jpg": jpeg(1)}, subset="Train")
    api.images(project_id, {"x.jpg": jpeg(2)}, subset="Test")
    assert api.export(f"projects/{project_id}") == {"no_label/x.jpg": jpeg(2)}
    assert set(api.export(f"projects/{project_id}", images=False)) == {"synsets.txt", "Train.txt", "Test.txt"}
    assert api.json("GET", f"projects/{project_id}")["task_subsets"] == ["Test", "Train"]


def test_a_slash_in_a_label_nests(api: Api) -> None:
    project_id = api.project("animal/cat")
    api.tag(api.images(project_id, {"1.jpg": jpeg()}), (0, "animal/cat"))
    assert set(api.export(f"projects/{project_id}")) == {"animal/cat/1.jpg"}


def test_a_label_that_leads_out_of_the_archive_is_left_out(api: Api) -> None:
    project_id = api.project("..", "cat")
    task_id = api.images(project_id, {"1.jpg": jpeg(1), "2.jpg": jpeg(2)})
    api.tag(task_id, (0, ".."), (1, "cat"))
    assert "cat/2.jpg" in (found := api.export(f"projects/{project_id}"))
    assert not [name for name in found if name.startswith("..")]


def test_the_label_folder_is_repeated(api: Api) -> None:
    project_id = api.project("cat")
    api.tag(api.images(project_id, {"cat/1.jpg": jpeg()}), (0, "cat"))
    assert set(api.export(f"projects/{project_id}")) == {"cat/cat/1.jpg"}


def test_what_stands_before_the_first_colon_is_dropped(api: Api) -> None:
    project_id = api.project("cat")
    names = ("a:b.jpg", "b.jpg", "c:b.jpg", "x:y/1.jpg")
    task_id = api.images(project_id, {name: jpeg(number) for number, name in enumerate(names)})
    api.tag(task_id, *((number, "cat") for number in range(len(names))))
    # Three became one without a word, the last of them.
    assert api.export(f"projects/{project_id}") == {"cat/b.jpg": jpeg(2), "cat/y/1.jpg": jpeg(3)}


def test_or_merged_as_cvats_own_datumaro_does(merging: Api) -> None:
    project_id = merging.project("cat", "dog")
    task_id = merging.images(project_id, {"cat.jpg": jpeg(1), "cat/1.jpg": jpeg(2), "no_label/2.jpg": jpeg(3)})
    merging.tag(task_id, (0, "cat"), (1, "cat"), (1, "dog"))
    assert set(merging.export(f"projects/{project_id}")) == {
        "cat/cat.jpg",
        "cat/1.jpg",
        "dog/cat/1.jpg",
        "no_label/2.jpg",
    }


def test_deleted_frames_and_empty_tasks_are_left_out(api: Api) -> None:
    project_id = api.project("cat")
    task_id = api.images(project_id, {"1.jpg": jpeg(1), "2.jpg": jpeg(2)})
    api.json("POST", "tasks", json={"name": "empty", "project_id": project_id})
    api.json("PATCH", f"tasks/{task_id}/data/meta", json={"deleted_frames": [0]})
    assert set(api.export(f"projects/{project_id}")) == {"no_label/2.jpg"}


def test_a_listed_format_that_is_not_made_here_is_refused_clearly(api: Api) -> None:
    project_id = api.project("cat")
    answer = api.ask("POST", f"projects/{project_id}/dataset/export?format=YOLO 1.1&save_images=true")
    assert answer.status == 400
    (sentence,) = answer.json()
    assert "stand-in" in sentence
    assert "YOLO 1.1" in sentence
    assert "ImageNet 1.0" in sentence


def test_a_tag_that_fits_nothing_is_refused(api: Api) -> None:
    task_id = api.images(api.project("cat"), {"1.jpg": jpeg()})
    label_id = api.json("GET", f"labels?task_id={task_id}")["results"][0]["id"]
    for tag in ({"frame": 1, "label_id": label_id}, {"frame": 0, "label_id": label_id + 999}, {"label_id": label_id}):
        answer = api.ask("PATCH", f"tasks/{task_id}/annotations?action=create", json={"tags": [tag]})
        assert answer.status == 400
    assert api.json("GET", f"tasks/{task_id}/annotations")["tags"] == []


def test_another_projects_download_is_not_found(api: Api) -> None:
    first, second = api.project("cat"), api.project("cat")
    api.images(first, {"1.jpg": jpeg()})
    ended = api.wait(api.json("POST", f"projects/{first}/dataset/export?format=ImageNet 1.0")["rq_id"])
    path = ended["result_url"].split("/api/")[1]
    assert api.ask("GET", path).status == 200
    assert api.ask("GET", path.replace(f"projects/{first}/", f"projects/{second}/")).status == 404
