"""Scripts are stopped at steps of their work: nothing is half there, nobody is left running, the next run succeeds."""

import hashlib
import json
import random
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.script_runs import SCRIPTS, run_program
from tests.transfer.conftest import Shell

from .processes import living, new_mark
from .test_stops import tasks_of

ROOT = SCRIPTS.parent
SIGNALLED = Path(__file__).with_name("signalled.py")


def digest_of(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@dataclass
class Target:
    """A script that is to be stopped.

    Attributes:
        script: Its path.
        arguments: Its arguments.
        begin: Makes what it works on anew, before each run.
        check: Looks whether all is as before or whole, after each run; gets what that printed.
        variables: What its environment has besides.
        further: At how many steps by chance it is stopped, besides the first and the last.
    """

    script: Path
    arguments: list[str]
    begin: Callable[[], object] = lambda: None
    check: Callable[[str], object] = lambda output: None
    variables: tuple[tuple[str, str], ...] = ()
    further: int = 1


def dataset(shell: Shell) -> Path:
    for name in ("cat", "dog"):
        shell.images(*(f"cvat/{name}/{number}.jpg" for number in range(6)), folder="export")
    archive = shutil.make_archive(str(shell.folder / "export"), "zip", shell.folder / "export/cvat")
    made = shell.run("convert_dataset", f"--base-file={archive}", "--output-dir=dataset")
    assert made.returncode == 0, made.stderr
    return shell.folder / "dataset"


def unchanged(folder: Path) -> Callable[[str], None]:
    before = digest_of(folder)

    def check(_output: str) -> None:
        assert digest_of(folder) == before

    return check


def absent_or(path: Path, is_whole: Callable[[str], bool]) -> Callable[[str], None]:
    def check(_output: str) -> None:
        assert not path.exists() or is_whole(path.read_text("utf-8"))

    return check


def copy_of_toolkit(shell: Shell) -> Path:
    copy = shell.folder / "toolkit"
    for name in ("scripts", "config"):
        ignored = shutil.ignore_patterns("__pycache__", ".*", "access-token", "cvat.env")
        shutil.copytree(ROOT / name, copy / name, ignore=ignored)
    shutil.copy(ROOT / "README.md", copy)
    return copy


def verify(shell: Shell) -> Target:
    folder = dataset(shell)
    return Target(SCRIPTS / "verify_dataset.py", [f"--dataset-dir={folder}"], check=unchanged(folder))


def report(shell: Shell) -> Target:
    folder, page = dataset(shell), shell.folder / "report.html"
    whole = absent_or(page, lambda text: text.rstrip().endswith("</html>"))
    return Target(SCRIPTS / "report_dataset.py", [str(folder), f"--output={page}"], check=whole)


def token(shell: Shell) -> Target:
    file = shell.folder / "access-token"

    def check(_output: str) -> None:
        if file.exists():
            assert json.loads(file.read_text("utf-8"))["value"]
            assert file.stat().st_mode & 0o777 == 0o600

    return Target(SCRIPTS / "create_token.py", [], check=check, variables=(("CVAT_TOKEN_FILE", str(file)),))


def status(shell: Shell) -> Target:
    return Target(SCRIPTS / "show_status.py", [])


def project(shell: Shell) -> Target:
    return Target(SCRIPTS / "create_project.py", [f"--name={shell.folder}", "--labels=a b"])


def open_newest(shell: Shell) -> Target:
    number = shell.project("cat")
    options = [f"--project-id={number}", f"--import-dir={shell.images('1.jpg')}", "--extension=jpg", "--task-name=t"]
    made = shell.run("import_images", *options)
    assert made.returncode == 0, made.stderr
    return Target(SCRIPTS / "open_task.py", [f"--project-id={number}", "--no-browser"])


def importing(shell: Shell) -> Target:
    number = shell.project("cat")
    folder = shell.images("cat/1.jpg", "cat/2.jpg")
    options = [f"--project-id={number}", f"--import-dir={folder}", "--extension=jpg", "--task-name=t"]
    done: list[str] = []

    def check(output: str) -> None:
        done.extend(re.findall(r"^task (\d+): 2 frames", output, re.MULTILINE))
        assert {str(task["id"]): task["size"] for task in tasks_of(shell, number)} == dict.fromkeys(done, 2)

    # Python itself may leave a trial file in TMPDIR; without that, all is beside the images.
    variables = (("TMPDIR", ""),)
    options.append("--tags-from-folders")
    return Target(SCRIPTS / "import_images.py", options, check=check, variables=variables, further=4)


def schema(shell: Shell) -> Target:
    copy = copy_of_toolkit(shell)
    file = copy / "config/configuration.schema.json"
    whole = file.read_text("utf-8")

    def check(_output: str) -> None:
        assert file.read_text("utf-8") in ("{}", whole)

    script = copy / "scripts/dev/describe_configuration.py"
    variables = (("PYTHONPATH", str(copy / "scripts")),)
    return Target(script, [], begin=lambda: file.write_text("{}"), check=check, variables=variables)


def listing(shell: Shell) -> Target:
    return Target(SCRIPTS / "list_notebooks.py", [])


WRITERS = (report, token, project, schema)
OTHERS = (importing, verify, status, open_newest, listing)
"""What has nothing to lose by SIGKILL, or is killed in :mod:`.test_stops`."""
CASES = [
    *((target, number) for target in WRITERS for number in (signal.SIGINT, signal.SIGKILL)),
    *((target, signal.SIGINT) for target in OTHERS),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make_target", "number"), CASES, ids=[f"{target.__name__}, {number.name}" for target, number in CASES]
)
def test_stopped_at_any_step(shell, make_target, number):
    target = make_target(shell)
    mark = new_mark()

    def run(moment: str) -> subprocess.CompletedProcess[str]:
        target.begin()
        return run_program(
            [sys.executable, SIGNALLED, moment, number.name, target.script, *target.arguments],
            cwd=shell.folder,
            environment=shell.environment(**dict(target.variables), **mark, CVAT_RETRY_WAIT="0.1"),
        )

    through = run("never")
    assert through.returncode == 0, through.stderr
    target.check(through.stdout)
    steps = int(through.stderr.split()[-1])
    for step in {1, steps, *(random.randint(1, steps) for _ in range(target.further))}:
        answer = run(f"work:{step}")
        assert answer.returncode == (130 if number == signal.SIGINT else -number), (step, answer.stderr)
        assert "Traceback" not in answer.stderr
        target.check(answer.stdout)
        if number == signal.SIGINT:
            assert "interrupted" in answer.stderr
            assert shell.leftovers() == [], (step, answer.stderr)
        assert living(mark) == [], step
    again = run("never")
    assert again.returncode == 0, again.stderr
    target.check(again.stdout)
    assert shell.leftovers() == []
