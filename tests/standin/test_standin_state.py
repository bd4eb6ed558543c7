"""What outlives the server, and users from outside it."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import urllib3

from standin.manage import reset_password
from standin.process import SCRIPT, StandinProcess
from tests.support.images import jpeg
from tests.support.script_runs import run_module, run_program
from tests.support.standin_api import Api

SECRET = "cvat-stand-in-secret-7"


def manage(folder: Path, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return run_module("standin.manage", *arguments, STANDIN_DATA=str(folder), **environment)


def create(folder: Path, username: str, password: str) -> "subprocess.CompletedProcess[str]":
    return manage(
        folder,
        *("createsuperuser", "--noinput"),
        DJANGO_SUPERUSER_USERNAME=username,
        DJANGO_SUPERUSER_PASSWORD=password,
        DJANGO_SUPERUSER_EMAIL="someone@example.com",
    )


def signs_in(server: StandinProcess, username: str, password: str) -> bool:
    credentials = {"username": username, "password": password}
    return urllib3.request("POST", f"{server.url}/api/auth/login", json=credentials).status == 200


def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    with StandinProcess(tmp_path / "data") as server:
        api = Api(server)
        project_id = api.project("cat", "dog")
        api.tag(api.images(project_id, {"a/1.jpg": jpeg(1), "2.jpg": jpeg(2)}), (1, "dog"))
        key = api.json("POST", "auth/login", json={"username": server.username, "password": server.password})["key"]
        before = api.json("GET", f"projects/{project_id}")
        password = server.password
    with StandinProcess(tmp_path / "data", password=password) as server:
        api = Api(server)
        token = {"Authorization": f"Token {key}"}
        assert urllib3.request("GET", f"{server.url}/api/users/self", headers=token).status == 200
        after = api.json("GET", f"projects/{project_id}")
        assert (after["name"], after["updated_date"]) == (before["name"], before["updated_date"])
        assert api.export(f"projects/{project_id}") == {"dog/a/1.jpg": jpeg(1), "no_label/2.jpg": jpeg(2)}


def test_without_a_folder_nothing_is_left(tmp_path: Path) -> None:
    environment = dict(os.environ, TMPDIR=str(tmp_path))
    done = run_program(
        [sys.executable, str(SCRIPT), "--port", "0", "--while-stdin-open"],
        environment={**environment, "CVAT_PASSWORD": SECRET},
    )
    assert done.returncode == 0
    assert "stand-in" in done.stderr
    assert SECRET not in done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_superuser_is_made_while_the_server_runs(tmp_path: Path) -> None:
    with StandinProcess(tmp_path) as server:
        first = create(tmp_path, "admin", SECRET)
        assert (first.returncode, first.stdout.strip()) == (0, "Superuser created successfully.")
        assert signs_in(server, "admin", SECRET)
        second = create(tmp_path, "admin", "another-1")
        assert (second.returncode, second.stderr.strip()) == (1, "Error: That username is already taken.")
        assert not signs_in(server, "admin", "another-1")


def test_a_password_is_reset_while_the_server_runs(tmp_path: Path) -> None:
    with StandinProcess(tmp_path) as server:
        assert reset_password(tmp_path, server.username, SECRET)
        assert signs_in(server, server.username, SECRET)
        assert not signs_in(server, server.username, server.password)
        assert not reset_password(tmp_path, "nobody", SECRET)


def test_the_password_is_not_kept_readable(tmp_path: Path) -> None:
    with StandinProcess(tmp_path, password=SECRET):
        pass
    for file in tmp_path.rglob("*"):
        assert file.is_dir() or SECRET.encode() not in file.read_bytes()


def test_many_at_once_do_not_mix(standin: StandinProcess) -> None:
    def flow(number: int) -> bool:
        api = Api(standin)
        contents = {f"{number}/{place}.jpg": jpeg(number * 10 + place) for place in range(5)}
        project_id = api.project("cat")
        api.images(project_id, contents)
        return api.export(f"projects/{project_id}") == {
            f"no_label/{name}": content for name, content in contents.items()
        }

    with ThreadPoolExecutor(10) as pool:
        assert list(pool.map(flow, range(10))) == [True] * 10


@pytest.mark.parametrize("options", [["--port", "taken"], ["--port", "99999"]])
def test_a_port_that_cannot_be_had(standin: StandinProcess, options: list[str]) -> None:
    options = [standin.url.rsplit(":", 1)[1] if option == "taken" else option for option in options]
    done = run_program([sys.executable, str(SCRIPT), *options])
    assert done.returncode in (1, 2)
    assert "error: " in done.stderr
    assert "Traceback" not in done.stderr
