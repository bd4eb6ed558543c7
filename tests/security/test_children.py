"""What the programs get that the scripts start: a program of the same name, first on the PATH, writes it down."""

import ast
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
import requests

from dev import lock_requirements
from standin.process import StandinProcess
from tests.support.fake_engine import PROJECT, FakeEngine
from tests.support.recorder import Call, Recorder
from tests.support.script_runs import ROOT, run_script
from toolkit.config.local_cvat import PASSWORD_KEY
from toolkit.core.secrets import SECRETS

from .test_secrecy import Processes

MARKER = "marker-0123456789-Secret"
OURS = {name: f"{MARKER}-{name}" for name in sorted(SECRETS)}
"""Every secret that a person can have in the environment."""

DOCKER = """
case "$*" in
    *"version --short") echo 2.30.0 ;;
    *pg_dump*) echo PGDMP ;;
    *ps*) env ;;
esac
"""

STARTERS = ("subprocess.run", "subprocess.Popen", "subprocess.call", "subprocess.check_output", "subprocess.check_call")

needs_proc = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs Linux's /proc")


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    return Recorder(tmp_path / "recorder")


def run(
    script: str, *arguments: str, recorder: Recorder, variables: Mapping[str, str], code: int = 0
) -> subprocess.CompletedProcess[str]:
    """Run a script among the recording programs, with every secret in its environment."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("CVAT_", "COMPOSE_"))}
    answer = run_script(
        script, *arguments, environment={**outside, **OURS, "PATH": f"{recorder.bin}:{os.environ['PATH']}", **variables}
    )
    assert answer.returncode == code, answer.stderr
    return answer


def signed_in(server: StandinProcess) -> dict[str, str]:
    return {**server.environment(), "CVAT_ACCESS_TOKEN": ""}


def strangers_secrets(call: Call, needed: tuple[str, ...] = ()) -> list[str]:
    """Name the variables that a program got and that are none of its business."""
    return [name for name in SECRETS - set(needed) if name in call.environment]


def docker_calls(recorder: Recorder) -> list[Call]:
    calls = [call for call in recorder.calls() if call.program == "docker"]
    for call in calls:
        assert not any(MARKER in argument for argument in call.arguments)
        assert "PATH" in call.environment
        asks_the_stack = "--file" in call.arguments
        assert strangers_secrets(call, (PASSWORD_KEY,) if asks_the_stack else ()) == []
        assert not call.holds(MARKER)
        assert (call.environment.get(PASSWORD_KEY) == "marker-database-0123456789") is asks_the_stack
    return calls


def test_docker_gets_the_settings_of_the_stack_and_no_other_secret(recorder):
    recorder.add("docker", DOCKER)
    with FakeEngine() as engine:
        answer = run("run_compose", "--", "ps", recorder=recorder, variables=engine.environment())
    assert "COMPOSE_PROJECT_NAME=cvat-fake" in answer.stdout  # our fake prints its environment
    assert MARKER not in answer.stdout + answer.stderr
    kinds = {"version" if "version" in call.arguments else call.arguments[-1] for call in docker_calls(recorder)}
    assert kinds == {"version", "ps"}


def test_a_backup_asks_docker_without_our_secrets_and_its_manifest_holds_none(recorder, tmp_path):
    recorder.add("docker", DOCKER)
    file = tmp_path / "one.zip"

    def executes(command: list[str]) -> tuple[int, str]:
        return 0, "engine_project|1\n" if "psql" in " ".join(command) else "pg_dump 15"

    with FakeEngine(executes, stopped=("cvat_worker",)) as engine:
        answer = run(
            "backup_cvat", f"--file={file}", "--debug", recorder=recorder, variables=engine.environment()
        )  # fmt: skip
        assert not [text for text in map(json.dumps, engine.executed) if MARKER in text]
    assert "read back and whole" in answer.stderr
    assert len(docker_calls(recorder)) >= 5
    with zipfile.ZipFile(file) as archive:
        manifest = archive.read("manifest.json").decode()
    assert json.loads(manifest)["summary"]["projects"] == 1
    for text in (manifest, answer.stdout, answer.stderr):
        assert "marker-" not in text
    assert b"marker-" not in file.read_bytes()


def test_removing_the_stack_hands_docker_no_secret_of_ours(recorder):
    recorder.add("docker", DOCKER)
    with FakeEngine() as engine:
        run("destroy_cvat", f"--confirm={PROJECT}", recorder=recorder, variables=engine.environment(), code=1)
        # it fails where the fake engine does not know how to remove, which is after docker was called
        assert any(request.startswith("DELETE") for request in engine.asked)
    assert any("down" in call.arguments for call in docker_calls(recorder))


@pytest.mark.parametrize("code", [0, 1])
def test_the_new_password_goes_into_the_container_alone(recorder, code):
    """The server's own words are shown when it fails, but for the password."""
    recorder.add("docker", DOCKER)
    password = OURS["CVAT_SUPERUSER_PASSWORD"]
    with FakeEngine(lambda command: (code, f"django says {password}")) as engine:
        answer = run(
            "create_superuser", "--username=ana", "--debug",
            recorder=recorder, variables=engine.environment(), code=code,
        )  # fmt: skip
    (executed,) = engine.executed
    assert f"DJANGO_SUPERUSER_PASSWORD={password}" in executed["Env"]
    assert MARKER not in " ".join(executed["Cmd"])
    assert [line for line in executed["Env"] if MARKER in line] == [f"DJANGO_SUPERUSER_PASSWORD={password}"]
    assert MARKER not in answer.stdout + answer.stderr
    if code:
        assert "django says ***" in answer.stderr
        assert "Traceback" in answer.stderr


@needs_proc
def test_the_stand_in_gets_its_own_password_alone(monkeypatch):
    for name, value in OURS.items():
        monkeypatch.setenv(name, value)
    with StandinProcess(password="its-own-pass") as server:
        given = Path(f"/proc/{server.process.pid}/environ").read_bytes().decode(errors="replace").split("\0")
    assert "CVAT_PASSWORD=its-own-pass" in given
    assert [line for line in given if MARKER in line] == []


def test_the_browser_gets_no_secret(recorder, standin, tmp_path):
    browser = recorder.add("browser")
    project = json.loads(
        run(
            "create_project", "--name=looked at", "--labels=cat", "--json",
            recorder=recorder, variables=signed_in(standin),
        ).stdout
    )["project_id"]  # fmt: skip
    wish = {"name": "a task", "project_id": project}
    requests.post(f"{standin.url}/api/tasks", json=wish, auth=(standin.username, standin.password), timeout=120)
    variables = {**signed_in(standin), "BROWSER": str(browser)}
    answer = run("open_task", f"--project-id={project}", recorder=recorder, variables=variables)
    (call,) = recorder.calls()
    assert call.arguments[1:] == [answer.stdout.strip()]
    assert "PATH" in call.environment
    assert strangers_secrets(call) == []


@needs_proc
@pytest.mark.parametrize("way", ["password", "token"])
def test_cvat_cli_has_no_secret_in_its_environment(standin, recorder, way):
    """The real client, as it runs: what it signs in with comes through a pipe."""
    variables = signed_in(standin)
    if way == "token":
        wish = {"name": "x", "expiry_date": "2036-01-01T00:00:00Z", "read_only": False}
        auth = (standin.username, standin.password)
        made = requests.post(f"{standin.url}/api/auth/access_tokens", json=wish, auth=auth, timeout=120)
        variables["CVAT_ACCESS_TOKEN"] = made.json()["value"]
    with Processes() as processes:
        run("create_project", f"--name=by {way}", "--labels=cat", recorder=recorder, variables=variables)
    seen = [dict(line.partition("=")[::2] for line in text.split("\0")) for text in processes.clients]
    assert seen
    assert {name for environment in seen for name in SECRETS & environment.keys()} == set()
    assert MARKER not in "".join(processes.clients)
    assert standin.password not in "".join(processes.clients)


def test_uv_gets_no_secret(recorder, monkeypatch):
    for name, value in OURS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "executable", str(recorder.add("python")))
    lock_requirements.main()
    assert {call.program for call in recorder.calls()} == {"python"}
    assert [strangers_secrets(call) for call in recorder.calls()] == [[]] * len(lock_requirements.LOCKS)


def test_no_program_is_started_with_whatever_environment_there_is():
    """What is not said by `env` is the whole environment."""
    starts = []
    for path in (ROOT / "scripts").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in STARTERS:
                given = [ast.unparse(word.value) for word in node.keywords if word.arg == "env"]
                starts.append((f"{path.relative_to(ROOT)}:{node.lineno}", given))
    assert len(starts) > 10
    assert [place for place, given in starts if not given or "os.environ, " in given[0]] == []


def test_no_signature_shows_the_environment() -> None:
    shown = []
    for path in sorted((ROOT / "scripts").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.arguments):
                defaults = [ast.unparse(default) for default in (*node.defaults, *node.kw_defaults) if default]
                shown += [f"{path.name}:{default}" for default in defaults if "environ" in default]
    assert shown == [], "a notebook shows the signature of a function, defaults included"
