"""Large imports: several tasks, stopped, killed and gone on with."""

import json
import os
import re
import signal
import stat
from pathlib import Path

import pytest
import requests

from tests.support.waiting import HELD, wait_until

from .test_import import one_line, settings


def names(tasks) -> dict[str, int]:
    return {task["name"]: task["size"] for task in sorted(tasks, key=lambda task: task["name"])}


def frames_of(server, task: int) -> list[str]:
    auth = (server.username, server.password)
    meta = requests.get(f"{server.url}/api/tasks/{task}/data/meta", auth=auth, timeout=240).json()
    return [frame["name"] for frame in meta["frames"]]


def test_a_large_folder_becomes_several_tasks_with_every_image_once(shell, tasks_of):
    project = shell.project("a", "b")
    images = [f"{folder}/{number}.jpg" for folder in "ab" for number in range(5)]
    folder = shell.images(*images)
    answer = shell.run(
        "import_images", *settings(project, folder), "--images-per-task=4", "--tags-from-folders", "--json"
    )
    assert answer.returncode == 0, answer.stderr
    result = json.loads(answer.stdout)
    assert [(task["name"], task["frames"]) for task in result["tasks"]] == [
        ("first-001", 4),
        ("first-002", 4),
        ("first-003", 2),
    ]
    assert sorted(name for task in result["tasks"] for name in frames_of(shell.server, task["task_id"])) == images
    assert names(tasks_of(shell.server, project)) == {"first-001": 4, "first-002": 4, "first-003": 2}
    assert "frames (3 of 3)" in answer.stderr
    assert shell.leftovers() == []


def test_few_images_make_one_task_of_the_plain_name(shell, tasks_of):
    project = shell.project("x")
    answer = shell.run("import_images", *settings(project, shell.images("1.jpg")), "--images-per-task=4")
    assert answer.returncode == 0, answer.stderr
    assert names(tasks_of(shell.server, project)) == {"first": 1}


def test_no_more_tasks_at_a_time_than_asked_for(faulty_shell):
    shell = faulty_shell
    project = shell.project("x")
    folder = shell.images(*(f"{number}.jpg" for number in range(6)))
    shell.server.clear_requests()
    answer = shell.run("import_images", *settings(project, folder), "--images-per-task=1", "--parallel=2")
    assert answer.returncode == 0, answer.stderr
    under_way = [0]
    ended = set()
    requests = shell.server.requests()
    for entry in requests:
        if (entry["method"], entry["path"]) == ("POST", "/api/tasks"):
            under_way.append(under_way[-1] + 1)
        elif entry["method"] == "GET" and re.fullmatch(r"/api/tasks/\d+/data/meta", entry["path"]):  # a task's last
            if entry["path"] not in ended:  # on a busy machine it is asked again
                under_way.append(under_way[-1] - 1)
            ended.add(entry["path"])
    assert (len(under_way), max(under_way), under_way[-1]) == (1 + 6 + 6, 2, 0), requests


def test_a_failed_task_is_taken_back_and_resume_goes_on(faulty_shell, tasks_of):
    shell = faulty_shell
    project = shell.project("x")
    folder = shell.images(*(f"{number}.jpg" for number in range(5)))
    shell.server.order_fault("worker-fails", path="create:*", skip=1, count=1, message="out of memory")
    options = [*settings(project, folder), "--images-per-task=2", "--parallel=1"]
    answer = shell.run("import_images", *options)
    assert answer.returncode == 1
    assert "task first-002: CVAT could not do it" in one_line(answer)
    assert "1 of 3 tasks are finished and stay: --resume goes on" in answer.stderr
    assert names(tasks_of(shell.server, project)) == {"first-001": 2}
    (journal,) = shell.state().glob("*.json")
    assert stat.S_IMODE(journal.stat().st_mode) == 0o600
    assert shell.server.password not in journal.read_text()

    answer = shell.run("import_images", *options)
    assert answer.returncode == 2
    assert "has finished 1 of 3 tasks: --resume goes on with it, --start-over begins anew" in one_line(answer)
    before = {task["id"] for task in tasks_of(shell.server, project)}
    answer = shell.run("import_images", *options, "--resume", "--json")
    assert answer.returncode == 0, answer.stderr
    tasks = tasks_of(shell.server, project)
    assert names(tasks) == {"first-001": 2, "first-002": 2, "first-003": 1}
    assert before < {task["id"] for task in tasks}
    assert len(json.loads(answer.stdout)["tasks"]) == 3
    assert shell.leftovers() == []


def test_resume_refuses_a_folder_that_has_changed(faulty_shell, tasks_of):
    shell = faulty_shell
    project = shell.project("x")
    folder = shell.images(*(f"{number}.jpg" for number in range(4)))
    shell.server.order_fault("worker-fails", path="create:*", skip=1, count=1)
    options = [*settings(project, folder), "--parallel=1"]
    assert shell.run("import_images", *options, "--images-per-task=2").returncode == 1
    answer = shell.run("import_images", *options, "--images-per-task=3", "--resume")
    assert (answer.returncode, "give the same --images-per-task" in one_line(answer)) == (1, False)
    (folder / "0.jpg").write_bytes((folder / "0.jpg").read_bytes() + b"more")
    answer = shell.run("import_images", *options, "--images-per-task=2", "--resume")
    assert "the images of 1 finished tasks have changed since" in one_line(answer)
    answer = shell.run("import_images", *options, "--images-per-task=2", "--start-over")
    assert answer.returncode == 0, answer.stderr
    assert sorted(task["name"] for task in tasks_of(shell.server, project)) == ["first-001", "first-001", "first-002"]
    assert shell.leftovers() == []


def test_a_task_that_was_deleted_meanwhile_is_made_again(faulty_shell, tasks_of):
    shell = faulty_shell
    project = shell.project("x")
    folder = shell.images(*(f"{number}.jpg" for number in range(2)))
    shell.server.order_fault("worker-fails", path="create:*", skip=1, count=1)
    options = [*settings(project, folder), "--images-per-task=1", "--parallel=1"]
    assert shell.run("import_images", *options).returncode == 1
    first = min(task["id"] for task in tasks_of(shell.server, project))
    auth = (shell.server.username, shell.server.password)
    requests.delete(f"{shell.server.url}/api/tasks/{first}", auth=auth, timeout=240).raise_for_status()
    assert shell.run("import_images", *options, "--resume").returncode == 0
    assert names(tasks_of(shell.server, project)) == {f"first-00{number}": 1 for number in (1, 2)}


def test_interrupt_takes_back_what_is_unfinished_and_stays_resumable(faulty_shell, tasks_of):
    shell = faulty_shell
    project = shell.project("x")
    folder = shell.images(*(f"{number}.jpg" for number in range(5)))
    shell.server.order_fault("hang", method="POST", path="/api/tasks/*/data*", skip=6, count=None, seconds=HELD)
    options = [*settings(project, folder), "--images-per-task=1"]
    process = shell.start("import_images", *options, CVAT_ANSWER_TIMEOUT=str(HELD))
    wait_until(lambda: shell.server.faults()[0]["hit"] >= 2)
    shell.server.clear_faults()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 130, errors
    assert len(re.findall("deleted the unfinished task", errors)) == 2
    # Six requests were let through: of one task or of two, as the two under way took turns.
    finished = re.findall(r"^task \d+: (first-\d+), 1 frames", errors, re.MULTILINE)
    assert finished
    assert names(tasks_of(shell.server, project)) == dict.fromkeys(sorted(finished), 1)
    assert list((shell.folder / "tmp").iterdir()) == []
    assert shell.run("import_images", *options, "--resume").returncode == 0
    assert len(tasks_of(shell.server, project)) == 5
    assert shell.leftovers() == []


@pytest.mark.parametrize("options", [[], ["--images-per-task=1"]], ids=["one task", "several"])
def test_interrupt_ends_on_a_server_that_answers_no_more(faulty_shell, tasks_of, options):
    """And the next run knows what could not be taken back."""
    shell = faulty_shell
    options = [*settings(shell.project("x"), shell.images("1.jpg", "2.jpg")), *options]
    shell.server.order_fault("hang", method="POST", path="/api/tasks/*/data*", count=None, seconds=HELD)
    process = shell.start("import_images", *options, CVAT_ANSWER_TIMEOUT=str(HELD))
    tasks = 2 if "--images-per-task=1" in options else 1
    wait_until(lambda: shell.server.faults()[0]["hit"] >= tasks)
    shell.server.clear_faults()
    shell.server.order_fault("hang", method="DELETE", path="/api/tasks/*", count=None, seconds=HELD)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 130, errors
    assert len(re.findall(r"task \d+ could not be deleted", errors)) == tasks
    shell.server.clear_faults()
    answer = shell.run("import_images", *options, "--remove-leftover")
    assert answer.returncode == 0, answer.stderr
    assert shell.leftovers() == []


def stat_of(number: int | str) -> list[str]:
    """Return what the system tells of a process behind its name: state, parent, …; nothing if it is gone."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def children_of(process) -> list[int]:
    numbers = [entry.name for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [int(number) for number in numbers if stat_of(number)[1:2] == [str(process.pid)]]


def is_alive(number: int) -> bool:
    return stat_of(number)[:1] not in ([], ["Z"])


@pytest.fixture
def killed(faulty_shell, tasks_of):
    """An import that was killed in the middle of its upload."""
    shell = faulty_shell
    shell.number = shell.project("x")
    shell.options = settings(shell.number, shell.images("1.jpg", "2.jpg"))
    shell.server.order_fault("hang", method="POST", path="/api/tasks/*/data*", seconds=HELD)
    process = shell.start("import_images", *shell.options, CVAT_ANSWER_TIMEOUT=str(HELD))
    wait_until(lambda: shell.server.faults()[0]["hit"])
    wait_until(lambda: any('"created": "2' in path.read_text() for path in shell.state().glob("*.json")))
    (client,) = children_of(process)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=240)
    wait_until(lambda: not is_alive(client))
    shell.server.clear_faults()
    assert len(tasks_of(shell.server, shell.number)) == 1
    assert shell.leftovers() != []
    return shell


def test_cvat_cli_ends_with_a_script_that_is_killed_while_it_signs_in(faulty_shell):
    shell = faulty_shell
    options = settings(shell.project("x"), shell.images("1.jpg"))
    shell.server.order_fault("hang", method="GET", path="/api/server/about", seconds=HELD, count=None)
    process = shell.start("import_images", *options, CVAT_ANSWER_TIMEOUT=str(HELD))
    wait_until(lambda: shell.server.faults()[0]["hit"])
    (client,) = children_of(process)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=240)
    wait_until(lambda: not is_alive(client))


def test_a_killed_cvat_cli_is_called_so(faulty_shell, tasks_of):
    shell = faulty_shell
    project = shell.project("x")
    shell.server.order_fault("hang", method="POST", path="/api/tasks/*/data*", seconds=HELD)
    options = settings(project, shell.images("1.jpg"))
    process = shell.start("import_images", *options, CVAT_ANSWER_TIMEOUT=str(HELD))
    wait_until(lambda: shell.server.faults()[0]["hit"])
    (client,) = children_of(process)
    os.kill(client, signal.SIGKILL)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 1
    assert "cvat-cli was killed (signal 9); if memory ran out, free some; run again" in errors
    assert tasks_of(shell.server, project) == []


def test_after_a_kill_the_next_run_tells_of_the_orphan_and_removes_it_on_demand(killed, tasks_of):
    (orphan,) = tasks_of(killed.server, killed.number)
    answer = killed.run("import_images", *killed.options)
    assert answer.returncode == 0, answer.stderr
    assert "an earlier import of this name and folder was stopped in the middle" in answer.stderr
    assert f"--remove-leftover deletes the unfinished task {orphan['id']}" in answer.stderr
    assert len(tasks_of(killed.server, killed.number)) == 2
    assert list((killed.folder / "tmp").iterdir()) == []
    answer = killed.run("import_images", *killed.options, "--remove-leftover")
    assert answer.returncode == 0, answer.stderr
    assert f"deleted the unfinished task {orphan['id']} of an earlier import" in answer.stderr
    tasks = tasks_of(killed.server, killed.number)
    assert (len(tasks), orphan["id"] in [task["id"] for task in tasks]) == (2, False)
    assert killed.leftovers() == []


def test_an_orphan_that_became_complete_is_never_deleted(killed, tasks_of):
    """A person may have put images and tags into it since."""
    (orphan,) = tasks_of(killed.server, killed.number)
    server, auth = killed.server, (killed.server.username, killed.server.password)
    address = f"{server.url}/api/tasks/{orphan['id']}/data"
    with (killed.folder / "images/1.jpg").open("rb") as picture:
        answer = requests.post(
            address, auth=auth, data={"image_quality": 70}, files={"client_files[0]": picture}, timeout=240
        )
    answer.raise_for_status()
    wait_until(lambda: tasks_of(server, killed.number)[0].get("size") == 1)
    labels = requests.get(f"{server.url}/api/labels?project_id={killed.number}", auth=auth, timeout=240).json()
    tag = {"frame": 0, "label_id": labels["results"][0]["id"], "attributes": []}
    body = {"version": 0, "tags": [tag], "shapes": [], "tracks": []}
    address = f"{server.url}/api/tasks/{orphan['id']}/annotations?action=create"
    requests.patch(address, auth=auth, json=body, timeout=240).raise_for_status()
    answer = killed.run("import_images", *killed.options, "--remove-leftover", "--start-over")
    assert answer.returncode == 0, answer.stderr
    assert f"complete: {server.url}/tasks/{orphan['id']}" in answer.stderr
    assert orphan["id"] in [task["id"] for task in tasks_of(server, killed.number)]


def test_another_task_of_the_same_number_is_not_taken_for_the_orphan(killed, tasks_of):
    (journal,) = killed.state().glob("*.json")
    record = json.loads(journal.read_text())
    record["tasks"][0]["created"] = "2020-01-01T00:00:00.000000Z"
    journal.write_text(json.dumps(record))
    answer = killed.run("import_images", *killed.options, "--remove-leftover")
    assert answer.returncode == 0, answer.stderr
    assert "earlier import" not in answer.stderr
    assert len(tasks_of(killed.server, killed.number)) == 2


def test_the_journal_of_a_living_import_is_left_alone(faulty_shell, tasks_of):
    shell = faulty_shell
    project = shell.project("x")
    options = settings(project, shell.images("1.jpg"))
    shell.server.order_fault("hang", method="POST", path="/api/tasks/*/data*", seconds=HELD)
    living = shell.start("import_images", *options, CVAT_ANSWER_TIMEOUT=str(HELD))
    wait_until(lambda: shell.server.faults()[0]["hit"])
    answer = shell.run("import_images", *options, "--remove-leftover")
    assert answer.returncode == 0, answer.stderr
    assert "earlier import" not in answer.stderr
    living.send_signal(signal.SIGINT)
    _, errors = living.communicate(timeout=240)
    assert (living.returncode, "deleted the unfinished task" in errors) == (130, True)
    assert len(tasks_of(shell.server, project)) == 1
    assert shell.leftovers() == []


def test_a_state_folder_that_cannot_be_written_does_not_stop_an_import(shell, tasks_of):
    project = shell.project("x")
    (shell.folder / "file").write_text("")
    options = settings(project, shell.images("1.jpg"))
    answer = shell.run("import_images", *options, XDG_STATE_HOME=str(shell.folder / "file"))
    assert answer.returncode == 0, answer.stderr
    assert "warning: if this import is killed, the next one will not know of it" in answer.stderr
