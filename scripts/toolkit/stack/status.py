"""How a CVAT is at this moment."""

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from toolkit.config.local_cvat import SERVICES, Stack
from toolkit.core.errors import OK, ToolkitError
from toolkit.core.text import format_size
from toolkit.cvat import probes as server
from toolkit.cvat.probes import version_check
from toolkit.stack.checks import KILLED_FOR_MEMORY, disk_use
from toolkit.stack.engine import find_container, killed_for_memory, service_states, unused_volumes

if TYPE_CHECKING:
    from docker import DockerClient

RESPONSE_LIMIT_SECONDS = 1.2
"""The specification's longest response time of the user interface."""

_SAMPLES = 3


@dataclass
class Status:
    """What `make status` shows.

    Attributes:
        url: Where the server is.
        problem: Why it cannot be used, None when it can.
        services: State by service; empty for a server elsewhere.
        versions: Server and client, with a word on how they go together.
        ui_seconds: Time of the server's answer to a request for the web UI's page, the middle of three. A person waits
            longer: a browser loads the page's scripts after it.
        api_seconds: Time of an API answer, the middle of three.
        limit_seconds: What both are measured against.
        disk: Free space where the data are.
        memory: What the containers use.
        replaced_volumes: What restores have replaced, which takes room until `make prune` or the next backup.
    """

    url: str
    problem: str | None = None
    services: dict[str, str] = field(default_factory=dict)
    versions: str = ""
    ui_seconds: float | None = None
    api_seconds: float | None = None
    limit_seconds: float = RESPONSE_LIMIT_SECONDS
    disk: str = ""
    memory: str = ""
    replaced_volumes: list[str] = field(default_factory=list)


def server_status(url: str) -> Status:
    """Look at a server from outside."""
    status = Status(url, problem=server.health_problem(url) or server.login_page_problem(url))
    if status.problem is None:
        try:
            _ask_more(status)
        except ToolkitError as error:
            status.problem = error.message
    return status


def _ask_more(status: Status) -> None:
    check = version_check(status.url)
    status.versions = f"{check.found} ({check.required})"
    if check.state != OK:
        status.versions = f"warning: {check.found}; {check.advice} (required: {check.required})"
    status.ui_seconds = _middle_time(status.url, server.LOGIN_PAGE_PATH)
    status.api_seconds = _middle_time(status.url, server.ABOUT_PATH)


def _middle_time(url: str, path: str) -> float:
    return round(statistics.median(server.ask(url, path).seconds for _ in range(_SAMPLES)), 3)


def stack_status(client: "DockerClient", stack: Stack) -> Status:
    """Look at the local stack: its containers, and its server from outside."""
    states = service_states(client, stack)
    replaced = unused_volumes(client, stack)
    if all(state.state == "absent" for state in states):
        problem = f"it is not started (project {stack.project}): make up"
        return Status(stack.url, problem, replaced_volumes=replaced)
    status = server_status(stack.url)
    status.replaced_volumes = replaced
    killed = killed_for_memory(client, stack)
    status.services = {
        state.service: state.words + (f", {KILLED_FOR_MEMORY}" if state.service in killed else "") for state in states
    }
    stopped = [state.service for state in states if state.fails]
    if stopped:
        status.problem = f"{', '.join(stopped)} {'do' if len(stopped) > 1 else 'does'} not run well: make doctor"
    use = disk_use(client, stack)
    if use is not None:
        status.disk = use.words
    status.memory = _memory(client, stack)
    return status


def _memory(client: "DockerClient", stack: Stack) -> str:
    used = []
    for service in SERVICES:
        container = find_container(client, stack, service)
        if container is not None and container.status == "running":
            memory = container.stats(stream=False, one_shot=True).get("memory_stats", {})
            cache = memory.get("stats", {})
            used.append(memory.get("usage", 0) - cache.get("total_inactive_file", cache.get("inactive_file", 0)))
    return f"{format_size(sum(used))} in {len(used)} containers" if used else ""
