"""Looking at, and into, the stack's containers through the Docker SDK."""

import functools
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from toolkit.config.local_cvat import SERVICES, VOLUMES, Stack
from toolkit.core.errors import ToolkitError, TransientError
from toolkit.stack.compose import WITHOUT_DOCKER, DockerUnavailable, docker_program

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

PROJECT_LABEL = "com.docker.compose.project"
SERVICE_LABEL = "com.docker.compose.service"
VOLUME_LABEL = "com.docker.compose.volume"

CRASHES = 2
"""Ends by itself after which a container is not waited for any longer."""
STEADY_AFTER_CRASH_SECONDS = 15.0
LOG_LINES_SEARCHED = 2000

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


@dataclass(frozen=True)
class ServiceState:
    """What the engine knows of one service's container.

    Attributes:
        state: The engine's word (``running``, ``restarting``, ``exited`` …), or ``absent`` without a container.
        health: ``healthy``, ``unhealthy``, ``starting``, or empty when the container does not run.
        exit_code: The exit code of its last end, 0 when it never ended.
        restarts: How often the engine started it again by itself.
        out_of_memory: Whether its last end was the kernel's, for want of memory.
        started: When it last started, ISO 8601, empty before.
        image: The image it was made from.
        container: The container's name.
    """

    service: str
    state: str = "absent"
    health: str = ""
    exit_code: int = 0
    restarts: int = 0
    out_of_memory: bool = False
    started: str = ""
    image: str = ""
    container: str = ""

    @property
    def seconds(self) -> float:
        """How long ago it last started; negative when this machine's clock is behind the engine's."""
        # As the engine writes it, with nanoseconds.
        started = datetime.fromisoformat(self.started[:19]).replace(tzinfo=UTC)
        return (datetime.now(UTC) - started).total_seconds()

    @property
    def words(self) -> str:
        """The state in a few words."""
        words = self.state if not self.health or self.health == "starting" else f"{self.state}, {self.health}"
        if self.state in ("exited", "restarting", "dead"):
            words += f" (exit code {self.exit_code})"
        return words + (f", restarted {self.restarts}×" if self.restarts else "")

    @property
    def is_crashing(self) -> bool:
        """Whether it has ended by itself again and again, and has not run for long since."""
        return self.restarts >= CRASHES and (not self.runs or self.seconds < STEADY_AFTER_CRASH_SECONDS)

    @property
    def was_killed(self) -> bool:
        """Whether its last end was a kill by the system, of which want of memory is the common cause."""
        # One that was stopped by hand, by force after its grace period, is not started again.
        return self.out_of_memory or (self.exit_code == KILLED and self.state == "restarting")

    @property
    def runs(self) -> bool:
        """Whether the container's program is running now."""
        return self.state == "running"

    @property
    def fails(self) -> bool:
        """Whether it does not do its work.

        Of the worker only its own healthcheck tells that. For the others the server's health speaks, which asks the
        databases and OPA themselves, and so holds for images in their places whose tools the healthchecks miss.
        """
        return not self.runs or self.is_crashing or (self.service == "cvat_worker" and self.health == "unhealthy")


def connect() -> "DockerClient":
    """Connect to the engine that the docker client would use.

    Raises DockerUnavailable where there is no docker, or no engine answers, or this user may not talk to it.
    """
    docker_program()
    import docker
    from docker.errors import DockerException

    address = _context_address()
    try:
        client = docker.DockerClient(base_url=address) if address else docker.from_env()
        client.ping()
    except (DockerException, OSError) as error:
        shown = address or os.environ.get("DOCKER_HOST") or "its usual socket"
        if "Permission denied" in str(error):
            raise DockerUnavailable(
                f"you may not talk to the Docker engine at {shown}: sudo usermod -aG docker $USER, then sign in again; "
                + WITHOUT_DOCKER
            ) from error
        raise DockerUnavailable(
            f"the Docker engine does not answer at {shown}: start Docker Desktop, or sudo systemctl start docker; "
            + WITHOUT_DOCKER
        ) from error
    return client


def engine_address() -> str:
    """Return the address of the engine that the docker client would use."""
    return os.environ.get("DOCKER_HOST") or _context_address() or "unix:///var/run/docker.sock"


def _context_address() -> str | None:
    """Return the address of the chosen docker context (Docker Desktop, rootless, Colima), None for the default one."""
    from docker.context import ContextAPI
    from docker.errors import DockerException

    if os.environ.get("DOCKER_HOST"):
        return None
    try:
        context = ContextAPI.get_current_context()
    except (DockerException, ValueError, KeyError):
        return None
    return context.Host if context and context.Name != "default" else None


def _told_in_one_line(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    @functools.wraps(function)
    def wrapper(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        import requests
        from docker.errors import DockerException

        try:
            return function(*args, **kwargs)
        except (DockerException, requests.RequestException) as error:
            raise ToolkitError(f"the Docker engine refused: {' '.join(str(error).split())}") from error

    return wrapper


@_told_in_one_line
def find_container(client: "DockerClient", stack: Stack, service: str) -> "Container | None":
    """Return the container of a service, running or not."""
    found = client.containers.list(
        all=True,
        filters={"label": [f"{PROJECT_LABEL}={stack.project}", f"{SERVICE_LABEL}={service}"]},
        ignore_removed=True,
    )
    long_lived = [one for one in found if one.labels.get("com.docker.compose.oneoff", "False") == "False"]
    return long_lived[0] if long_lived else None


def running_container(client: "DockerClient", stack: Stack, service: str) -> "Container":
    """Return the container of a service that has to be running; raises ToolkitError where it is not."""
    container = find_container(client, stack, service)
    if container is None or container.status != "running":
        raise ToolkitError(f"{service} is not running (project {stack.project}): start CVAT with `make up`")
    return container


@_told_in_one_line
def service_states(client: "DockerClient", stack: Stack) -> list[ServiceState]:
    """Look at the containers of all :data:`toolkit.config.local_cvat.SERVICES`, in that order.

    Raises ToolkitError where the engine refuses to tell.
    """
    found = client.containers.list(all=True, filters={"label": f"{PROJECT_LABEL}={stack.project}"}, ignore_removed=True)
    states = {
        one.labels.get(SERVICE_LABEL, ""): _state_of(one)
        for one in found
        if one.labels.get("com.docker.compose.oneoff", "False") == "False"
    }
    return [states.get(service) or ServiceState(service) for service in SERVICES]


def _state_of(container: "Container") -> ServiceState:
    attributes: dict[str, Any] = container.attrs
    state = attributes["State"]
    return ServiceState(
        service=container.labels[SERVICE_LABEL],
        state=state["Status"],
        health=(state.get("Health") or {}).get("Status", "") if state["Running"] else "",
        exit_code=state["ExitCode"],
        restarts=attributes.get("RestartCount", 0),
        out_of_memory=state.get("OOMKilled", False),
        started=state["StartedAt"],
        image=attributes["Config"]["Image"],
        container=container.name or "",
    )


@dataclass(frozen=True)
class Exit:
    """One end of a service's program that nobody asked for, in seconds since 1970 by the engine's clock."""

    service: str
    code: int
    moment: float


@_told_in_one_line
def recent_exits(client: "DockerClient", stack: Stack, since: float | None = None) -> list[Exit]:
    """Look up the ends by themselves that the engine remembers: its last few hundred events, which is some minutes.

    The oldest is first; those up to the moment ``since``, that of the last end that is known already, are left out.
    """
    now = datetime.fromisoformat(client.info()["SystemTime"][:19] + "+00:00").timestamp()
    events = client.events(
        since=f"{since or 0:.9f}",
        until=f"{now:.9f}",  # without it the engine goes on telling
        filters={"type": "container", "event": ["die", "kill"], "label": f"{PROJECT_LABEL}={stack.project}"},
        decode=True,
    )
    found, told_to_end = [], set()
    for event in events:
        attributes, moment = event["Actor"]["Attributes"], event["timeNano"] / 1e9
        if event["Action"] == "kill":
            told_to_end.add(event["Actor"]["ID"])
        elif event["Actor"]["ID"] in told_to_end:
            told_to_end.remove(event["Actor"]["ID"])
        elif moment > (since or 0) and attributes.get("com.docker.compose.oneoff", "False") == "False":
            found.append(Exit(attributes.get(SERVICE_LABEL, ""), int(attributes["exitCode"]), moment))
    return found


@_told_in_one_line
def last_log_lines(
    client: "DockerClient",
    stack: Stack,
    service: str,
    count: int = 8,
    since: float | None = None,
    until: float | None = None,
) -> list[str]:
    """Return the last lines a service wrote, newest last; between two moments in seconds since 1970, where given."""
    container = find_container(client, stack, service)
    if container is None:
        return []
    # The engine takes the last lines first, and then those between the moments.
    tail = count if since is None and until is None else LOG_LINES_SEARCHED
    lines: list[str] = container.logs(tail=tail, since=since, until=until).decode(errors="replace").splitlines()
    return [line.rstrip() for line in lines if line.strip()][-count:]


_KILL_COUNTERS = ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control")


@_told_in_one_line
def killed_for_memory(client: "DockerClient", stack: Stack) -> set[str]:
    """Find the services in which the kernel has killed something for want of memory, or which were killed themselves.

    A worker's job can be killed without the container's end; the kernel counts that since the container's last start.
    """
    from docker.errors import APIError

    killed = {state.service for state in service_states(client, stack) if state.was_killed}
    killed |= {one.service for one in recent_exits(client, stack) if one.code == KILLED}
    for service in set(SERVICES) - killed - {"cvat_opa"}:  # whose image holds no other program
        container = find_container(client, stack, service)
        if container is not None and container.status == "running":
            try:
                said = container.exec_run(["cat", *_KILL_COUNTERS]).output
            except APIError:  # it has just ended
                continue
            if any(int(count) for count in re.findall(rb"^oom_kill (\d+)$", said, re.MULTILINE)):
                killed.add(service)
    return killed


@_told_in_one_line
def execute(
    client: "DockerClient",
    stack: Stack,
    service: str,
    command: Sequence[str],
    environment: dict[str, str] | None = None,
) -> tuple[int, str]:
    """Run a command inside a running service; returns the exit code, and standard output and error together.

    The command is visible to every user of this machine, so it never has a secret; the environment is not visible from
    outside. Raises ToolkitError where the service does not run, or the engine refuses, and TransientError where the
    end of the answer is missing.
    """
    container = running_container(client, stack, service)
    told = container.exec_run(["sh", "-c", _WITH_ENDING, "sh", *command], environment=environment or {}).output
    output, ending, code = told.decode(errors="replace").rpartition(_ENDING)
    if not ending or not code.strip().isdigit():
        raise TransientError(f"the answer of {service} was cut off: run again")
    return int(code), output


_ENDING = "\nended with "
_WITH_ENDING = f"""\"$@\"; code=$?; printf '{_ENDING}%s\n' "$code\""""
"""A busy engine may close the stream before it has passed on all, and then know no exit code: the command tells it."""


@_told_in_one_line
def existing_volumes(client: "DockerClient", project: str) -> dict[str, list[str]]:
    """List the full names of the volumes that a project owns by the suffix of their set, complete or not.

    See ``CVAT_VOLUMES``.
    """
    sets: dict[str, list[str]] = {}
    for volume in client.volumes.list(filters={"label": f"{PROJECT_LABEL}={project}"}):
        short = (volume.attrs.get("Labels") or {}).get(VOLUME_LABEL, "")
        prefix = f"{project}_{short}"
        if short in VOLUMES and volume.name.startswith(prefix):
            sets.setdefault(volume.name.removeprefix(prefix), []).append(volume.name)
    return {suffix: sorted(names) for suffix, names in sorted(sets.items())}


@_told_in_one_line
def project_names(client: "DockerClient") -> list[str]:
    """Name the Compose projects that have a volume or a container on this engine."""
    labels = [one.labels for one in client.containers.list(all=True, ignore_removed=True)]
    labels += [one.attrs.get("Labels") or {} for one in client.volumes.list()]
    return sorted({one[PROJECT_LABEL] for one in labels if PROJECT_LABEL in one})


def unused_volumes(client: "DockerClient", stack: Stack) -> list[str]:
    """Name the volumes beside those in use: what restores have replaced, and what killed ones have left."""
    sets = existing_volumes(client, stack.project)
    return [name for suffix, names in sets.items() if suffix != stack.volumes_suffix for name in names]


@_told_in_one_line
def remove_volumes(client: "DockerClient", names: Sequence[str]) -> None:
    """Remove volumes that no container uses any more; those already gone are passed over."""
    from docker.errors import NotFound

    for name in names:
        try:
            client.volumes.get(name).remove()
        except NotFound:
            continue


@_told_in_one_line
def missing_images(client: "DockerClient", stack: Stack) -> list[str]:
    """Return those of the stack's images that the engine does not have yet."""
    from docker.errors import ImageNotFound

    missing = []
    for image in dict.fromkeys(stack.image(service) for service in SERVICES):
        try:
            client.images.get(image)
        except ImageNotFound:
            missing.append(image)
    return missing


@_told_in_one_line
def image_digests(client: "DockerClient", stack: Stack) -> dict[str, str]:
    """Return the digest of each of the stack's images: the registry's where there is one, else the engine's own."""
    names = dict.fromkeys(stack.image(service) for service in SERVICES)
    return {
        name: next(iter(registry_digests(client, name)), None) or client.images.get(name).id or "" for name in names
    }


@_told_in_one_line
def registry_digests(client: "DockerClient", name: str) -> list[str]:
    """Return the digests under which the registry that an image is named after has it; none if it came from none."""
    wanted = _full_repository(name)
    named = [one.partition("@") for one in client.images.get(name).attrs.get("RepoDigests") or []]
    return [digest for repository, _, digest in named if _full_repository(repository) == wanted]


def _full_repository(name: str) -> str:
    """Return the name of an image's repository as the engine takes it, without tag and digest."""
    name = re.sub(r":[^:/]*$", "", name.partition("@")[0]).removeprefix("docker.io/").removeprefix("index.docker.io/")
    return name if "/" in name else f"library/{name}"


@_told_in_one_line
def container_on_port(client: "DockerClient", port: int) -> "Container | None":
    """Return the running container that publishes a port of this machine."""
    for container in client.containers.list(ignore_removed=True):
        for bindings in (container.ports or {}).values():
            if any(int(binding["HostPort"]) == port for binding in bindings or []):
                return container
    return None


@contextmanager
def engine() -> Iterator["DockerClient"]:
    """Connect to the engine for a while; see :func:`connect`."""
    client = connect()
    try:
        yield client
    finally:
        client.close()


KILLED = 137
"""The exit code of a program that was killed: 128 and SIGKILL."""
