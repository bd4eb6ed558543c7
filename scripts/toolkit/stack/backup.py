"""Making a backup of the local CVAT: everything at one moment, while nothing writes."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.config.local_cvat import Stack
from toolkit.core.errors import ToolkitError
from toolkit.core.retry import retry
from toolkit.core.text import format_size
from toolkit.stack import backup_file
from toolkit.stack.backup_file import DATA, DATABASE, KEYS, BackupWriter, Manifest
from toolkit.stack.compose import compose, compose_output
from toolkit.stack.engine import (
    ServiceState,
    execute,
    existing_volumes,
    find_container,
    image_digests,
    service_states,
)
from toolkit.stack.startup import KILLED_RESTORE, has_stale_containers, prune

if TYPE_CHECKING:
    from docker import DockerClient

WRITERS = ("cvat_server", "cvat_worker")
STOP_SECONDS = 60
DATABASE_SECONDS = 60

TREES = {DATA: "/home/django/data", KEYS: "/home/django/keys"}
"""The folders in the server's container, each a volume, by the part that holds them."""

Say = Callable[[str], None]


def default_target(stack: Stack, folder: Path) -> Path:
    """Return the name of a backup made now, one that no file has."""
    name = f"{stack.project}-{stack.version}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    names = (name if number == 1 else f"{name}-{number}" for number in count(1))
    targets = (folder / f"{name}.cvat-backup.zip" for name in names)
    return next(target for target in targets if not os.path.lexists(target))


def make_backup(client: "DockerClient", stack: Stack, target: Path, say: Say) -> Manifest:
    """Write everything that the stack holds into one file.

    The server and the worker are stopped meanwhile, and what ran before runs again afterwards, whatever happens.
    Volumes that restores have replaced are removed at the end.

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
    with _new_file(target, say) as writer:
        with writers_stopped(client, stack, say):
            manifest = _write_parts(client, stack, writer, say)
        writer.finish(manifest)
        say("Reading the backup back …")
    for name in prune(client, stack):
        say(f"Removed volume {name}, which a restore had replaced")
    return manifest


def write_backup(client: "DockerClient", stack: Stack, target: Path, say: Say) -> Manifest:
    """Write a backup of a stack inside :func:`writers_stopped`; see :func:`make_backup`."""
    with _new_file(target, say) as writer:
        manifest = _write_parts(client, stack, writer, say)
        writer.finish(manifest)
        say("Reading the backup back …")
    return manifest


@contextmanager
def _new_file(target: Path, say: Say) -> Iterator[BackupWriter]:
    for part, size in backup_file.remove_abandoned_parts(target.parent):
        say(f"Removed {part} ({format_size(size)}), which a backup that was killed had left")
    with backup_file.writing(target) as writer:
        yield writer


def _write_parts(client: "DockerClient", stack: Stack, writer: BackupWriter, say: Say) -> Manifest:
    before = _writers_traces(client, stack)
    contents = count_contents(client, stack)
    say("Dumping the database …")
    writer.add(DATABASE, compose_output(stack, "exec", "-T", "cvat_db", "pg_dump", "-Fc", "-U", "root", "cvat"))
    for part, folder in TREES.items():
        say(f"Copying {folder} …")
        writer.add(part, _read_tree(client, stack, folder))
    written = _written_between(before, _writers_traces(client, stack))
    if written:
        raise ToolkitError(
            "something wrote to CVAT while it was copied, so its parts do not fit each other, and no backup was made: "
            "try again with nothing else at work on it",
            written,
        )
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


@dataclass(frozen=True)
class _Traces:
    """What a writer leaves behind.

    ``counters`` are of the database: the next transaction's number, rows written, sessions of others. ``starts`` tells
    when the services that write were last started.
    """

    counters: dict[str, int]
    starts: dict[str, str]


def _writers_traces(client: "DockerClient", stack: Stack) -> _Traces:
    starts = {state.service: state.started for state in service_states(client, stack) if state.service in WRITERS}
    return _Traces(_counts(client, stack, _WRITERS_COUNTERS), starts)


def _written_between(before: _Traces, after: _Traces) -> list[str]:
    """Name the signs that something was written between two moments; without any, nothing was."""
    signs = [f"{service} was started" for service in WRITERS if before.starts.get(service) != after.starts.get(service)]
    # The database's own housekeeping takes numbers for transactions as well, but leaves no other trace.
    if before.counters.get("transactions") != after.counters.get("transactions"):
        written = after.counters["rows"] - before.counters["rows"]
        signs += [f"{written} rows of the database were written"] if written else []
        signs += [f"{after.counters['sessions']} programs are at work in the database"] * bool(
            after.counters["sessions"]
        )
    return signs


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
def writers_stopped(client: "DockerClient", stack: Stack, say: Say) -> Iterator[None]:
    """Have the database up and everything that writes to it stopped, for as long as it takes.

    What ran before runs again afterwards, and what did not run does not, also after an error or Ctrl-C. Raises
    ToolkitError where Compose failed, or the containers are those of a restore that was killed.
    """
    if has_stale_containers(client, stack):
        raise ToolkitError(f"{KILLED_RESTORE}: `make up` takes the data from before it again")
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


@contextmanager
def database_running(client: "DockerClient", stack: Stack) -> Iterator[None]:
    """Have the database up for as long as it takes; nothing else is started or stopped."""
    before = service_states(client, stack)
    if any(state.service == "cvat_db" and state.runs for state in before):
        # Compose looks at all containers of the project, and refuses where another one is paused.
        wait_for_database(client, stack)
        yield
        return
    try:
        compose(stack, "create", "--no-recreate", "--pull", "never", "cvat_db")
        compose(stack, "start", "cvat_db")
        wait_for_database(client, stack)
        yield
    finally:
        _bring_back(stack, before, lambda text: None)


def _bring_back(stack: Stack, before: list[ServiceState], say: Say) -> None:
    """Make the services run that ran, and no others. Ctrl-C does not reach it."""
    if all(state.state == "absent" for state in before):
        compose(stack, "down", ignore_signals=True)
        return
    running = [state.service for state in before if state.state in ("running", "restarting")]
    if "cvat_db" not in running:
        compose(stack, "stop", "cvat_db", ignore_signals=True)
    if running:
        say("Starting again what was stopped …")
        compose(stack, "start", *running, ignore_signals=True)


def wait_for_database(client: "DockerClient", stack: Stack) -> None:
    """Wait until the database answers; raises ToolkitError where it does not in a minute."""
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


# PostgreSQL counts each table by a query of its own, made in the first statement and run by \gexec.
_COUNT_ALL = r"""
SELECT format('SELECT %L, count(*) FROM %I.%I', table_name, table_schema, table_name)
FROM information_schema.tables WHERE table_schema = 'public' AND table_type = 'BASE TABLE' ORDER BY table_name \gexec
"""
_NEWEST_CHANGES = r"""
SELECT format('SELECT %L, coalesce(extract(epoch FROM max(updated_date)), 0)::bigint FROM %I.%I',
              table_name, table_schema, table_name)
FROM information_schema.columns WHERE table_schema = 'public' AND column_name = 'updated_date' \gexec
"""
# The rows are counted by what each session reports at its end, at the latest.
_WRITERS_COUNTERS = """
SELECT 'transactions', pg_snapshot_xmax(pg_current_snapshot());
SELECT 'rows', coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0) FROM pg_stat_user_tables;
SELECT 'sessions', count(*) FROM pg_stat_activity
WHERE backend_type = 'client backend' AND datname = 'cvat' AND pid <> pg_backend_pid();
"""
_COUNT_FRAMES = "SELECT 'frames', coalesce(sum(size), 0) FROM engine_data"

# \gexec works on what psql reads, not on its -c.
_PSQL = 'printf "%s" "$QUERY" | psql -X -q -A -t -v ON_ERROR_STOP=1 -U root -d cvat -f -'

_ANNOTATIONS = ("engine_labeledimage", "engine_labeledshape", "engine_labeledtrack")


@dataclass(frozen=True)
class Contents:
    """What a CVAT holds: rows by table, and images of all tasks."""

    tables: dict[str, int]
    frames: int

    @property
    def summary(self) -> dict[str, int]:
        """Projects, tasks, frames, annotations and users, by these names."""
        return {
            "projects": self.tables.get("engine_project", 0),
            "tasks": self.tables.get("engine_task", 0),
            "frames": self.frames,
            "annotations": sum(self.tables.get(table, 0) for table in _ANNOTATIONS),
            "users": self.tables.get("auth_user", 0),
        }

    def __str__(self) -> str:
        return ", ".join(f"{count} {name}" for name, count in self.summary.items())


def count_contents(client: "DockerClient", stack: Stack) -> Contents:
    """Count all in the stack's database, which has to be running; raises ToolkitError where it does not answer."""
    tables = _counts(client, stack, _COUNT_ALL)
    frames = _counts(client, stack, _COUNT_FRAMES)["frames"] if "engine_data" in tables else 0
    return Contents(tables, frames)


def newest_change(client: "DockerClient", stack: Stack) -> datetime | None:
    """Return when a project, task or job was last changed, None when there is none.

    Raises ToolkitError where the database does not answer.
    """
    newest = max(_counts(client, stack, _NEWEST_CHANGES).values(), default=0)
    return datetime.fromtimestamp(newest, UTC) if newest else None


def _counts(client: "DockerClient", stack: Stack, query: str) -> dict[str, int]:
    def ask() -> tuple[int, str]:
        return execute(client, stack, "cvat_db", ["sh", "-c", _PSQL], {"QUERY": query})

    code, output = retry(ask, lambda _line: None)
    if code:
        raise ToolkitError("the database could not be counted", output.strip().splitlines()[-3:])
    rows = [line.rpartition("|") for line in output.splitlines() if "|" in line]
    return {name: int(count) for name, _, count in rows}


def differences(before: dict[str, int], after: dict[str, int]) -> list[str]:
    """Name the counts that differ, one line each."""
    names = sorted(before.keys() | after.keys())
    return [
        f"{name}: {before.get(name, 0)} before, {after.get(name, 0)} now"
        for name in names
        if before.get(name, 0) != after.get(name, 0)
    ]
