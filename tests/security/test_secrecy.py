"""A password and a token that are easy to find must be found nowhere: the scripts are run, then all is searched."""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import requests

from standin.process import StandinProcess
from tests.support.script_runs import ROOT, run_program
from tests.support.waiting import HELD, wait_until
from tests.transfer.conftest import Shell, new_shell

PASSWORD = "marker-Pa55word-0123456789"
SECRET_FILES = {"configuration.json", "access-token"}
"""Files that are made to hold a secret."""

needs_proc = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs Linux's /proc")


@dataclass
class Processes:
    """Looks at the processes below this one: their arguments, and the environment of strangers and of cvat-cli."""

    arguments: set[str] = field(default_factory=set)
    environments: dict[str, str] = field(default_factory=dict)
    clients: set[str] = field(default_factory=set)
    _end: threading.Event = field(default_factory=threading.Event)

    def watch(self) -> None:
        while not self._end.wait(0.05):
            self.look()

    def look(self) -> None:
        for number in _descendants(os.getpid()):
            arguments = _read(number, "cmdline").replace("\0", " ")
            self.arguments.add(arguments)
            if "cli_launcher" in arguments:
                self.clients.add(_read(number, "environ"))
            elif arguments and "python" not in arguments.split()[0]:
                self.environments[arguments] = _read(number, "environ")

    def __enter__(self) -> "Processes":
        self._thread = threading.Thread(target=self.watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._thread.is_alive(), "it looked until the end"
        self._end.set()
        self._thread.join()


@dataclass
class Everything(Processes):
    """Looks at the files below a folder as well, those too that are gone again at the end of a run."""

    folder: Path = Path()
    files: dict[Path, set[str]] = field(default_factory=dict)
    _known: dict[Path, tuple[int, int]] = field(default_factory=dict)

    def look(self) -> None:
        super().look()
        for path in (Path(folder, name) for folder, _, names in os.walk(self.folder) for name in names):
            with suppress(OSError):  # it has gone meanwhile
                status = path.stat()
                if stat.S_ISREG(status.st_mode) and self._known.get(path) != (status.st_mtime_ns, status.st_size):
                    self._known[path] = (status.st_mtime_ns, status.st_size)
                    self.files.setdefault(path, set()).add(path.read_bytes().decode(errors="replace"))

    def kinds(self) -> set[str]:
        """Return what kinds of files there were."""
        return {path.suffix for path in self.files} | {path.name for path in self.files if path.name[0] == "."}


def _read(number: int, name: str) -> str:
    try:
        return Path(f"/proc/{number}/{name}").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def _descendants(number: int) -> Iterator[int]:
    try:
        threads = list(Path(f"/proc/{number}/task").iterdir())
        children = [int(child) for thread in threads for child in (thread / "children").read_text().split()]
    except OSError:  # it has ended meanwhile
        return
    for child in children:
        yield child
        yield from _descendants(child)


@pytest.fixture(scope="module")
def server() -> Iterator[StandinProcess]:
    with StandinProcess(options=("--faults",), password=PASSWORD) as running:
        yield running


@pytest.fixture
def shell(tmp_path, server) -> Shell:
    return new_shell(tmp_path, server)


@pytest.fixture(scope="module")
def token(server) -> str:
    wish = {"name": "x", "expiry_date": "2036-01-01T00:00:00Z", "read_only": False}
    answer = requests.post(
        f"{server.url}/api/auth/access_tokens", json=wish, auth=(server.username, PASSWORD), timeout=120
    )
    return answer.json()["value"]


IMPORT, EXPORT, CREATE = "import_images", "export_dataset", "create_project"
ALL = (IMPORT, EXPORT, CREATE)

Fault = tuple[dict, Sequence[str]]
IN_EVERY_WAY: list[Fault] = [
    ({}, [IMPORT, EXPORT, CREATE]),
    (
        {"action": "status", "status": 500, "path": "/api/[!s]*", "count": None, "body": "oops"},
        [IMPORT, EXPORT, CREATE],
    ),
    ({"action": "reset", "path": "/api/*", "count": None}, [IMPORT, EXPORT, CREATE]),
]
"""What shows the connection and the request, and that looks different with each kind of credentials."""

IN_ONE_WAY: list[Fault] = [
    ({"action": "status", "status": 401, "method": "POST", "path": "/api/tasks"}, [IMPORT]),
    ({"action": "corrupt", "method": "GET", "path": "/api/requests/*"}, [IMPORT, EXPORT]),
    ({"action": "worker-fails", "path": "*", "count": None}, [IMPORT, EXPORT]),
    ({"action": "stay-queued", "path": "*", "count": None}, [IMPORT, EXPORT]),
]


def run_everything(shell: Shell, faults: Sequence[Fault], **variables: str) -> str:
    """Run the scripts, with success and with failures; return all they have printed."""
    project = shell.project("cat")
    folder = shell.images("cat/1.jpg", "cat/2.jpg", "cat/3.jpg")
    importing = [f"--project-id={project}", f"--import-dir={folder}", "--extension=jpg", "--debug"]
    options = {
        EXPORT: [f"--project-id={project}", "--export-dir=out", "--format=ImageNet 1.0", "--overwrite", "--timeout=2"],
        CREATE: ["--name=p", "--labels=cat"],
    }
    quick = {"CVAT_RETRY_WAIT": "0.01", "CVAT_ANSWER_TIMEOUT": "3", "CVAT_ATTEMPTS": "2"} | variables
    printed = ""
    for number, (fault, scripts) in enumerate(faults):
        if fault:
            shell.server.order_fault(**fault)
        options[IMPORT] = [*importing, f"--task-name=t{number}", "--timeout=2", "--images-per-task=2"]
        for script in scripts:
            answer = shell.run(script, *options[script], "--debug", **quick)
            printed += answer.stdout + answer.stderr
        shell.server.clear_faults()
    answer = shell.run(IMPORT, *importing, "--task-name=last", "--json", **quick)
    assert answer.returncode == 0, answer.stderr
    wrong = {"CVAT_PASSWORD": f"{PASSWORD}-wrong"} if "CVAT_ACCESS_TOKEN" not in variables else {}
    answer = shell.run(IMPORT, *importing, "--task-name=wrong", **(quick | wrong))
    return printed + answer.stdout + answer.stderr


@needs_proc
@pytest.mark.slow
@pytest.mark.parametrize("way", ["environment", "file", "token"])
def test_a_secret_is_nowhere_to_be_found(shell, token, way):
    variables = {}
    secret = PASSWORD
    if way == "file":
        values = {"cvat_username": shell.server.username, "cvat_password": PASSWORD, "unknown_key": "x"}
        (shell.folder / "configuration.json").write_text(json.dumps(values))
        subprocess.run(["git", "init", "-q"], cwd=shell.folder, check=True)
        subprocess.run(["git", "add", "-f", "configuration.json"], cwd=shell.folder, check=True)
        variables = {"CVAT_PASSWORD": "", "CVAT_USERNAME": ""}
    if way == "token":
        secret = token
        variables = {"CVAT_ACCESS_TOKEN": token, "CVAT_PASSWORD": "", "CVAT_USERNAME": ""}
    faults = IN_EVERY_WAY + IN_ONE_WAY * (way == "environment")
    with Everything(folder=shell.folder) as seen:
        printed = run_everything(shell, faults, **variables)
    assert printed.count("Traceback") > 3, "--debug shows what went wrong"
    assert secret not in printed
    assert any(seen.clients), "cvat-cli was looked at"
    assert [text for text in seen.clients if PASSWORD in text or token in text] == []
    assert [line for line in seen.arguments if secret in line] == []
    assert [line for line, text in seen.environments.items() if secret in text] == []
    assert seen.kinds() > {".jpg", ".zip", ".json", ".lock"}, "images, archives, journals and claims were looked at"
    told = {
        path: text for path, text in seen.files.items() if path.name not in SECRET_FILES and ".git" not in path.parts
    }
    assert [path for path, texts in told.items() if secret in "".join(texts)] == []


def test_the_client_gets_no_secret_that_it_does_not_need(shell, token, tmp_path):
    """With a token the password stays here, and the other way round."""
    from toolkit.cvat.cli import _credentials
    from toolkit.cvat.connection import Connection

    both = Connection("http://x", username="django", password=PASSWORD, token=token)
    assert _credentials(both) == {"CVAT_ACCESS_TOKEN": token}
    assert _credentials(replace(both, token=None)) == {"PASS": PASSWORD}


def test_git_is_asked_without_any_of_our_variables(shell, tmp_path):
    """The script asks git whether a file with a password is tracked."""
    values = {"cvat_username": "django", "cvat_password": PASSWORD}
    (shell.folder / "configuration.json").write_text(json.dumps(values))
    (shell.folder / ".git").mkdir()
    fake = tmp_path / "bin/git"
    fake.parent.mkdir()
    fake.write_text(f"#!/bin/sh\n/usr/bin/env > {tmp_path}/seen\nexit 1\n")
    fake.chmod(0o755)
    shell.run("import_images", PATH=f"{fake.parent}:{os.environ['PATH']}")
    seen = (tmp_path / "seen").read_text()
    assert "PATH=" in seen
    assert PASSWORD not in seen
    assert not re.search("^CVAT_", seen, re.MULTILINE)


def test_the_token_file_is_for_its_owner_alone(shell, tmp_path):
    copy = tmp_path / "toolkit"
    for name in ("scripts", "compose", "config"):
        ignored = shutil.ignore_patterns("__pycache__", "access-token", "cvat.env")
        shutil.copytree(ROOT / name, copy / name, ignore=ignored)
    answer = run_program([sys.executable, copy / "scripts/create_token.py", "--debug"], environment=shell.environment())
    assert answer.returncode == 0, answer.stderr
    file = copy / "config/access-token"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    value = json.loads(file.read_text())["value"]
    assert value not in answer.stdout + answer.stderr
    assert PASSWORD not in answer.stdout + answer.stderr + file.read_text()


def test_the_journal_is_for_its_owner_alone(shell):
    project = shell.project("x")
    folder = shell.images("1.jpg")
    options = [f"--project-id={project}", f"--import-dir={folder}", "--extension=jpg", "--task-name=t"]
    shell.server.order_fault("hang", method="POST", path="/api/tasks/*/data*", seconds=HELD)
    process = shell.start("import_images", *options, CVAT_ANSWER_TIMEOUT=str(HELD))
    wait_until(lambda: shell.server.faults()[0]["hit"])
    (file,) = shell.state().glob("*.json")
    text = file.read_text()
    modes = {stat.S_IMODE(path.stat().st_mode) for path in shell.state().iterdir()}
    shell.server.clear_faults()
    process.terminate()
    process.communicate(timeout=240)
    assert modes == {0o600}
    assert PASSWORD not in text
