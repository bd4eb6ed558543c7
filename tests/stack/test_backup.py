"""Backup, restore and upgrade on a real engine, with real dumps of a real PostgreSQL."""

import contextlib
import dataclasses
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.image_builder import BROKEN, NEW, OLD
from tests.support.throw_away import Cvat, free_port, hear_ctrl_c, remove


def backup(cvat: Cvat) -> Path:
    return Path(cvat.make("backup").stdout.strip())


def kept(cvat: Cvat, key: str) -> str | None:
    found = re.search(rf"^{key}=(.*)$", (cvat.root / "config" / "cvat.env").read_text(), re.MULTILINE)
    return found.group(1) if found else None


def sql(cvat: Cvat, query: str) -> str:
    code, output = cvat.container("cvat_db").exec_run(["psql", "-X", "-At", "-U", "root", "-d", "cvat", "-c", query])
    assert code == 0, output
    return str(output.decode().strip())


def test_backup_destroy_restore_gives_everything_back(cvat: Cvat) -> None:
    cvat.up()
    cvat.fill()
    cvat.make("token", **cvat.signed_in())
    sql(
        cvat,
        "CREATE TABLE notes (id serial PRIMARY KEY, text text UNIQUE); INSERT INTO notes (text) VALUES ('ein Wört')",
    )
    before = cvat.exported()

    call = cvat.make("backup")
    file = Path(call.stdout.strip())
    assert "1 projects, 1 tasks, 6 frames, 6 annotations, 1 users" in call.stderr
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(file.parent.iterdir()) == [file]
    assert cvat.status()["problem"] is None
    assert kept(cvat, "CVAT_POSTGRES_PASSWORD").encode() not in file.read_bytes()

    cvat.make("destroy", f"CONFIRM={cvat.project}")
    (cvat.root / "config" / "cvat.env").unlink()
    restored = cvat.make("restore", f"FILE={file}")
    assert "6 annotations" in restored.stderr
    assert cvat.exported() == before
    assert sql(cvat, "SELECT text FROM notes") == "ein Wört"
    assert cvat.make("project", "NAME=by token", "LABELS=one", CVAT_URL=cvat.url).returncode == 0
    owners = cvat.container("cvat_server").exec_run(["stat", "-c", "%u", "/home/django/data", "/home/django/keys"])
    assert owners.output.split() == [b"1000", b"1000"]

    # And once more, in the place of what is there now, which is asked about first and stays for a while.
    replaced = cvat.volumes()
    unasked = cvat.make("restore", f"FILE={file}", code=2)
    assert f"what project {cvat.project} holds now: 2 projects, 1 tasks, 6 frames, 6 annotations" in unasked.stderr
    assert f"CONFIRM={cvat.project}" in unasked.stderr
    wrong = cvat.make("restore", f"FILE={file}", "CONFIRM=cvat", code=2)
    assert "nothing was restored" in wrong.stderr
    again = cvat.make("restore", f"FILE={file}", f"CONFIRM={cvat.project}")
    assert "until make prune or the next backup" in again.stderr
    assert cvat.exported() == before
    assert sql(cvat, "SELECT count(*) FROM engine_project") == "1"
    assert set(replaced) < set(cvat.volumes())
    assert cvat.status()["replaced_volumes"] == replaced
    assert cvat.up().stdout.strip() == cvat.url
    pruned = cvat.make("prune").stderr
    assert all(name in pruned for name in replaced)
    assert len(cvat.volumes()) == 6
    assert "nothing to remove" in cvat.make("prune").stderr
    assert cvat.exported() == before


def test_restore_says_what_it_would_replace_or_that_nobody_can_count(cvat: Cvat) -> None:
    cvat.up()
    cvat.make_superuser()
    file = backup(cvat)
    cvat.make("project", "NAME=newer than the backup", "LABELS=x", **cvat.signed_in())
    cvat.container("cvat_server").pause()  # compose starts nothing beside it
    counted = cvat.make("restore", f"FILE={file}", code=2).stderr
    assert f"what project {cvat.project} holds now: 1 projects, 0 tasks" in counted
    closed = ["psql", "-U", "root", "-d", "postgres", "-c", "ALTER DATABASE cvat WITH ALLOW_CONNECTIONS false"]
    assert cvat.container("cvat_db").exec_run(closed).exit_code == 0
    uncounted = cvat.make("restore", f"FILE={file}", code=2).stderr
    assert f"what project {cvat.project} holds now, which could not be counted (" in uncounted
    assert "not currently accepting connections" in uncounted
    assert f"{cvat.project}_cvat_db" in uncounted
    assert f"CONFIRM={cvat.project}" in uncounted


def test_a_backup_proves_that_nothing_wrote_and_tidies_up(cvat: Cvat) -> None:
    cvat.up()
    cvat.fill()
    insert = "INSERT INTO engine_project VALUES (99, 'late')"
    beside = {
        "1 rows of the database were written": lambda: sql(cvat, insert),
        "cvat_server was started": lambda: cvat.container("cvat_server").start(),
    }
    for sign, write in beside.items():
        said, code = done_at("Copying /home/django/data", write, cvat, "backup_cvat.py")
        assert code == 1, said
        assert "something wrote to CVAT while it was copied" in said
        assert sign in said
        assert list((cvat.root / "backups").iterdir()) == []
        assert cvat.container("cvat_server").status == "running"
    sql(cvat, "DELETE FROM engine_project WHERE id = 99")  # no server knows of it

    _, code = stopped_at("Copying /home/django/data", signal.SIGKILL, cvat, "backup_cvat.py")
    assert code == -signal.SIGKILL
    (left,) = (cvat.root / "backups").iterdir()
    call = cvat.make("backup")
    assert f"{left.name} (" in call.stderr
    assert "which a backup that was killed had left" in call.stderr
    assert list((cvat.root / "backups").iterdir()) == [Path(call.stdout.strip())]
    cvat.up()

    cvat.make("restore", f"FILE={call.stdout.strip()}", f"CONFIRM={cvat.project}")
    assert len(cvat.volumes()) == 12
    assert "which a restore had replaced" in cvat.make("backup").stderr
    assert len(cvat.volumes()) == 6


def test_the_settings_of_one_project_survive_another_s_end(cvat: Cvat) -> None:
    other = {"COMPOSE_PROJECT_NAME": f"{cvat.project}-two", "CVAT_PORT": str(free_port())}
    cvat.up(CVAT_POSTGRES_PASSWORD="Tulip #9 'lamp' $5")
    try:
        cvat.up(**other)
        cvat.make("destroy", f"CONFIRM={cvat.project}-two", **other)
    finally:
        remove(dataclasses.replace(cvat, project=f"{cvat.project}-two"))
    del cvat.settings["CVAT_VERSION"]
    assert "already" in cvat.make("upgrade", code=2, CVAT_VERSION=NEW).stderr
    cvat.make("down")
    cvat.up()
    cvat.make_superuser()


def test_backup_verify_proves_a_backup_and_leaves_nothing(cvat: Cvat) -> None:
    cvat.up()
    cvat.fill()
    file = backup(cvat)
    containers, volumes = {one.id for one in cvat.containers()}, cvat.volumes()
    answer = cvat.make("backup-verify", f"FILE={file}")
    assert f"restores to a healthy CVAT {NEW} with 1 projects, 1 tasks, 6 frames, 6 annotations" in answer.stdout
    assert {one.id for one in cvat.containers()} == containers
    assert cvat.volumes() == volumes
    label = "com.docker.compose.project"
    assert not [
        one for one in cvat.engine.containers.list(all=True) if one.labels.get(label, "").startswith(f"{cvat.project}-")
    ]
    assert not [one for one in cvat.engine.volumes.list() if one.name.startswith(f"{cvat.project}-")]


def test_damaged_and_foreign_files_are_refused_before_anything_is_touched(cvat: Cvat) -> None:
    cvat.up()
    cvat.fill()
    file = backup(cvat)
    running = {one.id for one in cvat.containers()}

    content = bytearray(file.read_bytes())
    content[content.index(b"PGDMP") + 2000] ^= 1
    damaged = cvat.root / "damaged.zip"
    damaged.write_bytes(content)
    assert "database.dump: " in cvat.make("restore", f"FILE={damaged}", code=1).stderr
    assert "database.dump: " in cvat.make("backup-verify", f"FILE={damaged}", code=3).stderr
    short = cvat.root / "short.zip"
    short.write_bytes(file.read_bytes()[:5000])
    assert "is not a whole backup" in cvat.make("restore", f"FILE={short}", code=1).stderr
    foreign = cvat.root / "foreign.zip"
    with zipfile.ZipFile(foreign, "w") as archive:
        archive.writestr("project.json", "{}")
    assert "is no backup made by `make backup`" in cvat.make("restore", f"FILE={foreign}", code=1).stderr
    assert "there is no file" in cvat.make("restore", "FILE=nowhere.zip", code=1).stderr

    other = cvat.make("restore", f"FILE={file}", code=2, CVAT_VERSION=BROKEN).stderr
    assert "OTHER_VERSION=1" in other
    assert {one.id for one in cvat.containers()} == running


def test_a_restore_that_does_not_come_up_leaves_the_old_data_running(cvat: Cvat) -> None:
    cvat.up()
    cvat.fill()
    file = backup(cvat)
    cvat.make("project", "NAME=newer than the backup", "LABELS=x", **cvat.signed_in())
    volumes = cvat.volumes()
    confirmed = f"CONFIRM={cvat.project}"
    answer = cvat.make("restore", f"FILE={file}", confirmed, "OTHER_VERSION=1", code=1, CVAT_VERSION=BROKEN)
    assert "cvat_server ended with exit code 1" in answer.stderr
    assert "going back" in answer.stderr
    assert kept(cvat, "CVAT_VERSION") == NEW
    assert cvat.volumes() == volumes
    cvat.up()
    assert sql(cvat, "SELECT count(*) FROM engine_project") == "2"


def test_a_restore_that_is_stopped_or_killed_leaves_the_old_data(cvat: Cvat) -> None:
    cvat.up()
    cvat.fill()
    file = backup(cvat)
    cvat.make("project", "NAME=newer than the backup", "LABELS=x", **cvat.signed_in())
    volumes = cvat.volumes()
    for number, moment in (
        (signal.SIGINT, "Restoring the database"),
        (signal.SIGTERM, "Restoring /home/django/data"),
        (signal.SIGKILL, "Starting CVAT"),
    ):
        said, code = stopped_at(moment, number, cvat, "restore_cvat.py", f"--file={file}", f"--confirm={cvat.project}")
        if number == signal.SIGKILL:
            assert code == -signal.SIGKILL
        else:
            assert code == 130
            assert "going back" in said
            assert cvat.volumes() == volumes
        if number == signal.SIGKILL:
            assert "make up takes the data from before" in cvat.make("start", code=1).stderr
            assert "the data from before it are taken again" in cvat.up().stderr
        else:
            cvat.up()
        assert sql(cvat, "SELECT count(*) FROM engine_project") == "2", moment
    cvat.make("restore", f"FILE={file}", f"CONFIRM={cvat.project}")
    assert sql(cvat, "SELECT count(*) FROM engine_project") == "1"
    assert len(cvat.volumes()) == 2 * len(volumes), "what the killed one had filled is gone"
    assert set(volumes) < set(cvat.volumes())


def stopped_at(moment: str, number: int, cvat: Cvat, script: str, *arguments: str) -> tuple[str, int]:
    """Send a signal to a script when it says what it is at; give what it says then, and how it ends."""
    return done_at(moment, number, cvat, script, *arguments)


def done_at(moment: str, what: int | Callable[[], object], cvat: Cvat, script: str, *arguments: str) -> tuple[str, int]:
    """Send a signal to a script, or do something, when it says what it is at; give what it says then, and its end."""
    with subprocess.Popen(
        [sys.executable, f"scripts/{script}", *arguments],
        cwd=cvat.root,
        env=cvat.environment(),
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_ctrl_c,
    ) as call:
        assert call.stderr is not None
        for line in call.stderr:
            if moment in line:
                break
        if callable(what):
            what()
        else:
            os.kill(call.pid, what)
        said = call.stderr.read()
    return said, call.returncode


def images(cvat: Cvat) -> dict[str, str]:
    return {one.labels["com.docker.compose.service"]: one.attrs["Config"]["Image"] for one in cvat.containers()}


def test_upgrade_moves_all_images_keeps_everything_and_goes_back_when_it_fails(cvat: Cvat, engine: Any) -> None:
    # As a toolkit of another time left it: the oldest CVAT, on the OPA and the Kvrocks of then.
    moved = {"CVAT_OPA_IMAGE": "cvat_opa", "CVAT_REDIS_ONDISK_IMAGE": "cvat_redis_ondisk"}
    then = {}
    for key in moved:
        then[key] = f"{cvat.project}-{moved[key]}:then"
        engine.images.get(cvat.settings[key]).tag(*then[key].split(":"))
    try:
        cvat.up(CVAT_VERSION=OLD, **then)
        cvat.fill()
        before, images_then = cvat.exported(), images(cvat)
        failed = cvat.make("upgrade", code=1, CVAT_VERSION=BROKEN)
        assert f"error: CVAT {BROKEN} does not come up: cvat_server ended with exit code 1" in failed.stderr
        assert f"CVAT {OLD} runs again with its data" in failed.stderr
        assert images(cvat) == images_then
        assert cvat.exported() == before

        upgraded = cvat.make("upgrade", CVAT_VERSION=NEW.lstrip("v"))
        assert f"CVAT {NEW} holds all that {OLD} held" in upgraded.stderr
        assert kept(cvat, "CVAT_VERSION") == NEW
        assert cvat.exported() == before
        assert sql(cvat, "SELECT count(*) FROM django_migrations") == "2"
        now = images(cvat)
        assert now["cvat_server"].endswith(f":{NEW}")
        assert {key: now[service] for key, service in moved.items()} == {key: cvat.settings[key] for key in moved}
    finally:
        cvat.make("down")
        for image in then.values():
            engine.images.remove(image)


def test_an_upgrade_to_nothing_new_or_nowhere_changes_nothing(cvat: Cvat) -> None:
    cvat.up()
    del cvat.settings["CVAT_VERSION"]
    assert "already" in cvat.make("upgrade", code=2, CVAT_VERSION=NEW).stderr
    missing = cvat.make("upgrade", code=1, CVAT_VERSION="v9.9.9")
    assert "likely cause" in missing.stderr
    assert cvat.status()["problem"] is None


def test_an_interrupted_backup_leaves_no_file_and_a_running_cvat_in_flat_memory(cvat: Cvat) -> None:
    cvat.up()
    cvat.container("cvat_server").exec_run(["dd", "if=/dev/zero", "of=/home/django/data/big", "bs=1M", "count=200"])
    said, code = stopped_at("Copying /home/django/data", signal.SIGINT, cvat, "backup_cvat.py")
    assert "interrupted" in said
    assert code == 130
    assert list((cvat.root / "backups").iterdir()) == []
    assert cvat.container("cvat_server").status == "running"
    assert cvat.container("cvat_worker").status == "running"

    whole = subprocess.Popen(
        [sys.executable, "scripts/backup_cvat.py"],
        cwd=cvat.root,
        env=cvat.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    peak = 0
    while whole.poll() is None:
        with contextlib.suppress(OSError, ValueError, StopIteration):  # it has just ended
            status = Path(f"/proc/{whole.pid}/status").read_text()
            peak = int(next(line for line in status.splitlines() if line.startswith("VmHWM:")).split()[1])
        time.sleep(0.05)
    assert whole.returncode == 0
    (file,) = (cvat.root / "backups").iterdir()
    assert file.stat().st_size > 200 << 20
    assert 0 < peak < 120 << 10, f"{peak} KiB"  # ru_maxrss would count the process that started it, too


def test_backup_of_a_stopped_cvat_leaves_it_stopped(cvat: Cvat) -> None:
    assert "nothing to back up" in cvat.make("backup", code=1).stderr
    cvat.up()
    cvat.fill()
    cvat.make("stop")
    first = backup(cvat)
    assert {one.status for one in cvat.containers()} == {"exited"}
    cvat.make("down")
    second = backup(cvat)
    assert cvat.containers() == []
    with zipfile.ZipFile(first) as one, zipfile.ZipFile(second) as other:
        assert one.read("keys.tar") == other.read("keys.tar")
