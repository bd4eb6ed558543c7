"""Bringing a backup back, in volumes of its own, so that what was there stays; and proving that this works."""

import re
import secrets
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.config.local_cvat import PASSWORD_KEY, REPLACED_KEY, VERSION_KEY, VOLUMES_KEY, Stack, save_settings
from toolkit.core.errors import ToolkitError, UsageError
from toolkit.core.text import format_size
from toolkit.cvat import probes as server
from toolkit.stack import backup_file
from toolkit.stack.backup import (
    TREES,
    Say,
    count_contents,
    database_running,
    differences,
    newest_change,
    wait_for_database,
)
from toolkit.stack.backup_file import DATABASE, Manifest
from toolkit.stack.checks import DISK_FULL_PERCENT, disk_use
from toolkit.stack.compose import compose, compose_input
from toolkit.stack.engine import (
    execute,
    existing_volumes,
    find_container,
    project_names,
    remove_volumes,
    service_states,
)
from toolkit.stack.lock import LockedError, project_lock
from toolkit.stack.startup import remove_project, start_containers
from toolkit.stack.superuser import create_superuser

if TYPE_CHECKING:
    from docker import DockerClient

Wait = Callable[[Stack], object]


class RolledBack(ToolkitError):
    """A backup could not take the place of the old data, which were put back."""


def check_version(manifest: Manifest, stack: Stack, other_version: bool) -> None:
    """Refuse a backup of another version of CVAT, unless that is what is wanted.

    The UsageError names both ways out.
    """
    if manifest.cvat_version != stack.version and not other_version:
        raise UsageError(
            f"the backup is of CVAT {manifest.cvat_version}, this stack runs {stack.version}: add "
            f"CVAT_VERSION={manifest.cvat_version} to restore it as it was, or OTHER_VERSION=1 to have {stack.version} "
            "take it over"
        )


def replace_contents(
    client: "DockerClient",
    old: Stack,
    new: Stack,
    file: Path,
    manifest: Manifest,
    say: Say,
    wait: Wait,
    keep_old: bool = True,
) -> Stack:
    """Put a backup in the place of what the stack holds, or go back to that when it does not come up.

    Args:
        client: The engine.
        old: The stack as it is.
        new: The same project with the version that is to run the backup.
        file: The backup, checked already.
        manifest: What it is of.
        say: Called with each step.
        wait: Waits until a started stack can be used, and raises when it cannot.
        keep_old: Keep the volumes that are replaced, until :func:`toolkit.stack.startup.prune`.

    Returns:
        The stack that runs now; its settings file holds what it needs.

    Raises:
        RolledBack: It did not work; the old version and data run again, if they ran.
        ToolkitError: The disk is too full to try.
    """
    new = new.with_settings(
        **{
            VOLUMES_KEY: f"_{datetime.now(UTC):%Y%m%dt%H%M%S}_{secrets.token_hex(2)}",
            PASSWORD_KEY: old.settings.get(PASSWORD_KEY) or secrets.token_urlsafe(24),
        }
    )
    ran = any(state.state in ("running", "restarting") for state in service_states(client, old))
    kept = existing_volumes(client, old.project)
    _check_space(client, old, manifest)
    try:
        say("Taking the containers down; their data stay …")
        compose(new, "down", "--remove-orphans")
        load_backup(client, new, file, manifest, say)
        say(f"Starting CVAT {new.version} …")
        start_containers(new)
        wait(new)
        lost = differences(manifest.summary, count_contents(client, new).summary)
        if lost:
            raise ToolkitError("the restored CVAT does not hold what the backup says", lost)
    except ToolkitError as error:
        _roll_back(client, old, new, ran, say)
        raise RolledBack(error.message, error.details) from error
    except BaseException:
        _roll_back(client, old, new, ran, say)
        raise
    replaced = _replaced_sets(old, kept) if keep_old else {}
    new = save_settings(
        new.with_settings(**{REPLACED_KEY: ",".join(old.volume("cvat_db", suffix) for suffix in replaced)})
    )
    remove_volumes(client, [name for suffix, names in kept.items() if suffix not in replaced for name in names])
    return new


def _replaced_sets(old: Stack, kept: dict[str, list[str]]) -> dict[str, list[str]]:
    """Choose the sets of volumes that held somebody's data; the others are what killed restores have filled."""
    if PASSWORD_KEY not in old.settings or old.volumes_suffix not in kept:
        return kept  # the settings file is lost: nobody can tell
    known = {old.volumes_suffix, *(name.removeprefix(f"{old.project}_cvat_db") for name in old.replaced_databases)}
    return {suffix: names for suffix, names in kept.items() if suffix in known}


def describe_loss(client: "DockerClient", stack: Stack) -> str | None:
    """Say in a line what a restore would replace: what the stack holds, and when that was last changed.

    The line says so where nobody can count; None when there are no data.
    """
    volumes = existing_volumes(client, stack.project)
    if not volumes:
        return None
    if PASSWORD_KEY not in stack.settings:
        stack = stack.with_settings(**{PASSWORD_KEY: secrets.token_urlsafe(24)})  # a database that is made has its own
    try:
        if stack.volumes_suffix not in volumes:
            raise ToolkitError("its settings file does not say which volumes are in use")
        with database_running(client, stack):
            held, newest = count_contents(client, stack), newest_change(client, stack)
    except ToolkitError as error:
        reason = ": ".join([error.message, *error.details[-1:]])
        names = ", ".join(chain(*volumes.values()))
        return f"what project {stack.project} holds now, which could not be counted ({reason}), in {names}"
    changed = f", last changed {newest:%Y-%m-%d %H:%M} UTC" if newest else ""
    return f"what project {stack.project} holds now: {held}{changed}"


def _roll_back(client: "DockerClient", old: Stack, new: Stack, ran: bool, say: Say) -> None:
    say(f"That failed: going back to {'CVAT ' + old.version if ran else 'what was there'} …")
    compose(new, "down", "--remove-orphans", "--timeout", "10", ignore_signals=True)
    remove_volumes(client, existing_volumes(client, new.project).get(new.volumes_suffix, []))
    if ran:
        compose(old, "up", "--detach", "--pull", "never", ignore_signals=True)
        say(f"CVAT {old.version} with its old data is starting again")


def _check_space(client: "DockerClient", stack: Stack, manifest: Manifest) -> None:
    needed = sum(part.bytes for part in manifest.parts.values()) * 2
    use = disk_use(client, stack)
    if use is not None and use.free < needed:
        raise ToolkitError(
            f"the disk has {format_size(use.free)} free, restoring beside the old data needs {format_size(needed)} "
            f"(and CVAT wants the disk under {DISK_FULL_PERCENT} % full)"
        )


def load_backup(client: "DockerClient", stack: Stack, file: Path, manifest: Manifest, say: Say) -> None:
    """Fill the empty volumes of a stack from a backup and compare the database with the manifest.

    Server and worker exist afterwards but were not started. Raises ToolkitError where a step failed, or rows are
    missing.
    """
    say("Restoring the database …")
    compose(stack, "create", "--pull", "never")
    compose(stack, "up", "--detach", "--no-deps", "--pull", "never", "cvat_db")
    wait_for_database(client, stack)
    with backup_file.reading(file, DATABASE) as dump:
        pieces = iter(lambda: dump.read(backup_file.PIECE), b"")
        restore = ("pg_restore", "--clean", "--if-exists", "--no-owner", "-U", "root", "-d", "cvat")
        compose_input(stack, pieces, "exec", "-T", "cvat_db", *restore)
    lost = differences(manifest.tables, count_contents(client, stack).tables)
    if lost:
        raise ToolkitError("the restored database does not hold what the backup says", lost)
    container = find_container(client, stack, "cvat_server")
    if container is None:
        raise ToolkitError("the container cvat_server has gone while it was filled")
    for part, folder in TREES.items():
        say(f"Restoring {folder} …")
        with backup_file.reading(file, part) as tree:
            container.put_archive(folder.rpartition("/")[0], tree)


@contextmanager
def throw_away_stack(client: "DockerClient", stack: Stack, version: str, say: Say) -> Iterator[Stack]:
    """Name a stack of its own project, port, password and volumes, and remove it afterwards with all it has.

    Those that killed runs have left are removed first.
    """
    for project in _throw_away_projects(client, stack):
        try:
            with project_lock(project, "make backup-verify", False, say):
                say(f"Removing {project}, which a backup-verify that was killed had left …")
                remove_project(client, stack.with_settings(project=project, **{VOLUMES_KEY: ""}))
        except LockedError:
            continue
    beside = stack.with_settings(
        project=f"{stack.project}-check-{secrets.token_hex(3)}",
        **{
            VERSION_KEY: version,
            PASSWORD_KEY: secrets.token_urlsafe(24),
            VOLUMES_KEY: "",
            REPLACED_KEY: "",
            "CVAT_BIND": "127.0.0.1",
            "CVAT_PORT": str(_free_port()),
        },
    )
    with project_lock(beside.project, "make backup-verify", False, say):
        try:
            yield beside
        finally:
            remove_project(client, beside)


def _throw_away_projects(client: "DockerClient", stack: Stack) -> list[str]:
    return [name for name in project_names(client) if re.fullmatch(rf"{stack.project}-check-[0-9a-f]{{6}}", name)]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def verify(client: "DockerClient", stack: Stack, file: Path, manifest: Manifest, say: Say, wait: Wait) -> None:
    """Restore a backup into an empty stack, start it, and compare what it holds with the manifest.

    The file is checked already; for the stack see :func:`throw_away_stack`. ``wait`` waits until it can be used. Raises
    ToolkitError where it does not come up, or holds something else, with one detail line each.
    """
    load_backup(client, stack, file, manifest, say)
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
    create_superuser(partial(execute, client, stack, "cvat_server"), username, password, "check@localhost")
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
