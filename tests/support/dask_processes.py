"""A Dask scheduler and its workers, as processes."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from tests.support.script_runs import SCRIPTS
from tests.support.waiting import wait_until

OWN = {**os.environ, "PYTHONPATH": str(SCRIPTS)}


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@contextmanager
def process(*words: object, folder: Path, env: dict[str, str] = OWN) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a part of Dask until the end of the block."""
    with (folder / "log").open("ab") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", *map(str, words)],
            cwd=folder,
            env=env,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield child
    finally:
        child.kill()
        child.wait()


@contextmanager
def running_scheduler(folder: Path) -> Iterator[str]:
    """Run a scheduler that has not got this toolkit; gives its address."""
    port = free_port()
    plain = {name: value for name, value in OWN.items() if name != "PYTHONPATH"}
    words = ("distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard")
    with process(*words, folder=folder, env=plain) as child:

        def answers() -> bool:
            assert child.poll() is None, (folder / "log").read_text()
            with socket.socket() as sock:
                return sock.connect_ex(("127.0.0.1", port)) == 0

        wait_until(answers)
        yield f"tcp://127.0.0.1:{port}"


def worker(
    scheduler: str, folder: Path, env: dict[str, str] = OWN
) -> AbstractContextManager["subprocess.Popen[bytes]"]:
    """A worker with one thread, in a process that nobody starts again."""
    folder.mkdir(exist_ok=True)
    words = ("distributed.cli.dask_worker", scheduler, "--nthreads", 1, "--no-nanny", "--no-dashboard")
    return process(*words, "--local-directory", folder, folder=folder, env=env)
