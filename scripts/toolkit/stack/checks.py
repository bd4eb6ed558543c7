"""How a CVAT is: what `make doctor` checks (what it takes, what is there, what to do), and what `make status` shows."""

import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from toolkit.config.local_cvat import PASSWORD_KEY, SERVICES, Stack, settings_file
from toolkit.core.errors import FAILED, OK, SKIPPED, WARNING, Check, ToolkitError
from toolkit.core.secrets import without_secrets
from toolkit.core.text import format_size
from toolkit.cvat import probes as server
from toolkit.cvat.probes import clock_check, version_check
from toolkit.stack.compose import OLDEST_COMPOSE, compose_version
from toolkit.stack.engine import (
    ServiceState,
    container_on_port,
    execute,
    existing_volumes,
    find_container,
    killed_for_memory,
    missing_images,
    service_states,
    unused_volumes,
)

if TYPE_CHECKING:
    from docker import DockerClient


KILLED_FOR_MEMORY = "something in it was killed for want of memory"

GIB = 1024**3
CORES_WANTED = 2
MEMORY_WANTED = 4 * GIB
MEMORY_NEEDED = 2 * GIB
DISK_FOR_IMAGES = 10 * GIB
DISK_FOR_WORK = 2 * GIB
DISK_FULL_PERCENT = 90
"""CVAT's own health check fails above this."""


class DiskUse(NamedTuple):
    """The disk that holds CVAT's data: the bytes that can still be written, and how full it is."""

    free: int
    percent: float

    @property
    def words(self) -> str:
        """Both, for people."""
        return f"{format_size(self.free)} free, {self.percent:.0f} % full"


def python_check() -> Check:
    """Check the Python that runs the scripts."""
    found = ".".join(map(str, sys.version_info[:3]))
    return Check("Python", OK if sys.version_info >= (3, 11) else FAILED, "3.11 or newer", found)


def docker_checks(connect: Callable[[], "DockerClient"]) -> tuple[list[Check], "DockerClient | None"]:
    """Check the Docker client, its engine and Compose; returns the engine as well when it answers."""
    checks, client = [], None
    try:
        client = connect()
        info = client.version()
        checks.append(Check("Docker engine", OK, "an engine that answers", f"{info['Version']} ({info['Os']})"))
    except ToolkitError as error:
        found, _, advice = error.message.partition(": ")
        checks.append(Check("Docker engine", FAILED, "an engine that answers", found, advice))
    wanted = f"{'.'.join(map(str, OLDEST_COMPOSE))} or newer"
    try:
        found = compose_version()
        old = server.numbers(found) < OLDEST_COMPOSE
        advice = "install a newer Compose plugin: https://docs.docker.com/compose/install/" if old else ""
        checks.append(Check("Docker Compose", FAILED if old else OK, wanted, found, advice))
    except ToolkitError as error:
        found, _, advice = error.message.partition(": ")
        checks.append(Check("Docker Compose", FAILED, wanted, found, advice))
    return checks, client


def engine_checks(client: "DockerClient", stack: Stack) -> Iterator[Check]:
    """Check cores, memory, processor, disk and clock as the engine sees them."""
    info = client.info()
    yield _at_least("cores", info["NCPU"], CORES_WANTED, "give the Docker engine more cores", str)
    memory = info["MemTotal"]
    check = _at_least("memory", memory, MEMORY_WANTED, "give the Docker engine more memory", format_size)
    # What an engine with 4 GB has for itself is a little less than 4 GiB.
    if memory < MEMORY_NEEDED:
        yield Check("memory", FAILED, check.required, check.found, check.advice)
    else:
        yield check if memory < 0.9 * MEMORY_WANTED else Check("memory", OK, check.required, check.found)
    yield _processor_check(info["Architecture"])
    to_pull = missing_images(client, stack)
    yield disk_check(
        disk_use(client, stack),
        DISK_FOR_IMAGES if to_pull else DISK_FOR_WORK,
        "to pull the images" if to_pull else "beside the images",
        how_to_see="start CVAT, then it can be looked at",
        how_to_free="docker system df shows what Docker keeps",
    )
    drift = abs(datetime.fromisoformat(info["SystemTime"][:19] + "+00:00").timestamp() - time.time())
    yield clock_check("clock of the engine", drift)


def _at_least(name: str, found: int, wanted: int, advice: str, show: Callable[[int], str]) -> Check:
    short = found < wanted
    return Check(name, WARNING if short else OK, f"{show(wanted)} or more", show(found), advice if short else "")


def _processor_check(found: str) -> Check:
    fits = found in ("x86_64", "amd64")
    advice = "" if fits else "CVAT's images are emulated here: slow, and not tested"
    return Check("processor", OK if fits else WARNING, "x86-64", found, advice)


def disk_check(use: DiskUse | None, wanted: int, purpose: str, *, how_to_see: str, how_to_free: str) -> Check:
    """Judge the disk that holds CVAT's data.

    Args:
        use: The disk, None when it cannot be seen.
        wanted: Bytes that should be free.
        purpose: What for, such as "to pull the images"; may be empty.
        how_to_see: What to do when it cannot be seen.
        how_to_free: A word on what to do when too little is free.
    """
    required = f"{format_size(wanted)} free{' ' * bool(purpose)}{purpose}, under {DISK_FULL_PERCENT} % full"
    if use is None:
        return Check("disk", SKIPPED, required, "not visible from here", how_to_see)
    if use.percent >= DISK_FULL_PERCENT:
        return Check(
            "disk", FAILED, required, use.words, "free some space: CVAT calls itself unhealthy above that line"
        )
    if use.free < wanted:
        return Check("disk", FAILED, required, use.words, f"free some space ({how_to_free})")
    return Check("disk", OK, required, use.words)


def disk_use(client: "DockerClient", stack: Stack) -> DiskUse | None:
    """Look at the disk that holds the engine's volumes; None when it cannot be seen."""
    container = find_container(client, stack, "cvat_server")
    if container is not None and container.status == "running":
        with suppress(ToolkitError):  # it may just have ended
            if (use := disk_of_server(partial(execute, client, stack, "cvat_server"))) is not None:
                return use
    folder = Path(client.info().get("DockerRootDir") or "/nowhere")
    if os.environ.get("DOCKER_HOST", "unix:").startswith("unix:") and folder.is_dir():
        disk = shutil.disk_usage(folder)
        return DiskUse(disk.free, 100 * disk.used / ((disk.used + disk.free) or 1))
    return None


def disk_of_server(execute: Callable[[list[str]], tuple[int, str]]) -> DiskUse | None:
    """Look at the disk of CVAT's data by a command inside the server's container, for its exit code and output."""
    code, output = execute(["df", "-Pk", "/home/django/data"])
    numbers = [int(word) for word in output.split() if word.isdigit()]
    if code or len(numbers) < 3:
        return None
    _, used, free = numbers[:3]
    return DiskUse(free * 1024, 100 * used / ((used + free) or 1))


def port_check(client: "DockerClient", stack: Stack) -> Check:
    """Check that the port is free, or already this stack's own."""
    name, required = f"port {stack.port}", "free, or CVAT's own"
    holder = container_on_port(client, stack.port)
    if holder is not None:
        project = holder.labels.get("com.docker.compose.project")
        if project == stack.project:
            return Check(name, OK, required, "CVAT's own")
        whose = f"container {holder.name}" + (f" of project {project}" if project else "")
        return Check(name, FAILED, required, f"taken by {whose}", _other_port(stack))
    if _is_free(stack):
        return Check(name, OK, required, "free")
    return Check(name, FAILED, required, f"taken by {_program_on_port(stack.port)}", _other_port(stack))


def _other_port(stack: Stack) -> str:
    return f"stop it, or take another port: make up CVAT_PORT={stack.port + 1}"


def _is_free(stack: Stack) -> bool:
    import socket

    family = socket.AF_INET6 if ":" in stack.bind else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((stack.bind.strip("[]"), stack.port))
        except OSError:
            return False
    return True


def _program_on_port(port: int) -> str:
    for command in (["ss", "-Hltnp", f"sport = :{port}"], ["lsof", "-nP", "-Fc", f"-iTCP:{port}", "-sTCP:LISTEN"]):
        if shutil.which(command[0]):
            said = subprocess.run(command, env=without_secrets(), capture_output=True, text=True, check=False).stdout
            program = said.partition('users:(("')[2].partition('"')[0] or said.partition("\nc")[2].partition("\n")[0]
            if program:
                return program
    return "another program"


def settings_checks(client: "DockerClient", stack: Stack) -> Iterator[Check]:
    """Check what keeps the data usable and private: the kept password, the file's mode, the published address."""
    file = settings_file(stack.project)
    name, required = file.name, "readable by you alone, with the database password"
    if file.exists():
        if file.stat().st_mode & 0o077:
            yield Check(name, WARNING, required, "readable by others", f"chmod 600 {file}")
        else:
            yield Check(name, OK, required, "there")
    elif existing_volumes(client, stack.project) and PASSWORD_KEY not in stack.settings:
        yield Check(name, FAILED, required, "missing, but there are data", f"put your copy of {file} back")
    else:
        yield Check(name, OK, required, "not made yet (make up does)")
    left = unused_volumes(client, stack)
    if left:
        yield Check(
            "volumes",
            WARNING,
            "one set of data",
            f"{len(left)} volumes more, which a restore has replaced or a killed one has left: {', '.join(left)}",
            "when all is well: make prune",
        )
    if not stack.is_private:
        yield Check(
            "published on",
            WARNING,
            "127.0.0.1",
            stack.bind,
            "the network reaches CVAT without encryption: unset CVAT_BIND, or put a TLS proxy before it",
        )
        if not stack.hosts:
            yield Check(
                "host names",
                WARNING,
                "CVAT_HOSTS, with what others type into their browser",
                "not set",
                f"all that ask by another name than {urlsplit(stack.url).hostname} get HTTP 421: "
                "CVAT_HOSTS=cvat.example.com,192.168.1.5 in config/cvat.env, then make up",
            )
        if stack.settings.get("CVAT_SIGN_UP") == "open":
            yield Check(
                "sign-up",
                WARNING,
                "closed",
                "open",
                "anyone who reaches CVAT can make an account and upload: unset CVAT_SIGN_UP when all have one",
            )


def running_checks(client: "DockerClient", stack: Stack) -> Iterator[Check]:
    """Check the containers of a stack that was started."""
    killed = killed_for_memory(client, stack)
    for state in service_states(client, stack):
        required = "running, healthy"
        if state.fails:
            advice = f"make logs ARGS={state.service}, then make up"
            found = state.words + (f", {KILLED_FOR_MEMORY}" if state.service in killed else "")
            yield Check(state.service, FAILED, required, found, advice)
        elif state.service in killed:
            yield Check(state.service, WARNING, required, f"{state.words}, {KILLED_FOR_MEMORY}", _more_memory(state))
        else:
            yield Check(state.service, OK, required, state.words)


def _more_memory(state: ServiceState) -> str:
    setting = {"cvat_db": "CVAT_DB_MEMORY", "cvat_server": "CVAT_SERVER_MEMORY", "cvat_worker": "CVAT_WORKER_MEMORY"}
    how = setting.get(state.service, "mem_limit in compose/compose.yml")
    return f"what it was doing has failed; give it more memory ({how}), and the Docker engine if that has too little"


def configuration_check(path: Path) -> Check:
    """Check a configuration file by the toolkit's own reader; it warns of unknown keys and of an exposed password.

    What is not there is no fault: each step needs other keys, and credentials may come from the environment or a token.
    """
    from toolkit.config.load import find_configuration
    from toolkit.config.model import wrong_values

    required = "every value as its key wants it"
    try:
        file, doubts = find_configuration(path)
        wrong = wrong_values(file) if file else []
    except ToolkitError as error:
        return Check(path.name, FAILED, required, error.message, f"correct {path}")
    if wrong:
        return Check(path.name, FAILED, required, "; ".join(wrong), f"correct {path}")
    if doubts:
        return Check(path.name, WARNING, required, "valid", "; ".join(doubts))
    return Check(path.name, OK, required, "valid")


RESPONSE_LIMIT_SECONDS = 1.2
"""The specification's longest response time of the user interface."""

_SAMPLES = 3


@dataclass
class Status:
    """What `make status` shows.

    Attributes:
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
