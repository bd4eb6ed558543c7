"""compose/front-door.conf in a real nginx before the stand-in, which checks Origin as CVAT does."""

import http.client
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from standin.process import StandinProcess

FRONT_DOOR = Path(__file__).resolve().parents[2] / "compose" / "front-door.conf"
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
PUBLIC = "name-8080.app.github.dev"
START_SECONDS = 120

pytestmark = pytest.mark.skipif(NGINX is None, reason="needs nginx (apt-get install nginx-light), then: make test")

MAIN = """
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log notice;
events {{ worker_connections 64; }}
http {{
    default_type application/octet-stream;
    types {{ text/html html; }}
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/front-door.conf;
}}
"""


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    cookies: dict[str, str]
    body: bytes


@dataclass
class FrontDoor:
    port: int
    username: str
    password: str

    def ask(self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes | None = None) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        headers = {"Host": f"localhost:{self.port}", **(headers or {})}
        if body is not None:
            headers.setdefault("Content-Length", str(len(body)))
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        response = connection.getresponse()
        cookies = [one.split(";")[0].partition("=") for one in response.headers.get_all("Set-Cookie") or []]
        answer = Answer(
            response.status,
            {name.lower(): value for name, value in response.getheaders()},
            {name: value for name, _, value in cookies},
            response.read(),
        )
        connection.close()
        return answer

    def sign_in(self, headers: dict[str, str]) -> Answer:
        body = json.dumps({"username": self.username, "password": self.password}).encode()
        return self.ask("POST", "/api/auth/login", {"Content-Type": "application/json", **headers}, body)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def door(standin: StandinProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FrontDoor]:
    folder = tmp_path_factory.mktemp("nginx")
    pages = folder / "html"
    (pages / "assets").mkdir(parents=True)
    (pages / "index.html").write_text("<!doctype html><title>CVAT</title>")
    (pages / "assets" / "worker.mjs").write_text("export const answer = 42;")
    (folder / "mime.types").write_text("types { text/css css; }")
    port = free_port()
    text = FRONT_DOOR.read_text()
    for inside, here in (
        ("listen 8080;", f"listen 127.0.0.1:{port};"),
        ("/usr/share/nginx/html", str(pages)),
        ("/etc/nginx/mime.types", str(folder / "mime.types")),
        ("http://cvat_server:8080", standin.url.replace("localhost", "127.0.0.1")),
    ):
        assert text.count(inside) == 1, inside
        text = text.replace(inside, here)
    (folder / "front-door.conf").write_text(text)
    (folder / "nginx.conf").write_text(MAIN.format(folder=folder))
    if os.geteuid() == 0:  # its worker becomes nobody, who has to get here
        for one in (folder, *folder.parents):
            if one.is_relative_to("/tmp") and one != Path("/tmp"):
                one.chmod(one.stat().st_mode | 0o055)
    assert NGINX is not None
    command = [NGINX, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as nginx:
        try:
            deadline = time.monotonic() + START_SECONDS
            while nginx.poll() is None and time.monotonic() < deadline:
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.05)
            assert nginx.poll() is None, (folder / "error.log").read_text()
            yield FrontDoor(port, standin.username, standin.password)
        finally:
            nginx.terminate()


def origin_cases(port: int) -> dict[str, tuple[dict[str, str], str]]:
    """Headers as they arrive, and the address that the person's browser shows."""
    here, public = f"http://localhost:{port}", f"https://{PUBLIC}"
    forwarded = {"X-Forwarded-Host": PUBLIC, "X-Forwarded-Proto": "https"}
    return {
        "local": ({"Origin": here}, here),
        "127.0.0.1": ({"Host": f"127.0.0.1:{port}", "Origin": f"http://127.0.0.1:{port}"}, f"http://127.0.0.1:{port}"),
        "forwarded, Origin rewritten": ({**forwarded, "Origin": here}, public),
        "forwarded, Origin kept": ({**forwarded, "Origin": public}, public),
        "Host is the public name": ({"Host": PUBLIC, "X-Forwarded-Proto": "https", "Origin": public}, public),
        "without Origin": ({}, here),
    }


CASES = list(origin_cases(0))


@pytest.mark.parametrize("credentials", ["token", "browser session"])
@pytest.mark.parametrize("case", CASES)
def test_sign_in_and_uploads_work_wherever_the_browser_is(door: FrontDoor, case: str, credentials: str) -> None:
    headers, shown = origin_cases(door.port)[case]
    login = door.sign_in(headers)
    assert login.status == 200, login.body
    if credentials == "token":
        headers = {**headers, "Authorization": f"Token {json.loads(login.body)['key']}"}
    else:
        cookies = "; ".join(f"{name}={value}" for name, value in login.cookies.items())
        headers = {**headers, "Cookie": cookies, "X-CSRFToken": login.cookies["csrftoken"]}
    body = json.dumps({"name": f"from {case}", "labels": [{"name": "a"}]}).encode()
    task = door.ask("POST", "/api/tasks", {**headers, "Content-Type": "application/json"}, body)
    assert task.status == 201, task.body
    number = json.loads(task.body)["id"]
    start = {**headers, "Tus-Resumable": "1.0.0", "Upload-Length": "10", "Upload-Metadata": "filename YS5qcGc="}
    upload = door.ask("POST", f"/api/tasks/{number}/data/", start, b"")
    assert upload.status == 201, upload.body
    assert upload.headers["location"].startswith(f"{shown}/api/tasks/{number}/data/")


def test_a_foreign_origin_is_refused(door: FrontDoor) -> None:
    foreign = {"Origin": "https://evil.example.com"}
    assert door.sign_in(foreign).status == 403
    assert door.sign_in({**foreign, "X-Forwarded-Host": PUBLIC, "X-Forwarded-Proto": "https"}).status == 403
    # localhost of another port, without a forwarder that could have rewritten it
    assert door.sign_in({"Origin": "http://localhost:1"}).status == 403
    lookalike = {
        "Origin": "http://localhost.evil.example.com",
        "X-Forwarded-Host": PUBLIC,
        "X-Forwarded-Proto": "https",
    }
    assert door.sign_in(lookalike).status == 403


def test_large_uploads_go_through_unbuffered(door: FrontDoor) -> None:
    key = json.loads(door.sign_in({}).body)["key"]
    credentials = {"Authorization": f"Token {key}"}
    body = json.dumps({"name": "large", "labels": [{"name": "a"}]}).encode()
    task = door.ask("POST", "/api/tasks", {**credentials, "Content-Type": "application/json"}, body)
    number = json.loads(task.body)["id"]
    size = 48 << 20
    tus = {"Tus-Resumable": "1.0.0", **credentials}
    upload = door.ask(
        "POST",
        f"/api/tasks/{number}/data/",
        {**tus, "Upload-Length": str(size), "Upload-Metadata": "filename YmlnLnppcA=="},
        b"",
    )
    location = upload.headers["location"].removeprefix(f"http://localhost:{door.port}")
    sent = door.ask(
        "PATCH",
        location,
        {**tus, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"},
        bytes(size),
    )
    assert sent.status == 204, sent.body
    assert sent.headers["upload-offset"] == str(size)


def test_pages_have_the_headers_that_the_web_ui_needs(door: FrontDoor) -> None:
    for path in ("/", "/auth/login", "/tasks/1/jobs/2"):
        page = door.ask("GET", path)
        assert page.status == 200
        assert b"<title>CVAT</title>" in page.body
        assert page.headers["cross-origin-opener-policy"] == "same-origin"
        assert page.headers["cross-origin-embedder-policy"] == "credentialless"
        assert "no-cache" in page.headers["cache-control"]
    asset = door.ask("GET", "/assets/worker.mjs")
    assert asset.headers["content-type"] == "application/javascript"
    assert asset.headers["cross-origin-embedder-policy"] == "require-corp"
    assert asset.headers["service-worker-allowed"] == "/"
    assert "max-age=31536000" in asset.headers["cache-control"]
    assert door.ask("GET", "/assets/missing.js").status == 404
    assert door.ask("GET", "/api/server/about").status == 200
