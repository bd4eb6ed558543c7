"""`make up` and what follows it, on a real engine."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from typing import Any

import pytest

from tests.support.image_builder import BROKEN, NEW
from tests.support.throw_away import PASSWORD, USERNAME, Cvat, hear_ctrl_c

SERVICES = {"cvat_db", "cvat_redis_inmem", "cvat_redis_ondisk", "cvat_opa", "cvat_server", "cvat_worker", "cvat_ui"}


def kept(cvat: Cvat) -> str:
    return (cvat.root / "config" / "cvat.env").read_text()


def test_up_gives_a_cvat_that_works_and_is_private(cvat: Cvat) -> None:
    first = cvat.up()
    assert first.stdout == f"{cvat.url}\n"
    assert "CVAT is ready after" in first.stderr
    assert "make superuser" in first.stderr

    settings = cvat.root / "config" / "cvat.env"
    assert settings.stat().st_mode & 0o777 == 0o600
    (password,) = [
        line.partition("=")[2] for line in kept(cvat).splitlines() if line.startswith("CVAT_POSTGRES_PASSWORD=")
    ]
    assert len(password) >= 24

    containers = {one.labels["com.docker.compose.service"]: one for one in cvat.containers()}
    assert containers.keys() == SERVICES
    published = {service: one.ports for service, one in containers.items() if any(one.ports.values())}
    assert published == {"cvat_ui": {"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(cvat.port)}]}}
    assert not [
        mount for one in containers.values() for mount in one.attrs["Mounts"] if "docker.sock" in mount["Source"]
    ]
    for one in containers.values():
        test = one.attrs["Config"]["Healthcheck"]["Test"]
        command = test[1:] if test[0] == "CMD" else ["sh", "-c", test[1]]
        code, output = one.exec_run(command)
        assert code == 0, f"{one.name}: {output}"

    second = cvat.up()
    assert second.stdout == first.stdout
    assert {one.id for one in cvat.containers()} == {one.id for one in containers.values()}

    status = cvat.status()
    assert status["problem"] is None
    assert status["services"].keys() == SERVICES
    assert status["ui_seconds"] < 1.2
    assert status["api_seconds"] < 1.2
    doctor = cvat.make("doctor").stdout
    assert "FAIL" not in doctor
    assert f"port {cvat.port}" in doctor
    assert "CVAT's own" in doctor
    assert password not in first.stderr + second.stderr + doctor


def status_of(cvat: Cvat, method: str, path: str, host: str = "localhost") -> int:
    connection = http.client.HTTPConnection("127.0.0.1", cvat.port, timeout=30)
    connection.request(method, path, b"{}", {"Host": host, "Content-Type": "application/json"})
    status = connection.getresponse().status
    connection.close()
    return status


def test_the_front_door_is_closed_until_it_is_opened(cvat: Cvat) -> None:
    # As a clone made with umask 077: no user of a container may read a file of it.
    for path in (cvat.root / "compose").iterdir():
        path.chmod(0o600)
    for folder in (cvat.root / "compose", cvat.root):
        folder.chmod(0o700)
    warned = cvat.up(CVAT_BIND="0.0.0.0").stderr
    assert "warning: published on: 0.0.0.0" in warned
    assert "CVAT_HOSTS=cvat.example.com" in warned
    assert status_of(cvat, "POST", "/api/auth/register") == 403
    assert status_of(cvat, "GET", "/api/server/about", "cvat.example.com") == 421
    assert status_of(cvat, "GET", "/api/server/about") == 200
    before = {one.labels["com.docker.compose.service"]: one.id for one in cvat.containers()}

    opened = {"CVAT_BIND": "0.0.0.0", "CVAT_HOSTS": "cvat.example.com, *.example.org", "CVAT_SIGN_UP": "open"}
    warned = cvat.up(**opened).stderr
    assert "warning: sign-up: open" in warned
    assert "CVAT_HOSTS=" not in warned
    assert status_of(cvat, "POST", "/api/auth/register") not in (403, 421)
    assert status_of(cvat, "GET", "/api/server/about", "cvat.example.com") == 200
    assert status_of(cvat, "GET", "/api/server/about", "a.example.org:80") == 200
    assert status_of(cvat, "GET", "/api/server/about", "evil.example.net") == 421
    after = {one.labels["com.docker.compose.service"]: one.id for one in cvat.containers()}
    assert [name for name in after if after[name] != before[name]] == ["cvat_ui"]

    by_hand = "docker compose --env-file compose/versions.env --env-file config/cvat.env -f compose/compose.yml up -d"
    call = subprocess.run(
        by_hand.split(), cwd=cvat.root, env=cvat.environment(), capture_output=True, text=True, check=False
    )
    assert call.returncode == 0, call.stderr
    assert cvat.container("cvat_ui").ports == {"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(cvat.port)}]}
    cvat.make("start")
    assert status_of(cvat, "POST", "/api/auth/register") == 403
    assert status_of(cvat, "GET", "/api/server/about", "cvat.example.com") == 421


def test_labels_survive_stop_and_start_and_down_and_up(cvat: Cvat) -> None:
    cvat.up()
    cvat.fill()
    before = cvat.exported()
    assert sum(name.startswith("cat/") for name in before) == 3

    cvat.make("stop")
    stopped = cvat.status(code=3)
    assert "cvat_server" in stopped["problem"]
    cvat.make("start")
    assert cvat.exported() == before

    cvat.make("down")
    assert cvat.containers() == []
    assert len(cvat.volumes()) == 6
    assert "make up" in cvat.status(code=3)["problem"]
    cvat.up()
    assert cvat.exported() == before

    cvat.make("restart")
    assert cvat.exported() == before


def test_superuser_is_made_once_reset_on_demand_and_never_with_a_weak_password(cvat: Cvat) -> None:
    answer = cvat.make("superuser", code=1, CVAT_SUPERUSER_USERNAME=USERNAME, CVAT_SUPERUSER_PASSWORD=PASSWORD)
    assert "cvat_server is not running" in answer.stderr
    cvat.up()
    weak = cvat.make("superuser", code=2, CVAT_SUPERUSER_USERNAME=USERNAME, CVAT_SUPERUSER_PASSWORD="admin123")
    assert "everybody tries first" in weak.stderr
    nobody = cvat.make("superuser", code=2, CVAT_SUPERUSER_USERNAME=USERNAME)
    assert "CVAT_SUPERUSER_PASSWORD" in nobody.stderr

    names = {"CVAT_SUPERUSER_USERNAME": USERNAME, "CVAT_SUPERUSER_EMAIL": "ana@example.com"}
    assert "was created" in cvat.make("superuser", **names, CVAT_SUPERUSER_PASSWORD=PASSWORD).stderr
    other = "Other-7-harbour-Mill"
    assert "exists already" in cvat.make("superuser", **names, CVAT_SUPERUSER_PASSWORD=other).stderr
    cvat.make("token", **cvat.signed_in())
    reset = cvat.make("superuser", "RESET=1", **names, CVAT_SUPERUSER_PASSWORD=other)
    assert "has a new password" in reset.stderr
    assert other not in reset.stderr + reset.stdout
    refused = cvat.make("token", code=1, **cvat.signed_in())
    assert "wrong user name or password" in refused.stderr


def test_token_is_kept_for_its_server_alone(cvat: Cvat) -> None:
    cvat.up()
    cvat.make_superuser()
    cvat.make("token", **cvat.signed_in())
    file = cvat.root / "config" / "access-token"
    assert file.stat().st_mode & 0o777 == 0o600
    assert "ok    access token" in cvat.make("doctor").stdout

    made = cvat.make("project", "NAME=by token", "LABELS=one two", CVAT_URL=cvat.url)
    assert "project 1" in made.stdout + made.stderr
    elsewhere = cvat.make("project", "NAME=x", "LABELS=y", code=2, CVAT_URL=f"http://127.0.0.1:{cvat.port}")
    assert "CVAT_PASSWORD" in elsewhere.stderr


def test_a_crashing_worker_is_reported_by_name(cvat: Cvat) -> None:
    cvat.up()
    cvat.container("cvat_server").exec_run(["touch", "/home/django/data/crash-worker"])
    deadline = time.monotonic() + 30
    while not cvat.container("cvat_worker").attrs["RestartCount"] and time.monotonic() < deadline:
        time.sleep(0.5)
    answer = cvat.make("up", "ARGS=--timeout 60", code=1)
    assert "error: cvat_worker ended with exit code 3" in answer.stderr
    assert "RuntimeError: this worker was told to crash" in answer.stderr
    assert "cvat_worker" in cvat.status(code=3)["problem"]
    assert "FAIL  cvat_worker" in cvat.make("doctor", code=3).stdout


def test_a_port_in_use_is_reported_with_its_holder(cvat: Cvat) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", cvat.port))
        taken.listen()
        answer = cvat.make("up", code=1)
        assert f"port {cvat.port}: taken by" in answer.stderr
        assert f"make up CVAT_PORT={cvat.port + 1}" in answer.stderr
        assert cvat.containers() == []
    cvat.up()
    again = cvat.make("up", code=1, COMPOSE_PROJECT_NAME=f"{cvat.project}-two")
    assert f"taken by container {cvat.project}-cvat_ui-1 of project {cvat.project}" in again.stderr


def test_every_spelling_of_an_address_can_be_published_on(cvat: Cvat) -> None:
    cvat.settings["CVAT_BIND"] = "::1"
    with socket.socket(socket.AF_INET6) as taken:
        try:
            taken.bind(("::1", cvat.port))
        except OSError:
            pytest.skip("this machine has no IPv6")
        taken.listen()
        assert f"port {cvat.port}: taken by" in cvat.make("up", code=1).stderr
    for typed, published, host in (
        ("::1", "::1", "[::1]"),
        ("::", "::", "[::1]"),
        ("localhost", "127.0.0.1", "localhost"),
    ):
        cvat.settings["CVAT_BIND"] = typed
        assert cvat.up().stdout == f"http://{host}:{cvat.port}\n"
        bindings = cvat.container("cvat_ui").ports["8080/tcp"]
        assert bindings == [{"HostIp": published, "HostPort": str(cvat.port)}]
        assert cvat.status()["problem"] is None
        assert "CVAT's own" in cvat.make("doctor").stdout


def test_lost_settings_are_found_again_or_the_way_out_is_told(cvat: Cvat) -> None:
    cvat.up()
    before = kept(cvat)
    settings = cvat.root / "config" / "cvat.env"
    settings.unlink()
    cvat.up()
    password = next(line for line in before.splitlines() if line.startswith("CVAT_POSTGRES_PASSWORD="))
    assert password in kept(cvat).splitlines()

    cvat.make("down")
    settings.unlink()
    lost = cvat.make("up", code=1)
    assert f"{cvat.project}_cvat_db" in lost.stderr
    assert "make restore" in lost.stderr
    assert "make destroy" in lost.stderr

    settings.write_text(f"{password}\nCVAT_VERSION={NEW}\nCVAT_VOLUMES=_gone\n")
    elsewhere = cvat.make("up", code=1)
    assert "an empty CVAT would start" in elsewhere.stderr
    assert f"set CVAT_VOLUMES= for the data in {cvat.project}_cvat_cache_db" in elsewhere.stderr


def test_another_version_than_the_data_is_refused(cvat: Cvat) -> None:
    cvat.up()
    answer = cvat.make("up", f"CVAT_VERSION={BROKEN}", code=2)
    assert f"make upgrade CVAT_VERSION={BROKEN}" in answer.stderr
    assert cvat.status()["problem"] is None


def test_an_image_that_cannot_be_had_is_named(cvat: Cvat) -> None:
    answer = cvat.make("up", code=1, CVAT_OPA_IMAGE="localhost:1/opa:none")
    assert "likely cause:" in answer.stderr
    assert cvat.containers() == []


def test_destroy_asks_for_the_name_and_takes_nothing_of_others(cvat: Cvat, engine: Any) -> None:
    other = engine.volumes.create(
        f"{cvat.project}-other_cvat_db", labels={"com.docker.compose.project": f"{cvat.project}-other"}
    )
    try:
        cvat.up()
        nobody = cvat.make("destroy", code=2)
        assert f"CONFIRM={cvat.project}" in nobody.stderr
        wrong = cvat.make("destroy", "CONFIRM=cvat", code=2)
        assert "nothing was removed" in wrong.stderr
        assert len(cvat.volumes()) == 6
        cvat.make("destroy", f"CONFIRM={cvat.project}")
        assert cvat.containers() == []
        assert cvat.volumes() == []
        assert engine.volumes.get(other.name)
        assert "nothing to remove" in cvat.make("destroy").stderr
    finally:
        other.remove()


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_up_stops_at_once_when_it_is_told_to(cvat: Cvat, signal_number: int) -> None:
    script = [sys.executable, "scripts/up_cvat.py"]
    with subprocess.Popen(
        script, cwd=cvat.root, env=cvat.environment(), stderr=subprocess.PIPE, text=True, preexec_fn=hear_ctrl_c
    ) as call:
        assert call.stderr is not None
        for line in call.stderr:
            if "server health" in line:
                break
        os.kill(call.pid, signal_number)
        rest = call.stderr.read()
        assert call.wait(timeout=15) == 130
    assert "interrupted" in rest
    assert "Traceback" not in rest
