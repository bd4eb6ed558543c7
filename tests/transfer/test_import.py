"""import_images and create_project, through the real cvat-cli."""

import json
import os
import re
import signal
import stat
import subprocess
from pathlib import Path

import pytest

from tests.support.waiting import HELD, wait_until

FRAMES = (
    "a/1.jpg",
    "a/2.jpg",
    "b/1.jpg",
    "b/deep dir/1.jpg",
    "日本 語/é.jpg",
    "b/-dash.jpg",
    "b/'quote\".jpg",
    "b/$(x).jpg",
)


def settings(project_id: int, folder: Path, name: str = "first") -> list[str]:
    return [f"--project-id={project_id}", f"--import-dir={folder}", "--extension=jpg", f"--task-name={name}"]


def one_line(answer: subprocess.CompletedProcess[str]) -> str:
    """Return the error, which must be one line and no traceback."""
    errors = [line for line in answer.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, answer.stderr
    assert "Traceback" not in answer.stderr
    return errors[0]


def test_nested_images_with_equal_names_arrive(shell, tasks_of):
    project = shell.project("x")
    folder = shell.images(*FRAMES)
    (folder / "notes.txt").write_text("x")
    (folder / "a/3.JPG").write_bytes(b"x")
    answer = shell.run("import_images", *settings(project, folder))
    assert answer.returncode == 0, answer.stderr
    (task,) = tasks_of(shell.server, project)
    assert answer.stdout.splitlines()[0].startswith(f"task {task['id']}: {len(FRAMES)} frames")
    assert answer.stdout.splitlines()[1] == f"{shell.server.url}/tasks/{task['id']}"
    assert "left out 1 (other spelling of the extension): a/3.JPG" in answer.stderr
    assert "left out 1 (not an image with this extension): notes.txt" in answer.stderr
    assert (task["name"], task["size"]) == ("first", len(FRAMES))
    assert shell.leftovers() == []


def test_same_name_again_makes_a_second_task(shell, tasks_of):
    project = shell.project("x")
    folder = shell.images("1.jpg")
    for _ in range(2):
        assert shell.run("import_images", *settings(project, folder, "-same")).returncode == 0
    assert [task["name"] for task in tasks_of(shell.server, project)] == ["-same", "-same"]


def test_json_is_alone_on_standard_output(shell):
    project = shell.project("x")
    answer = shell.run("import_images", *settings(project, shell.images("1.jpg", ".2.jpg")), "--json")
    result = json.loads(answer.stdout)
    assert (result["frames"], result["left_out"]) == (1, {"hidden": 1})
    assert result["url"] == f"{shell.server.url}/tasks/{result['task_id']}"


def test_reads_the_configuration_file(shell, tasks_of):
    project = shell.project("x")
    shell.images("1.jpg", folder="place/images")
    configuration = shell.folder / "place/configuration.json"
    values = {
        "cvat_username": shell.server.username,
        "cvat_password": shell.server.password,
        "cvat_project_id": project,
        "import_dir": "./images",
        "import_image_extension": "jpg",
        "import_task_name": "by file",
        "import_dirr": "",
    }
    configuration.write_text(json.dumps(values))
    configuration.chmod(0o644)
    answer = shell.run(
        "import_images", "--config=place/configuration.json", CVAT_USERNAME="", CVAT_PASSWORD="", CVAT_ACCESS_TOKEN=""
    )
    assert answer.returncode == 0, answer.stderr
    assert "unknown key import_dirr, did you mean import_dir?" in answer.stderr
    assert "holds a password and is readable by others" in answer.stderr
    assert [task["name"] for task in tasks_of(shell.server, project)] == ["by file"]


def test_all_problems_before_any_request(faulty_shell):
    shell = faulty_shell
    folder = shell.images("good.jpg", "A.jpg", "a.jpg")
    (folder / "text.jpg").write_text("no image")
    (folder / "short.jpg").write_bytes((folder / "good.jpg").read_bytes()[:-30])
    shell.server.clear_requests()
    answer = shell.run("import_images", *settings(1, folder))
    assert answer.returncode == 1
    assert "3 problems with the images, nothing was sent" in one_line(answer)
    for name in ("text.jpg: not a JPEG image", "short.jpg: cut short", "A.jpg and a.jpg: these names differ only"):
        assert name in answer.stderr
    assert [request for request in shell.server.requests() if request["path"].startswith("/api")] == []


def test_tags_from_folders_are_set(shell):
    project = shell.project("cat", "日本")
    folder = shell.images("cat/1.jpg", "cat/x/2.jpg", "日本/1.jpg", "top.jpg")
    answer = shell.run("import_images", *settings(project, folder), "--tags-from-folders", "--json")
    assert answer.returncode == 0, answer.stderr
    assert "1 images lie in no folder and get no tag" in answer.stderr
    import requests

    server, task = shell.server, json.loads(answer.stdout)["task_id"]
    auth = (server.username, server.password)
    tags = requests.get(f"{server.url}/api/tasks/{task}/annotations", auth=auth, timeout=120).json()["tags"]
    meta = requests.get(f"{server.url}/api/tasks/{task}/data/meta", auth=auth, timeout=120).json()
    labels = requests.get(f"{server.url}/api/labels", params={"project_id": project}, auth=auth, timeout=120).json()
    names = {label["id"]: label["name"] for label in labels["results"]}
    assert {meta["frames"][tag["frame"]]["name"]: names[tag["label_id"]] for tag in tags} == {
        "cat/1.jpg": "cat",
        "cat/x/2.jpg": "cat",
        "日本/1.jpg": "日本",
    }


def test_a_folder_that_is_no_label_is_an_error_before_the_upload(shell, tasks_of):
    project = shell.project("cat")
    answer = shell.run(
        "import_images", *settings(project, shell.images("cat/1.jpg", "dog/1.jpg")), "--tags-from-folders"
    )
    assert answer.returncode == 1
    assert "nothing was sent" in one_line(answer)
    assert "folders: cat, dog" in answer.stderr
    assert "tag labels of the project: cat" in answer.stderr
    assert tasks_of(shell.server, project) == []


FAILURES = [
    ({"CVAT_PASSWORD": "wrong-marker"}, 1, "refused the password of user django"),
    ({"CVAT_ACCESS_TOKEN": "wrong-marker"}, 1, "refused the access token"),
    ({"CVAT_URL": "http://127.0.0.1:9"}, 1, "no CVAT answers at http://127.0.0.1:9: start one with make up"),
    ({"CVAT_URL": "localhost"}, 2, "CVAT_URL must be of the form"),
    ({"CVAT_PROJECT_ID": "99999999"}, 1, "there is no project 99999999"),
    ({"CVAT_PROJECT_ID": "one"}, 2, "1 problem in the environment"),
]


@pytest.mark.parametrize(("variables", "code", "words"), FAILURES)
def test_failures_have_their_exit_code_and_one_line(shell, variables, code, words):
    folder = shell.images("1.jpg")
    options = [option for option in settings(1, folder) if not option.startswith("--project-id")]
    answer = shell.run("import_images", *options, **({"CVAT_PROJECT_ID": "1", "CVAT_RETRY_WAIT": "0.05"} | variables))
    assert answer.returncode == code, answer.stderr
    assert one_line(answer)
    assert words in answer.stderr
    assert "wrong-marker" not in answer.stderr + answer.stdout
    assert shell.leftovers() == []


def test_a_failure_on_the_server_removes_the_task(faulty_shell, tasks_of):
    shell = faulty_shell
    project = shell.project("x")
    folder = shell.images("1.jpg")
    (folder / "2.jpg").write_bytes(b"no image")
    answer = shell.run("import_images", *settings(project, folder), "--no-verify")
    assert answer.returncode == 1
    assert "CVAT could not do it" in one_line(answer)
    assert re.search(r"deleted the unfinished task \d+", answer.stderr)
    assert tasks_of(shell.server, project) == []
    kept = shell.run("import_images", *settings(project, folder), "--no-verify", "--keep-failed")
    assert "kept the unfinished task" in kept.stderr
    assert len(tasks_of(shell.server, project)) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_removes_the_task_and_the_archive(faulty_shell, tasks_of, number):
    shell = faulty_shell
    project = shell.project("x")
    shell.server.order_fault("hang", method="POST", path="/api/tasks/*/data*", seconds=HELD)
    options = settings(project, shell.images("1.jpg", "b/1.jpg"))
    process = shell.start("import_images", *options, CVAT_ANSWER_TIMEOUT=str(HELD))
    wait_until(lambda: tasks_of(shell.server, project))
    shell.server.clear_faults()
    process.send_signal(number)
    output, errors = process.communicate(timeout=240)
    assert process.returncode == 130, errors
    assert (output, "Traceback" in errors) == ("", False)
    assert "deleted the unfinished task" in errors
    assert errors.splitlines()[-1] == "interrupted"
    assert tasks_of(shell.server, project) == []
    assert shell.leftovers() == []


def test_a_task_whose_number_never_arrived_is_found_deleted_and_made_again(faulty_shell, tasks_of):
    shell = faulty_shell
    project = shell.project("x")
    folder = shell.images("1.jpg")
    shell.server.order_fault("reset", method="POST", path="/api/tasks", stage="response")
    answer = shell.run("import_images", *settings(project, folder), CVAT_RETRY_WAIT="0.1")
    assert answer.returncode == 0, answer.stderr
    assert re.search(r"warning: the connection to \S+ broke in the middle, attempt 2 of 3 in 0.1 s", answer.stderr)
    (task,) = tasks_of(shell.server, project)
    assert f"deleted the unfinished task {task['id'] - 1}" in answer.stderr
    assert shell.leftovers() == []


def test_the_archive_goes_beside_the_data_without_tmpdir_and_away_afterwards(shell):
    project = shell.project("x")
    folder = shell.images("1.jpg", folder="place/images")
    before = {path: stat.S_IFMT(os.lstat(path).st_mode) for path in shell.folder.rglob("*")}
    answer = shell.run("import_images", *settings(project, folder), TMPDIR="")
    assert answer.returncode == 0, answer.stderr
    assert {path: stat.S_IFMT(os.lstat(path).st_mode) for path in shell.folder.rglob("*")} == before


def test_labels_by_type_of_work(shell):
    import requests

    for kind, label_type in (("classification", "tag"), ("detection", "rectangle")):
        answer = shell.run("create_project", "--name=kinds", "--labels=a b, c", f"--type={kind}", "--json")
        project = json.loads(answer.stdout)["project_id"]
        labels = requests.get(
            f"{shell.server.url}/api/labels",
            params={"project_id": project},
            auth=(shell.server.username, shell.server.password),
            timeout=120,
        ).json()["results"]
        assert sorted((label["name"], label["type"]) for label in labels) == [("a b", label_type), ("c", label_type)]


@pytest.mark.parametrize(("labels", "words"), [("a b a", "given twice: a"), (" , ", "no label given")])
def test_bad_labels(shell, labels, words):
    answer = shell.run("create_project", "--name=x", f"--labels={labels}")
    assert (answer.returncode, words in one_line(answer)) == (2, True)
