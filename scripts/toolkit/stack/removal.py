"""Removing a stack with all its data."""

from typing import TYPE_CHECKING

from toolkit.config.local_cvat import PASSWORD_KEY, VERSION_KEY, VOLUMES_KEY, Stack, set_kept
from toolkit.stack.compose import compose
from toolkit.stack.engine import PROJECT_LABEL, existing_volumes, remove_volumes, service_states

if TYPE_CHECKING:
    from docker import DockerClient


def what_goes(client: "DockerClient", stack: Stack) -> list[str]:
    """Name the containers and volumes that :func:`destroy` removes."""
    containers = [f"container {state.container}" for state in service_states(client, stack) if state.container]
    volumes = [f"volume {name}" for names in existing_volumes(client, stack.project).values() for name in names]
    return containers + volumes


def destroy(client: "DockerClient", stack: Stack) -> None:
    """Remove containers, network and all volumes of the project, and forget which version its data were of.

    Raises:
        ToolkitError: Compose or the engine refuses.
    """
    remove_project(client, stack)
    set_kept(VERSION_KEY, "")
    set_kept(VOLUMES_KEY, "")


def remove_project(client: "DockerClient", stack: Stack) -> None:
    """Remove containers, network and all volumes of a project; its settings stay."""
    password = stack.settings.get(PASSWORD_KEY) or "not-needed-to-remove"
    stack = stack.with_settings(**{PASSWORD_KEY: password})
    compose(stack, "down", "--volumes", "--remove-orphans", "--timeout", "10", undisturbed=True)
    for container in client.containers.list(all=True, filters={"label": f"{PROJECT_LABEL}={stack.project}"}):
        container.remove(force=True)
    remove_volumes(client, [name for names in existing_volumes(client, stack.project).values() for name in names])
