"""The token that `make token` makes: what it is good for, and what becomes of it."""

import http.server
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import urllib3
from PIL import Image

from standin.process import StandinProcess
from tests.support.local_server import serving
from tests.support.script_runs import run_script


def run(
    script: str, server: Any, file: Path, *arguments: str, by_password: bool = False
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


class _Distorting(http.server.BaseHTTPRequestHandler):
    """Passes requests on to ``server.behind``, and distorts the answer to the wish for a token."""

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {
            name: value for name, value in self.headers.items() if name.lower() not in ("host", "content-length")
        }
        answer = urllib3.request(
            self.command, self.server.behind + self.path, body=body, headers=headers, redirect=False, retries=False
        )
        status, data = answer.status, answer.data
        if self.command == "POST" and self.path == "/api/auth/access_tokens":
            status, data = self.server.status, self.server.reply(json.loads(data))
            self.server.made += 1
        self.send_response(status)
        for name, value in answer.headers.items():
            if name.lower() not in ("content-length", "transfer-encoding", "connection", "date"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_DELETE = do_PATCH = _pass_on

    def log_message(self, *_: object) -> None:
        pass


def test_one_whose_answer_is_not_understood_is_revoked_again(tmp_path: Path) -> None:
    wrong: list[dict[str, Any]] = [{"value": one} for one in (None, 7, "a\nb")] + [{"id": one} for one in (None, "7")]
    replies = [(201, wrong_type) for wrong_type in wrong] + [(500, {}), (200, b"[]"), (201, b"\xff{")]
    file = tmp_path / "access-token"
    with StandinProcess() as server:
        for status, change in replies:

            def reply(said: dict[str, Any], change: Any = change) -> bytes:
                return change if isinstance(change, bytes) else json.dumps(said | change).encode()

            given = {"behind": server.url, "status": status, "reply": reply, "made": 0}
            with serving(_Distorting, username=server.username, password=server.password, **given) as between:
                call = run("create_token.py", between, file, by_password=True)
            assert between.made == 1, change
            assert call.returncode == 1, (status, change, call.stderr)
            assert ("HTTP 500" if status == 500 else "makes no access token") in call.stderr, (status, change)
            assert len(call.stderr.splitlines()) == 1, call.stderr
            assert not file.exists()
            assert tokens(server) == [], (status, change)
