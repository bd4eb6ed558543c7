"""How long is waited, what is tried again, and how what was left is told from what is in use."""

import http.server
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import urllib3

from tests.support import local_server
from toolkit.core.errors import UsageError
from toolkit.core.files import remove_abandoned, temporary_folder, try_lock
from toolkit.core.retry import LONGEST_WAIT, RetryPolicy, read_retry_policy
from toolkit.cvat import cli
from toolkit.cvat import probes as server_questions
from toolkit.cvat.cli import JobMonitor
from toolkit.cvat.http import harden
from toolkit.transfer.journal import ImportRecord, ImportTarget, TaskRecord, begin, interrupted_imports


def test_limits_come_from_the_environment():
    assert read_retry_policy({}) == RetryPolicy(60.0, 3, 1.0)
    given = {"CVAT_ANSWER_TIMEOUT": "2.5", "CVAT_ATTEMPTS": "1", "CVAT_RETRY_WAIT": "0"}
    assert read_retry_policy(given) == RetryPolicy(2.5, 1, 0.0, 0)
    assert [RetryPolicy(wait=1.0).pause(failures) for failures in (1, 2, 3, 20)] == [1.0, 2.0, 4.0, LONGEST_WAIT]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CVAT_ANSWER_TIMEOUT", "soon"),
        ("CVAT_ANSWER_TIMEOUT", "0"),
        ("CVAT_ANSWER_TIMEOUT", "nan"),
        ("CVAT_ATTEMPTS", "0"),
        ("CVAT_ATTEMPTS", "2.5"),
        ("CVAT_RETRY_WAIT", "61"),
    ],
)
def test_a_limit_out_of_its_range_is_a_usage_error(name, value):
    with pytest.raises(UsageError, match=f"{name} must be a .*found {value}"):
        read_retry_policy({name: value})


@contextmanager
def server(*answers: tuple[int, dict[str, str]]) -> Iterator[tuple[str, list[str]]]:
    """Answer with the given statuses and headers, the last one for ever; gives the address and what was asked."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def _answer(self) -> None:
            status, headers = answers[min(len(asked), len(answers) - 1)]
            asked.append(f"{self.command} {self.path}")
            self.send_response(status)
            for name, value in ({"Content-Length": "0"} | headers).items():
                self.send_header(name, value)
            self.end_headers()

        do_GET = do_POST = _answer

        def log_message(self, *_: object) -> None:
            pass

    with local_server.serving(Handler) as running:
        yield running.url, asked


def ask(url: str, method: str, path: str, notice: Callable[[str], None] = lambda line: None) -> int:
    pool = urllib3.PoolManager()
    harden(pool, url, RetryPolicy(answer=5.0, attempts=3, wait=0.01), notice)
    return pool.request(method, url + path).status


@pytest.mark.parametrize(
    ("method", "path", "status", "requests"),
    [
        ("GET", "/x", 500, 3),
        ("POST", "/x", 500, 1),
        ("POST", "/x", 502, 1),
        ("POST", "/x", 503, 3),
        ("POST", "/x", 429, 3),
        ("POST", "/api/auth/login", 500, 3),
        ("GET", "/x", 404, 1),
    ],
)
def test_only_what_is_safe_is_sent_again(method, path, status, requests):
    notices: list[str] = []
    with server((status, {})) as (url, asked):
        assert ask(url, method, path, notices.append) == status
        assert asked == [f"{method} {path}"] * requests
    assert len(notices) == requests - 1
    assert all(f"HTTP {status} for {method} {path}, attempt" in line for line in notices)


def test_a_server_is_given_the_time_that_it_asks_for_but_not_an_hour():
    started = time.monotonic()
    with server((503, {"Retry-After": "1"}), (200, {})) as (url, asked):
        assert ask(url, "GET", "/x") == 200
        assert len(asked) == 2
    assert time.monotonic() - started >= 1
    with server((503, {"Retry-After": "3600"})) as (url, asked):
        assert ask(url, "GET", "/x") == 503
        assert len(asked) == 1
    with server((503, {"Retry-After": "soon"}), (200, {})) as (url, _):
        assert ask(url, "GET", "/x") == 200


@pytest.mark.parametrize(
    ("asked_for", "turns", "status", "requests"),
    [("2", 8, 200, 9), ("2", 1000, 429, 33), ("20", 4, 200, 5), ("61", 1, 429, 1), ("0", 1000, 429, 3)],
)
def test_a_turn_to_sign_in_is_waited_for_but_not_for_ever(monkeypatch, asked_for, turns, status, requests):
    pauses: list[float] = []
    monkeypatch.setattr("urllib3.util.retry.time.sleep", pauses.append)
    answers = [(429, {"Retry-After": asked_for})] * turns + [(200, {})]
    notices: list[str] = []
    with server(*answers) as (url, asked):
        assert ask(url, "POST", "/api/auth/login", notices.append) == status
        assert len(asked) == requests
    if asked_for != "0":
        assert pauses == [float(asked_for)] * (requests - 1)
        assert len(notices) == len(pauses)


def test_a_question_about_this_moment_does_not_wait_for_a_turn():
    with server((429, {"Retry-After": "2"})) as (url, asked):
        assert server_questions.ask(url, "/api/auth/login", "POST", {}).status == 429
        assert len(asked) == 1


def test_a_redirect_within_the_server_is_followed():
    with server((302, {"Location": "/y"}), (200, {})) as (url, asked):
        assert ask(url, "GET", "/x") == 200
        assert asked == ["GET /x", "GET /y"]


def test_requests_for_other_hosts_go_to_the_server_that_was_named():
    with server((200, {})) as (url, asked):
        pool = urllib3.PoolManager()
        harden(pool, url, RetryPolicy(), lambda line: None)
        assert pool.request("GET", "http://192.0.2.1:8080/data/1?x=y").status == 200
        assert asked == ["GET /data/1?x=y"]


def test_a_queue_is_warned_of_once(monkeypatch):
    monkeypatch.setattr(cli, "QUEUED_TOO_LONG", 0.0)
    said: list[str] = []
    watch = JobMonitor("import", said.append)
    watch.on_line("[2026-01-01 00:00:00] INFO: Task 1 creation status: queued (message=)")
    for _ in range(3):
        time.sleep(0.01)
        watch.on_idle()
    assert len(said) == 1
    assert "the import worker may be busy or down" in said[0]
    watch.on_line("[2026-01-01 00:00:00] INFO: Task 1 creation status: started (message=)")
    assert watch.timeout_message(5) == "no import after 5 s, it was last started: give a longer --timeout"


HOLD = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from toolkit.core.files import temporary_folder
with temporary_folder(Path(sys.argv[2]), ".work-") as folder:
    (folder / "large").write_text("x")
    print(folder, flush=True)
    sys.stdin.read()
"""


def test_a_killed_runs_folder_goes_with_the_next_and_a_living_ones_stays(tmp_path):
    scripts = next(path for path in sys.path if path.endswith("scripts"))
    command = [sys.executable, "-c", HOLD, scripts, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        (held,) = tmp_path.iterdir()
        assert remove_abandoned(tmp_path, ".work-") == []
        process.kill()
        process.wait()
        assert held.exists()
        with temporary_folder(tmp_path, ".work-") as folder:
            assert list(tmp_path.iterdir()) == [folder]
    assert list(tmp_path.iterdir()) == []


def test_folders_that_nobody_claims_go_and_nothing_else(tmp_path):
    abandoned_one, mine = tmp_path / ".work-abandoned", tmp_path / "mine"
    abandoned_one.mkdir()
    mine.mkdir()
    (tmp_path / ".work-link").symlink_to(mine)
    (tmp_path / ".work-file").write_text("x")
    assert remove_abandoned(tmp_path, ".work-") == [abandoned_one]
    assert {path.name for path in tmp_path.iterdir()} == {"mine", ".work-link", ".work-file"}


USE_OFTEN = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from toolkit.core.files import temporary_folder
for number in range(300):
    with temporary_folder(Path(sys.argv[2]), ".work-") as folder:
        (folder / "file").write_text(str(number))
        assert (folder / "file").read_text() == str(number)
"""


def test_runs_that_begin_together_do_not_take_each_others_folders(tmp_path):
    scripts = next(path for path in sys.path if path.endswith("scripts"))
    command = [sys.executable, "-c", USE_OFTEN, scripts, str(tmp_path)]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    assert [process.communicate(timeout=240)[1] for process in processes] == [""] * 3
    assert list(tmp_path.iterdir()) == []


def test_a_claim_on_a_file_that_was_removed_meanwhile_does_not_count(tmp_path):
    with try_lock(tmp_path / "lock"), pytest.raises(BlockingIOError), try_lock(tmp_path / "lock"):
        pass


def test_journals_are_found_by_their_aim_alone(tmp_path):
    target = ImportTarget("http://x", 1, "t", "/images")
    with (
        begin(ImportRecord(target, [TaskRecord("t", 1, "d")]), tmp_path),
        interrupted_imports(target, tmp_path) as living,
    ):
        assert living == []
    with interrupted_imports(ImportTarget("http://x", 2, "t", "/images"), tmp_path) as other:
        assert other == []
    with interrupted_imports(target, tmp_path) as found:
        assert [journal.record.tasks[0].name for journal in found] == ["t"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"version": 1}', '{"version": 99, "aim": {}}'])
def test_a_damaged_journal_is_forgotten(tmp_path, content):
    target = ImportTarget("http://x", 1, "t", "/images")
    with begin(ImportRecord(target, [TaskRecord("t", 1, "d")]), tmp_path):
        (path,) = tmp_path.glob("*.json")
        path.write_text(content)
    with interrupted_imports(target, tmp_path) as found:
        assert found == []
    assert list(tmp_path.iterdir()) == []
