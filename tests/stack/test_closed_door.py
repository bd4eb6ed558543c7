"""What the front door lets in, and what it says with each answer: nginx before a server that repeats what came."""

import gzip
import http.server
import json
import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

import pytest
import yaml

from tests.support import local_server
from tests.support.running_door import FRONT_DOOR, NGINX, Answer, FrontDoor, front_door

pytestmark = pytest.mark.skipif(NGINX is None, reason="needs nginx (apt-get install nginx-light), then: make test")

CODESPACE = "name-8080.app.github.dev"
EVIL = "evil.example.net"
BURST = 30


class Repeating(http.server.BaseHTTPRequestHandler):
    """Answers with the request that it got, and with headers as Django adds them."""

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        seen = {"path": self.path, "method": self.command, "headers": dict(self.headers), "filling": "x" * 5000}
        body = json.dumps(seen).encode()
        self.send_response(200)
        for name, value in {
            "Content-Type": "application/vnd.cvat+json",
            "Content-Length": str(len(body)),
            "X-Frame-Options": "DENY",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "same-origin",
            "Cache-Control": "max-age=7",
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_PUT = do_OPTIONS = do_GET

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def opened(tmp_path_factory: pytest.TempPathFactory, **settings: str) -> Iterator[FrontDoor]:
    folder = tmp_path_factory.mktemp("nginx")
    with local_server.serving(Repeating) as server, front_door(folder, server.url, **settings) as door:
        page = folder / "html"
        (page / "favicon.ico").write_bytes(b"icon" * 1000)
        (page / "robots.txt").write_text("User-agent: *\n")
        for name in ("main.min.js", "main.min.js.map", "style.css", "onnx.wasm", "logo.svg", "sample.json"):
            (page / "assets" / name).write_text("0123456789" * 1000)
        (page / "assets" / "photo.png").write_bytes(bytes(5000))
        yield door


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FrontDoor]:
    with opened(tmp_path_factory) as one:
        yield one


@pytest.fixture
def fresh_door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FrontDoor]:
    """One whose allowance of sign-ins nobody has used."""
    with opened(tmp_path_factory) as one:
        yield one


PAGES = ("/", "/index.html", "/auth/login", "/tasks/1/jobs/2", "/favicon.ico", "/robots.txt")
SERVERS = ("/api/server/about", "/static/rest/style.css", "/admin/", "/django-rq/")
ASSETS = ("/assets/main.min.js", "/assets/worker.mjs", "/assets/onnx.wasm", "/assets/photo.png")
MISSING = ("/assets/missing.js", "/assets/main.min.js.map", "/assets/main.min.js.MAP", "/x.map")


@pytest.mark.parametrize("path", [*PAGES, *SERVERS, *ASSETS, *MISSING, "/api/auth/register", "/assets/"])
def test_every_answer_is_safe_to_show(door: FrontDoor, path: str) -> None:
    headers = door.ask("GET", path).headers
    assert headers["x-frame-options"] == "deny"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "strict-origin-when-cross-origin"
    assert headers["server"] == "nginx"


def test_pages_are_asked_for_again_and_assets_are_not(door: FrontDoor) -> None:
    for path in PAGES:
        page = door.ask("GET", path)
        assert page.status == 200
        assert page.headers["cache-control"] == "no-cache, no-store, must-revalidate"
        assert page.headers["cross-origin-opener-policy"] == "same-origin"
        assert page.headers["cross-origin-embedder-policy"] == "credentialless"
        assert "service-worker-allowed" not in page.headers
    for path in ASSETS:
        asset = door.ask("GET", path)
        assert asset.status == 200
        assert asset.headers["cache-control"] == "public, max-age=31536000"
        assert asset.headers["cross-origin-embedder-policy"] == "require-corp"
        assert asset.headers["service-worker-allowed"] == "/"
        whole = door.ask("GET", path, {"Range": "bytes=99999-"})
        assert (whole.status, whole.headers["cache-control"]) == (200, asset.headers["cache-control"])
        again = door.ask("GET", path, {"If-None-Match": asset.headers["etag"]})
        assert (again.status, again.body) == (304, b"")
        assert again.headers["cache-control"] == "public, max-age=31536000"
    for path in MISSING:
        missing = door.ask("GET", path)
        assert missing.status == 404
        assert "public" not in missing.headers["cache-control"]
    for path in SERVERS:
        answer = door.ask("GET", path)
        assert answer.headers["cache-control"] == "max-age=7"
        assert not [name for name in answer.headers if name.startswith("cross-origin-")]
    assert door.ask("GET", "/assets/worker.mjs").headers["content-type"] == "application/javascript"


def test_a_redirect_leads_back_to_where_the_browser_came_from(door: FrontDoor) -> None:
    forwarded = {"X-Forwarded-Host": CODESPACE, "X-Forwarded-Proto": "https"}
    redirect = door.ask("GET", "/assets", forwarded)
    assert (redirect.status, redirect.headers["location"]) == (301, "/assets/")


def test_text_comes_compressed_to_who_can_read_it(door: FrontDoor) -> None:
    for path in (
        "/", "/favicon.ico", "/assets/main.min.js", "/assets/worker.mjs", "/assets/style.css", "/assets/onnx.wasm",
        "/assets/logo.svg", "/assets/sample.json", "/api/tasks",
    ):  # fmt: skip
        plain, packed = door.ask("GET", path), door.ask("GET", path, {"Accept-Encoding": "gzip"})
        assert "content-encoding" not in plain.headers
        assert packed.headers["content-encoding"] == "gzip", path
        assert len(packed.body) * 4 < len(plain.body)
        assert "Accept-Encoding" in packed.headers["vary"]
        assert "Accept-Encoding" in plain.headers["vary"]
        if path != "/api/tasks":
            assert gzip.decompress(packed.body) == plain.body
    assert "content-encoding" not in door.ask("GET", "/assets/photo.png", {"Accept-Encoding": "gzip"}).headers


REGISTER = (
    "/api/auth/register", "/api/auth/register/", "/api/auth/register?x=1", "/api//auth/register",
    "//api/auth//register", "/api/auth/%72egister", "/%61pi/auth/register", "/api%2Fauth%2Fregister",
    "/api/auth/regis%74er%2f",
    "/api/auth/REGISTER", "/api/auth/Register/", "/api/./auth/register", "/api/tasks/../auth/register",
    "/api/auth/register%0a", "/api/auth/register%20", "/api/auth/register;x", "/api/auth/register/.",
    "/api/auth/x/%2e%2e/register", "http://localhost/api/auth/register", "/api/auth/register/x.css",
)  # fmt: skip


@pytest.mark.parametrize("path", REGISTER)
def test_nobody_makes_an_account_in_passing(door: FrontDoor, path: str) -> None:
    for method in ("POST", "PUT", "OPTIONS"):
        answer = door.ask(method, path, {"Content-Type": "application/json"}, b'{"username": "x"}')
        assert (answer.status, answer.headers["content-type"]) == (403, "application/json")
        assert "CVAT_SIGN_UP=open" in json.loads(answer.body)["detail"]
    assert door.ask("GET", "/api/auth/registe").status == 200
    assert door.ask("GET", "/api/tasks?next=/api/auth/register").status == 200


def test_what_django_knows_as_registration_is_never_let_through(door: FrontDoor) -> None:
    """Whatever is let through is no path that Django, which decodes once and changes nothing else, takes for it."""
    letters = [
        path.replace("register", word) for path in REGISTER for word in ("register", "%72%65%67ister", "registe%72")
    ]
    for path in letters:
        answer = door.ask("POST", path, {}, b"")
        if answer.status == 200:
            seen = unquote(json.loads(answer.body)["path"].partition("?")[0])
            assert seen.rstrip("/") != "/api/auth/register"


def test_sign_up_can_be_opened(tmp_path_factory: pytest.TempPathFactory) -> None:
    with opened(tmp_path_factory, CVAT_SIGN_UP="open") as door:
        for path in ("/api/auth/register", "/api/auth/%72egister"):
            assert json.loads(door.ask("POST", path, {}, b"").body)["path"] == path
    with opened(tmp_path_factory, CVAT_SIGN_UP="closed") as door:
        assert door.ask("POST", "/api/auth/register", {}, b"").status == 403


def many(door: FrontDoor, count: int, method: str, path: str, headers: dict[str, str] | None = None) -> list[Answer]:
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda _: door.ask(method, path, headers, b"{}"), range(count)))


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("POST", "/api/auth/login", {}),
        ("POST", "/api//auth/%6cogin/", {}),
        ("POST", "/admin/login/?next=/admin/", {}),
        ("GET", "/api/users/self", {"Authorization": "Basic YTpi"}),
        ("GET", "/api/server/about.html", {"Authorization": "  bAsIc\tYTpi"}),
    ],
)
def test_passwords_cannot_be_tried_without_end(
    fresh_door: FrontDoor, method: str, path: str, headers: dict[str, str]
) -> None:
    forged = {"X-Forwarded-Host": CODESPACE, "X-Forwarded-For": "192.0.2.9", "X-Real-IP": "192.0.2.9"}
    answers = many(fresh_door, BURST + 30, method, path, headers)
    answers += many(fresh_door, 3, method, path, {**headers, **forged})
    refused = [answer for answer in answers if answer.status == 429]
    assert {answer.status for answer in answers} == {200, 429}
    # One more is let through every two seconds, and the machine may be slow.
    assert BURST <= len(answers) - len(refused) < BURST + 20
    for answer in refused:
        assert answer.headers["retry-after"] == "2"
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-frame-options"] == "deny"
        assert "try again in 2 seconds" in json.loads(answer.body)["detail"]
    assert fresh_door.ask("POST", "/api/auth/login", {}, b"{}").status == 429
    # Who is signed in works on.
    for credentials in ({"Authorization": "Token abc"}, {"Authorization": "Bearer abc"}, {"Cookie": "sessionid=abc"}):
        assert {one.status for one in many(fresh_door, 5, "GET", "/api/users/self", credentials)} == {200}
    assert fresh_door.ask("GET", "/").status == 200


def test_other_requests_are_not_counted(fresh_door: FrontDoor) -> None:
    for method, path, headers in (
        ("GET", "/auth/login", {}),
        ("GET", "/admin/login/", {}),
        ("POST", "/api/tasks", {"Authorization": "Token abc"}),
        (
            "GET",
            "/assets/main.min.js",
            {"Authorization": "Basic YTpi"},
        ),  # of a proxy that asks for a password of its own
    ):
        statuses = {one.status for one in many(fresh_door, BURST + 10, method, path, headers)}
        assert statuses == {200}, path


OURS = (
    "localhost", "localhost:1234", "LOCALHOST", "127.0.0.1", "127.0.0.1:8080", "[::1]", "[::1]:8080", CODESPACE,
    f"{CODESPACE}:443", "Name-8080.App.GitHub.dev", "localhost.", "LOCALHOST.:8080", f"{CODESPACE}.:443",
)  # fmt: skip
FOREIGN = (
    EVIL, f"{EVIL}:8080", "", "localhost.evil.example.net", "evil-localhost", "xlocalhost", "127.0.0.10",
    "127.0.0.1.nip.io", "0.0.0.0", "0.0.0.0:8080", "[::]", "::1:evil", "[::1", "192.168.1.5", "app.github.dev",
    ".app.github.dev", "app.github.dev.evil.example.net", "xapp.github.dev", "*", "|", "localhost|",
    "evil.example.net|localhost",
    ",evil.example.net,|evil.example.net", "evil.example.net,localhost", "localhost, evil.example.net",
    f"{EVIL}.", "localhost..", "localhost.evil", ".localhost", "localhost:80.", "localhost.evil.", "[::1].", "[::1.]",
    "0.0.0.0.", "0.0.0.0.:8080", "app.github.dev.", ".app.github.dev.", f"{CODESPACE}..", "app.github.dev.evil.",
    "user@localhost", "localhost:8080:evil", "localhost:", "localhost/evil", "cvat_server", "cvat-server:8080",
)  # fmt: skip


def test_it_answers_to_its_own_names_alone(door: FrontDoor) -> None:
    for name in OURS:
        for path in ("/", "/api/tasks", "/assets/main.min.js"):
            assert door.ask("GET", path, {"Host": name}).status == 200, name
            assert door.ask("GET", path, {"X-Forwarded-Host": name}).status == 200, name
    for name in FOREIGN:
        for path in ("/", "/api/tasks", "/assets/main.min.js", "/api/auth/register", "/missing.map"):
            asked = door.ask("GET", path, {"Host": name})
            assert asked.status in (400, 421), name  # 400 where nginx finds that it is no host name at all
            # what a page can do whose name was made to point at this machine
            assert door.ask("GET", path, {"Host": name, "X-Forwarded-Host": "localhost"}).status == asked.status, name
            if name:
                assert door.ask("GET", path, {"X-Forwarded-Host": name}).status == 421, name
    assert door.ask("GET", f"http://{EVIL}/api/tasks", {"Host": EVIL}).status == 421
    assert door.ask("GET", "http://localhost/api/tasks", {"Host": EVIL}).status == 421


def test_the_refusal_is_one_line_that_says_what_to_do(door: FrontDoor) -> None:
    for path in ("/api/auth/login", "/", *ASSETS, *MISSING):
        answer = door.ask("POST", path, {"Host": EVIL}, b"{}")
        assert answer.status == 421
        assert answer.headers["content-type"] == "text/plain"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.body.decode().count("\n") == 1
        assert "CVAT_HOSTS" in answer.body.decode()
        assert EVIL not in answer.body.decode()


def test_names_of_ones_own_can_be_added(tmp_path_factory: pytest.TempPathFactory) -> None:
    listed = "cvat.example.com,192.168.1.5 fd00::7, [fd00::8] ,  *.lab.example.org"
    names = (
        "cvat.example.com", "CVAT.example.com:8443", "192.168.1.5:8080", "[fd00::7]:8080", "[fd00::8]",
        "a.lab.example.org", "a.b.lab.example.org:80", "cvat.example.com.", "a.lab.example.org.:80",
    )  # fmt: skip
    others = (
        "example.com",
        "xcvat.example.com",
        "cvat.example.com.evil.net",
        "cvat.example.com..",
        "lab.example.org",
        "lab.example.org.",
        "xlab.example.org",
        "192.168.1.50",
    )
    with opened(tmp_path_factory, CVAT_HOSTS=listed) as door:
        for name in names:
            assert door.ask("GET", "/api/tasks", {"Host": name}).status == 200, name
            assert door.ask("GET", "/api/tasks", {"X-Forwarded-Host": name}).status == 200, name
        for name in (*FOREIGN, *others):
            if name != "192.168.1.5":
                assert door.ask("GET", "/api/tasks", {"Host": name}).status in (400, 421), name
        assert door.ask("GET", "/api/tasks").status == 200


@pytest.mark.parametrize(("bind", "host", "status"), [
    ("192.168.1.5", "192.168.1.5:8080", 200), ("fd00::7", "[fd00::7]:8080", 200), ("[fd00::7]", "[fd00::7]:8080", 200),
    ("0.0.0.0", "0.0.0.0:8080", 421), ("0.0.0.0", "0.0.0.0.:8080", 421), ("::", "[::]:8080", 421),
    ("0.0.0.0", "192.168.1.5", 421),
])  # fmt: skip
def test_the_address_that_it_is_published_on_is_a_name_of_it(
    tmp_path_factory: pytest.TempPathFactory, bind: str, host: str, status: int
) -> None:
    with opened(tmp_path_factory, CVAT_BIND=bind) as door:
        assert door.ask("GET", "/", {"Host": host}).status == status
        assert door.ask("GET", "/", {"X-Forwarded-Host": host}).status == status


def test_the_server_hears_the_names_that_were_judged(door: FrontDoor) -> None:
    forwarded = {"X-Forwarded-Host": CODESPACE, "X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.9"}
    seen = json.loads(door.ask("GET", "/api/tasks", forwarded).body)["headers"]
    assert (seen["Host"], seen["X-Forwarded-Host"], seen["X-Forwarded-Proto"]) == (CODESPACE, CODESPACE, "https")
    assert seen["X-Forwarded-For"] == "127.0.0.1"
    seen = json.loads(door.ask("GET", "/api/tasks", {"X-Forwarded-Proto": "gopher://x"}).body)["headers"]
    assert seen["Host"] == f"localhost:{door.port}"
    assert seen["X-Forwarded-Proto"] == "http"


def test_the_container_refuses_settings_that_nginx_would_read(tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "nginx").write_text("#!/bin/sh\necho started\n")
    (folder / "nginx").chmod(0o755)
    service = yaml.safe_load(FRONT_DOOR.read_text())["services"]["front_door"]
    script = service["command"][2].replace("$$", "$").replace("/tmp/", f"{tmp_path}/")

    def start(settings: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": f"{folder}:{os.environ['PATH']}", "SETTINGS": settings, "FRONT_DOOR": "map\n$x {}"}
        return subprocess.run(["sh", "-c", script], env=environment, capture_output=True, text=True, check=False)

    assert start("closed 192.168.1.5 a.example.com, *.b-c.org,[fd00::7]").stdout == "started\n"
    assert (tmp_path / "front-door.conf").read_text() == "map\n$x {}\n"
    for harmful in ('a";', "a{", "a$b", "a\\", "a\nb", "a'", "a;b", "a|b", "a#b", "a\tb", "ä"):
        refused = start(harmful)
        assert (refused.returncode, refused.stdout) == (2, ""), harmful
        assert "CVAT_HOSTS" in refused.stderr
