"""Two lifecycle commands at once: the data stay whole; settings, containers and volumes agree."""

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.image_builder import NEW, OLD
from tests.support.throw_away import PROJECT_LABEL, Cvat
from toolkit.stack.lock import ABANDONED_SECONDS

PAIRS = 50 if os.environ.get("SWEEPS") else 2
LONGEST_PAUSE = 5.0
KILLED = 0.15
"""The share of the commands that are killed at a random moment."""


def start(cvat: Cvat, *words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, f"scripts/{words[0]}", *words[1:]],
        cwd=cvat.root,
        env=cvat.environment(CVAT_SUPERUSER_PASSWORD="Tulip-9-lamp-River"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(process: "subprocess.Popen[str]", words: str) -> None:
    """Read what a command says until it says this."""
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if words in line:
            return
    raise AssertionError(f"{words} was not said:\n{''.join(said)}")


@contextmanager
def held_at(words: str, process: "subprocess.Popen[str]") -> Iterator["subprocess.Popen[str]"]:
    """Stop a command where it says this, for as long as the block takes, and then see it end."""
    wait_for(process, words)
    process.send_signal(signal.SIGSTOP)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        process.communicate()


def check_agreement(cvat: Cvat, story: str = "") -> None:
    """Hold what the settings name against what the containers use and what the engine has."""
    used = {mount["Name"] for one in cvat.containers() for mount in one.attrs["Mounts"] if mount["Type"] == "volume"}
    settings = (cvat.root / "config" / "cvat.env").read_text()
    suffix = next((line[13:] for line in settings.splitlines() if line.startswith("CVAT_VOLUMES=")), "")
    expected = {f"{cvat.project}_{name}{suffix}" for name in ("cvat_db", "cvat_data", "cvat_keys")}
    assert expected <= used <= set(cvat.volumes()), story
    assert all(name.endswith(suffix) for name in used), story


def throw_aways(cvat: Cvat) -> set[str]:
    """Name the projects that backup-verify has made and not removed yet."""
    labels = [one.labels for one in cvat.engine.containers.list(all=True, ignore_removed=True)]
    labels += [one.attrs.get("Labels") or {} for one in cvat.engine.volumes.list()]
    projects = {one.get(PROJECT_LABEL, "") for one in labels}
    return {name for name in projects if name.startswith(f"{cvat.project}-check-")}


def test_nothing_comes_between_the_steps_of_a_backup_and_of_a_restore(cvat: Cvat) -> None:
    cvat.up()
    cvat.make_superuser()
    cvat.make("project", "NAME=kept", "LABELS=x", **cvat.signed_in())
    file = cvat.root / "first.zip"
    restore = ("restore_cvat.py", f"--file={file}", f"--confirm={cvat.project}")

    with held_at("Stopping the server", start(cvat, "backup_cvat.py", f"--file={file}")) as backup:
        beside = cvat.up(code=1).stderr
        assert f"is being changed by `make backup` (process {backup.pid}, since" in beside
        waiting = start(cvat, "up_cvat.py", "--wait")
        wait_for(waiting, "Waiting for `make backup`")
    assert backup.returncode == 0
    wait_for(waiting, "CVAT is ready")
    waiting.communicate()
    check_agreement(cvat)

    with held_at("Taking the containers down", start(cvat, *restore)) as first:
        again = cvat.make("restore", f"FILE={file}", f"CONFIRM={cvat.project}", code=1).stderr
        assert "is being changed by `make restore`" in again
        assert "is being changed by `make restore`" in cvat.up(code=1).stderr
    assert first.returncode == 0
    check_agreement(cvat)

    with held_at("Starting CVAT", start(cvat, "up_cvat.py")) as up:
        again = cvat.make("restore", f"FILE={file}", f"CONFIRM={cvat.project}", code=1).stderr
        assert "is being changed by `make up`" in again
    assert up.returncode == 0
    check_agreement(cvat)


def test_what_a_killed_verification_left_is_removed_by_the_next(cvat: Cvat) -> None:
    cvat.up()
    file = cvat.root / "first.zip"
    cvat.make("backup", f"FILE={file}")
    with start(cvat, "verify_backup.py", f"--file={file}") as killed:
        wait_for(killed, "Restoring /home/django/data")
        killed.send_signal(signal.SIGKILL)
    (left,) = throw_aways(cvat)
    assert f"Removing {left}, which" in cvat.make("backup-verify", f"FILE={file}").stderr
    assert throw_aways(cvat) == set()


def commands(cvat: Cvat, file: Path) -> dict[str, tuple[str, ...]]:
    settings = (cvat.root / "config" / "cvat.env").read_text()
    runs_old = re.search(rf"^CVAT_VERSION={re.escape(OLD)}$", settings, re.MULTILINE)
    return {
        "up": ("up_cvat.py",),
        "start": ("run_compose.py", "--", "start"),
        "stop": ("run_compose.py", "--", "stop"),
        "restart": ("run_compose.py", "--", "restart"),
        "down": ("run_compose.py", "--", "down"),
        "backup": ("backup_cvat.py",),
        "backup-verify": ("verify_backup.py", f"--file={file}"),
        "restore": ("restore_cvat.py", f"--file={file}", f"--confirm={cvat.project}", "--other-version"),
        "upgrade": ("upgrade_cvat.py", f"--version={NEW if runs_old else OLD}"),
        "destroy": ("destroy_cvat.py", f"--confirm={cvat.project}"),
        "prune": ("prune_volumes.py",),
        "superuser": ("create_superuser.py", "--username", "bea"),
    }


def unfinished(cvat: Cvat) -> set[Path]:
    """List what killed backups have left, which stays until the next one that is not."""
    return set((cvat.root / "backups").glob(".*"))


# What a command may refuse after what the other one did.
USAGE = ("already", "not running", "no CVAT to upgrade here")


@pytest.mark.timeout(240 * PAIRS + 300)
def test_pairs_of_commands_leave_everything_whole(cvat: Cvat) -> None:
    seed = int(os.environ.get("PAIRS_SEED", random.randrange(10**6)))
    chance = random.Random(seed)
    del cvat.settings["CVAT_VERSION"]  # which upgrades change
    cvat.up()
    cvat.fill()
    before = cvat.exported()
    file = cvat.root / "first.zip"
    cvat.make("backup", f"FILE={file}")
    left: set[Path] = set()
    for number in range(PAIRS):
        names = chance.choices(list(commands(cvat, file)), k=2)
        story = f"seed {seed}, pair {number}: {' and '.join(names)}"
        print(story)
        first = start(cvat, *commands(cvat, file)[names[0]])
        time.sleep(chance.uniform(0, LONGEST_PAUSE))
        second = start(cvat, *commands(cvat, file)[names[1]])
        for process in (first, second):
            if chance.random() < KILLED:
                time.sleep(chance.uniform(0, LONGEST_PAUSE))
                process.kill()
        destroyed = False
        for name, process in zip(names, (first, second), strict=True):
            _, said = process.communicate(timeout=ABANDONED_SECONDS + 400)
            assert "should not happen" not in said, f"{story}\n{said}"
            refused = process.returncode == 2 and name == "upgrade" and any(words in said for words in USAGE)
            assert process.returncode in (0, 1, -9) or refused, f"{story}\n{said}"
            destroyed |= name == "destroy" and process.returncode in (0, -9)

        if destroyed:
            # The other one may have begun a new CVAT, and a killed one have left a part of the old.
            cvat.make("destroy", f"CONFIRM={cvat.project}")
            assert cvat.volumes() == [], story
            assert cvat.containers() == [], story
            cvat.make("restore", f"FILE={file}", "OTHER_VERSION=1")
        cvat.up()
        check_agreement(cvat, story)
        assert cvat.exported() == before, story
        found = unfinished(cvat)
        assert found <= left or {"backup", "upgrade"} & set(names), story
        left = found
    cvat.make("backup")
    assert unfinished(cvat) == set()
    cvat.make("backup-verify", f"FILE={file}")
    assert throw_aways(cvat) == set()
