"""export_dataset, through the real cvat-cli."""

import hashlib
import json
import re
import signal
import subprocess
import zipfile
from pathlib import Path

import pytest

from standin.process import StandinProcess
from tests.support.images import jpeg
from tests.support.standin_api import Api
from tests.support.waiting import HELD, wait_until

from .conftest import new_shell


def one_line(answer: subprocess.CompletedProcess[str]) -> str:
    errors = [line for line in answer.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, answer.stderr
    assert "Traceback" not in answer.stderr
    return errors[0]


def settings(project: int, export_dir: Path | str, format_name: str = "ImageNet 1.0") -> list[str]:
    return [f"--project-id={project}", f"--export-dir={export_dir}", f"--format={format_name}"]


def test_export_brings_every_image_unchanged_into_a_new_folder(shell):
    names = ["cat/1.jpg", "cat/b/1.jpg", "日本/1.jpg"]
    project = shell.labelled_project(*names)
    answer = shell.run("export_dataset", *settings(project, "new/deep"))
    assert answer.returncode == 0, answer.stderr
    target = shell.folder / f"new/deep/project_id_{project}.zip"
    assert answer.stdout.splitlines()[1] == str(target)
    assert answer.stdout.startswith("3 frames as ImageNet 1.0")
    with zipfile.ZipFile(target) as archive:
        exported = sorted(hashlib.sha256(archive.read(name)).digest() for name in archive.namelist())
    sent = sorted(hashlib.sha256((shell.folder / "images" / name).read_bytes()).digest() for name in names)
    assert exported == sent
    assert shell.leftovers() == []


def test_an_existing_export_is_kept_unless_told_otherwise(shell):
    project = shell.labelled_project("cat/1.jpg")
    target = shell.folder / f"project_id_{project}.zip"
    target.write_bytes(b"precious")
    answer = shell.run("export_dataset", *settings(project, "."))
    assert (answer.returncode, target.read_bytes()) == (1, b"precious")
    assert "exists already" in one_line(answer)
    answer = shell.run("export_dataset", *settings(project, "."), "--overwrite", "--json")
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)["file"] == str(target)
    assert zipfile.is_zipfile(target)


def test_a_full_target_is_noticed_before_the_server_works(faulty_shell):
    shell = faulty_shell
    project = shell.labelled_project("cat/1.jpg")
    (shell.folder / "file").write_text("kept")
    (shell.folder / f"project_id_{project}.zip").write_text("kept")
    shell.server.clear_requests()
    for export_dir in ("file", "file/below", "."):
        answer = shell.run("export_dataset", *settings(project, export_dir))
        assert answer.returncode == 1
        assert one_line(answer)
    assert (shell.folder / "file").read_text() == "kept"
    assert [request for request in shell.server.requests() if request["path"].startswith("/api")] == []


def test_format_must_fit_the_kind_of_work(shell):
    tags, boxes = shell.labelled_project("cat/1.jpg"), shell.project("car", kind="detection")
    answer = shell.run("export_dataset", *settings(tags, ".", "COCO 1.0"))
    assert (answer.returncode, '"COCO 1.0" is not for classification' in one_line(answer)) == (2, True)
    answer = shell.run("export_dataset", *settings(boxes, ".", "ImageNet 1.0"))
    assert (answer.returncode, '"ImageNet 1.0" is not for detection' in one_line(answer)) == (2, True)
    answer = shell.run("export_dataset", *settings(tags, ".", "COCO 1.0"), "--task-type=detection")
    assert answer.returncode == 0, answer.stderr
    answer = shell.run("export_dataset", *settings(tags, "elsewhere", "coco 1.0"))
    assert (answer.returncode, 'is spelled "COCO 1.0"' in one_line(answer)) == (2, True)


def test_a_format_that_the_server_lacks_is_named_with_those_it_has(shell):
    project = shell.project("car", kind="detection")
    answer = shell.run("export_dataset", *settings(project, ".", "TFRecord 1.0"))
    assert answer.returncode == 1
    assert 'does not offer "TFRecord 1.0"; it offers ' in one_line(answer)
    assert "YOLO 1.1" in one_line(answer)


def test_a_project_without_images_leaves_no_file(shell):
    answer = shell.run("export_dataset", *settings(shell.project("cat"), "out"))
    assert answer.returncode == 1
    assert "nothing was kept" in one_line(answer)
    assert not (shell.folder / "out").exists()


def test_failures_have_their_exit_code_and_one_line(shell):
    cases = [
        (settings(99999999, "."), {}, "there is no project 99999999"),
        (settings(1, "."), {"CVAT_PASSWORD": "wrong-marker"}, "refused the password"),
        (settings(1, "."), {"CVAT_URL": "http://127.0.0.1:9"}, "no CVAT answers at http://127.0.0.1:9"),
    ]
    for options, variables, words in cases:
        answer = shell.run("export_dataset", *options, CVAT_RETRY_WAIT="0.05", **variables)
        assert answer.returncode == 1, answer.stderr
        assert words in one_line(answer)
        assert "wrong-marker" not in answer.stderr
    answer = shell.run("export_dataset", "--project-id=0")
    assert (answer.returncode, "3 problems in the options" in one_line(answer)) == (2, True)


def test_a_request_that_stays_queued_meets_the_deadline(faulty_shell):
    shell = faulty_shell
    project = shell.labelled_project("cat/1.jpg")
    shell.server.order_fault("stay-queued", path="export:dataset")
    answer = shell.run("export_dataset", *settings(project, "out"), "--timeout=6")
    assert answer.returncode == 1
    assert "no export after 6 s, it was last queued: the export worker may be down" in one_line(answer)
    assert not (shell.folder / "out").exists()


DAMAGE = [
    ("truncate", {"after": 500}),
    ("corrupt", {"after": 700}),
    ("reset", {"after": 500, "stage": "response"}),
]


@pytest.mark.parametrize(("action", "rule"), DAMAGE)
def test_a_damaged_download_is_tried_again_and_never_kept(faulty_shell, action, rule):
    shell = faulty_shell
    project = shell.labelled_project("cat/1.jpg", "cat/2.jpg", "cat/3.jpg")
    shell.server.order_fault(action, method="GET", path="*/dataset/download*", count=None, **rule)
    answer = shell.run("export_dataset", *settings(project, "out"), CVAT_RETRY_WAIT="0.1")
    assert shell.server.faults()[0]["hit"] == 3
    assert len(re.findall("^warning: .*, attempt [23] of 3 in ", answer.stderr, re.MULTILINE)) == 2
    assert answer.returncode == 1
    assert one_line(answer)
    assert not (shell.folder / "out").exists()
    assert shell.leftovers() == []
    shell.server.clear_faults()
    assert shell.run("export_dataset", *settings(project, "out")).returncode == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_leaves_nothing_and_the_next_run_succeeds(faulty_shell, number):
    shell = faulty_shell
    project = shell.labelled_project("cat/1.jpg")
    shell.server.order_fault("hang", method="GET", path="*/dataset/download*", seconds=HELD)
    process = shell.start("export_dataset", *settings(project, "out"), CVAT_ANSWER_TIMEOUT=str(HELD))
    wait_until(lambda: shell.server.faults()[0]["hit"])
    process.send_signal(number)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 130, errors
    assert errors.splitlines()[-1] == "interrupted"
    assert not (shell.folder / "out").exists()
    assert shell.leftovers() == []
    assert shell.run("export_dataset", *settings(project, "out")).returncode == 0


def test_warns_when_the_server_could_not_keep_names_apart(tmp_path):
    """Some servers drop a first folder that is named like the label, so two frames can claim one name."""
    with StandinProcess(options=("--merge-label-folder",)) as server:
        shell = new_shell(tmp_path, server)
        project = shell.labelled_project("cat/1.jpg")
        (tmp_path / "images/1.jpg").write_bytes(jpeg())
        options = [f"--project-id={project}", "--import-dir=images", "--extension=jpg", "--task-name=both", "--json"]
        task = json.loads(shell.run("import_images", *options).stdout)["task_id"]
        Api(server).tag(task, (0, "cat"), (1, "cat"))
        answer = shell.run("export_dataset", *settings(project, "."))
    assert answer.returncode == 0, answer.stderr
    assert "warning: 1 images of the project are not in the export: cat/1.jpg; " in answer.stderr


def test_an_image_whose_label_the_format_drops_is_no_background(shell):
    api = Api(shell.server)
    project = api.project("car", name="boxes and a tag", label_type="any")
    (label,) = api.json("GET", f"labels?project_id={project}")["results"]
    task = api.images(project, {f"{number}.jpg": jpeg() for number in range(12)})
    boxes = [
        {"type": "rectangle", "frame": number, "label_id": label["id"], "points": [1, 1, 9, 9], "attributes": []}
        for number in range(10)
    ]
    tag = {"frame": 11, "label_id": label["id"], "attributes": []}
    body = {"version": 0, "tags": [tag], "shapes": boxes, "tracks": []}
    api.json("PATCH", f"tasks/{task}/annotations?action=create", json=body)
    (job,) = api.json("GET", f"jobs?task_id={task}")["results"]
    api.json("PATCH", f"jobs/{job['id']}", json={"state": "completed"})
    assert shell.run("export_dataset", *settings(project, ".", "COCO 1.0")).returncode == 0
    for option in ((), ("--unlabelled=keep",)):
        base = f"--base-file=project_id_{project}.zip"
        answer = shell.run("convert_dataset", base, "--json", "--output-dir=dataset", "--overwrite", *option)
        assert answer.returncode == 0, answer.stderr
        made = json.loads(answer.stdout)
        assert (made["images"], made["background"], made["left_out"]) == (11, 1, {"none of its labels is a box": 1})


def test_images_of_completed_jobs_are_background(shell):
    api, project = Api(shell.server), shell.project("car", kind="detection")
    (label,) = api.json("GET", f"labels?project_id={project}")["results"]
    for name in ("seen", "new"):
        task = api.images(project, {f"{name}/{number}.jpg": jpeg() for number in range(6)})
        boxes = [
            {"type": "rectangle", "frame": number, "label_id": label["id"], "points": [1, 1, 9, 9], "attributes": []}
            for number in range(4)
        ]
        body = {"version": 0, "tags": [], "shapes": boxes, "tracks": []}
        api.json("PATCH", f"tasks/{task}/annotations?action=create", json=body)
        if name == "seen":
            (job,) = api.json("GET", f"jobs?task_id={task}")["results"]
            api.json("PATCH", f"jobs/{job['id']}", json={"state": "completed"})
    answer = shell.run("export_dataset", *settings(project, ".", "COCO 1.0"))
    assert answer.returncode == 0, answer.stderr
    base = f"--base-file={shell.folder / f'project_id_{project}.zip'}"
    convert = ("convert_dataset", base, "--json", "--output-dir")
    for target, option, images, left_out in (
        ("dataset", (), 10, {"no label, and their job is not completed": 2}),
        ("strict", ("--unlabelled=completed",), 10, {"no label, and their job is not completed": 2}),
        ("boxes", ("--unlabelled=drop",), 8, {"no label": 4}),
        ("all", ("--unlabelled=keep",), 12, {}),
    ):
        answer = shell.run(*convert, target, *option)
        assert answer.returncode == 0, answer.stderr
        made = json.loads(answer.stdout)
        assert (made["images"], made["left_out"]) == (images, left_out)
    path = shell.folder / f"project_id_{project}.zip"
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("another.txt", "x")
    answer = shell.run(*convert, "unlisted")
    assert json.loads(answer.stdout)["left_out"] == {"no label": 4}
    answer = shell.run(*convert, "other", "--unlabelled=completed")
    assert (answer.returncode, "of this very export: make export writes it" in one_line(answer)) == (2, True)
