"""make open: the newest task, in the browser or as an address."""

import json
import subprocess
import sys
from pathlib import Path

from standin_api import Api, jpeg

from .conftest import TOP, Tutorial, signed_in


def open_task(made: Tutorial, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, TOP / "scripts/open_task.py", "--config", "configuration.json", *arguments],
        cwd=made.folder,
        env={**signed_in(made.server), "DISPLAY": "", "WAYLAND_DISPLAY": "", "BROWSER": "", **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
    )


def two_tasks(made: Tutorial) -> int:
    """Return the number of the newer of two tasks."""
    api = Api(made.server)
    return [api.images(made.project_id, {"1.jpg": jpeg()}) for _ in range(2)][1]


def test_the_newest_task(tutorial, standin, tmp_path):
    made = tutorial(standin)
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
