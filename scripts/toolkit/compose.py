"""Running ``docker compose`` on the stack's compose file."""

import shutil
import subprocess
from typing import IO

from toolkit.errors import ToolkitError
from toolkit.stack import COMPOSE_FILE, Stack

WITHOUT_DOCKER = "`make demo` works without Docker"
OLDEST_COMPOSE = (2, 20)


class DockerUnavailable(ToolkitError):
    """Docker, its Compose plugin or its engine is missing."""


def docker_program() -> str:
    """Return the path of the docker client.

    Raises:
        DockerUnavailable: There is none on the PATH.
    """
    program = shutil.which("docker")
    if program is None:
        raise DockerUnavailable(
            "Docker is not installed (no `docker` on the PATH): get it from https://docs.docker.com/get-docker/; "
            + WITHOUT_DOCKER
        )
    return program


def compose_version() -> str:
    """Return the version of the Compose plugin.

    Raises:
        DockerUnavailable: Docker or the plugin is missing.
    """
    answer = subprocess.run(
        [docker_program(), "compose", "version", "--short"], capture_output=True, text=True, check=False
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
    stdin: IO[bytes] | None = None,
    stdout: IO[bytes] | None = None,
    show: bool = False,
    undisturbed: bool = False,
) -> bytes:
    """Run ``docker compose`` with the stack's file and settings.

    Args:
        stack: The project and its settings.
        arguments: Subcommand, options and services.
        stdin: What the call reads; nothing by default.
        stdout: Where its output goes; returned when not given.
        show: Let the terminal show what compose says, for what takes long.
        undisturbed: Keep a Ctrl-C in the terminal away from the call, for a step that has to be finished.

    Returns:
        The output, when it went nowhere else.

    Raises:
        DockerUnavailable: Docker or the plugin is missing.
        ToolkitError: The call failed; the details are the last lines it said.
    """
    call = subprocess.run(
        compose_command(stack, *arguments),
        env=stack.environment(),
        stdin=stdin or subprocess.DEVNULL,
        stdout=stdout or (None if show else subprocess.PIPE),
        stderr=None if show else subprocess.PIPE,
        start_new_session=undisturbed,
        check=False,
    )
    if call.returncode:
        said = (call.stderr or b"").decode(errors="replace").splitlines()
        compose_version()  # a missing plugin makes `docker` fail with its usage
        shown = " ".join(argument for argument in arguments[:2] if not argument.startswith("-"))
        raise ToolkitError(f"docker compose {shown} failed (exit code {call.returncode})", last_words(said))
    return call.stdout or b""


def last_words(lines: list[str], count: int = 8) -> list[str]:
    """Return the last lines that say something."""
    return [line.strip() for line in lines if line.strip()][-count:]
