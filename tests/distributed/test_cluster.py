"""Convert on a Dask cluster: a real scheduler and workers as processes, some of them killed."""

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.conversions import command, make_zip, run, tree
from tests.support.dask_processes import OWN, free_port, running_scheduler, worker
from tests.support.waiting import GUARD, found, wait_until

pytest.importorskip("distributed", reason="the packages of requirements-distributed.txt are not installed")

NAMES = [f"{label}/{number:03}.jpg" for label in ("cat", "dog") for number in range(60)]


@pytest.fixture
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_scheduler(tmp_path_factory.mktemp("scheduler")) as address:
        yield address


def zips(folder: Path, count: int = 4, padding: int = 0) -> Path:
    """Write exports, and give the pattern that means them."""
    folder.mkdir()
    for number in range(count):
        content = {name: name.encode() + bytes(padding) for name in NAMES[number::count]}
        make_zip(folder / f"task-{number}.zip", content)
    return folder / "task-*.zip"


def test_a_cluster_makes_the_same_dataset(scheduler: str, tmp_path: Path) -> None:
    pattern = zips(tmp_path / "exports")
    call = ("convert_dataset", "--base-file", pattern, "--output-dir")
    assert run(*call, tmp_path / "here").returncode == 0
    with worker(scheduler, tmp_path / "w1"), worker(scheduler, tmp_path / "w2"):
        done = run(*call, tmp_path / "there", "--scheduler", scheduler)
        dry = run(*call, tmp_path / "nowhere", "--scheduler", scheduler, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert tree(tmp_path / "here") == tree(tmp_path / "there")
    assert dry.returncode == 0, dry.stderr
    assert not (tmp_path / "nowhere").exists()


def test_a_killed_worker_costs_only_time(scheduler: str, tmp_path: Path) -> None:
    pattern = zips(tmp_path / "exports", padding=400_000)
    call = ("convert_dataset", "--base-file", pattern, "--output-dir")
    assert run(*call, tmp_path / "here").returncode == 0
    with worker(scheduler, tmp_path / "w1") as first, worker(scheduler, tmp_path / "w2") as second:
        words = command(*call, tmp_path / "there", "--scheduler", scheduler)
        converting = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

        def begun() -> list[Path]:
            assert converting.poll() is None, converting.communicate()
            return list(tmp_path.glob(".there.converting-*/spare/*/task-*/cat/*.jpg"))

        wait_until(begun)
        first.send_signal(signal.SIGKILL)
        _, errors = converting.communicate(timeout=GUARD)
        assert second.poll() is None
    assert converting.returncode == 0, errors
    assert "Traceback" not in errors
    assert tree(tmp_path / "here") == tree(tmp_path / "there")
    assert not list(tmp_path.glob(".there*"))


def test_ctrl_c_leaves_nothing_and_the_workers_stop(scheduler: str, tmp_path: Path) -> None:
    pattern = zips(tmp_path / "exports", padding=400_000)
    with worker(scheduler, tmp_path / "w1"), worker(scheduler, tmp_path / "w2"):
        words = command("convert_dataset", "--base-file", pattern, "--output-dir", tmp_path / "there")
        converting = subprocess.Popen([*words, "--scheduler", scheduler], stderr=subprocess.PIPE, text=True)
        wait_until(lambda: found(tmp_path, ".there.converting-*/spare/*/task-*/cat/*.jpg"))
        converting.send_signal(signal.SIGINT)
        _, errors = converting.communicate(timeout=GUARD)
        assert converting.returncode == 130, errors
        assert not list(tmp_path.glob("*there*"))
        assert not list(tmp_path.glob(".there*"))


def test_a_damaged_zip_is_named_and_nothing_is_left(scheduler: str, tmp_path: Path) -> None:
    pattern = zips(tmp_path / "exports")
    damaged = tmp_path / "exports/task-2.zip"
    damaged.write_bytes(damaged.read_bytes().replace(b"cat/006.jpgPK", b"cat/OO6.jpgPK", 1))
    with worker(scheduler, tmp_path / "w1"):
        words = ("--base-file", pattern, "--output-dir", tmp_path / "there", "--scheduler", scheduler)
        done = run("convert_dataset", *words)
    assert done.returncode == 1
    assert f"error: {damaged} has 1 member that cannot be unpacked safely" in done.stderr
    assert not list(tmp_path.glob("*there*"))


def test_what_a_cluster_lacks_is_told_in_one_line(scheduler: str, tmp_path: Path) -> None:
    pattern = zips(tmp_path / "exports", 2)
    words = ("--base-file", pattern, "--output-dir", tmp_path / "there", "--scheduler")
    nobody = f"tcp://127.0.0.1:{free_port()}"
    done = run("convert_dataset", *words, scheduler, "--workers", 2)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    done = run("convert_dataset", *words, nobody)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert f"error: no Dask scheduler answers at {nobody} (--scheduler): " in done.stderr
    plain = {name: value for name, value in OWN.items() if name != "PYTHONPATH"}
    with worker(scheduler, tmp_path / "w1", env=plain):
        done = run("convert_dataset", *words, scheduler)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert f"error: the workers of {scheduler} lack toolkit: they need the packages of requirements.txt" in done.stderr
