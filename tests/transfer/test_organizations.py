"""Projects of an organization: every request about projects and tasks says which one is meant."""

import http.client
import http.server
import os
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from PIL import Image

from standin.process import StandinProcess
from tests.support.local_server import serving
from tests.support.script_runs import run_script

OF_NO_ORGANIZATION = ("/api/auth/", "/api/server/")
ELSEWHERE = b'["The task and its project should be in the same organization."]'


class _Forwarder(http.server.BaseHTTPRequestHandler):
    """Passes requests on, notes the organization of each, and answers as CVAT does where it is another one."""

    protocol_version = "HTTP/1.1"

    def _pass_on(self) -> None:
        organization = self.headers.get("X-Organization")
        if "org_id=" in self.path or "org=" in self.path:
            organization = "by number"  # cvat-sdk says it this way once it knows the project
        self.server.heard.append((self.command, self.path, organization))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.command == "POST" and self.path == "/api/tasks" and organization != "team":
            self._answer(400, [("Content-Type", "application/vnd.cvat+json")], ELSEWHERE)
            return
        connection = http.client.HTTPConnection(self.server.target, timeout=120)
        connection.request(self.command, self.path, body, dict(self.headers))
        answer = connection.getresponse()
        content = answer.read()
        hop_by_hop = ("connection", "content-length", "transfer-encoding")
        self._answer(
            answer.status, [pair for pair in answer.getheaders() if pair[0].lower() not in hop_by_hop], content
        )
        connection.close()

    def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_POST = do_PATCH = do_HEAD = do_DELETE = _pass_on

    def log_message(self, *_: object) -> None:
        pass


def run(
    script: str, standin: StandinProcess, url: str, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    return run_script(
        script, *arguments, environment={**os.environ, **standin.environment(), "CVAT_URL": url, **environment}
    )


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images" / "cat"
    folder.mkdir(parents=True)
    for number in range(3):
        Image.new("RGB", (16, 16), (number * 40, 0, 0)).save(folder / f"{number}.jpg")
    return folder.parent


def test_every_request_names_the_organization(standin: StandinProcess, images: Path, tmp_path: Path) -> None:
    with serving(_Forwarder, target=urlsplit(standin.url).netloc, heard=[]) as server:
        url = f"http://127.0.0.1:{server.server_port}"
        organization = {"CVAT_ORGANIZATION": "team"}
        made = run("create_project.py", standin, url, "--name", "organized", "--labels", "cat", **organization)
        assert made.returncode == 0, made.stderr
        project = f"--project-id={made.stdout.split(':')[0].removeprefix('project ')}"
        wishes = ("--extension=jpg", "--task-name=organized", "--tags-from-folders", f"--import-dir={images}")
        sent = run("import_images.py", standin, url, project, *wishes, **organization)
        assert sent.returncode == 0, sent.stderr
        wishes = ("--export-format=ImageNet 1.0", f"--export-dir={tmp_path}")
        taken = run("export_dataset.py", standin, url, project, *wishes, **organization)
        assert taken.returncode == 0, taken.stderr
        asked = [entry for entry in server.heard if not entry[1].startswith(OF_NO_ORGANIZATION)]
        assert len(asked) > 10
        assert [entry for entry in asked if entry[2] not in ("team", "by number")] == []


def test_without_one_the_refusal_says_what_to_set(standin: StandinProcess, images: Path) -> None:
    with serving(_Forwarder, target=urlsplit(standin.url).netloc, heard=[]) as server:
        url = f"http://127.0.0.1:{server.server_port}"
        made = run("create_project.py", standin, url, "--name", "theirs", "--labels", "cat")
        project = f"--project-id={made.stdout.split(':')[0].removeprefix('project ')}"
        wishes = ("--extension=jpg", "--task-name=mine", f"--import-dir={images}")
        call = run("import_images.py", standin, url, project, *wishes)
    assert call.returncode == 1
    assert call.stderr.count("\n") == 1
    assert "CVAT_ORGANIZATION" in call.stderr


@pytest.mark.parametrize(
    ("script", "arguments"),
    [
        ("create_project.py", ("--name", "x" * 257, "--labels", "cat")),
        ("create_project.py", ("--name", "x", "--labels", "y" * 65)),
    ],
)
def test_a_name_that_is_too_long_is_called_so(standin: StandinProcess, script: str, arguments: tuple[str, ...]) -> None:
    call = run(script, standin, standin.url, *arguments)
    assert call.returncode == 1
    assert "is too long: CVAT takes" in call.stderr
    assert call.stderr.count("\n") == 1
