"""The front door in a real nginx before the stand-in, which checks Origin as CVAT does."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from standin.process import StandinProcess
from tests.support.running_door import NGINX, Answer, FrontDoor, front_door
from tests.support.script_runs import run_script

PUBLIC = "name-8080.app.github.dev"

pytestmark = pytest.mark.skipif(NGINX is None, reason="needs nginx (apt-get install nginx-light), then: make test")


class SignInDoor(FrontDoor):
    """A door before a stand-in, with the means to sign in there."""

    username: str
    password: str

    def sign_in(self, headers: dict[str, str]) -> Answer:
        body = json.dumps({"username": self.username, "password": self.password}).encode()
        return self.ask("POST", "/api/auth/login", {"Content-Type": "application/json", **headers}, body)


@pytest.fixture(scope="module")
def door(standin: StandinProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SignInDoor]:
    with front_door(tmp_path_factory.mktemp("nginx"), standin.url) as running:
        one = SignInDoor(running.port)
        one.username, one.password = standin.username, standin.password
        yield one


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
        "localhost with a dot": (
            {"Host": f"localhost.:{port}", "Origin": f"http://localhost.:{port}"},
            f"http://localhost.:{port}",
        ),
        "without Origin": ({}, here),
    }


CASES = list(origin_cases(0))


@pytest.mark.parametrize("credentials", ["token", "browser session"])
@pytest.mark.parametrize("case", CASES)
def test_sign_in_and_uploads_work_wherever_the_browser_is(door: SignInDoor, case: str, credentials: str) -> None:
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


def test_a_foreign_origin_is_refused(door: SignInDoor) -> None:
    """CVAT compares Origin with the host that was asked wherever a session's cookies come along, at sign-in too."""
    cookies = {"Cookie": "; ".join(f"{name}={value}" for name, value in door.sign_in({}).cookies.items())}
    foreign = {**cookies, "Origin": "https://evil.example.com"}
    assert door.sign_in(foreign).status == 403
    assert door.sign_in({**foreign, "X-Forwarded-Host": PUBLIC, "X-Forwarded-Proto": "https"}).status == 403
    # localhost of another port, without a forwarder that could have rewritten it
    assert door.sign_in({**cookies, "Origin": "http://localhost:1"}).status == 403
    lookalike = {
        **cookies,
        "Origin": "http://localhost.evil.example.com",
        "X-Forwarded-Host": PUBLIC,
        "X-Forwarded-Proto": "https",
    }
    assert door.sign_in(lookalike).status == 403


def test_large_uploads_go_through_unbuffered(door: SignInDoor) -> None:
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


def test_pages_have_the_headers_that_the_web_ui_needs(door: SignInDoor) -> None:
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


def test_programs_wait_for_their_turn_to_sign_in(standin: StandinProcess, tmp_path: Path) -> None:
    """The toolkit's own sign-in and cvat-cli's, side by side, after somebody has used the allowance up."""
    folder = tmp_path / "nginx"
    folder.mkdir()
    environment = {**standin.environment(), "CVAT_ATTEMPTS": "2", "CVAT_TOKEN_FILE": str(tmp_path / "token")}
    with front_door(folder, standin.url) as door, ThreadPoolExecutor(4) as pool:
        environment["CVAT_URL"] = f"http://localhost:{door.port}"
        while door.ask("POST", "/api/auth/login", {"Content-Type": "application/json"}, b"{}").status != 429:
            pass
        calls = [
            pool.submit(run_script, script, *options, environment=environment)
            for script, options in (
                ("create_token.py", ()),
                ("create_project.py", ("--name=turn one", "--labels=a")),
                ("create_project.py", ("--name=turn two", "--labels=a")),
            )
        ]
        looking = pool.submit(run_script, "doctor.py", environment=environment)
        ended = [call.result() for call in calls]
    assert "signing in" in looking.result().stdout
    assert "not possible" not in looking.result().stdout
    assert [call.returncode for call in ended] == [0, 0, 0], [call.stderr for call in ended]
    assert "HTTP 429 for POST /api/auth/login, another attempt in 2 s" in "".join(call.stderr for call in ended)
