"""What odd answers of a server are taken for, asked over real connections."""

import http.server
import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from pathlib import Path

import pytest

from tests.support import local_server
from toolkit.config import local_cvat as stack
from toolkit.core.errors import ToolkitError
from toolkit.cvat import probes as server
from toolkit.cvat.connection import StoredToken, save_token
from toolkit.cvat.probes import server_checks, version_check


class Answers:
    """What the server gives for each path: status and JSON, or text with its content type."""

    def __init__(self) -> None:
        self.by_path: dict[str, tuple[int, object]] = {}
        self.date: str | None = None
        self.content_type = "application/json"


@contextmanager
def serving() -> Iterator[tuple[str, Answers]]:
    answers = Answers()

    class Handler(http.server.BaseHTTPRequestHandler):
        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, said = answers.by_path.get(self.path, (404, {}))
            body = said.encode() if isinstance(said, str) else json.dumps(said).encode()
            self.send_response_only(status)
            if answers.date is not None:
                self.send_header("Date", answers.date)
            self.send_header("Content-Type", answers.content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = _answer

        def log_message(self, *_: object) -> None:
            pass

    with local_server.serving(Handler) as running:
        yield running.url, answers


@pytest.mark.parametrize(
    ("status", "said", "problem"),
    [
        (200, {"Cache": "working"}, None),
        (
            500,
            {"Cache": "working", "OPA": "unavailable", "Db": "unknown"},
            "health is 500 (OPA: unavailable; Db: unknown)",
        ),
        (500, {}, "health is 500"),
        (502, "<h1>Bad Gateway</h1>", "health is 502 (the server is not up behind the UI)"),
    ],
)
def test_health_in_words(status: int, said: object, problem: str | None) -> None:
    with serving() as (url, answers):
        answers.by_path[server.HEALTH_PATH] = (status, said)
        assert server.health_problem(url) == problem


def test_pages_and_signing_in_in_words() -> None:
    with serving() as (url, answers):
        answers.by_path[server.LOGIN_PAGE_PATH] = (200, {})
        assert server.login_page_problem(url) == "the login page is 200 application/json"
        answers.content_type = "text/html"
        assert server.login_page_problem(url) is None
        for status, problem in ((400, None), (503, "signing in is 503")):
            answers.by_path[server.LOGIN_PATH] = (status, {})
            assert server.login_problem(url) == problem


def test_where_nobody_answers_each_question_says_so() -> None:
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        expected = f"no answer from {url}: connection refused"
        assert [
            question(url) for question in (server.health_problem, server.login_page_problem, server.login_problem)
        ] == [expected] * 3


def test_what_is_no_cvat_is_not_taken_for_one() -> None:
    with serving() as (url, answers):
        for said in ({"name": "x"}, ["version"], "<p>"):
            answers.by_path[server.ABOUT_PATH] = (200, said)
            with pytest.raises(ToolkitError, match="does not answer like CVAT"):
                server.server_version(url)
        answers.by_path[server.LOGIN_PATH] = (200, "welcome")
        with pytest.raises(ToolkitError, match="did not answer to signing in as CVAT does"):
            server.sign_in(url, "ana", "p")
        for path, ask in (
            (server.ABOUT_PATH, lambda: server.server_version(url)),
            (server.LOGIN_PATH, lambda: server.sign_in(url, "ana", "p")),
        ):
            answers.by_path[path] = (503, {})
            with pytest.raises(ToolkitError, match="is not ready"):
                ask()


def test_a_wrong_password_is_told_with_where_it_comes_from() -> None:
    with serving() as (url, answers):
        answers.by_path[server.LOGIN_PATH] = (400, {})
        with pytest.raises(ToolkitError, match="does not let ana in: wrong user name or password"):
            server.sign_in(url, "ana", "p")


@pytest.mark.parametrize(
    ("version", "advice"),
    [
        ("2.54.0", ""),
        ("2.54.1", ""),
        ("2.70.0", ""),
        ("2.71.9", ""),
        ("2.53.0", "older than 2.54, the oldest that was tested: upgrade it"),
        ("2.55.0", "between tested versions, but not tested itself: should something fail, upgrade it"),
        ("2.70", ""),
        ("2.70.1-dev", ""),
        ("2.72.0", "newer than 2.71, the newest that was tested: update this toolkit"),
        (
            "999.0.0",
            "newer than 2.71, the newest that was tested, and the server is newer than the client: update this toolkit",
        ),
    ],
)
def test_only_what_was_tested_is_called_so(
    version: str, advice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The version that is started counts as tested, whether it is listed or not."""
    versions = tmp_path / "versions.env"
    versions.write_text("CVAT_VERSION=v2.71.0\nCVAT_TESTED_VERSIONS=v2.54.1,v2.70.0\n")
    monkeypatch.setattr(stack, "VERSIONS_FILE", versions)
    with serving() as (url, answers):
        answers.by_path[server.ABOUT_PATH] = (200, {"version": version})
        check = version_check(url)
    assert (check.state, check.advice) == ("warning" if advice else "ok", advice)
    assert check.found.startswith(f"server {version}, cvat-cli ")
    assert check.required == "a tested version: CVAT 2.54 or 2.70 or 2.71"


def test_the_versions_of_this_tree_were_tested() -> None:
    with serving() as (url, answers):
        for version in stack.tested_versions():
            answers.by_path[server.ABOUT_PATH] = (200, {"version": version.lstrip("v")})
            assert version_check(url).state == "ok"


@pytest.fixture
def token_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CVAT_TOKEN_FILE", str(tmp_path / "access-token"))
    return tmp_path / "access-token"


def test_a_server_is_checked_with_its_clock_and_the_kept_token(token_file: Path) -> None:
    with serving() as (url, answers):
        answers.by_path[server.HEALTH_PATH] = (503, {})
        assert [check.name for check in server_checks(url)] == ["server"]

        answers.by_path[server.HEALTH_PATH] = (200, {})
        answers.by_path[server.ABOUT_PATH] = (200, {"version": stack.tested_version().lstrip("v")})
        answers.date = "soon"  # a clock that nobody can read is no problem of the clock
        assert [check.name for check in server_checks(url)] == ["server", "versions"]

        answers.date = formatdate(time.time() - 3600, usegmt=True)
        later = (datetime.now(UTC) + timedelta(days=3)).isoformat()
        for status, expires, found in (
            (200, later, f"until {later[:10]}"),
            (401, later, "expired or revoked"),
            (200, "2020-01-01T00:00:00+00:00", "expired or revoked"),
        ):
            token_file.unlink(missing_ok=True)
            save_token(StoredToken(url, "ana", expires, 1, "t0ken"))
            answers.by_path["/api/users/self"] = (status, {})
            by_name = {check.name: check for check in server_checks(url)}
            assert list(by_name) == ["server", "clock of the server", "versions", "access token"]
            assert by_name["access token"].found == found
            assert by_name["clock of the server"].advice
        token_file.write_text("{")
        assert [check.found for check in server_checks(url) if check.name == "access token"] == ["damaged"]
        token_file.unlink()
        save_token(StoredToken("http://elsewhere", "ana", later, 1, "t0ken"))
        assert [check.advice for check in server_checks(url) if check.name == "access token"] == [
            "not sent to this server"
        ]
