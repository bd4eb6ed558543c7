"""Bringing a backup back, in volumes of its own, so that what was there stays until the new one is up and checked."""

import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.config.local_cvat import PASSWORD_KEY, VOLUMES_KEY, Stack, keep_settings
from toolkit.core.errors import ToolkitError, UsageError
from toolkit.stack import backup_file
from toolkit.stack.backup import TREES, Say, wait_for_database
from toolkit.stack.backup_file import DATABASE, Manifest
from toolkit.stack.checks import DISK_FULL_PERCENT, GIB, disk_use
from toolkit.stack.compose import compose, compose_input
from toolkit.stack.contents import count_contents, differences
from toolkit.stack.engine import existing_volumes, find_container, remove_volumes, service_states
from toolkit.stack.startup import start_containers

if TYPE_CHECKING:
    from docker import DockerClient

Wait = Callable[[Stack], object]


class WentBack(ToolkitError):
    """A backup could not take the place of the old data, which were put back."""


def check_version(manifest: Manifest, stack: Stack, other_version: bool) -> None:
    """Refuse a backup of another version of CVAT, unless that is what is wanted.

    Raises:
        UsageError: The versions differ; the message names both ways out.
    """
    if manifest.cvat_version != stack.version and not other_version:
        raise UsageError(
            f"the backup is of CVAT {manifest.cvat_version}, this stack runs {stack.version}: add "
            f"CVAT_VERSION={manifest.cvat_version} to restore it as it was, or OTHER_VERSION=1 to have {stack.version} "
            "take it over"
        )


def replace_contents(
    client: "DockerClient", old: Stack, new: Stack, file: Path, manifest: Manifest, say: Say, wait: Wait
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

    Returns:
        The stack that runs now; ``config/cvat.env`` holds its settings.

    Raises:
        WentBack: It did not work; the old version and data run again, if they ran.
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
        fill(client, new, file, manifest, say)
        say(f"Starting CVAT {new.version} …")
        start_containers(new)
        wait(new)
        lost = differences(manifest.summary, count_contents(client, new).summary)
        if lost:
            raise ToolkitError("the restored CVAT does not hold what the backup says", lost)
    except ToolkitError as error:
        _go_back(client, old, new, ran, say)
        raise WentBack(error.message, error.details) from error
    except BaseException:
        _go_back(client, old, new, ran, say)
        raise
    keep_settings(new)
    remove_volumes(client, [name for names in kept.values() for name in names])
    return new


def _go_back(client: "DockerClient", old: Stack, new: Stack, ran: bool, say: Say) -> None:
    say(f"That failed: going back to {'CVAT ' + old.version if ran else 'what was there'} …")
    compose(new, "down", "--remove-orphans", "--timeout", "10", undisturbed=True)
    remove_volumes(client, existing_volumes(client, new.project).get(new.volumes_suffix, []))
    if ran:
        compose(old, "up", "--detach", "--pull", "never", undisturbed=True)
        say(f"CVAT {old.version} with its old data is starting again")


def _check_space(client: "DockerClient", stack: Stack, manifest: Manifest) -> None:
    needed = sum(part.bytes for part in manifest.parts.values()) * 2
    use = disk_use(client, stack)
    if use is not None and use.free < needed:
        raise ToolkitError(
            f"the disk has {use.free / GIB:.1f} GiB free, restoring beside the old data needs {needed / GIB:.1f} GiB "
            f"(and CVAT wants the disk under {DISK_FULL_PERCENT} % full)"
        )


def fill(client: "DockerClient", stack: Stack, file: Path, manifest: Manifest, say: Say) -> None:
    """Fill the empty volumes of a stack from a backup and compare the database with the manifest.

    Server and worker exist afterwards but were not started.

    Raises:
        ToolkitError: A step failed, or rows are missing.
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
