"""Scripts that are stopped at any moment: by Ctrl-C nothing is left, after SIGKILL the next run finds what is."""

import json
import random
import re
import signal
import zipfile

import pytest
import requests

from tests.support.sweeps import FULL
from tests.transfer.conftest import Shell

MOMENTS = 6 if FULL else 3
LONGEST = 4.0
"""Seconds; an undisturbed run takes less on most machines."""


def ask(shell: Shell, path: str) -> dict:
    server = shell.server
    answer = requests.get(server.url + path, auth=(server.username, server.password), timeout=120)
    answer.raise_for_status()
    return answer.json()


def tasks_of(shell: Shell, project: int) -> list[dict]:
    return ask(shell, f"/api/tasks?project_id={project}&page_size=100")["results"]


def moments(seed: int) -> list[float]:
    """Return random moments, spread over the whole of a run."""
    generator = random.Random(seed)
    return [generator.uniform(number, number + 1) * LONGEST / MOMENTS for number in range(MOMENTS)]


def run_and_stop(shell: Shell, script: str, arguments: list[str], seconds: float, number: signal.Signals):
    process = shell.start(script, *arguments, CVAT_RETRY_WAIT="0.1")
    try:
        output, errors = process.communicate(timeout=seconds)
    except Exception:
        process.send_signal(number)
        output, errors = process.communicate(timeout=240)
    if process.returncode == -signal.SIGINT and "run_script(main)" not in errors:
        return 130, output, ""  # Python itself was still starting: it answers in its own way, and nothing has begun
    return process.returncode, output, errors


@pytest.mark.slow
def test_import_interrupted_at_any_moment_leaves_nothing(shell):
    project = shell.project("cat")
    folder = shell.images(*(f"cat/{number}.jpg" for number in range(50)))
    options = [f"--project-id={project}", f"--import-dir={folder}", "--extension=jpg", "--task-name=t", "--json"]
    finished = 0
    for seconds in moments(1):
        code, output, errors = run_and_stop(
            shell, "import_images", [*options, "--tags-from-folders"], seconds, signal.SIGINT
        )
        assert code in (0, 130), errors
        assert "Traceback" not in errors
        finished += code == 0 or bool(output)
        tasks = tasks_of(shell, project)
        assert [task["size"] for task in tasks] == [50] * finished, errors
        assert shell.leftovers() == [], errors


@pytest.mark.slow
def test_an_import_killed_at_any_moment_is_found_by_the_next(shell):
    project = shell.project("cat")
    folder = shell.images(*(f"cat/{number}.jpg" for number in range(50)))
    options = [f"--project-id={project}", f"--import-dir={folder}", "--extension=jpg", "--task-name=t"]
    for seconds in moments(2):
        code, _, _ = run_and_stop(shell, "import_images", options, seconds, signal.SIGKILL)
        assert code in (0, -signal.SIGKILL)
        answer = shell.run("import_images", *options, "--remove-leftover", "--start-over", "--json")
        assert answer.returncode == 0, answer.stderr
        mine = json.loads(answer.stdout)["task_id"]
        told = {int(number) for number in re.findall(r"perhaps left by it.*/tasks/(\d+)", answer.stderr)}
        empty = {task["id"] for task in tasks_of(shell, project) if not task.get("size")}
        assert empty <= told, answer.stderr
        assert mine in {task["id"] for task in tasks_of(shell, project)}
        assert shell.leftovers() == []
        for task in tasks_of(shell, project):
            auth = (shell.server.username, shell.server.password)
            requests.delete(f"{shell.server.url}/api/tasks/{task['id']}", auth=auth, timeout=120).raise_for_status()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_export_stopped_at_any_moment_leaves_no_half_file(shell, number):
    project = shell.project("cat")
    folder = shell.images(*(f"cat/{name}.jpg" for name in range(50)))
    options = [f"--project-id={project}", f"--import-dir={folder}", "--extension=jpg", "--task-name=t"]
    assert shell.run("import_images", *options).returncode == 0
    options = [f"--project-id={project}", "--export-dir=out", "--format=ImageNet 1.0", "--overwrite"]
    target = shell.folder / f"out/project_id_{project}.zip"
    for seconds in moments(3):
        code, _, errors = run_and_stop(shell, "export_dataset", options, seconds, number)
        assert code in (0, 130, -signal.SIGKILL), errors
        assert "Traceback" not in errors
        if target.exists():
            with zipfile.ZipFile(target) as archive:
                assert archive.testzip() is None
        if number == signal.SIGINT:
            assert shell.leftovers() == []
    assert shell.run("export_dataset", *options).returncode == 0
    assert shell.leftovers() == []


@pytest.mark.slow
def test_create_project_interrupted_at_any_moment_leaves_none_unsaid(shell):
    name = str(shell.folder)
    for seconds in moments(4):
        before = ask(shell, "/api/projects?page_size=500")["count"]
        code, output, errors = run_and_stop(
            shell, "create_project", [f"--name={name}", "--labels=a b"], seconds, signal.SIGINT
        )
        assert code in (0, 130), errors
        made = ask(shell, "/api/projects?page_size=500")["count"] - before
        assert made == bool(output) or "may have been made all the same" in errors, errors
