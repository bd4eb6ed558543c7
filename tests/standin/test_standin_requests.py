"""Cancelling background requests, by version."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from standin.process import StandinProcess
from tests.support.images import jpeg
from tests.support.standin_api import Api


class Stuck:
    """An export that is under way until it is let go: its images are a pipe that nobody has written into."""

    def __init__(self, folder: Path, api: Api) -> None:
        self.api = api
        self.folder = folder
        self.project_id = api.project("cat")
        task_id = api.images(self.project_id, {"1.jpg": jpeg(1)})
        (frames,) = folder.rglob(f"{task_id}/frames.bin")
        self._images = frames.read_bytes()
        self._frames = frames
        frames.unlink()
        os.mkfifo(frames)
        self.request_id = self.ask()["rq_id"]
        while api.json("GET", f"requests/{self.request_id}")["status"] != "started":
            pass

    def ask(self) -> dict[str, str]:
        path = f"projects/{self.project_id}/dataset/export?format=ImageNet 1.0&save_images=true"
        answer: dict[str, str] = self.api.ask("POST", path).json()
        return answer

    def let_go(self) -> None:
        """Put the images back, and let the export that waits for them end."""
        waiting = os.open(self._frames, os.O_WRONLY)
        self._frames.unlink()
        self._frames.write_bytes(self._images)
        os.close(waiting)


@pytest.fixture
def stuck(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stuck]:
    with StandinProcess(tmp_path, ("--cvat-version", request.param)) as server:
        one = Stuck(tmp_path, Api(server))
        yield one


@pytest.mark.parametrize("stuck", ["2.73"], indirect=True)
def test_a_running_export_is_cancelled(stuck: Stuck) -> None:
    request = f"requests/{stuck.request_id}"
    assert stuck.ask() == {"rq_id": stuck.request_id}  # 409: it runs
    assert stuck.api.ask("POST", f"{request}/cancel").status == 200
    for method, path in (("GET", request), ("POST", f"{request}/cancel")):
        gone = stuck.api.ask(method, path)
        assert (gone.status, gone.data.decode()) == (404, "There is no request with specified id")
    stuck.let_go()
    # The next one of this name is its own, whatever becomes of the first.
    assert stuck.api.export(f"projects/{stuck.project_id}") == {"no_label/1.jpg": jpeg(1)}
    done = stuck.api.ask("POST", f"{request}/cancel")
    assert (done.status, done.data.decode()) == (400, "Requests with status 'finished' cannot be cancelled")


@pytest.mark.parametrize("stuck", ["2.54"], indirect=True)
def test_or_was_not_up_to_2_64(stuck: Stuck) -> None:
    refused = stuck.api.ask("POST", f"requests/{stuck.request_id}/cancel")
    assert (refused.status, refused.json()) == (
        400,
        ["Only requests that have not yet been started can be cancelled"],
    )
    stuck.let_go()
    assert stuck.api.wait(stuck.request_id)["status"] == "failed"  # a pipe is no file of images
