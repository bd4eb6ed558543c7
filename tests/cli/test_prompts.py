"""What becomes of an answer, of Ctrl-C and of Ctrl-D at every question that a script asks."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from tests.support.fake_engine import PROJECT, FakeEngine
from tests.support.recorder import Recorder
from tests.support.terminal import CTRL_C, CTRL_D, SCRIPTS, Terminal, without_cvat
from tests.transfer.conftest import Shell, faulty_shell, tasks_of  # noqa: F401 - fixtures
from tests.transfer.test_batches import killed  # noqa: F401 - a fixture

GOOD_PASSWORD = "Tulip-9-lamp-River"
Tasks = Callable[..., list[dict]]


def names(tasks: list[dict]) -> list[str]:
    return sorted(task["name"] for task in tasks)


def import_options(shell: Shell, project: int, *more: str) -> list[str]:
    folder = shell.folder / "images"
    return [f"--project-id={project}", f"--import-dir={folder}", "--extension=jpg", "--task-name=t", *more]


def at_terminal(shell: Shell, *options: str) -> Terminal:
    return Terminal("import_images", *options, environment=shell.environment(), folder=shell.folder)


def test_removing_what_a_killed_import_has_left(killed, tasks_of):  # noqa: F811
    shell, project, options = killed, killed.number, killed.options
    (orphan,) = tasks_of(shell.server, project)
    question = f"Delete the unfinished task {orphan['id']} (its images are all in the folder)? [Y/n]:"
    for key in (CTRL_C, CTRL_D):
        with at_terminal(shell, *options) as terminal:
            assert terminal.asked(question).press(key).end() == 130
            assert "interrupted" in terminal.shown
            assert "Traceback" not in terminal.shown
        assert [task["id"] for task in tasks_of(shell.server, project)] == [orphan["id"]]

    with at_terminal(shell, *options) as terminal:
        assert terminal.asked(question).type("perhaps").asked("invalid input").asked(question).type("n").end() == 0
        assert f"--remove-leftover deletes the unfinished task {orphan['id']}" in terminal.shown
    assert len(tasks_of(shell.server, project)) == 2

    with at_terminal(shell, *options) as terminal:
        assert terminal.asked(question).type("y").end() == 0
        assert f"deleted the unfinished task {orphan['id']}" in terminal.shown
    assert orphan["id"] not in [task["id"] for task in tasks_of(shell.server, project)]
    with at_terminal(shell, *options) as terminal:
        assert terminal.end() == 0
        assert "Delete the unfinished task" not in terminal.shown


@pytest.fixture
def half_done(faulty_shell, tasks_of) -> tuple[Shell, int, list[str]]:  # noqa: F811
    """An import of two tasks, of which one is finished."""
    shell: Shell = faulty_shell
    project = shell.project("a")
    shell.images("1.jpg", "2.jpg")
    options = import_options(shell, project, "--images-per-task=1")
    shell.server.order_fault("status", status=400, method="POST", path="/api/tasks", after=1)
    answer = shell.run("import_images", *options)
    assert answer.returncode == 1, answer.stderr
    shell.server.clear_faults()
    assert len(tasks_of(shell.server, project)) == 1
    return shell, project, options


def test_going_on_with_an_import(half_done, tasks_of):  # noqa: F811
    shell, project, options = half_done
    question = "1 of 2 tasks are finished. Go on"
    for key in (CTRL_C, CTRL_D):
        with at_terminal(shell, *options) as terminal:
            assert terminal.asked(question).press(key).end() == 130
            assert "interrupted" in terminal.shown
    answer = shell.run("import_images", *options)
    assert answer.returncode == 2
    assert "--resume goes on with it, --start-over begins anew" in answer.stderr
    assert len(tasks_of(shell.server, project)) == 1

    with at_terminal(shell, *options) as terminal:
        assert terminal.asked(question).type("n").end() == 2
        assert "--start-over begins anew" in terminal.shown
    assert len(tasks_of(shell.server, project)) == 1

    with at_terminal(shell, *options) as terminal:
        assert terminal.asked(question).type("y").end() == 0
    assert names(tasks_of(shell.server, project)) == ["t-001", "t-002"]


class Stack:
    """A local CVAT of which only the engine's socket and a docker that does nothing are there."""

    def __init__(self, folder: Path, engine: FakeEngine) -> None:
        self.recorder = Recorder(folder / "recorder")
        self.recorder.add("docker", 'case "$*" in *"version --short") echo 2.30.0 ;; esac')
        self.folder = folder
        self.engine = engine

    def environment(self, **more: str) -> dict[str, str]:
        path = f"{self.recorder.bin}:{os.environ['PATH']}"
        return without_cvat(**self.engine.environment(), PATH=path, **more)

    def at_terminal(self, script: str, *arguments: str) -> Terminal:
        return Terminal(script, *arguments, environment=self.environment(), folder=self.folder)

    def was_removed(self) -> bool:
        return any("down" in call.arguments for call in self.recorder.calls())


@pytest.fixture
def stack(tmp_path):
    with FakeEngine() as engine:
        yield Stack(tmp_path, engine)


def test_removing_the_stack_needs_its_name(stack):
    question = f"All of this is lost. The project's name ({PROJECT}):"
    for answer in ("y", "yes", PROJECT.upper()):
        with stack.at_terminal("destroy_cvat") as terminal:
            assert terminal.asked(question).type(answer).end() == 2
            assert "nothing was removed" in terminal.shown
    for key in (CTRL_C, CTRL_D):
        with stack.at_terminal("destroy_cvat") as terminal:
            assert terminal.asked(f"volume {PROJECT}_cvat_data").asked(question).press(key).end() == 130
            assert "interrupted" in terminal.shown
    assert not stack.was_removed()
    with stack.at_terminal("destroy_cvat") as terminal:
        terminal.asked(question).type(PROJECT).end()  # the engine's socket does not know how to remove
    assert stack.was_removed()


def test_a_new_password_is_asked_for_twice_and_not_shown(stack):
    with stack.at_terminal("create_superuser") as terminal:
        terminal.asked("User name:").type("ana")
        terminal.asked("Password:").type_secretly(GOOD_PASSWORD)
        terminal.asked("Repeat for confirmation:").type_secretly("another one")
        terminal.asked("do not match").asked("Password:").type_secretly(GOOD_PASSWORD)
        terminal.asked("Repeat for confirmation:").type_secretly(GOOD_PASSWORD)
        assert terminal.end() == 0
        assert "Superuser ana was created" in terminal.shown
        assert GOOD_PASSWORD not in terminal.shown
        assert "another one" not in terminal.shown
    (executed,) = stack.engine.executed
    assert f"DJANGO_SUPERUSER_PASSWORD={GOOD_PASSWORD}" in executed["Env"]


def test_a_refused_password_is_not_shown(stack):
    with stack.at_terminal("create_superuser", "--username=ana", "--debug") as terminal:
        terminal.asked("Password:").type_secretly("letmein1")
        terminal.asked("Repeat for confirmation:").type_secretly("letmein1")
        assert terminal.end() == 2
        assert "everybody tries first" in terminal.shown
        assert "letmein1" not in terminal.shown
    assert stack.engine.executed == []


@pytest.mark.parametrize("key", [CTRL_C, CTRL_D], ids=["Ctrl-C", "Ctrl-D"])
def test_nobody_is_made_when_the_question_is_left(stack, key):
    with stack.at_terminal("create_superuser") as terminal:
        assert terminal.asked("User name:").press(key).end() == 130
        assert "interrupted" in terminal.shown
    with stack.at_terminal("create_superuser", "--username=ana") as terminal:
        assert terminal.asked("Password:").type_secretly(GOOD_PASSWORD).asked("Repeat").hidden().press(key).end() == 130
        assert "interrupted" in terminal.shown
        assert GOOD_PASSWORD not in terminal.shown
    assert stack.engine.executed == []


def test_the_password_for_a_token_is_not_shown(standin, tmp_path):
    file = tmp_path / "access-token"
    environment = without_cvat(CVAT_URL=standin.url, CVAT_TOKEN_FILE=str(file))

    def at_terminal() -> Terminal:
        return Terminal("create_token", environment=environment, folder=tmp_path)

    for key in (CTRL_C, CTRL_D):
        with at_terminal() as terminal:
            assert (
                terminal.asked("User name:").type(standin.username).asked("Password:").hidden().press(key).end() == 130
            )
            assert "interrupted" in terminal.shown
    assert not file.exists()
    with at_terminal() as terminal:
        terminal.asked("User name:").type(standin.username).asked("Password:").type_secretly("not the password")
        assert terminal.end() == 1
        assert "not the password" not in terminal.shown
    with at_terminal() as terminal:
        terminal.asked("User name:").type(standin.username).asked("Password:").type_secretly(standin.password)
        assert terminal.end() == 0
        assert standin.password not in terminal.shown
    assert file.exists()


def test_the_stand_in_asks_for_the_password_of_its_user(tmp_path):
    options = ["--port=0", f"--data={tmp_path / 'data'}"]
    for key in (CTRL_C, CTRL_D):
        with Terminal("run_standin", *options, environment=without_cvat(), folder=tmp_path) as terminal:
            assert terminal.asked("Password for").hidden().press(key).end() == 130
    with Terminal("run_standin", *options, environment=without_cvat(), folder=tmp_path) as terminal:
        terminal.asked("Password for django:").type_secretly(GOOD_PASSWORD).asked("http://127.0.0.1:")
        port = terminal.asked("\n").shown.splitlines()[-1].rpartition(":")[2].strip()
        login = {"username": "django", "password": GOOD_PASSWORD}
        assert requests.post(f"http://127.0.0.1:{port}/api/auth/login", json=login, timeout=120).status_code == 200
        assert terminal.press(CTRL_C).end() == 0
        assert GOOD_PASSWORD not in terminal.shown


ASKING = {
    "create_superuser": ("--username or CVAT_SUPERUSER_USERNAME", 2),
    "destroy_cvat": (f"set CONFIRM={PROJECT}", 2),
    "create_token": ("set CVAT_USERNAME", 2),
}


@pytest.mark.parametrize("script", ASKING)
def test_without_a_terminal_nobody_is_asked(stack, script):
    """Neither where there is nothing to read, nor where something is: it is not an answer."""
    said, code = ASKING[script]
    with subprocess.Popen(
        [sys.executable, SCRIPTS / f"{script}.py"],
        env=stack.environment(CVAT_URL="http://127.0.0.1:1"),
        stdin=subprocess.PIPE,  # stays open, so that whoever reads it waits
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # no terminal to fall back on either
    ) as process:
        assert process.wait(240) == code
        assert process.stderr is not None
        assert said in process.stderr.read().decode()
    assert not stack.was_removed()


@pytest.mark.parametrize("closed", ["<&-", "2>errors"], ids=["no input", "questions would go into a file"])
@pytest.mark.parametrize("script", ASKING)
def test_nobody_is_asked_who_could_not_answer(stack, script, closed):
    said, code = ASKING[script]
    environment = stack.environment(CVAT_URL="http://127.0.0.1:1")
    with Terminal(script, environment=environment, folder=stack.folder, redirected=closed) as terminal:
        assert terminal.end() == code
    errors = stack.folder / "errors"
    assert said in (errors.read_text() if errors.exists() else terminal.shown)
    assert not stack.was_removed()
