"""Stacks that cannot come up: `make up` soon says which container, how it ended, what it said, and the likely cause."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pexpect
import pytest

from tests.support.image_builder import OLD
from tests.support.throw_away import PROJECT_LABEL, Cvat

LONG_SECONDS = 300
"""What `make up` waits by default. The calls here end far sooner, or the test runs into its own limit."""


@pytest.fixture
def patient(cvat: Cvat) -> Cvat:
    cvat.ready_seconds = LONG_SECONDS
    return cvat


def failed_up(cvat: Cvat, *words: str, **environment: str) -> str:
    said = cvat.make("up", *words, code=1, **environment).stderr
    assert "was not ready after" not in said
    return said


def change_compose_file(cvat: Cvat, old: str, new: str) -> None:
    file = cvat.root / "compose" / "compose.yml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


@contextmanager
def helper(cvat: Cvat, volume: str, command: str) -> Iterator[Any]:
    """A container as root that has a volume at /there, and has done what it was told."""
    container = cvat.engine.containers.run(
        cvat.settings["CVAT_REDIS_INMEM_IMAGE"],
        ["-c", f"{command} && echo done && sleep 600"],
        entrypoint="sh",
        user="0",
        detach=True,
        volumes=[f"{volume}:/there"],
    )
    try:
        for line in container.logs(stream=True, follow=True):
            if b"done" in line:
                break
        else:
            raise AssertionError(container.logs().decode())
        yield container
    finally:
        container.remove(force=True, v=True)


def test_a_missing_variable_is_named(patient: Cvat) -> None:
    change_compose_file(patient, '  SMOKESCREEN_OPTS: ""', "  # no SMOKESCREEN_OPTS")
    said = failed_up(patient)
    assert re.search("error: cvat_(server|worker) ended with exit code 2, [2-9] times by now", said), said
    assert "likely cause: a variable that the image's supervisord needs is not set at all" in said
    assert "its log: Error: Format string 'smokescreen" in said
    assert "ENV_SMOKESCREEN_OPTS" in said


def test_a_wrong_password_of_the_database_is_recognised_and_can_be_mended(patient: Cvat) -> None:
    patient.up()
    patient.make("down")
    settings = patient.root / "config" / "cvat.env"
    right = settings.read_text()
    lines = [line for line in right.splitlines() if not line.startswith("CVAT_POSTGRES_PASSWORD=")]
    settings.write_text("\n".join([*lines, "CVAT_POSTGRES_PASSWORD=another-password-than-before", ""]))
    said = failed_up(patient)
    assert re.search("error: cvat_server ended with exit code 1, [2-9] times by now", said), said
    assert "likely cause: the database was made with another password" in said
    assert "its log:" in said
    assert "another-password-than-before" not in said
    # Its crashes of before do not count against the one that is mended.
    settings.write_text(right)
    patient.up()


def test_a_port_that_another_container_has_is_told_at_once(patient: Cvat) -> None:
    holder = patient.engine.containers.run(
        patient.settings["CVAT_REDIS_INMEM_IMAGE"],
        ["-c", "sleep 600"],
        entrypoint="sh",
        detach=True,
        ports={"80/tcp": ("127.0.0.1", patient.port)},
    )
    try:
        said = failed_up(patient)
        assert f"port {patient.port}: taken by container {holder.name}" in said
        assert f"make up CVAT_PORT={patient.port + 1}" in said
    finally:
        holder.remove(force=True, v=True)


def test_a_full_disk_ends_the_wait(patient: Cvat) -> None:
    patient.up()
    patient.make("down")
    name = f"{patient.project}_cvat_data"
    volume = patient.engine.volumes.get(name)
    labels = volume.attrs["Labels"]
    volume.remove()
    small = {"type": "tmpfs", "device": "tmpfs", "o": "size=32m,uid=1000"}
    patient.engine.volumes.create(name, driver_opts=small, labels=labels)
    # A volume in memory stays what it is for as long as a container has it.
    with helper(patient, name, "dd if=/dev/zero of=/there/big bs=1M count=30"):
        said = failed_up(patient)
        assert "error: the disk with CVAT's data is 9" in said
        assert "% full" in said
        assert "free some space" in said
        patient.make("down")


def test_a_broken_file_of_redis_is_recognised_and_can_be_discarded(patient: Cvat) -> None:
    patient.up()
    patient.make_superuser()
    patient.make("stop")
    volume = f"{patient.project}_cvat_inmem_db"
    with helper(patient, volume, "for one in /there/appendonlydir/*.incr.aof; do echo rubbish >$one; done"):
        pass
    said = failed_up(patient)
    assert "error: cvat_redis_inmem ended with exit code 1, " in said
    assert "likely cause: the queue's file is damaged" in said
    assert "make up ARGS=--discard=queue" in said
    assert "its log: " in said
    assert "Bad file format reading the append only file" in said

    mended = patient.make("up", "ARGS=--discard=queue")
    assert f"Removed volume {volume}" in mended.stderr
    assert "exists already" in patient.make(
        "superuser", CVAT_SUPERUSER_USERNAME="ana", CVAT_SUPERUSER_PASSWORD="Tulip-9-lamp-River"
    ).stderr  # fmt: skip


def test_a_cache_without_its_configuration_file_is_recognised_and_emptied_when_somebody_agrees(patient: Cvat) -> None:
    patient.up()
    patient.make("stop")
    with helper(patient, f"{patient.project}_cvat_cache_db", "rm /there/kvrocks.conf"):
        pass
    said = failed_up(patient)
    assert "error: cvat_redis_ondisk ended with exit code 1, " in said
    assert "likely cause: the cache's volume has lost its configuration file" in said
    # Somebody at a terminal is asked.
    terminal = pexpect.spawn(
        sys.executable,
        ["scripts/up_cvat.py"],
        cwd=str(patient.root),
        env=patient.environment(TERM="dumb", COLUMNS="500"),
        timeout=150,
        encoding="utf-8",
        dimensions=(24, 500),
    )
    terminal.expect_exact("Empty the cache and go on?")
    terminal.sendline("y")
    terminal.expect_exact("CVAT is ready after")
    terminal.expect(pexpect.EOF)


def test_a_server_that_is_not_told_to_listen_is_told_by_its_health(cvat: Cvat) -> None:
    change_compose_file(cvat, "[init, run, server, nginx]", "[init, run, server]")
    said = cvat.make("up", "ARGS=--timeout 12", code=1).stderr
    assert "the server is not up behind the UI" in said
    assert "image registry" not in said


def test_a_container_that_was_killed_for_memory_is_shown(cvat: Cvat) -> None:
    change_compose_file(cvat, "mem_limit: 128m", "mem_limit: 24m")
    cvat.up()
    hungry = ["sh", "-c", "tail -c 100m /dev/zero | tail -n 1 >/dev/null"]
    cvat.container("cvat_ui").exec_run(hungry)
    status = cvat.status()
    assert "killed for want of memory" in status["services"]["cvat_ui"]
    line = next(line for line in cvat.make("doctor").stdout.splitlines() if "cvat_ui" in line)
    assert line.startswith("WARN")
    assert "memory" in line


def test_each_version_has_the_probe_that_it_knows(cvat: Cvat) -> None:
    cvat.up(CVAT_VERSION=OLD)
    worker = cvat.container("cvat_worker")
    probe = ["sh", "-c", worker.attrs["Config"]["Healthcheck"]["Test"][1]]
    for _ in range(2):
        code, said = worker.exec_run(probe)
        assert code == 0, said
    worker.exec_run(["sh", "-c", "echo import export >/tmp/queues"])
    assert worker.exec_run(probe)[0] == 1


def test_compose_by_hand_runs_the_same_stack(cvat: Cvat) -> None:
    cvat.up()
    command = ["docker", "compose", "--env-file", "compose/versions.env", "--env-file", "config/cvat.env"]
    names = subprocess.run(
        [*command, "-f", "compose/compose.yml", "ps", "--services"],
        cwd=cvat.root, env=cvat.environment(), capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    labels = {one.labels["com.docker.compose.service"] for one in cvat.containers() if PROJECT_LABEL in one.labels}
    assert set(names) == labels
