"""Running ``docker compose`` on the stack's compose file."""

import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import IO

from toolkit.config.local_cvat import COMPOSE_FILE, Stack
from toolkit.core.errors import ToolkitError
from toolkit.core.secrets import without_secrets

WITHOUT_DOCKER = "`make demo` works without Docker"
OLDEST_COMPOSE = (2, 20)
PIECE = 1 << 20

shared_descriptors: list[int] = []
"""Locks that a docker call keeps as long as it runs, also when the script that made it was killed."""


class DockerUnavailable(ToolkitError):
    """Docker, its Compose plugin or its engine is missing."""


def docker_program() -> str:
    """Return the path of the docker client; raises DockerUnavailable where there is none on the PATH."""
    program = shutil.which("docker")
    if program is None:
        raise DockerUnavailable(
            "Docker is not installed (no `docker` on the PATH): get it from https://docs.docker.com/get-docker/; "
            + WITHOUT_DOCKER
        )
    return program


def compose_version() -> str:
    """Return the version of the Compose plugin; raises DockerUnavailable where Docker or the plugin is missing."""
    answer = subprocess.run(
        [docker_program(), "compose", "version", "--short"],
        env=without_secrets(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode:
        raise DockerUnavailable(
            "`docker compose` is missing: install the Compose plugin, https://docs.docker.com/compose/install/; "
            + WITHOUT_DOCKER
        )
    return answer.stdout.strip().removeprefix("v")


def compose_command(stack: Stack, *arguments: str) -> list[str]:
    """Return the command line of a compose call on the stack."""
    return [docker_program(), "compose", "--file", str(COMPOSE_FILE), "--project-name", stack.project, *arguments]


def compose(
    stack: Stack,
    *arguments: str,
    show: bool = False,
    ignore_signals: bool = False,
) -> bytes:
    """Run ``docker compose`` with the stack's file and settings, and return its output.

    Args:
        show: Let the terminal show what compose says, for what takes long; the output is empty then.
        ignore_signals: Keep Ctrl-C away from the call, for a step that has to be finished.

    Raises:
        DockerUnavailable: Docker or the plugin is missing.
        ToolkitError: The call failed; the details are the last lines it said.
    """
    with _signals_ignored() if ignore_signals else nullcontext():
        call = subprocess.run(
            compose_command(stack, *arguments),
            env=stack.environment(),
            stdin=subprocess.DEVNULL,
            stdout=None if show else subprocess.PIPE,
            stderr=None if show else subprocess.PIPE,
            start_new_session=ignore_signals,
            pass_fds=shared_descriptors,
            check=False,
        )
    if call.returncode:
        said = (call.stderr or b"").decode(errors="replace").splitlines()
        compose_version()  # a missing plugin makes `docker` fail with its usage
        shown = " ".join(argument for argument in arguments[:2] if not argument.startswith("-"))
        raise ToolkitError(f"docker compose {shown} failed (exit code {call.returncode})", last_words(said))
    return call.stdout or b""


@contextmanager
def _signals_ignored() -> Iterator[None]:
    """Keep the signals that end a script away while something has to be finished."""
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [(number, signal.signal(number, signal.SIG_IGN)) for number in signals]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)


def compose_output(stack: Stack, *arguments: str) -> Iterator[bytes]:
    """Run ``docker compose`` and yield what it writes, piece by piece.

    Raises ToolkitError where the call failed, which shows after its last piece.
    """
    with tempfile.TemporaryFile() as said, _start(stack, arguments, said) as call:
        try:
            yield from iter(lambda: call.stdout.read(PIECE), b"")  # type: ignore[union-attr]
        except BaseException:
            call.kill()
            raise
        _check(call, said)


def compose_input(stack: Stack, pieces: Iterable[bytes], *arguments: str) -> None:
    """Run ``docker compose`` on what it is given to read, piece by piece; raises ToolkitError where the call failed."""
    with tempfile.TemporaryFile() as said, _start(stack, arguments, said, reads=True) as call:
        try:
            with call.stdin:  # type: ignore[union-attr]
                for piece in pieces:
                    call.stdin.write(piece)  # type: ignore[union-attr]
        except BrokenPipeError:
            pass  # it ended early; its exit code says why
        except BaseException:
            call.kill()
            raise
        call.communicate()
        _check(call, said)


def _start(stack: Stack, arguments: Iterable[str], said: IO[bytes], reads: bool = False) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        compose_command(stack, *arguments),
        env=stack.environment(),
        stdin=subprocess.PIPE if reads else subprocess.DEVNULL,
        stdout=said if reads else subprocess.PIPE,
        stderr=said,
        pass_fds=shared_descriptors,
    )


def _check(call: "subprocess.Popen[bytes]", said: IO[bytes]) -> None:
    if call.wait():
        said.seek(0)
        lines = said.read().decode(errors="replace").splitlines()
        raise ToolkitError(f"a command inside the stack failed (exit code {call.returncode})", last_words(lines))


def last_words(lines: list[str]) -> list[str]:
    """Return the last lines that say something."""
    return [line.strip() for line in lines if line.strip()][-8:]
