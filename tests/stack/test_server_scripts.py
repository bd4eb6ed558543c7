"""The scripts around the server where there is no Docker, and against a server that runs elsewhere."""

import json
import os
import subprocess
from pathlib import Path

import docker
import pytest

from standin.process import StandinProcess
from tests.support.fake_engine import FakeEngine
from tests.support.script_runs import run_script
from toolkit.config.local_cvat import find_stack
from toolkit.core.errors import ToolkitError
from toolkit.stack.backup import count_contents

NEEDING_DOCKER = {
    "up_cvat.py": [],
    "wait_ready.py": [],
    "create_superuser.py": ["--username", "ana"],
    "show_status.py": [],
    "destroy_cvat.py": ["--confirm", "cvat"],
    "backup_cvat.py": [],
    "run_compose.py": ["--", "stop"],
}


def run(script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    outside = {
        name: value for name, value in os.environ.items() if not name.startswith(("CVAT_", "DOCKER_", "COMPOSE_"))
    }
    isolation = {name: os.environ[name] for name in ("CVAT_SETTINGS_FILE", "CVAT_TOKEN_FILE")}
    return run_script(script, *arguments, environment={**outside, **isolation, **environment})


@pytest.fixture
def docker_without_engine(tmp_path: Path) -> dict[str, str]:
    """A docker client whose engine does not run."""
    program = tmp_path / "bin" / "docker"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 2.26.1\n")
    program.chmod(0o755)
    return {"PATH": f"{program.parent}:/usr/bin:/bin", "DOCKER_HOST": f"unix://{tmp_path}/no.sock"}


@pytest.mark.parametrize("script", NEEDING_DOCKER)
def test_without_docker_one_line_says_what_is_missing(script: str, tmp_path: Path) -> None:
    call = run(script, *NEEDING_DOCKER[script], PATH=str(tmp_path))
    assert call.returncode == 1
    assert call.stderr.count("\n") == 1
    assert "Docker is not installed" in call.stderr
    assert "https://docs.docker.com/get-docker/" in call.stderr
    assert "`make demo` works without Docker" in call.stderr


@pytest.mark.parametrize("script", NEEDING_DOCKER)
def test_without_an_engine_one_line_says_how_to_start_it(script: str, docker_without_engine: dict[str, str]) -> None:
    call = run(script, *NEEDING_DOCKER[script], **docker_without_engine)
    assert call.returncode == 1, call.stderr
    assert call.stderr.count("\n") == 1, call.stderr
    assert "does not answer" in call.stderr
    assert "systemctl start docker" in call.stderr


def test_doctor_without_docker_fails_those_checks_alone(tmp_path: Path) -> None:
    call = run("doctor.py", "--json", PATH=str(tmp_path))
    assert call.returncode == 3
    states = {check["name"]: check["state"] for check in json.loads(call.stdout)}
    assert states == {"Python": "ok", "Docker engine": "failed", "Docker Compose": "failed"}
    for check in json.loads(call.stdout):
        assert check["required"]
        assert check["found"]
        assert check["state"] == "ok" or check["advice"]


NO_ADDRESSES = ("0.0.0.0;", "[::1", "::1]", "[127.0.0.1]", "fe80::1%eth0", "2130706433", "my-machine", "::1\nx")


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"CVAT_PORT": "eighty"}, "CVAT_PORT must be a number"),
        ({"CVAT_WORKERS": "0"}, "CVAT_WORKERS must be a number above 0"),
        ({"COMPOSE_PROJECT_NAME": "Upper Case"}, "COMPOSE_PROJECT_NAME must be"),
        ({"CVAT_POSTGRES_PASSWORD": "changeme"}, "is a sample password"),
        *(({"CVAT_BIND": bind}, "CVAT_BIND must be an address of this machine") for bind in NO_ADDRESSES),
        ({"CVAT_SIGN_UP": "yes"}, "CVAT_SIGN_UP must be open or closed, found yes"),
    ],
)
def test_wrong_settings_are_all_named(settings: dict[str, str], complaint: str) -> None:
    call = run("up_cvat.py", **settings)
    assert call.returncode == 2
    assert complaint in call.stderr
    assert call.stderr.count("\n") == 2
    assert "changeme" not in call.stderr


def test_no_host_name_holds_what_nginx_would_read() -> None:
    wrong = [
        'a";', "a|b", "a{", "$host", "a\\", "a\nb.example.com", "a\tb", "a;b", "a'b", "#a", "http://a.example.com",
        "a.example.com:8080", "*", "*.", "a.*.com", "**.example.com", ".example.com", "a..b", "-a", "a/b", "[a]",
        "fe80::1%eth0", "[192.168.1.5]", "ä.example.com", "\u212a.example.com", "a." * 127 + "com",
        ".", "a..", "*..", "[fd00::8].", "fd00::8.",
    ]  # fmt: skip
    call = run("up_cvat.py", CVAT_HOSTS=f"cvat.example.com,{','.join(wrong)}")
    assert call.returncode == 2
    assert call.stderr.count("CVAT_HOSTS must be host names without scheme and port") == len(wrong)


@pytest.mark.parametrize("bind", ["0.0.0.0", "::", "192.168.1.5", "fd00::7", "[fd00::7]", "localhost"])
def test_right_settings_pass(bind: str, tmp_path: Path) -> None:
    hosts = (
        "localhost, cvat.example.com *.lab.example.org.,192.168.1.5,fd00::7,[fd00::8],my_machine,xn--bcher-kva.example"
    )
    call = run("up_cvat.py", CVAT_BIND=bind, CVAT_SIGN_UP="open", CVAT_HOSTS=hosts, PATH=str(tmp_path))
    assert call.returncode == 1
    assert "Docker is not installed" in call.stderr


def test_a_server_elsewhere_needs_no_docker(standin: StandinProcess, tmp_path: Path) -> None:
    elsewhere = {"PATH": str(tmp_path), "CVAT_URL": standin.url, "CVAT_TOKEN_FILE": str(tmp_path / "token")}
    assert run("wait_ready.py", **elsewhere).stdout.strip() == standin.url
    status = run("show_status.py", "--json", **elsewhere)
    assert status.returncode == 0, status.stderr
    assert json.loads(status.stdout)["api_seconds"] < 5
    assert "(a tested version: CVAT " in json.loads(status.stdout)["versions"]

    token = run("create_token.py", CVAT_USERNAME=standin.username, CVAT_PASSWORD=standin.password, **elsewhere)
    assert token.returncode == 0, token.stderr
    kept = json.loads((tmp_path / "token").read_text())
    assert (tmp_path / "token").stat().st_mode & 0o777 == 0o600
    assert kept["url"] == standin.url
    assert kept["value"] not in token.stdout + token.stderr
    doctor = run("doctor.py", **elsewhere)
    assert doctor.returncode == 0, doctor.stdout + doctor.stderr
    assert "ok    access token" in doctor.stdout

    (tmp_path / "token").chmod(0o640)
    project = run("create_project.py", "--name=x", "--labels=a", **elsewhere)
    assert project.returncode == 1
    assert "holds a token and is open to others: chmod 600" in project.stderr
    assert kept["value"] not in project.stderr
    (tmp_path / "token").chmod(0o600)

    wrong = run("create_token.py", CVAT_USERNAME=standin.username, CVAT_PASSWORD="wrong-secret", **elsewhere)
    assert wrong.returncode == 1
    assert "wrong user name or password" in wrong.stderr
    assert "wrong-secret" not in wrong.stderr


def test_a_server_that_is_not_there_is_said_in_one_line(tmp_path: Path) -> None:
    nowhere = {"CVAT_URL": "http://127.0.0.1:9", "PATH": str(tmp_path)}
    status = run("show_status.py", **nowhere)
    assert status.returncode == 3
    assert status.stderr.count("\n") == 1
    assert "connection refused" in status.stderr
    waited = run("wait_ready.py", "--timeout", "1", **nowhere)
    assert waited.returncode == 1
    assert "was not ready after 1 s" in waited.stderr
    doctor = run("doctor.py", **nowhere)
    assert doctor.returncode == 3
    assert "FAIL  server" in doctor.stdout


@pytest.mark.parametrize("password", ["123", "12345678", "passw0rd", "ana-ana-1", "aaaaaaaaaa"])
def test_weak_passwords_are_refused_and_not_shown(password: str) -> None:
    from toolkit.core.errors import UsageError
    from toolkit.stack.superuser import check_account

    with pytest.raises(UsageError) as refusal:
        check_account("ana-ana", password)
    assert password not in refusal.value.message + "".join(refusal.value.details)
    check_account("ana-ana", "Tulip-9-lamp-River")


@pytest.mark.parametrize("cut", [1, 99])
def test_an_answer_that_the_engine_cuts_off_is_asked_for_again_and_never_taken_for_whole(
    cut: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([(None, "engine_project|1\n")] * cut)
    whole = (0, "engine_project|1\nengine_task|2\n")
    monkeypatch.setenv("CVAT_RETRY_WAIT", "0")
    with FakeEngine(lambda _command: next(answers, whole)) as engine:
        for name, value in engine.environment().items():
            monkeypatch.setenv(name, value)
        client, stack = docker.from_env(), find_stack()
        if cut == 1:
            assert count_contents(client, stack).tables == {"engine_project": 1, "engine_task": 2}
        else:
            with pytest.raises(ToolkitError, match="cvat_db was cut off"):
                count_contents(client, stack)
