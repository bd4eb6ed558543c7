"""The token that `make token` makes: what it is good for, and what becomes of it."""

import json
import os
import subprocess
from pathlib import Path

import urllib3
from PIL import Image

from standin.process import StandinProcess
from tests.support.script_runs import run_script


def run(
    script: str, server: StandinProcess, file: Path, *arguments: str, by_password: bool = False
) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CVAT_")}
    environment |= {"CVAT_URL": server.url, "CVAT_TOKEN_FILE": str(file), "CVAT_SETTINGS_FILE": os.devnull + ".none"}
    if by_password:
        environment |= {"CVAT_USERNAME": server.username, "CVAT_PASSWORD": server.password}
    return run_script(script, *arguments, environment=environment)


def tokens(server: StandinProcess) -> list[str]:
    headers = urllib3.make_headers(basic_auth=f"{server.username}:{server.password}")
    listed = urllib3.request("GET", f"{server.url}/api/auth/access_tokens", headers=headers).json()
    return [token["name"] for token in listed["results"]]


def test_one_that_may_only_read_exports_and_is_revoked_by_the_next(tmp_path: Path) -> None:
    file = tmp_path / "access-token"
    (tmp_path / "images").mkdir()
    Image.new("RGB", (16, 16)).save(tmp_path / "images" / "1.jpg")
    with StandinProcess() as server:
        assert run("create_project.py", server, file, "--name=p", "--labels=cat", by_password=True).returncode == 0
        options = ("--project-id=1", "--extension=jpg", "--task-name=t", f"--import-dir={tmp_path / 'images'}")
        assert run("import_images.py", server, file, *options, by_password=True).returncode == 0

        made = run("create_token.py", server, file, "--read-only", by_password=True)
        assert made.returncode == 0, made.stderr
        assert str(file) in made.stderr
        options = ("--project-id=1", "--export-format=ImageNet 1.0", f"--export-dir={tmp_path}")
        taken = run("export_dataset.py", server, file, *options)
        assert taken.returncode == 0, taken.stderr
        refused = run("create_project.py", server, file, "--name=q", "--labels=cat")
        assert refused.returncode == 1
        assert "does not allow this" in refused.stderr

        (first,) = tokens(server)
        assert run("create_token.py", server, file, by_password=True).returncode == 0
        (second,) = tokens(server)
        assert first != second
        assert json.loads(file.read_text())["url"] == server.url


def test_one_that_cannot_be_kept_is_revoked_again(tmp_path: Path) -> None:
    with StandinProcess() as server:
        call = run("create_token.py", server, tmp_path / "none" / "access-token", by_password=True)
        assert call.returncode == 1
        assert "access-token cannot be written" in call.stderr
        assert "revoked" in call.stderr
        assert tokens(server) == []
