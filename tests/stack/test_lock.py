"""One command at a time changes a project: who waits, who is told what, and what a killed one leaves."""

import contextlib
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.fake_engine import PROJECT, FakeEngine
from tests.support.script_runs import SCRIPTS, run_script
from toolkit.core.errors import ToolkitError
from toolkit.stack import backup_file, lock

HOLD = """
import subprocess, sys, time
from toolkit.stack.compose import shared_descriptors
from toolkit.stack.lock import project_lock
with project_lock(sys.argv[1], "make backup", False, print):
    if sys.argv[2:]:
        subprocess.Popen([*sys.argv[2:]], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, pass_fds=shared_descriptors)
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[dict[str, str]]:
    with FakeEngine() as engine:
        yield {
            **{name: value for name, value in os.environ.items() if not name.startswith(("CVAT_", "COMPOSE_"))},
            **engine.environment(),
            "XDG_STATE_HOME": str(tmp_path / "state"),
            "PYTHONPATH": str(SCRIPTS),
            "CVAT_SUPERUSER_USERNAME": "ana",
            "CVAT_SUPERUSER_PASSWORD": "Tulip-9-lamp-River",
        }


@contextlib.contextmanager
def holder(world: dict[str, str], *child: str) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-c", HOLD, PROJECT, *child]
    with subprocess.Popen(command, env=world, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def changing(world: dict[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    return run_script("create_superuser.py", *options, environment=world)


def test_the_second_is_told_who_is_at_work_and_since_when(world: dict[str, str]) -> None:
    with holder(world) as first:
        second = changing(world)
        assert second.returncode == 1
        assert f"project {PROJECT} is being changed by `make backup` (process {first.pid}, since " in second.stderr
        assert "--wait" in second.stderr
        for script, options in (
            ("up_cvat.py", ()),
            ("backup_cvat.py", ()),
            ("upgrade_cvat.py", ("--version", "v2.74.0")),
            ("destroy_cvat.py", ("--confirm", PROJECT)),
            ("prune_volumes.py", ()),
        ):
            answer = run_script(script, *options, environment=world)
            assert answer.returncode == 1, answer.stderr
            assert "is being changed by `make backup`" in answer.stderr, answer.stderr
    assert changing(world).returncode == 0, "a killed holder frees it"


def test_the_second_waits_when_it_is_told_to(world: dict[str, str]) -> None:
    with holder(world) as first:
        command = [sys.executable, str(SCRIPTS / "create_superuser.py")]
        waiting = {**world, "WAIT": "1"}
        with subprocess.Popen(
            command, env=waiting, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as second:
            assert second.stderr is not None
            assert f"Waiting for `make backup` (process {first.pid}, since" in second.stderr.readline()
            assert second.poll() is None
            first.send_signal(signal.SIGKILL)
            assert "ana" in second.stderr.read()
            assert second.wait() == 0


def test_what_a_killed_command_has_begun_on_the_engine_is_waited_for(world: dict[str, str]) -> None:
    # The docker call ends when its input does, which a process of ours keeps open here.
    with holder(world, "sleep", "4") as first:
        first.kill()
        first.wait()
        answer = changing(world)
        assert "which was killed, to end on the engine" in answer.stderr
        assert answer.returncode == 0, answer.stderr


def test_other_projects_and_other_engines_are_not_locked(
    world: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("XDG_STATE_HOME", "DOCKER_HOST"):
        monkeypatch.setenv(name, world[name])
    with lock.project_lock("one", "make up", False, print):
        with lock.project_lock("two", "make up", False, print):
            pass
        monkeypatch.setenv("DOCKER_HOST", "tcp://elsewhere:2375")
        with lock.project_lock("one", "make up", False, print):
            pass


def test_a_folder_of_locks_that_others_can_write_to_is_not_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    folder = lock.lock_file("cvat").parent
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)
    with pytest.raises(ToolkitError, match="not a folder that you alone can write to"):
        lock.lock_file("cvat")
    folder.rmdir()
    folder.symlink_to(tmp_path)
    with pytest.raises(ToolkitError, match="not a folder that you alone can write to"):
        lock.lock_file("cvat")


# --- what backups leave beside their files ---------------------------------------------------------------------------


def manifest() -> backup_file.Manifest:
    return backup_file.Manifest("2026-01-02T03:04:05+00:00", "cvat", "v2.73.0", {}, {}, {}, 0, {})


def write(target: Path, meanwhile: Callable[[], object] | None = None) -> None:
    with backup_file.writing(target) as writer:
        writer.add(backup_file.DATABASE, [b"PGDMP", b"the second" if meanwhile else b"the first"])
        for part in (backup_file.DATA, backup_file.KEYS):
            writer.add(part, [b"\0" * 10240])
        writer.finish(manifest())
        if meanwhile:
            meanwhile()


def test_a_killed_backup_s_part_is_removed_by_the_next_and_a_living_one_s_is_not(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path; from toolkit.stack import backup_file\n"
        "with backup_file.writing(Path(sys.argv[1])) as writer:\n"
        "    writer.add('database.dump', [b'secret' * 1000]); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(SCRIPTS)}
    subprocess.run([sys.executable, "-c", script, tmp_path / "one.zip"], env=environment, check=False)
    (left,) = tmp_path.iterdir()
    assert left.stat().st_mode & 0o777 == 0o600
    old = tmp_path / ".cvat-v2.73.0-20260102T030405Z.cvat-backup.zip.part"
    old.write_bytes(b"1234")
    removed: dict[Path, int] = {}
    write(tmp_path / "alive.zip", meanwhile=lambda: removed.update(backup_file.remove_abandoned_parts(tmp_path)))
    assert removed.keys() == {left, old}
    assert removed[old] == 4
    assert [path.name for path in tmp_path.iterdir()] == ["alive.zip"]


def test_two_backups_of_one_name_leave_the_first_as_it_was(tmp_path: Path) -> None:
    target = tmp_path / "a.zip"
    with pytest.raises(ToolkitError, match="exists already: name another file"):
        write(target, meanwhile=lambda: write(target))
    assert b"the second" not in target.read_bytes()
    with pytest.raises(ToolkitError, match="exists already: name another file"):
        write(target)
    assert list(tmp_path.iterdir()) == [target]
    assert zipfile.is_zipfile(target)


def test_a_pipe_in_a_backup_s_place_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.zip")
    with pytest.raises(ToolkitError, match="is no file"):
        backup_file.check(tmp_path / "pipe.zip")
