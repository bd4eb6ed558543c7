"""Files that somebody else has put there, servers that lie about sizes, streams that are closed, signals ignored."""

import gzip
import http.server
import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
import urllib3

from tests.support import local_server
from toolkit.config.file import exposed_password, open_configuration
from toolkit.core.errors import ToolkitError, UsageError
from toolkit.core.files import read_own, write_atomically
from toolkit.core.retry import RetryPolicy
from toolkit.cvat import probes
from toolkit.cvat.connection import StoredToken, check_url, read_token, resolve_connection, save_token
from toolkit.cvat.http import EndlessAnswer, harden
from toolkit.transfer.journal import ImportRecord, ImportTarget, TaskRecord, begin, interrupted_imports

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.mark.parametrize("path", [probes.HEALTH_PATH, probes.LOGIN_PATH])
@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_the_limit_of_an_answer_counts_what_comes_out_of_it(path, encoding):
    import zlib

    zeros = bytes(64 * 1024**2)
    body = gzip.compress(zeros, 9) if encoding == "gzip" else zlib.compress(zeros, 9)
    assert len(body) < 1024**2

    class Handler(http.server.BaseHTTPRequestHandler):
        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response_only(200)
            self.send_header("Content-Encoding", encoding)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = _answer

        def log_message(self, *_: object) -> None:
            pass

    with local_server.serving(Handler) as running:
        with pytest.raises(probes.Unreachable, match="its answer has no end"):
            probes.ask(running.url, path, "POST" if path == probes.LOGIN_PATH else "GET")
        pool = urllib3.PoolManager()
        harden(pool, running.url, RetryPolicy(attempts=1), lambda line: None, largest=1024**2)
        with pytest.raises(EndlessAnswer):
            pool.request("GET", running.url)
        pool = urllib3.PoolManager()
        harden(pool, running.url, RetryPolicy(attempts=1), lambda line: None, largest=128 * 1024**2)
        assert pool.request("GET", running.url).data == zeros


@pytest.mark.parametrize(
    "url",
    [
        "http://admin:S3cret/x@host",
        "http://admin:S3cret#x@host",
        "http://admin:S3cret?x@host",
        "http://admin:S3cret[x@host",
        "admin:S3cret@host",
        "//admin:S3cret@host",
        "http://admin:S3cret@host/path",
        "http://S3cret@host",
        "http://admin:S3cret%40host",
        "http:/admin:S3cret\\@host",
        "ftp://admin:S3cret@[::1]:x",
    ],
)
def test_no_part_of_an_address_that_may_be_a_password_is_shown(url):
    for check in (lambda: check_url(url), lambda: resolve_connection(url=url, environ={"CVAT_ACCESS_TOKEN": "t"})):
        with pytest.raises(UsageError) as caught:
            check()
        said = caught.value.message + str(caught.value.details)
        assert "S3cret" not in said
        assert "CVAT_USERNAME and CVAT_PASSWORD" in said


def token(url: str = "http://x:1") -> StoredToken:
    return StoredToken(url, "ana", "2999-01-01T00:00:00+00:00", 1, "t0ken")


@pytest.fixture
def token_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CVAT_TOKEN_FILE", str(tmp_path / "tok"))
    return tmp_path / "tok"


def test_a_fifo_or_a_link_in_the_tokens_place_is_told_at_once(token_file):
    os.mkfifo(token_file)
    with pytest.raises(ToolkitError, match="is no token of yours"):
        read_token()
    token_file.unlink()
    save_token(token())
    real = token_file.with_name("real")
    token_file.rename(real)
    token_file.symlink_to(real)
    with pytest.raises(ToolkitError, match="is no token of yours"):
        read_token()


@pytest.mark.parametrize(
    "wrong", [{"id": "1"}, {"value": 5}, {"value": "a b"}, {"url": None}, {"expires": "soon"}, {"more": 1}]
)
def test_a_token_file_with_wrong_types_is_damaged(token_file, wrong):
    save_token(token())
    token_file.write_text(json.dumps(json.loads(token_file.read_text()) | wrong))
    with pytest.raises(ToolkitError, match="is damaged"):
        read_token()


def test_what_is_planted_beside_a_file_is_not_written_to(tmp_path):
    for name in (".tok.part", ".tok.part.part"):
        (tmp_path / name).write_text("planted")
    (tmp_path / "elsewhere").write_text("kept")
    (tmp_path / "tok").symlink_to("elsewhere")
    write_atomically(tmp_path / "tok", "new", is_private=True)
    assert (tmp_path / "elsewhere").read_text() == "kept"
    assert [stat.S_IMODE((tmp_path / "tok").lstat().st_mode), (tmp_path / "tok").is_symlink()] == [0o600, False]
    assert (tmp_path / ".tok.part").read_text() == "planted"
    assert sorted(path.name for path in tmp_path.iterdir()) == [".tok.part", ".tok.part.part", "elsewhere", "tok"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away; run it as root")
def test_files_of_others_are_not_ours(tmp_path, token_file):
    save_token(token())
    os.chown(token_file, 12345, -1)
    with pytest.raises(ToolkitError, match="belongs to another user"):
        read_token()
    with pytest.raises(OSError, match="belongs to another user"):
        read_own(token_file)


def test_a_journal_is_trusted_only_in_a_folder_of_ours(tmp_path):
    folder = tmp_path / "imports"
    target = ImportTarget("http://x", 1, "t", "/images")
    task = TaskRecord("t", 1, "d")
    with begin(ImportRecord(target, [task]), folder) as journal:
        journal.change(task, state="started")
    (file,) = folder.glob("*.json")
    with interrupted_imports(target, folder) as found:
        assert len(found) == 1
    folder.chmod(0o777)
    with interrupted_imports(target, folder) as found:
        assert found == []
    with pytest.raises(OSError, match="others can write"), begin(ImportRecord(target, [task]), folder):
        pass
    folder.chmod(0o700)
    content = json.loads(file.read_text())
    for wrong in ({"tasks": [{"name": 5}]}, {"tasks": "x"}, {"target": []}, {"tags": "yes"}, {"images_per_task": "2"}):
        file.write_text(json.dumps(content | wrong))
        with interrupted_imports(target, folder) as found:
            assert found == []
        file.write_text(json.dumps(content))
    file.unlink()
    os.mkfifo(file)
    with interrupted_imports(target, folder) as found:
        assert found == []


def test_a_received_folder_runs_nothing(tmp_path, monkeypatch):
    """Its git configuration, hooks and a program named git in it are somebody else's."""
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    configuration = tmp_path / "configuration.json"
    configuration.write_text('{"cvat_password": "x"}')
    configuration.chmod(0o600)
    subprocess.run(["git", "-C", tmp_path, "add", "configuration.json"], check=True)
    mark = tmp_path / "ran"
    program = tmp_path / "git"
    program.write_text(f"#!/bin/sh\ntouch '{mark}'\n")
    program.chmod(0o755)
    for key in ("core.fsmonitor", "core.pager", "core.sshCommand", "core.editor", "alias.ls-files", "diff.external"):
        value = f"!touch '{mark}'" if key.startswith("alias") else f"touch '{mark}'"
        subprocess.run(["git", "-C", tmp_path, "config", key, value], check=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f".::{os.environ['PATH']}")
    warnings = exposed_password(open_configuration(Path("configuration.json")))
    assert ["tracked by git" in line for line in warnings] == [True]
    assert not mark.exists()


SCRIPT = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from toolkit.cli.script import run_script
import time
from pathlib import Path
from toolkit.cli import console
from toolkit.core.errors import ToolkitError

def main(debug: console.Debug = False) -> None:
    console.say("begun")
    Path("began").touch()
    while Path("wait").exists():
        time.sleep(0.02)
    if Path("fail").exists():
        raise ToolkitError("no") from ValueError("\\x1b[31mred \\x07")
    console.result("the result")

run_script(main)
"""


def started(folder: Path, redirection: str = "", *options: str) -> "subprocess.Popen[str]":
    (folder / "script.py").write_text(SCRIPT)
    line = f"exec {sys.executable} script.py {SCRIPTS} {' '.join(options)} {redirection}"
    pipe = subprocess.PIPE
    return subprocess.Popen(["sh", "-c", line], cwd=folder, stdout=pipe, stderr=pipe, text=True, start_new_session=True)


@pytest.mark.parametrize(
    ("redirection", "out", "err"),
    [
        ("> /dev/full", "", "the result"),
        (">&-", "", "the result"),
        ("2>&-", "the result\n", ""),
        ("2> /dev/full", "the result\n", ""),
        ("> /dev/full 2> /dev/full", "", ""),
        (">&- 2>&- <&-", "", ""),
    ],
)
def test_the_code_tells_what_was_done_wherever_it_can_be_said(tmp_path, redirection, out, err):
    process = started(tmp_path, redirection)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (0, out)
    assert err in errors
    assert "Traceback" not in errors + output


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("is_ignored", [True, False])
def test_a_signal_that_was_ignored_stays_ignored(tmp_path, number, is_ignored):
    (tmp_path / "wait").touch()
    trap = f"trap '' {number.name.removeprefix('SIG')}; " if is_ignored else ""
    (tmp_path / "script.py").write_text(SCRIPT)
    line = f"{trap}exec {sys.executable} script.py {SCRIPTS}"
    process = subprocess.Popen(
        ["sh", "-c", line], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    end = time.monotonic() + 60
    while not (tmp_path / "began").exists():
        assert time.monotonic() < end
        time.sleep(0.02)
    process.send_signal(number)
    if is_ignored:
        (tmp_path / "wait").unlink()
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == ((0, "the result\n") if is_ignored else (130, ""))
    assert ("interrupted" in errors) is not is_ignored


def test_debug_shows_no_escape_sequence_of_a_server(tmp_path):
    (tmp_path / "fail").touch()
    process = started(tmp_path, "", "--debug")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Traceback" in errors
    assert "\x1b" not in errors
    assert "\x07" not in errors
    assert "\\x1b[31mred" in errors
