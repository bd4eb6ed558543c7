"""Starting and stopping the stand-in server."""

import json
import urllib.request

from standin.process import StandinProcess


def about(url: str) -> dict[str, str]:
    with urllib.request.urlopen(f"{url}/api/server/about", timeout=30) as response:
        return json.load(response)


def test_it_says_that_it_is_a_stand_in(standin: StandinProcess) -> None:
    answer = about(standin.url)
    assert "stand-in" in answer["name"]
    assert "not CVAT" in answer["description"]
    assert answer["version"] == "2.73.0"


def test_it_can_be_told_which_cvat_to_imitate() -> None:
    with StandinProcess(options=("--cvat-version", "2.54")) as server:
        assert about(server.url)["version"] == "2.54.1"


def test_it_stops_cleanly_on_sigterm() -> None:
    server = StandinProcess()
    about(server.url)
    server.stop()
    assert server.process.returncode == 0


def test_it_ends_with_the_process_that_started_it() -> None:
    server = StandinProcess()
    assert server.process.stdin is not None
    server.process.stdin.close()
    assert server.process.wait(240) == 0
