"""Starting the local CVAT: what has to be right before, the order of the steps, and the digests of its images."""

import json
import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from toolkit.config.local_cvat import (
    FOUNDATION,
    LOCK_FILE,
    PASSWORD_KEY,
    PROJECT_KEY,
    REPLACED_KEY,
    SERVICES,
    VERSION_KEY,
    VOLUMES_KEY,
    Stack,
    common_settings,
    find_stack,
    locked_digests,
    recorded_version,
    save_settings,
    save_values,
    settings_file,
)
from toolkit.core.errors import ToolkitError, UsageError
from toolkit.core.files import write_atomically
from toolkit.stack.compose import compose
from toolkit.stack.engine import (
    PROJECT_LABEL,
    existing_volumes,
    find_container,
    missing_images,
    registry_digests,
    remove_volumes,
    service_states,
    unused_volumes,
)
from toolkit.stack.readiness import cause_of_refusal

if TYPE_CHECKING:
    from docker import DockerClient


_BESIDE = "leave it alone and start yours beside it: make up COMPOSE_PROJECT_NAME=my-cvat CVAT_PORT=8081"


def prepare(client: "DockerClient", stack: Stack) -> Stack:
    """Settle password, version and volumes before anything starts, and keep them; returns the complete stack.

    Raises:
        UsageError: The data belong to another version of CVAT than the one that is asked for.
        ToolkitError: There are data, and the password they need is lost.
    """
    volumes = existing_volumes(client, stack.project)
    file = settings_file(stack.project)
    if not volumes:
        return save_settings(stack)
    recorded = recorded_version(stack.project)
    if recorded and recorded != stack.version:
        raise UsageError(
            f"the data of project {stack.project} are of CVAT {recorded}, and {VERSION_KEY} asks for {stack.version}: "
            f"`make upgrade CVAT_VERSION={stack.version}` backs them up first and can go back"
        )
    if PASSWORD_KEY not in stack.settings:
        stack = _recover(client, stack, volumes)
    if stack.volumes_suffix not in volumes:
        raise ToolkitError(
            f"project {stack.project} has data, but not where {file.name} says: an empty CVAT would start",
            [f"set {VOLUMES_KEY}={suffix} for the data in {names[0]}" for suffix, names in volumes.items()],
        )
    return save_settings(stack)


def _recover(client: "DockerClient", stack: Stack, volumes: dict[str, list[str]]) -> Stack:
    """Take the settings that a lost file held from the containers that still know them."""
    database = find_container(client, stack, "cvat_db")
    server = find_container(client, stack, "cvat_server")
    if database is None or server is None:
        # An older toolkit kept the settings of all projects in one file, which may have become another project's.
        common = common_settings()
        if PASSWORD_KEY in common and common.get(VOLUMES_KEY, "") in volumes:
            return stack.with_settings(
                **{key: common[key] for key in (PASSWORD_KEY, VERSION_KEY, VOLUMES_KEY) if key in common}
            )
        file = settings_file(stack.project)
        names = ", ".join(sorted(name for names in volumes.values() for name in names if "cvat_db" in name))
        raise ToolkitError(
            f"project {stack.project} has data ({names}), but {file.name} with their password is gone",
            [
                f"put your copy of {file} back, then `make up`",
                "or restore a backup, which needs no old password: make restore FILE=backups/…",
                "or start over without the data: make destroy",
                f"or, if another CVAT made them, {_BESIDE}",
            ],
        )
    environment = dict(line.partition("=")[::2] for line in database.attrs["Config"]["Env"])
    if not environment.get("POSTGRES_PASSWORD"):  # CVAT's own compose files give it none, and the same project name
        raise ToolkitError(
            f"project {stack.project} is a CVAT that something else has started (its database has no password); "
            f"{_BESIDE}"
        )
    mounted = [mount.get("Name", "") for mount in database.attrs["Mounts"]]
    suffix = next(name for name in mounted if name.startswith(f"{stack.project}_cvat_db"))
    return stack.with_settings(
        **{
            PASSWORD_KEY: environment["POSTGRES_PASSWORD"],
            VERSION_KEY: server.attrs["Config"]["Image"].partition("@")[0].rpartition(":")[2],
            VOLUMES_KEY: suffix.removeprefix(f"{stack.project}_cvat_db"),
        }
    )


KILLED_RESTORE = "a restore or an upgrade was killed"


def has_stale_containers(client: "DockerClient", stack: Stack) -> bool:
    """Tell whether the project's containers hold other volumes than the stack's.

    A restore or an upgrade that was killed leaves them so. Compose would go on with them, for the volumes' names are no
    part of what it compares.
    """
    database = find_container(client, stack, "cvat_db")
    if database is None:
        return False
    mounted = [mount.get("Name", "") for mount in database.attrs.get("Mounts", [])]
    return stack.volume("cvat_db") not in mounted and any(
        name.startswith(stack.volume("cvat_db", "")) for name in mounted
    )


def remove_stale_containers(client: "DockerClient", stack: Stack) -> bool:
    """Remove the containers of a restore or upgrade that was killed, and tell whether there were any; all volumes stay.

    Raises ToolkitError where Compose failed.
    """
    if not has_stale_containers(client, stack):
        return False
    compose(stack, "down", "--remove-orphans")
    return True


DISCARDABLE = {"queue": ("cvat_redis_inmem", "cvat_inmem_db"), "cache": ("cvat_redis_ondisk", "cvat_cache_db")}
"""What can be begun anew without a loss of labels or images: its service and volume."""


def discard(client: "DockerClient", stack: Stack, what: str) -> str:
    """Remove the queue or the cache, which the next start makes anew, empty; returns the name of the volume.

    ``what`` is a key of :data:`DISCARDABLE`. Raises ToolkitError where the engine or compose refused.
    """
    service, volume = DISCARDABLE[what]
    compose(stack, "rm", "--stop", "--force", service)
    remove_volumes(client, [stack.volume(volume)])
    return stack.volume(volume)


def end_crash_loops(client: "DockerClient", stack: Stack) -> None:
    """Stop what the engine starts again and again, for the next start to count its crashes from nought."""
    for state in service_states(client, stack):
        container = find_container(client, stack, state.service) if state.is_crashing else None
        if container is not None:
            container.stop(timeout=5)


def pull_missing(client: "DockerClient", stack: Stack, show: bool) -> tuple[Stack, list[str]]:
    """Pull the images that are not here yet, and keep their digests; the terminal may show the progress.

    Returns the stack that starts these images, and the images that were pulled. Raises ToolkitError where an image
    cannot be had; the details name the cause.
    """
    missing = missing_images(client, stack)
    if not missing:
        return stack, []
    _explained(stack, "pull", show=show)
    still_missing = missing_images(client, stack)
    if still_missing:
        raise ToolkitError("the images could not be pulled", still_missing)
    return update_image_lock(client, stack)[0], missing


def start_containers(stack: Stack) -> None:
    """Create what is missing, make anew what has changed, start what is stopped; harmless when all is up.

    Raises ToolkitError where Compose failed; the details hold the likely cause.
    """
    _explained(stack, "up", "--detach", "--remove-orphans", "--no-build", "--pull", "never")


def _explained(stack: Stack, *arguments: str, show: bool = False) -> None:
    try:
        compose(stack, *arguments, show=show)
    except ToolkitError as error:
        cause = cause_of_refusal(list(error.details))
        raise ToolkitError(error.message, [*([f"likely cause: {cause}"] if cause else []), *error.details]) from error


def list_resources(client: "DockerClient", stack: Stack) -> list[str]:
    """Name the containers and volumes that :func:`destroy` removes."""
    containers = [f"container {state.container}" for state in service_states(client, stack) if state.container]
    volumes = [f"volume {name}" for names in existing_volumes(client, stack.project).values() for name in names]
    return containers + volumes


def destroy(client: "DockerClient", stack: Stack) -> None:
    """Remove containers, network and all volumes of the project, and forget which version its data were of.

    Raises ToolkitError where Compose or the engine refuses.
    """
    remove_project(client, stack)
    save_values(stack.project, {VERSION_KEY: "", VOLUMES_KEY: "", REPLACED_KEY: "", PROJECT_KEY: ""})


def prune(client: "DockerClient", stack: Stack) -> list[str]:
    """Remove the volumes that restores have replaced, and return those that are gone now.

    Raises ToolkitError where the volumes in use are not where the settings say, or containers hold others than those.
    """
    replaced = unused_volumes(client, stack)
    if not replaced:
        return []
    if has_stale_containers(client, stack):
        raise ToolkitError(f"{KILLED_RESTORE}: `make up` takes the data from before it again")
    if stack.volumes_suffix not in existing_volumes(client, stack.project):
        raise ToolkitError(
            f"{settings_file(stack.project)} does not say which volumes of project {stack.project} are in use, so none "
            "is removed: make up",
            replaced,
        )
    remove_volumes(client, replaced)
    save_values(stack.project, {REPLACED_KEY: ""})
    return replaced


def remove_project(client: "DockerClient", stack: Stack) -> None:
    """Remove containers, network and all volumes of a project; its settings stay."""
    password = stack.settings.get(PASSWORD_KEY) or "not-needed-to-remove"
    stack = stack.with_settings(**{PASSWORD_KEY: password})
    compose(stack, "down", "--volumes", "--remove-orphans", "--timeout", "10", ignore_signals=True)
    for container in client.containers.list(all=True, filters={"label": f"{PROJECT_LABEL}={stack.project}"}):
        container.remove(force=True)
    remove_volumes(client, [name for names in existing_volumes(client, stack.project).values() for name in names])


def from_to(wanted: str) -> tuple[Stack, Stack]:
    """Find the stack as it is, of the version that ``config/cvat.env`` keeps, and as it is to be.

    The version to go to is with or without its ``v``. Raises UsageError where there is nothing to upgrade, or it is of
    that version already.
    """
    target = f"v{wanted}" if re.match(r"\d", wanted) else wanted
    outside = {name: value for name, value in os.environ.items() if name != VERSION_KEY}
    old = find_stack(outside)
    recorded = recorded_version(old.project)
    if recorded is None:
        raise UsageError(f"there is no CVAT to upgrade here: make up CVAT_VERSION={target} starts that version")
    if recorded == target:
        raise UsageError(f"CVAT is of version {recorded} already")
    return old, old.with_settings(**{VERSION_KEY: target})


def with_running_images(client: "DockerClient", stack: Stack) -> Stack:
    """Return a stack with the images that its containers run; its version stays.

    They need not be those of the settings any more: a newer toolkit brings newer ones for what CVAT stands on, and the
    way back leads to the old ones.

    Raises UsageError where a service does not run, so nobody could tell whether it worked before.
    """
    states = service_states(client, stack)
    stopped = [state.service for state in states if not state.runs]
    if stopped:
        raise UsageError(f"{', '.join(stopped)} not running: `make up` first, so that the old version is known to work")
    images = {state.service: state.image for state in states}
    return stack.with_settings(**{key: images[service] for service, key in FOUNDATION.items()})


def by_tags(stack: Stack) -> Stack:
    """Return the stack whose images are named by their tags alone, for a pull that asks what these name now."""
    return replace(stack, digests={})


def update_image_lock(client: "DockerClient", stack: Stack) -> tuple[Stack, list[str]]:
    """Write down the digests that the registry gave for the stack's images, which are here.

    Returns the stack that starts these images, and one line for each that is not the one of the last pull. Raises
    ToolkitError where the file cannot be written.
    """
    names = {by_tags(stack).image(service): stack.image(service) for service in SERVICES}
    digests = {tag: registry_digests(client, image) for tag, image in sorted(names.items())}
    known = locked_digests()
    # An image has several when the registry's list of it for all kinds of machines was made anew.
    found = {tag: known[tag] if known.get(tag) in some else some[0] for tag, some in digests.items() if some}
    changed = [
        f"{tag} is another image than at the last pull: {digest}, then {known[tag]} ({LOCK_FILE.name})"
        for tag, digest in found.items()
        if known.get(tag, digest) != digest
    ]
    if found.items() - known.items():
        try:
            write_atomically(LOCK_FILE, json.dumps(known | found, indent=2, sort_keys=True) + "\n")
        except OSError as error:
            raise ToolkitError(f"cannot write {LOCK_FILE}: {error.strerror}") from error
    return replace(stack, digests=known | found), changed
