"""Servers that answer with wrong types, at every place of every answer: each time one line, never a crash."""

import copy
import http.server
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support import local_server
from toolkit.core.errors import ToolkitError
from toolkit.core.retry import RetryPolicy
from toolkit.cvat.api import Api, session
from toolkit.cvat.connection import Connection
from toolkit.cvat.probes import create_token, health_problem, server_checks, sign_in

TASK = {"id": 3, "name": "t", "size": 2, "project_id": 1, "created_date": "2026-01-01T00:00:00Z", "subset": "train"}
LABEL = {"id": 1, "name": "cat", "type": "tag"}
TRACK = {"label_id": 1, "shapes": [{"frame": 1, "outside": False}, {"frame": 3, "outside": True}]}
OPERATION = {"type": "export:dataset", "format": "COCO 1.0", "project_id": 1, "task_id": None}


def page(*results: object) -> dict[str, object]:
    return {"count": len(results), "next": None, "previous": None, "results": list(results)}


ANSWERS: dict[str, Any] = {
    "/api/projects/1": {"id": 1, "name": "flowers", "dimension": "2d"},
    "/api/projects": page({"id": 1, "name": "flowers"}),
    "/api/labels": page(LABEL),
    "/api/tasks": page(TASK),
    "/api/tasks/3": TASK,
    "/api/tasks/3/data/meta": {"frames": [{"name": "a.jpg"}, {"name": "b.jpg"}], "deleted_frames": [1]},
    "/api/tasks/3/annotations": {"tags": [{"frame": 0, "label_id": 1}], "shapes": [], "tracks": [TRACK]},
    "/api/jobs": page({"id": 5, "state": "completed", "start_frame": 0, "stop_frame": 1}),
    "/api/requests": page({"id": "action=export", "status": "queued", "operation": OPERATION}),
    "/api/server/annotation/formats": {"exporters": [{"name": "COCO 1.0", "enabled": True, "dimension": "2d"}]},
    "/api/server/about": {"version": "2.73.0"},
    "/api/server/health/": {"Cache": "working"},
    "/api/auth/login": {"key": "t0ken"},
    "/api/auth/access_tokens": {"id": 5, "value": "t0ken", "results": [{"id": 5, "name": "x"}]},
}
WRONG: tuple[object, ...] = (
    None,
    True,
    -1,
    1.5,
    10**400,
    "",
    "x",
    "\x1b[31m\n",
    [],
    [[]],
    [None],
    {},
    {"a": {}},
    float("nan"),
)


QUESTIONS: dict[str, Callable[[Api], object]] = {
    "/api/projects/1": lambda api: api.project_dimension(1),
    "/api/projects": lambda api: api.projects("flowers"),
    "/api/labels": lambda api: api.labels(1),
    "/api/tasks": lambda api: (api.tasks(1), api.empty_tasks(1, "t")),
    "/api/tasks/3": lambda api: api.task(3),
    "/api/tasks/3/data/meta": lambda api: api.frames(3).present,
    "/api/tasks/3/annotations": lambda api: (api.tags(3), api.has_annotations(3), api.labelled_frames(3, 4)),
    "/api/jobs": lambda api: api.completed_frames(3),
    "/api/requests": lambda api: api.running_exports(1, "COCO 1.0"),
    "/api/server/annotation/formats": lambda api: api.export_formats(),
}


def variants(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], object]]:
    """Yield each place of an answer with each wrong value."""
    for wrong in WRONG:
        yield place, wrong
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in inner:
        yield from variants(below, (*place, key))


def put(answer: Any, place: tuple[Any, ...], value: object) -> Any:
    if not place:
        return value
    answer = copy.deepcopy(answer)
    at = answer
    for key in place[:-1]:
        at = at[key]
    at[place[-1]] = value
    return answer


@contextmanager
def serving() -> Iterator[tuple[str, dict[str, Any]]]:
    answers: dict[str, Any] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version, disable_nagle_algorithm = "HTTP/1.1", True

        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            said = answers.get(self.path.partition("?")[0])
            body = said if isinstance(said, bytes) else json.dumps(said).encode()
            self.send_response_only(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PATCH = do_DELETE = _answer

        def log_message(self, *_: object) -> None:
            pass

    with local_server.serving(Handler) as running:
        yield running.url, answers


def run(work: Callable[[], object]) -> None:
    lines: list[str] = []
    try:
        work()
    except ToolkitError as error:
        lines.append(error.message)
    assert not any("\n" in line for line in lines)


@pytest.mark.parametrize("path", QUESTIONS)
def test_wrong_types_in_what_the_client_asks(path: str) -> None:
    question = QUESTIONS[path]
    with serving() as (url, answers):
        answers.update(ANSWERS)
        with session(Connection(url, token="t0ken"), policy=RetryPolicy(attempts=1)) as api:
            question(api)
            for place, wrong in variants(ANSWERS[path]):
                answers[path] = put(ANSWERS[path], place, wrong)
                run(lambda: question(api))
            for body in (b"", b"{", b"\xff", b"[" * 100_000, b"<html>", b"NaN"):
                answers[path] = body
                with pytest.raises(ToolkitError):
                    question(api)


def test_wrong_types_in_what_is_asked_without_a_session(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("CVAT_TOKEN_FILE", str(tmp_path / "none"))
    with serving() as (url, answers):
        questions: dict[str, Callable[[], object]] = {
            "/api/server/about": lambda: list(server_checks(url)),
            "/api/server/health/": lambda: health_problem(url),
            "/api/auth/login": lambda: sign_in(url, "ana", "password"),
            "/api/auth/access_tokens": lambda: create_token(url, "ana", "Token t", 1),
        }
        answers.update(ANSWERS)
        for path, question in questions.items():
            question()
            for place, wrong in variants(ANSWERS[path]):
                answers[path] = put(ANSWERS[path], place, wrong)
                run(question)
            for body in (b"", b"{", b"\xff", b"[" * 100_000):
                answers[path] = body
                run(question)
            answers[path] = ANSWERS[path]


def test_a_sign_in_whose_cookies_cannot_be_kept_names_the_token() -> None:
    """Behind TLS, CVAT marks its cookies as Secure, and cvat-sdk cannot read two such cookies."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            body = b'{"key": "t0ken"}'
            self.send_response_only(200)
            for name in ("csrftoken", "sessionid"):
                self.send_header("Set-Cookie", f"{name}=x; Path=/; SameSite=Lax; Secure")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with local_server.serving(Handler) as running:
        connection = Connection(running.url, "ana", "password")
        with pytest.raises(ToolkitError, match="use make token"), session(connection):
            pass
