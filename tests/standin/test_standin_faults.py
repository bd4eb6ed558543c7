"""The faults that tests can order from the stand-in server."""

import io
import sys
import time
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest
import urllib3
from PIL import Image

from standin.process import StandinProcess
from tests.support.script_runs import run_program
from tests.support.waiting import HELD, wait_until

TIMEOUT = 240.0


@pytest.fixture
def server(faulty_standin: StandinProcess) -> Iterator[StandinProcess]:
    yield faulty_standin
    faulty_standin.clear_faults()


def ask(server: StandinProcess, method: str, path: str, **options: Any) -> urllib3.BaseHTTPResponse:
    headers = urllib3.make_headers(basic_auth=f"{server.username}:{server.password}") | options.pop("headers", {})
    with urllib3.PoolManager() as pool:
        options.setdefault("timeout", TIMEOUT)
        response = pool.request(method, server.url + path, headers=headers, retries=False, **options)
        _ = response.data
        return response


def task_with_image(server: StandinProcess) -> int:
    picture = io.BytesIO()
    Image.effect_noise((200, 200), 90).save(picture, "JPEG")
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("a/1.jpg", picture.getvalue())
    task_id: int = ask(server, "POST", "/api/tasks", json={"name": "one"}).json()["id"]
    form = {"image_quality": "70", "client_files[0]": ("images.zip", archive.getvalue())}
    request_id = ask(server, "POST", f"/api/tasks/{task_id}/data", fields=form).json()["rq_id"]
    wait_until(lambda: ask(server, "GET", f"/api/requests/{request_id}").json()["status"] == "finished")
    return task_id


def test_without_the_option_there_are_no_switches(standin: StandinProcess) -> None:
    assert urllib3.request("GET", f"{standin.url}/standin/faults").status == 404


def test_a_status_with_body_and_headers(server: StandinProcess) -> None:
    server.order_fault("status", path="/api/projects*", status=503, headers={"Retry-After": "7"}, body="busy")
    response = ask(server, "POST", "/api/projects", json={"name": "x"})
    assert (response.status, response.headers["Retry-After"], response.data) == (503, "7", b"busy")
    assert ask(server, "GET", "/api/projects").json()["count"] == 0, "a request that got a fault was carried out"
    assert [rule["hit"] for rule in server.faults()] == [1]


def test_the_third_matching_request_is_hit(server: StandinProcess) -> None:
    server.order_fault("status", method="GET", path="/api/server/*", skip=2, count=2, status=500)
    statuses = [ask(server, "GET", "/api/server/about").status for _ in range(6)]
    assert statuses == [200, 200, 500, 500, 200, 200]
    assert ask(server, "GET", "/api/users/self").status == 200


def test_a_reset_before_the_request_is_carried_out(server: StandinProcess) -> None:
    server.order_fault("reset", method="POST", path="/api/projects")
    with pytest.raises(urllib3.exceptions.ProtocolError) as caught:
        ask(server, "POST", "/api/projects", json={"name": "x"})
    assert isinstance(caught.value.args[1], ConnectionResetError)
    assert ask(server, "GET", "/api/projects").json()["count"] == 0


def test_a_reset_in_the_middle_of_an_upload(server: StandinProcess) -> None:
    task_id = ask(server, "POST", "/api/tasks", json={"name": "x"}).json()["id"]
    headers = {"Upload-Length": "4000000", "Upload-Metadata": "filename YS56aXA="}
    location = ask(server, "POST", f"/api/tasks/{task_id}/data", headers=headers).headers["Location"]
    path = location.removeprefix(server.url)
    server.order_fault("reset", method="PATCH", path="/api/tasks/*/data/*", skip=1, after=1_000_000)
    ask(server, "PATCH", path, headers={"Upload-Offset": "0"}, body=b"x" * 1_000_000)
    with pytest.raises((urllib3.exceptions.ProtocolError, OSError)):
        ask(server, "PATCH", path, headers={"Upload-Offset": "1000000"}, body=b"x" * 3_000_000)
    assert ask(server, "HEAD", path).headers["Upload-Offset"] == "1000000"
    ask(server, "PATCH", path, headers={"Upload-Offset": "1000000"}, body=b"x" * 3_000_000)
    assert [entry["status"] for entry in server.requests() if entry["method"] == "PATCH"] == [204, None, 204]


def test_a_reset_in_the_middle_of_an_answer_comes_after_the_work(server: StandinProcess) -> None:
    server.order_fault("reset", method="POST", path="/api/projects", stage="response", after=10)
    with pytest.raises(urllib3.exceptions.HTTPError):
        ask(server, "POST", "/api/projects", json={"name": "x"})
    assert ask(server, "GET", "/api/projects").json()["count"] == 1


@pytest.mark.parametrize("stage", ["request", "response"])
def test_a_hang(server: StandinProcess, stage: str) -> None:
    server.order_fault("hang", path="/api/server/about", stage=stage, seconds=HELD)
    with pytest.raises(urllib3.exceptions.ReadTimeoutError):
        ask(server, "GET", "/api/server/about", timeout=0.5)
    assert ask(server, "GET", "/api/server/about").status == 200


def test_a_trickle_is_whole_and_slow(server: StandinProcess) -> None:
    length = len(ask(server, "GET", "/api/server/about").data)
    server.order_fault("trickle", path="/api/server/about", rate=length * 2)
    begin = time.monotonic()
    assert len(ask(server, "GET", "/api/server/about").data) == length
    assert time.monotonic() - begin > 0.2


def test_a_truncated_download(server: StandinProcess) -> None:
    task_id = task_with_image(server)
    server.order_fault("truncate", path="/api/tasks/*/data", after=100)
    with pytest.raises(urllib3.exceptions.ProtocolError, match=r"IncompleteRead\(100 bytes read, \d+ more expected\)"):
        ask(server, "GET", f"/api/tasks/{task_id}/data?type=frame&number=0")


def test_wrong_bytes_of_the_right_length(server: StandinProcess) -> None:
    task_id = task_with_image(server)
    good = ask(server, "GET", f"/api/tasks/{task_id}/data?type=frame&number=0").data
    server.order_fault("corrupt", path="/api/tasks/*/data", after=500)
    bad = ask(server, "GET", f"/api/tasks/{task_id}/data?type=frame&number=0").data
    assert len(bad) == len(good)
    assert [place for place in range(len(good)) if bad[place] != good[place]] == list(range(500, len(good), 4096))


def test_a_worker_that_never_starts_and_one_that_fails(server: StandinProcess) -> None:
    task_id = task_with_image(server)
    export = f"/api/tasks/{task_id}/dataset/export?format=ImageNet 1.0&save_images=true"
    server.order_fault("worker-fails", path="export:*", message="out of memory")
    request_id = ask(server, "POST", export).json()["rq_id"]
    wait_until(lambda: ask(server, "GET", f"/api/requests/{request_id}").json()["status"] == "failed")
    assert "out of memory" in ask(server, "GET", f"/api/requests/{request_id}").json()["message"]

    server.order_fault("stay-queued", path="export:dataset")
    assert ask(server, "POST", export).status == 202
    assert ask(server, "GET", f"/api/requests/{request_id}").json()["status"] == "queued"
    again = ask(server, "POST", export)
    assert (again.status, again.json()) == (409, {"rq_id": request_id})
    assert ask(server, "POST", f"/api/requests/{request_id}/cancel").status == 200
    assert ask(server, "POST", export).status == 202


def test_wrong_orders_are_refused(server: StandinProcess) -> None:
    for order in ({"action": "explode"}, {"action": "status", "seconds": 1e9}, {"action": "status", "colour": 1}, []):
        assert urllib3.request("POST", f"{server.url}/standin/faults", json=order).status == 400
    assert server.faults() == []


def test_a_fault_reaches_the_real_client(server: StandinProcess) -> None:
    server.order_fault("status", method="POST", path="/api/auth/login", status=502, body="<html>Bad Gateway</html>")
    done = run_program(
        [
            *(sys.executable, "-m", "cvat_cli", "--auth", server.username),
            *("--server-host", "http://127.0.0.1", "--server-port", server.url.rsplit(":", 1)[1], "project", "ls"),
        ],
        environment={"PASS": server.password, "PATH": ""},
    )
    assert done.returncode == 1
    assert "502" in done.stderr
