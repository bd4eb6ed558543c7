"""make open: the newest task, in the browser or as an address."""

import json
import subprocess
from pathlib import Path

from tests.support.images import jpeg
from tests.support.script_runs import run_script
from tests.support.standin_api import Api

from .conftest import DETECTION, Tutorial, signed_in


def open_task(made: Tutorial, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return run_script(
        "open_task",
        "--config",
        "configuration.json",
        *arguments,
        cwd=made.folder,
        environment={**signed_in(made.server), "DISPLAY": "", "WAYLAND_DISPLAY": "", "BROWSER": "", **variables},
    )


def two_tasks(made: Tutorial) -> int:
    """Return the number of the newer of two tasks."""
    api = Api(made.server)
    return [api.images(made.project_id, {"1.jpg": jpeg()}) for _ in range(2)][1]


def test_of_a_classification_project_the_next_job_ready_for_tagging(tutorial, standin):
    made = tutorial(standin)
    api = Api(standin)
    task_id = api.images(made.project_id, {f"{number}.jpg": jpeg(number) for number in range(4)}, segment_size=2)
    first, second = sorted(job["id"] for job in api.json("GET", f"jobs?task_id={task_id}")["results"])

    def address(job_id: int) -> str:
        return f"{standin.url}/tasks/{task_id}/jobs/{job_id}?defaultWorkspace=TAGS"

    assert open_task(made).stdout == f"{address(first)}\n"
    api.json("PATCH", f"jobs/{first}", json={"state": "completed"})
    answer = json.loads(open_task(made, "--json").stdout)
    assert (answer["task_id"], answer["job_id"], answer["url"]) == (task_id, second, address(second))
    api.json("PATCH", f"jobs/{second}", json={"state": "completed"})
    assert open_task(made).stdout == f"{address(first)}\n"

    empty = api.json("POST", "tasks", json={"name": "no data", "project_id": made.project_id})["id"]
    assert open_task(made).stdout == f"{standin.url}/tasks/{empty}\n"


def test_the_newest_task(tutorial, standin, tmp_path):
    made = tutorial(standin, DETECTION)
    nothing = open_task(made)
    assert nothing.returncode == 1
    assert "has no task yet" in nothing.stderr

    newest = two_tasks(made)
    address = f"{standin.url}/tasks/{newest}"
    answer = open_task(made)
    assert (answer.returncode, answer.stdout) == (0, f"{address}\n")
    assert "open the address yourself" in answer.stderr
    assert json.loads(open_task(made, "--json").stdout)["task_id"] == newest

    opened = tmp_path / "opened"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > {opened}\n')
    browser.chmod(0o755)
    answer = open_task(made, BROWSER=str(browser))
    assert (answer.returncode, answer.stderr) == (0, "")
    assert opened.read_text() == address
    opened.unlink()
    assert open_task(made, "--no-browser", BROWSER=str(browser)).stdout == f"{address}\n"
    assert not Path(opened).exists()

    forwarded = {"CODESPACE_NAME": "happy-space", "GITHUB_CODESPACES_PORT_FORWARDING_DOMAIN": "app.github.dev"}
    port = standin.url.rpartition(":")[2]
    assert open_task(made, **forwarded).stdout == f"https://happy-space-{port}.app.github.dev/tasks/{newest}\n"


def test_an_unknown_project(tutorial, standin):
    answer = open_task(tutorial(standin), "--project-id=99999")
    assert answer.returncode == 1
    assert "there is no project 99999" in answer.stderr
