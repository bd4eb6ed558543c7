"""Killed, interrupted, crowded and full: the target is absent, or the old dataset whole, or the new one whole."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.conversions import (
    OWN,
    SCRIPTS,
    command,
    convert,
    converted,
    is_whole,
    make_zip,
    names_in,
    tree,
    two_classes,
)
from tests.support.sweeps import some
from tests.support.waiting import found, wait_until

POINTS = 20
FEW = 7
LAST = 8
INTERRUPTED = Path(__file__).with_name("interrupted.py")


def broken(
    limit: int, way: str, archive: Path, target: Path, *arguments: str, cwd: Path | None = None
) -> tuple[int, str]:
    """Convert, but break it at the n-th change; give exit code and standard error."""
    script = str(SCRIPTS / "convert_dataset.py")
    options = ["--base-file", str(archive), "--output-dir", str(target), "--link-mode", "hardlink", *arguments]
    done = subprocess.run(
        [sys.executable, str(INTERRUPTED), str(limit), way, script, *options],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=240,
        check=False,
    )
    return done.returncode, done.stderr


def points(way: str, archive: Path, target: Path, *arguments: str, cwd: Path | None = None) -> list[int]:
    """Count the changes of an unbroken run, and choose some moments among them: the first, the last, random ones.

    Of the last ones, where the new dataset takes the old one's place, a sweep takes more.
    """
    code, text = broken(10**9, way, archive, target, *arguments, cwd=cwd)
    assert code == 0, text
    total = int(text.splitlines()[-1])
    assert total > POINTS
    chosen = random.sample(range(2, total - LAST), POINTS - LAST - 1)
    return some([1, *sorted(chosen)], FEW // 2) + some(range(total - LAST + 1, total + 1), FEW - FEW // 2)


def source(target: Path) -> str:
    name: str = json.loads((target / "manifest.json").read_text())["source"]["name"]
    return name


@pytest.fixture
def archives(tmp_path: Path) -> tuple[Path, Path]:
    first = make_zip(tmp_path / "first.zip", two_classes(6))
    return first, make_zip(tmp_path / "second.zip", [f"{name}/new/{n}.jpg" for name in "abc" for n in range(5)])


def test_killed_while_making_a_new_dataset(archives: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "count").mkdir()
    for number in points("kill", archives[0], tmp_path / "count" / "dataset"):
        parent = tmp_path / f"killed at {number}"
        parent.mkdir()
        target = parent / "dataset"
        code, _ = broken(number, "kill", archives[0], target)
        assert code == -signal.SIGKILL
        if target.exists():
            assert is_whole(target), number
        again = convert(archives[0], target, "--overwrite")
        assert again.returncode == 0, (number, again.stderr)
        assert names_in(parent) == {"dataset"}
        assert names_in(target) == OWN
        assert is_whole(target)


def prepare(parent: Path, archives: tuple[Path, Path]) -> Path:
    target = parent / "dataset"
    converted(archives[0], target)
    (target / "mine" / "deep").mkdir(parents=True)
    (target / "mine" / "deep" / "file").write_text("mine")
    (target / "notes.txt").write_text("notes")
    return target


def keeps_mine(target: Path) -> bool:
    return (target / "mine" / "deep" / "file").read_text() == "mine" and (target / "notes.txt").read_text() == "notes"


@pytest.mark.slow
def test_killed_while_replacing_a_dataset(archives: tuple[Path, Path], tmp_path: Path) -> None:
    outcomes = set()
    for number in points("kill", archives[1], prepare(tmp_path / "count", archives), "--overwrite"):
        parent = tmp_path / f"killed at {number}"
        target = prepare(parent, archives)
        code, _ = broken(number, "kill", archives[1], target, "--overwrite")
        assert code == -signal.SIGKILL
        assert is_whole(target), number
        assert keeps_mine(target), number
        assert names_in(target) == OWN | {"mine", "notes.txt"}
        outcomes.add(source(target))
        assert convert(archives[1], target).returncode == 1  # refused, but tidied up
        assert names_in(parent) == {"dataset"}
        converted(archives[1], target, "--overwrite")
        assert is_whole(target)
        assert keeps_mine(target)
    assert outcomes == {"first.zip", "second.zip"}


@pytest.mark.slow
def test_killed_in_the_working_directory_the_next_run_completes(archives: tuple[Path, Path], tmp_path: Path) -> None:
    """As in a shell whose working directory it is."""
    first = prepare(tmp_path / "count", archives)
    for number in points("kill", archives[1], first, "--overwrite", cwd=first):
        parent = tmp_path / f"killed at {number}"
        target = prepare(parent, archives)
        code, _ = broken(number, "kill", archives[1], target, "--overwrite", cwd=target)
        assert code == -signal.SIGKILL
        refused = convert(archives[1], target)
        assert refused.returncode == 1, number
        assert is_whole(target), number
        assert keeps_mine(target), number
        assert names_in(target) == OWN | {"mine", "notes.txt"}
        assert names_in(parent) == {"dataset"}
        converted(archives[1], target, "--overwrite")


def test_killed_at_any_time(tmp_path: Path) -> None:
    """The same by the clock instead of by the step."""
    archive = make_zip(tmp_path / "export.zip", two_classes(400))
    target = tmp_path / "here" / "dataset"
    started = time.monotonic()
    converted(archive, target)
    duration = time.monotonic() - started
    for _ in some(range(10), 4):
        process = subprocess.Popen(
            command("convert_dataset", "--base-file", archive, "--output-dir", target, "--overwrite"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(random.uniform(0.3, 1) * duration)
        process.kill()
        process.wait()
        assert is_whole(target)
    converted(archive, target, "--overwrite")
    assert names_in(tmp_path / "here") == {"dataset"}


def test_a_full_disk_at_every_stage_leaves_what_was_there(archives: tuple[Path, Path], tmp_path: Path) -> None:
    target = prepare(tmp_path / "count", archives)
    numbers = points("full", archives[1], target, "--overwrite")
    target = prepare(tmp_path / "full", archives)
    before = tree(target.parent)
    failed = 0
    for number in numbers:
        code, text = broken(number, "full", archives[1], target, "--overwrite")
        assert "Traceback" not in text
        if code == 0:  # the folder was there already, or the old dataset was being removed: the new one is in place
            assert source(target) == "second.zip"
            target = prepare(tmp_path / f"full at {number}", archives)
            before = tree(target.parent)
            continue
        failed += 1
        assert code == 1
        assert "No space left on device" in text
        assert tree(target.parent) == before, number
    assert failed > len(numbers) // 2
    assert is_whole(target)
    assert keeps_mine(target)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0 or sys.platform != "linux":
        pytest.skip("mounting a small tmpfs needs root on Linux: run the tests with sudo")
    mounted = tmp_path / "small"
    mounted.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", mounted], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("this root may not mount a tmpfs (a container without CAP_SYS_ADMIN): run on a real machine")
    yield mounted
    subprocess.run(["umount", mounted], check=True)


def test_a_really_full_disk(small_disk: Path, tmp_path: Path) -> None:
    """With ever more inodes it fails in folders, in images, in sides, in records, and at last succeeds."""
    archive = make_zip(tmp_path / "export.zip", [f"{name}/v{n}/{n}.jpg" for name in "ab" for n in range(8)])
    target = small_disk / "dataset"
    messages = set()
    for inodes in some(range(6, 102, 6), 6):
        subprocess.run(["mount", "-o", f"remount,nr_inodes={inodes}", small_disk], check=True)
        done = convert(archive, target)
        if done.returncode == 0:
            break
        messages.add(done.stderr)
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 1
        assert list(small_disk.iterdir()) == []
    assert len(messages) > 2
    assert is_whole(target)
    large = make_zip(tmp_path / "large.zip", {f"a/{n}.jpg": os.urandom(100_000) for n in range(20)})
    refused = convert(large, target, "--overwrite")
    assert (refused.returncode, "free, the dataset takes" in refused.stderr) == (1, True)
    assert is_whole(target)


@pytest.mark.parametrize("number", some(range(4), 2))
def test_of_two_at_once_one_wins_and_the_other_says_so(number: int, tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "export.zip", two_classes(300))
    target = tmp_path / "here" / "dataset"
    both = [
        subprocess.Popen(
            command("convert_dataset", "--base-file", archive, "--output-dir", target),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    texts = [process.communicate(timeout=240)[1] for process in both]
    codes = [process.returncode for process in both]
    assert sorted(codes) == [0, 1], texts
    lost = texts[codes.index(1)]
    assert "another conversion" in lost or "already contains a dataset" in lost
    assert names_in(target.parent) == {"dataset"}
    assert is_whole(target)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stopped_run_leaves_nothing(number: signal.Signals, tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "export.zip", two_classes(20_000))
    target = tmp_path / "deep" / "er" / "dataset"
    process = subprocess.Popen(
        command("convert_dataset", "--base-file", archive, "--output-dir", target),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    begun = ".dataset.converting-*/new/cvat_exported/dog"
    wait_until(lambda: found(target.parent, begun) or process.poll() is not None)
    process.send_signal(number)
    output, errors = process.communicate(timeout=240)
    assert process.returncode == 130, errors
    assert output == ""
    assert "interrupted" in errors
    assert "Traceback" not in errors
    assert names_in(tmp_path) == {"export.zip"}


def test_what_appears_in_the_target_meanwhile_is_not_lost(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "export.zip", two_classes(3000))
    target = tmp_path / "dataset"
    converted(archive, target)
    process = subprocess.Popen(
        command("convert_dataset", "--base-file", archive, "--output-dir", target, "--overwrite"),
        stdout=subprocess.DEVNULL,
    )
    written = []
    while process.poll() is None:
        name = f"note {len(written)}"
        try:
            (target / name).write_text(name)
        except FileNotFoundError:  # opened by way of the old folder when that was being removed
            continue
        written.append(name)
        time.sleep(0.005)
    assert process.returncode == 0
    assert names_in(target) == OWN | set(written)
    assert all((target / name).read_text() == name for name in written)
