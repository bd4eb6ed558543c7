"""Ctrl-C in a terminal during a make target: it reaches make and all that make has started at the same time."""

import json
import os
import re
import signal
import subprocess
import time
import zipfile
from collections.abc import Callable

import pytest

from tests.support.script_runs import SCRIPTS
from tests.support.sweeps import FULL
from tests.transfer.conftest import Shell

from .processes import living, new_mark
from .test_stops import tasks_of

ROOT = SCRIPTS.parent
MADE_BY_DEMO = {"images", "dataset", "project_id_1.zip", "report.html"}

MOMENTS = 5 if FULL else 2
INTERRUPTED = ("Error 130", "Interrupt", "wait: No child processes")
"""The last is GNU make's word when the signal comes after a command's end and before make has crossed it off."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (ROOT / ".venv/bin/python").exists(), reason="needs .venv (make setup)"),
]


def make(shell: Shell, mark: dict[str, str], target: str, *variables: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        ["make", "-C", str(ROOT), "-o", ".venv/.runtime", target, *variables],
        env=shell.environment(**mark, CVAT_RETRY_WAIT="0.1"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def stop_at_moments(
    shell: Shell, check: Callable[[str], None], target: str, *variables: str, moments: int = 5 if FULL else 2
) -> None:
    """Let a target run once, then interrupt it at moments spread over that time; the last run is let through again."""
    mark = new_mark()
    started = time.monotonic()
    whole, errors = finish(make(shell, mark, target, *variables))
    duration = time.monotonic() - started
    assert "Error" not in errors, errors
    check(whole)
    for number in range(moments):
        process = make(shell, mark, target, *variables)
        try:
            process.wait((number + 0.5) / moments * duration)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGINT)
        output, errors = finish(process)
        assert process.returncode in (0, 2, -signal.SIGINT), errors
        if process.returncode > 0:
            assert re.search(rf"^make: \*\*\* .*({'|'.join(INTERRUPTED)})", errors, re.MULTILINE), errors
            assert "error: " not in errors
        # A traceback without this line is Python's own, from before it had read the first line of the script.
        assert "run_script(main)" not in errors
        assert living(mark) == []
        assert shell.leftovers() == [], errors
        check(output)
    process = make(shell, mark, target, *variables)
    output, errors = finish(process)
    assert process.returncode == 0, errors
    check(output)
    assert shell.leftovers() == []


def finish(process: "subprocess.Popen[str]") -> tuple[str, str]:
    return process.communicate(timeout=240)


def configured(shell: Shell, **keys: object) -> str:
    path = shell.folder / "configuration.json"
    path.write_text(json.dumps(keys), "utf-8")
    return f"CONFIG={path}"


def imported(shell: Shell) -> tuple[int, str]:
    """Make a project, and a configuration that imports forty images into it."""
    project = shell.project("cat", "dog")
    for name in ("cat", "dog"):
        shell.images(*(f"{name}/{number}.jpg" for number in range(20)))
    keys = {"cvat_project_id": project, "import_dir": "images", "import_image_extension": "jpg"}
    return project, configured(shell, **keys, import_task_name="t")


def test_make_import(shell):
    project, configuration = imported(shell)
    done = []

    def check(output: str) -> None:
        done.extend(re.findall(r"^task (\d+): 40 frames", output, re.MULTILINE))
        assert {str(task["id"]): task["size"] for task in tasks_of(shell, project)} == dict.fromkeys(done, 40)

    stop_at_moments(shell, check, "import", configuration, "ARGS=--tags-from-folders")


def test_make_export(shell):
    project, configuration = imported(shell)
    made = shell.run("import_images", f"--config={configuration.removeprefix('CONFIG=')}", "--tags-from-folders")
    assert made.returncode == 0, made.stderr
    configuration = configured(shell, cvat_project_id=project, export_format="ImageNet 1.0", export_dir="out")
    target = shell.folder / f"out/project_id_{project}.zip"

    def check(_output: str) -> None:
        if target.exists():
            with zipfile.ZipFile(target) as archive:
                assert archive.testzip() is None

    stop_at_moments(shell, check, "export", configuration, "ARGS=--overwrite")


def test_make_convert(shell):
    with zipfile.ZipFile(shell.folder / "export.zip", "w") as archive:
        for number in range(4000):
            archive.writestr(f"{('cat', 'dog')[number % 2]}/{number}.jpg", os.urandom(100))
    keys = {"base_file": "export.zip", "dir": "dataset", "validation_split": 0.2, "seed": 1}
    dataset = shell.folder / "dataset"

    def check(_output: str) -> None:
        if dataset.exists():
            assert len([path for path in dataset.rglob("*.jpg") if path.is_file()]) % 4000 == 0
            assert json.loads((dataset / "manifest.json").read_text("utf-8"))

    configuration = configured(shell, **{f"dataset_conversion_{key}": value for key, value in keys.items()})
    stop_at_moments(shell, check, "convert", configuration, "ARGS=--overwrite")


def test_make_demo(shell):
    folder = shell.folder / "demo"

    def check(_output: str) -> None:
        if folder.exists():
            assert {path.name for path in folder.iterdir()} <= MADE_BY_DEMO

    stop_at_moments(shell, check, "demo", f"ARGS=--output={folder}", moments=3 if FULL else 1)
