"""Making a backup of the local CVAT: everything at one moment, while nothing writes."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.config.local_cvat import Stack
from toolkit.core.errors import ToolkitError
from toolkit.stack import backup_file
from toolkit.stack.backup_file import DATA, DATABASE, KEYS, BackupWriter, Manifest
from toolkit.stack.compose import compose, compose_output
from toolkit.stack.contents import count_contents
from toolkit.stack.engine import (
    ServiceState,
    execute,
    existing_volumes,
    find_container,
    image_digests,
    service_states,
)

if TYPE_CHECKING:
    from docker import DockerClient

WRITERS = ("cvat_server", "cvat_worker")
STOP_SECONDS = 60
DATABASE_SECONDS = 60

TREES = {DATA: "/home/django/data", KEYS: "/home/django/keys"}
"""The folders in the server's container, each a volume, by the part that holds them."""

Say = Callable[[str], None]


def default_target(stack: Stack, folder: Path) -> Path:
    """Return the name of a backup made now."""
    return folder / f"{stack.project}-{stack.version}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.cvat-backup.zip"


def make_backup(client: "DockerClient", stack: Stack, target: Path, say: Say) -> Manifest:
    """Write everything that the stack holds into one file.

    The server and the worker are stopped meanwhile, and what ran before runs again afterwards, whatever happens.

    Args:
        client: The engine.
        stack: The project.
        target: The file, which must not exist.
        say: Called with each step.

    Returns:
        What was written, after it was read back.

    Raises:
        ToolkitError: There is nothing to back up, or a step failed; no file is left then.
    """
    if stack.volume("cvat_db") not in existing_volumes(client, stack.project).get(stack.volumes_suffix, []):
        raise ToolkitError(f"there is nothing to back up: project {stack.project} has no data (make up)")
    with backup_file.writing(target) as writer:
        with writes_stopped(client, stack, say):
            manifest = _write_parts(client, stack, writer, say)
        writer.finish(manifest)
        say("Reading the backup back …")
    return manifest


def write_backup(client: "DockerClient", stack: Stack, target: Path, say: Say) -> Manifest:
    """Write a backup of a stack inside :func:`writes_stopped`; see :func:`make_backup`."""
    with backup_file.writing(target) as writer:
        manifest = _write_parts(client, stack, writer, say)
        writer.finish(manifest)
        say("Reading the backup back …")
    return manifest


def _write_parts(client: "DockerClient", stack: Stack, writer: BackupWriter, say: Say) -> Manifest:
    contents = count_contents(client, stack)
    say("Dumping the database …")
    writer.add(DATABASE, compose_output(stack, "exec", "-T", "cvat_db", "pg_dump", "-Fc", "-U", "root", "cvat"))
    for part, folder in TREES.items():
        say(f"Copying {folder} …")
        writer.add(part, _read_tree(client, stack, folder))
    return Manifest(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        project=stack.project,
        cvat_version=stack.version,
        images=image_digests(client, stack),
        versions=_versions(client, stack),
        tables=contents.tables,
        frames=contents.frames,
        summary=contents.summary,
    )


def _versions(client: "DockerClient", stack: Stack) -> dict[str, str]:
    _, said = execute(client, stack, "cvat_db", ["pg_dump", "--version"])
    return {"pg_dump": said.strip(), "cvat-cli": version("cvat-cli")}


def _read_tree(client: "DockerClient", stack: Stack, folder: str) -> Iterator[bytes]:
    """Yield a tar of a folder of the server's container, owners and modes included."""
    container = find_container(client, stack, "cvat_server")
    if container is None:
        raise ToolkitError("the container cvat_server has gone while it was read")
    pieces, _ = container.get_archive(folder, chunk_size=backup_file.PIECE)
    yield from pieces


@contextmanager
def writes_stopped(client: "DockerClient", stack: Stack, say: Say) -> Iterator[None]:
    """Have the database up and everything that writes to it stopped, for as long as it takes.

    What ran before runs again afterwards, and what did not run does not, also after an error or Ctrl-C.
    """
    before = service_states(client, stack)
    try:
        say("Stopping the server and the worker …")
        compose(stack, "create", "--no-recreate", "--pull", "never", "cvat_db", *WRITERS)
        compose(stack, "stop", "--timeout", str(STOP_SECONDS), *WRITERS)
        compose(stack, "start", "cvat_db")
        wait_for_database(client, stack)
        yield
    finally:
        _bring_back(stack, before, say)


def _bring_back(stack: Stack, before: list[ServiceState], say: Say) -> None:
    """Make the services run that ran, and no others. Ctrl-C does not reach it."""
    if all(state.state == "absent" for state in before):
        compose(stack, "down", undisturbed=True)
        return
    running = [state.service for state in before if state.state in ("running", "restarting")]
    if "cvat_db" not in running:
        compose(stack, "stop", "cvat_db", undisturbed=True)
    if running:
        say("Starting again what was stopped …")
        compose(stack, "start", *running, undisturbed=True)


def wait_for_database(client: "DockerClient", stack: Stack) -> None:
    """Wait until the database answers.

    Raises:
        ToolkitError: It does not in a minute.
    """
    deadline = time.monotonic() + DATABASE_SECONDS
    while time.monotonic() < deadline:
        container = find_container(client, stack, "cvat_db")
        if container is not None and container.status == "running":
            # Over TCP, as the check in the compose file.
            code, _ = execute(
                client, stack, "cvat_db", ["pg_isready", "-q", "-h", "127.0.0.1", "-U", "root", "-d", "cvat"]
            )
            if code == 0:
                return
        time.sleep(0.3)
    raise ToolkitError(f"the database does not answer after {DATABASE_SECONDS} s (make logs ARGS=cvat_db)")
