"""Forwarded names, other sites' requests, tokens."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import urllib3

from standin.process import StandinProcess
from tests.support.images import jpeg
from tests.support.standin_api import Api

PUBLIC = "shiny-space-8080.app.github.dev"
FORWARDED = {"X-Forwarded-Host": PUBLIC, "X-Forwarded-Proto": "https"}


def post(server: StandinProcess, path: str, headers: dict[str, str], body: Any) -> urllib3.BaseHTTPResponse:
    return urllib3.request("POST", f"{server.url}/api/{path}", headers=headers, json=body, retries=False)


def login(server: StandinProcess, headers: dict[str, str]) -> urllib3.BaseHTTPResponse:
    return post(server, "auth/login", headers, {"username": server.username, "password": server.password})


def session(server: StandinProcess) -> dict[str, str]:
    cookies = dict(cookie.split(";")[0].split("=", 1) for cookie in login(server, {}).headers.getlist("Set-Cookie"))
    header = "; ".join(f"{name}={value}" for name, value in cookies.items())
    return {"Cookie": header, "X-CSRFToken": cookies["csrftoken"]}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "<url>"},
        {**FORWARDED, "Origin": f"https://{PUBLIC}"},
        {"Host": PUBLIC, "X-Forwarded-Proto": "https", "Origin": f"https://{PUBLIC}"},
        {"Host": "cvat.example", "Origin": "http://cvat.example"},
    ],
)
def test_the_own_site_may_sign_in_and_post(standin: StandinProcess, headers: dict[str, str]) -> None:
    headers = {name: value.replace("<url>", standin.url) for name, value in headers.items()}
    assert login(standin, headers).status == 200
    if headers.get("Origin") or "X-Forwarded-Proto" not in headers:
        assert post(standin, "projects", session(standin) | headers, {"name": "mine"}).status == 201


@pytest.fixture(scope="module")
def standin_2_54() -> Iterator[StandinProcess]:
    with StandinProcess(options=("--cvat-version", "2.54")) as server:
        yield server


FOREIGN = [
    {"Origin": "http://elsewhere.example"},
    {"Origin": "null"},
    {**FORWARDED, "Origin": "http://localhost:8080"},
    {"X-Forwarded-Host": PUBLIC, "Origin": f"https://{PUBLIC}"},
]


def refusal(headers: dict[str, str]) -> dict[str, str]:
    origin = headers["Origin"]
    return {"detail": f"CSRF Failed: Origin checking failed - {origin} does not match any trusted origins."}


@pytest.mark.parametrize("headers", FOREIGN)
def test_another_site_may_not_use_a_session(standin: StandinProcess, headers: dict[str, str]) -> None:
    mine = session(standin) | headers
    for response in (login(standin, mine), post(standin, "projects", mine, {"name": "foreign"})):
        assert response.status == 403
        assert response.json() == refusal(headers)


@pytest.mark.parametrize("headers", FOREIGN)
def test_whether_another_site_may_sign_in_depends_on_the_version(
    standin: StandinProcess, standin_2_54: StandinProcess, headers: dict[str, str]
) -> None:
    assert login(standin, headers).status == 200
    refused = login(standin_2_54, headers)
    assert (refused.status, refused.json()) == (403, refusal(headers))


def test_a_session_needs_the_csrf_token(standin: StandinProcess) -> None:
    headers = session(standin)
    del headers["X-CSRFToken"]
    assert post(standin, "projects", headers, {"name": "x"}).json() == {"detail": "CSRF Failed: CSRF token missing."}
    assert post(standin, "projects", {**headers, "X-CSRFToken": "guess"}, {"name": "x"}).status == 403
    assert urllib3.request("GET", f"{standin.url}/api/users/self", headers=headers).status == 200


def test_a_token_is_not_asked_where_it_comes_from(standin: StandinProcess) -> None:
    headers = {"Authorization": f"Token {login(standin, {}).json()['key']}", "Origin": "http://elsewhere.example"}
    assert post(standin, "projects", headers, {"name": "x"}).status == 201


def test_links_and_upload_addresses_carry_the_public_name(standin: StandinProcess) -> None:
    headers = {"Authorization": f"Token {login(standin, {}).json()['key']}", **FORWARDED}
    task = post(standin, "tasks", headers, {"name": "x"})
    assert task.json()["url"] == f"https://{PUBLIC}/api/tasks/{task.json()['id']}"
    upload = {"Upload-Length": "10", "Upload-Metadata": "filename YS56aXA="}
    begun = post(standin, f"tasks/{task.json()['id']}/data", headers | upload, None)
    assert begun.headers["Location"].startswith(f"https://{PUBLIC}/api/tasks/{task.json()['id']}/data/")


def test_a_read_only_token_reads_only(standin: StandinProcess) -> None:
    owner = {"Authorization": f"Token {login(standin, {}).json()['key']}"}
    made = post(standin, "auth/access_tokens", owner, {"name": "reader", "read_only": True}).json()
    bearer = {"Authorization": f"Bearer {made['value']}"}
    assert urllib3.request("GET", f"{standin.url}/api/projects", headers=bearer).status == 200
    assert post(standin, "projects", bearer, {"name": "x"}).status == 403
    # CVAT's rules count an export that stays on the server as reading.
    project = post(standin, "projects", owner, {"name": "x"}).json()["id"]
    export = f"projects/{project}/dataset/export?format=COCO%201.0&save_images=true&location=local"
    assert post(standin, export, bearer, None).status == 202


def test_a_token_expires(standin: StandinProcess) -> None:
    owner = {"Authorization": f"Token {login(standin, {}).json()['key']}"}
    soon = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
    made = post(standin, "auth/access_tokens", owner, {"name": "short", "expiry_date": soon}).json()
    bearer = {"Authorization": f"Bearer {made['value']}"}
    end = datetime.now(UTC) + timedelta(seconds=10)
    while (status := urllib3.request("GET", f"{standin.url}/api/users/self", headers=bearer).status) == 200:
        assert datetime.now(UTC) < end
    assert status == 401
    past = {"name": "s", "expiry_date": "2001-01-01T00:00:00Z"}
    assert post(standin, "auth/access_tokens", owner, past).status == 400


def test_pages_say_what_this_is(standin: StandinProcess) -> None:
    for path in ("/", "/auth/login", "/projects/999999", "/tasks/999999"):
        page = urllib3.request("GET", standin.url + path)
        assert page.headers["Content-Type"].startswith("text/html")
        assert "stand-in for CVAT, not CVAT" in page.data.decode()


def test_a_printed_address_opens_a_page_with_names_that_are_only_text(standin: StandinProcess) -> None:
    api = Api(standin)
    project_id = api.json("POST", "projects", json={"name": "<b>p</b>"})["id"]
    task_id = api.images(project_id, {"a/<i>.jpg": jpeg()})
    page = urllib3.request("GET", f"{standin.url}/projects/{project_id}").data.decode()
    assert "&lt;b&gt;p&lt;/b&gt;" in page
    assert f'href="/tasks/{task_id}"' in page
    assert "a/&lt;i&gt;.jpg" in urllib3.request("GET", f"{standin.url}/tasks/{task_id}").data.decode()
