"""Proving a backup: restored into a throw-away stack beside the real one, and asked what it holds."""

import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.config.local_cvat import PASSWORD_KEY, VERSION_KEY, VOLUMES_KEY, Stack
from toolkit.core.errors import ToolkitError
from toolkit.cvat import probes as server
from toolkit.stack.backup import Say
from toolkit.stack.backup_file import Manifest
from toolkit.stack.contents import count_contents, differences
from toolkit.stack.removal import remove_project
from toolkit.stack.restore import Wait, fill
from toolkit.stack.startup import start_containers
from toolkit.stack.superuser import create_superuser

if TYPE_CHECKING:
    from docker import DockerClient


@contextmanager
def throw_away_stack(client: "DockerClient", stack: Stack, version: str) -> Iterator[Stack]:
    """Name a stack of its own project, port, password and volumes, and remove it afterwards with all it has."""
    beside = stack.with_settings(
        project=f"{stack.project}-check-{secrets.token_hex(3)}",
        **{
            VERSION_KEY: version,
            PASSWORD_KEY: secrets.token_urlsafe(24),
            VOLUMES_KEY: "",
            "CVAT_BIND": "127.0.0.1",
            "CVAT_PORT": str(_free_port()),
        },
    )
    try:
        yield beside
    finally:
        remove_project(client, beside)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def verify(client: "DockerClient", stack: Stack, file: Path, manifest: Manifest, say: Say, wait: Wait) -> None:
    """Restore a backup into a stack, start it, and compare what it holds with the manifest.

    Args:
        client: The engine.
        stack: An empty stack; see :func:`throw_away_stack`.
        file: The backup, checked already.
        manifest: What it is of.
        say: Called with each step.
        wait: Waits until a started stack can be used.

    Raises:
        ToolkitError: It does not come up, or holds something else; one detail line each.
    """
    fill(client, stack, file, manifest, say)
    say(f"Starting the restored CVAT {stack.version} beside yours …")
    start_containers(stack)
    wait(stack)
    problems = differences(manifest.summary, count_contents(client, stack).summary)
    problems += _ask_the_server(client, stack, manifest)
    if problems:
        raise ToolkitError("the restored CVAT does not hold what the backup says", problems)


def _ask_the_server(client: "DockerClient", stack: Stack, manifest: Manifest) -> list[str]:
    """Ask over HTTP, as an administrator made for this, for the counts and for a picture."""
    username, password = f"check-{secrets.token_hex(4)}", secrets.token_urlsafe(24)
    create_superuser(client, stack, username, password, "check@localhost")
    authorization = server.sign_in(stack.url, username, password)

    def get(path: str) -> Any:
        answer = server.ask(stack.url, path, authorization=authorization)
        return answer.json() if answer.status == 200 else {"count": f"status {answer.status}"}

    problems = []
    for kind in ("projects", "tasks"):
        found = get(f"/api/{kind}?page_size=1")["count"]
        if found != manifest.summary[kind]:
            problems.append(f"{kind}: {manifest.summary[kind]} in the backup, the server shows {found}")
    tasks = get("/api/tasks?page_size=100").get("results", [])
    with_frames = next((task["id"] for task in tasks if task.get("size")), None)
    if with_frames is not None:
        picture = server.ask(stack.url, f"/api/tasks/{with_frames}/preview", authorization=authorization)
        if picture.status != 200 or not picture.body:
            problems.append(f"frames: the server shows none of task {with_frames} (status {picture.status})")
    return problems
