"""What the programs get that the scripts start: a program of the same name, first on the PATH, writes it down."""

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from standin.process import StandinProcess
from toolkit.child_environment import SECRETS
from toolkit.stack import PASSWORD_KEY

from .fake_engine import PROJECT, FakeEngine
from .recorder import Call, Recorder

ROOT = Path(__file__).resolve().parents[2]
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

needs_proc = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs Linux's /proc")


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    return Recorder(tmp_path / "recorder")


def run(
    script: str, *arguments: str, recorder: Recorder, variables: Mapping[str, str], code: int = 0
) -> subprocess.CompletedProcess[str]:
    """Run a script among the recording programs, with every secret in its environment."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("CVAT_", "COMPOSE_"))}
    answer = subprocess.run(
        [sys.executable, ROOT / f"scripts/{script}.py", *arguments],
        env={**outside, **OURS, "PATH": f"{recorder.bin}:{os.environ['PATH']}", **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert answer.returncode == code, answer.stderr
    return answer


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
