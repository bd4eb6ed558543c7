"""A project exported task by task: resumed, renewed where a task changed, several at a time."""

import json
import re
import zipfile

from tests.support.standin_api import Api

from .conftest import jpeg
from .test_export import settings
from .test_import import one_line


def filled(shell, tasks: int) -> tuple[int, list[int]]:
    api = Api(shell.server)
    project = shell.project("cat")
    numbers = [api.images(project, {f"{task}/1.jpg": jpeg(), f"{task}/2.jpg": jpeg()}) for task in range(tasks)]
    for number in numbers:
        api.tag(number, (0, "cat"), (1, "cat"))
    return project, numbers


def test_each_task_becomes_a_zip_and_what_is_done_is_skipped(shell):
    project, numbers = filled(shell, 3)
    options = [*settings(project, "out"), "--per-task", "--json"]
    answer = shell.run("export_dataset", *options, "--parallel=3")
    assert answer.returncode == 0, answer.stderr
    made = json.loads(answer.stdout)
    assert [(one["task_id"], one["frames"]) for one in made["tasks"]] == [(number, 2) for number in numbers]
    files = [shell.folder / "out" / f"task-{number}.zip" for number in numbers]
    assert all(len(zipfile.ZipFile(file).namelist()) == 2 for file in files)
    times = [file.stat().st_mtime_ns for file in files]
    api = Api(shell.server)
    api.json(
        "PATCH",
        f"tasks/{numbers[1]}/annotations?action=delete",
        json=api.json("GET", f"tasks/{numbers[1]}/annotations"),
    )
    files[2].unlink()
    answer = shell.run("export_dataset", *options)
    assert answer.returncode == 0, answer.stderr
    assert "1 of 3 tasks were exported before and have not changed" in answer.stderr
    assert [file.stat().st_mtime_ns == before for file, before in zip(files, times, strict=True)] == [
        True,
        False,
        False,
    ]
    assert "no_label" in zipfile.ZipFile(files[1]).namelist()[0]


def test_a_failed_task_leaves_the_others_and_the_next_run_goes_on(faulty_shell):
    shell = faulty_shell
    project, numbers = filled(shell, 3)
    shell.server.order_fault("worker-fails", path="export:*", skip=1, count=1, message="no room")
    options = [*settings(project, "out"), "--per-task", "--parallel=1"]
    answer = shell.run("export_dataset", *options)
    assert answer.returncode == 1
    assert f"task {numbers[1]}: CVAT could not do it" in one_line(answer)
    assert [path.name for path in (shell.folder / "out").glob("*.zip")] == [f"task-{numbers[0]}.zip"]
    answer = shell.run("export_dataset", *options)
    assert answer.returncode == 0, answer.stderr
    assert re.search(r"^6 frames of 3 tasks as ImageNet 1.0, .* in [0-9.]+ s$", answer.stdout, re.MULTILINE)
    answer = shell.run("export_dataset", *settings(project, "out", "COCO 1.0"), "--per-task", "--task-type=detection")
    assert "is of an export of another format or server" in one_line(answer)
    (shell.folder / "out" / f"project_id_{project}.tasks.json").unlink()
    answer = shell.run("export_dataset", *options)
    assert "exists already" in one_line(answer)
