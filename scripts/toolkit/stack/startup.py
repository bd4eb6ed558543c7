"""Starting the local CVAT: what has to be right before, and the order of the steps."""

from typing import TYPE_CHECKING

from toolkit.config.local_cvat import (
    PASSWORD_KEY,
    SETTINGS_FILE,
    VERSION_KEY,
    VOLUMES_KEY,
    Stack,
    keep_settings,
    recorded_version,
)
from toolkit.core.errors import ToolkitError, UsageError
from toolkit.stack.compose import compose
from toolkit.stack.diagnosis import cause_of_refusal
from toolkit.stack.engine import existing_volumes, find_container, missing_images, remove_volumes, service_states

if TYPE_CHECKING:
    from docker import DockerClient


_BESIDE = "leave it alone and start yours beside it: make up COMPOSE_PROJECT_NAME=my-cvat CVAT_PORT=8081"


def prepare(client: "DockerClient", stack: Stack) -> Stack:
    """Settle password, version and volumes before anything starts, and keep them.

    Args:
        client: The engine.
        stack: The settings as they were found.

    Returns:
        The complete stack.

    Raises:
        UsageError: The data belong to another version of CVAT than the one that is asked for.
        ToolkitError: There are data, and the password they need is lost.
    """
    volumes = existing_volumes(client, stack.project)
    if not volumes:
        return keep_settings(stack)
    recorded = recorded_version()
    if recorded and recorded != stack.version:
        raise UsageError(
            f"the data of project {stack.project} are of CVAT {recorded}, and {VERSION_KEY} asks for {stack.version}: "
            f"`make upgrade CVAT_VERSION={stack.version}` backs them up first and can go back"
        )
    if PASSWORD_KEY not in stack.settings:
        stack = _recover(client, stack, volumes)
    if stack.volumes_suffix not in volumes:
        raise ToolkitError(
            f"project {stack.project} has data, but not where config/cvat.env says: an empty CVAT would start",
            [f"set {VOLUMES_KEY}={suffix} for the data in {names[0]}" for suffix, names in volumes.items()],
        )
    return keep_settings(stack)


def _recover(client: "DockerClient", stack: Stack, volumes: dict[str, list[str]]) -> Stack:
    """Take the settings that a lost file held from the containers that still know them."""
    database = find_container(client, stack, "cvat_db")
    server = find_container(client, stack, "cvat_server")
    if database is None or server is None:
        names = ", ".join(sorted(name for names in volumes.values() for name in names if "cvat_db" in name))
        raise ToolkitError(
            f"project {stack.project} has data ({names}), but {SETTINGS_FILE.name} with their password is gone",
            [
                f"put your copy of {SETTINGS_FILE} back, then `make up`",
                "or restore a backup, which needs no old password: make restore FILE=backups/…",
                "or begin anew without the data: make destroy",
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
            VERSION_KEY: server.attrs["Config"]["Image"].rpartition(":")[2],
            VOLUMES_KEY: suffix.removeprefix(f"{stack.project}_cvat_db"),
        }
    )


def are_strays(client: "DockerClient", stack: Stack) -> bool:
    """Tell whether the project's containers hold other volumes than the stack's.

    A restore or an upgrade that was killed leaves them so. Compose would go on with them, for the volumes' names are no
    part of what it compares.
    """
    database = find_container(client, stack, "cvat_db")
    if database is None:
        return False
    return stack.volume("cvat_db") not in [mount.get("Name") for mount in database.attrs["Mounts"]]


def take_down_strays(client: "DockerClient", stack: Stack) -> bool:
    """Remove the containers of a restore or upgrade that was killed; all volumes stay.

    Returns:
        Whether there were any.

    Raises:
        ToolkitError: Compose failed.
    """
    if not are_strays(client, stack):
        return False
    compose(stack, "down", "--remove-orphans")
    return True


DISCARDABLE = {"queue": ("cvat_redis_inmem", "cvat_inmem_db"), "cache": ("cvat_redis_ondisk", "cvat_cache_db")}
"""What can be begun anew without a loss of labels or images: its service and volume."""


def discard(client: "DockerClient", stack: Stack, what: str) -> str:
    """Remove the queue or the cache, which the next start makes anew, empty.

    Args:
        client: The engine.
        stack: The project.
        what: A key of :data:`DISCARDABLE`.

    Returns:
        The name of the volume that is gone.

    Raises:
        ToolkitError: The engine or compose refused.
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


def pull_missing(client: "DockerClient", stack: Stack, show: bool) -> list[str]:
    """Pull the images that are not here yet.

    Args:
        client: The engine.
        stack: The project.
        show: Let the terminal show the progress.

    Returns:
        The images that were pulled.

    Raises:
        ToolkitError: An image cannot be had; the details name the cause.
    """
    missing = missing_images(client, stack)
    if missing:
        _explained(stack, "pull", show=show)
        still_missing = missing_images(client, stack)
        if still_missing:
            raise ToolkitError("the images could not be pulled", still_missing)
    return missing


def start_containers(stack: Stack) -> None:
    """Create what is missing, make anew what has changed, start what is stopped; harmless when all is up.

    Raises:
        ToolkitError: Compose failed; the details hold the likely cause.
    """
    _explained(stack, "up", "--detach", "--remove-orphans", "--no-build", "--pull", "never")


def _explained(stack: Stack, *arguments: str, show: bool = False) -> None:
    try:
        compose(stack, *arguments, show=show)
    except ToolkitError as error:
        cause = cause_of_refusal(list(error.details))
        raise ToolkitError(error.message, [*([f"likely cause: {cause}"] if cause else []), *error.details]) from error
