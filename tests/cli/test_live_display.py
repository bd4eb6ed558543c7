"""What moves on a terminal while something is under way, and is gone when it is done."""

import json
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pexpect
from PIL import Image

from standin.process import StandinProcess
from tests.support.script_runs import SCRIPTS, outside, run_program, script_command


def on_a_terminal(command: list[str], environment: Mapping[str, str], folder: Path) -> str:
    """Run a command on a terminal that can do all that terminals do; give what was sent to it."""
    return pexpect.run(
        " ".join(f"'{word}'" for word in command),
        env={**environment, "TERM": "xterm-256color"},
        cwd=str(folder),
        timeout=240,
        withexitstatus=False,
    ).decode()


def test_unpacking_and_verifying_draw_a_bar(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as export:
        for number in range(20):
            export.writestr(f"{'cat' if number % 2 else 'dog'}/{number}.jpg", f"image {number}")
    convert = script_command("convert_dataset", "--base-file=export.zip", "--output-dir=dataset", "--json")
    shown = on_a_terminal(convert, outside(), tmp_path)
    assert "Unpacking" in shown
    assert '"images": 20' in shown
    shown = on_a_terminal(script_command("verify_dataset", "dataset"), outside(), tmp_path)
    assert "Verifying" in shown
    piped = run_program(convert, cwd=tmp_path, environment=outside())
    assert "Unpacking" not in piped.stdout + piped.stderr


def test_import_and_export_show_how_far_they_are(tmp_path: Path, standin: StandinProcess) -> None:
    environment = outside() | standin.environment() | {"XDG_STATE_HOME": str(tmp_path / "state")}
    (tmp_path / "images").mkdir()
    for number in range(3):
        Image.new("L", (8, 8), number).save(tmp_path / f"images/{number}.jpg")
    made = subprocess.run(
        script_command("create_project", "--name=live display", "--labels=cat", "--json"),
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240, check=True,
    )  # fmt: skip
    project = f"--project-id={json.loads(made.stdout)['project_id']}"
    options = ["--import-dir=images", "--extension=jpg", "--task-name=t"]
    assert "packing" in on_a_terminal(script_command("import_images", project, *options), environment, tmp_path)
    shown = on_a_terminal(
        script_command("export_dataset", project, "--format=ImageNet 1.0", "--export-dir=out"), environment, tmp_path
    )
    assert "\x1b[" in shown  # the line that is drawn again and again
    assert [path.suffix for path in (tmp_path / "out").iterdir()] == [".zip"]


WAIT = """
import sys, time
sys.path.insert(0, sys.argv[1])
from toolkit.core.text import Progress
from toolkit.cli.console import show_wait

def wait():
    yield Progress(1.0, {"cvat_db": "starting", "cvat_server": "waits\\x1b[31m"}, False)
    time.sleep(0.5)
    yield Progress(2.4, {"cvat_db": "healthy", "cvat_server": "starting"}, True)

print(f"took {show_wait(wait()):g} s")
"""


def test_a_wait_is_one_live_line_a_service_or_a_line_for_each_change(tmp_path: Path) -> None:
    (tmp_path / "wait.py").write_text(WAIT)
    command = [sys.executable, str(tmp_path / "wait.py"), str(SCRIPTS)]
    shown = on_a_terminal(command, outside(), tmp_path)
    assert "cvat_db" in shown
    assert "waits\\x1b[31m" in shown
    assert "took 2.4 s" in shown
    piped = run_program(command, environment=outside())
    assert piped.stdout == "took 2.4 s\n"
    assert [" ".join(line.split()) for line in piped.stderr.splitlines()] == [
        "1 s cvat_db starting",
        "1 s cvat_server waits\\x1b[31m",
        "2 s cvat_db healthy",
        "2 s cvat_server starting",
    ]
