"""Two lifecycle commands at random moments: the data stay whole; settings, containers and volumes agree."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.throw_away import Cvat
from toolkit.stack.lock import ABANDONED_SECONDS

PAIRS = 50 if os.environ.get("SWEEPS") else 3
LONGEST_PAUSE = 5.0
KILLED = 0.15
"""The share of the commands that are killed at a random moment."""


def commands(cvat: Cvat, file: Path) -> dict[str, list[str]]:
    restore = ["restore_cvat.py", f"--file={file}", f"--confirm={cvat.project}"]
    return {
        "up": ["up_cvat.py"],
        "stop": ["run_compose.py", "--", "stop"],
        "restart": ["run_compose.py", "--", "restart"],
        "down": ["run_compose.py", "--", "down"],
        "backup": ["backup_cvat.py"],
        "restore": restore,
        "prune": ["prune_volumes.py"],
        "superuser": ["create_superuser.py", "--username", "bea"],
    }


def start(cvat: Cvat, words: list[str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, f"scripts/{words[0]}", *words[1:]],
        cwd=cvat.root,
        env=cvat.environment(CVAT_SUPERUSER_PASSWORD="Tulip-9-lamp-River"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.timeout(120 * PAIRS + 300)
def test_pairs_of_commands_leave_everything_whole(cvat: Cvat) -> None:
    seed = int(os.environ.get("PAIRS_SEED", random.randrange(10**6)))
    chance = random.Random(seed)
    cvat.up()
    cvat.fill()
    before = cvat.exported()
    file = cvat.root / "first.zip"
    cvat.make("backup", f"FILE={file}")
    for number in range(PAIRS):
        names = chance.choices(list(commands(cvat, file)), k=2)
        story = f"seed {seed}, pair {number}: {' and '.join(names)}"
        first = start(cvat, commands(cvat, file)[names[0]])
        time.sleep(chance.uniform(0, LONGEST_PAUSE))
        second = start(cvat, commands(cvat, file)[names[1]])
        for process in (first, second):
            if chance.random() < KILLED:
                time.sleep(chance.uniform(0, LONGEST_PAUSE))
                process.kill()
        for process in (first, second):
            _, said = process.communicate(timeout=ABANDONED_SECONDS + 200)
            assert "should not happen" not in said, f"{story}\n{said}"
            assert process.returncode in (0, 1, -9), f"{story}\n{said}"

        whole = cvat.up().stderr
        used = {
            mount["Name"] for one in cvat.containers() for mount in one.attrs["Mounts"] if mount["Type"] == "volume"
        }
        settings = (cvat.root / "config" / "cvat.env").read_text()
        suffix = next((line[13:] for line in settings.splitlines() if line.startswith("CVAT_VOLUMES=")), "")
        expected = {f"{cvat.project}_{name}{suffix}" for name in ("cvat_db", "cvat_data", "cvat_keys")}
        assert expected <= used <= set(cvat.volumes()), f"{story}\n{whole}"
        assert all(name.endswith(suffix) for name in used), story
        assert cvat.exported() == before, story
        assert not list((cvat.root / "backups").glob(".*")) or names.count("backup"), story
    cvat.make("backup")
    assert not [path for path in (cvat.root / "backups").iterdir() if path.name.startswith(".")]
