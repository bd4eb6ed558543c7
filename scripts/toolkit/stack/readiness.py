"""Waiting until CVAT can be used, and saying why when it cannot."""

import re
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from toolkit.config.local_cvat import Stack
from toolkit.core.errors import ToolkitError
from toolkit.core.text import Progress
from toolkit.cvat import probes as server
from toolkit.stack.checks import DISK_FULL_PERCENT, disk_use
from toolkit.stack.engine import (
    CRASHES,
    KILLED,
    STEADY_AFTER_CRASH_SECONDS,
    Exit,
    ServiceState,
    last_log_lines,
    recent_exits,
    service_states,
)

if TYPE_CHECKING:
    from docker import DockerClient

POLL_SECONDS = 1.0
PROBE_TIMEOUT_SECONDS = 10.0
DISK_EVERY_SECONDS = 5.0
STEADY_SECONDS = 3.0
LOG_LINES = 8

DAMAGED_QUEUE = "the queue's file is damaged, by a crash or a full disk; the queue holds no labels and no images"
DAMAGED_CACHE = (
    "the cache's volume has lost its configuration file, or is damaged; the cache holds no labels and no images"
)
_DISCARDABLE = {DAMAGED_QUEUE: "queue", DAMAGED_CACHE: "cache"}

_PROBES: tuple[tuple[str, Callable[[str, float], str | None]], ...] = (
    ("server health", server.health_problem),
    ("login page", server.login_page_problem),
    ("sign-in", server.login_problem),
)


def wait_for_server(url: str, timeout: float) -> Iterator[Progress]:
    """Wait for a CVAT whose containers are out of sight; yields the state about once a second, the last being ready.

    Raises ToolkitError where it was not ready within ``timeout`` seconds.
    """
    start = time.monotonic()
    while True:
        problems = _ask(url)
        seconds = time.monotonic() - start
        ready = not any(problems.values())
        yield Progress(seconds, {name: problem or "ok" for name, problem in problems.items()}, ready)
        if ready:
            return
        if seconds > timeout:
            waited_for = next(problem for problem in problems.values() if problem)
            raise ToolkitError(f"CVAT at {url} was not ready after {timeout:.0f} s: {waited_for} (--timeout)")
        time.sleep(POLL_SECONDS)


def wait_for_stack(client: "DockerClient", stack: Stack, timeout: float) -> Iterator[Progress]:
    """Wait for the local stack: every container up, the server healthy, its pages served.

    The state comes about once a second, the last one being ready; after ``timeout`` seconds the wait is given up.

    Raises:
        ContainerFailed: A container has ended or keeps crashing. The message names it and its exit code, the details
            are the likely cause and the last log lines of the run that ended.
        ToolkitError: The disk is too full for CVAT, or it was not ready in time.
    """
    start = time.monotonic()
    looked_at_disk = -DISK_EVERY_SECONDS
    exits: list[Exit] = []
    while True:
        exits += recent_exits(client, stack, exits[-1].moment if exits else None)
        states = service_states(client, stack)
        for state in states:
            if _has_failed(state, exits):
                if not _exits_of(state, exits):  # the engine tells of whole seconds that are over
                    time.sleep(POLL_SECONDS)
                    exits += recent_exits(client, stack, exits[-1].moment if exits else None)
                raise container_failure(client, stack, state, exits)
        problems = _ask(stack.url) if all(state.runs for state in states) else _not_asked()
        seconds = time.monotonic() - start
        ready = not any(problems.values()) and all(_is_steady(state) for state in states)
        if not ready and seconds - looked_at_disk >= DISK_EVERY_SECONDS:
            looked_at_disk = seconds
            _check_disk(client, stack)
        shown = {state.service: state.words for state in states}
        yield Progress(seconds, shown | {name: problem or "ok" for name, problem in problems.items()}, ready)
        if ready:
            return
        if seconds > timeout:
            raise _too_late(client, stack, states, problems, timeout)
        time.sleep(POLL_SECONDS)


def _ask(url: str) -> dict[str, str | None]:
    """Ask one question after the other, up to the first that is not answered well."""
    problems: dict[str, str | None] = dict(_not_asked())
    for name, question in _PROBES:
        problems[name] = question(url, PROBE_TIMEOUT_SECONDS)
        if problems[name]:
            break
    return problems


def _not_asked() -> dict[str, str | None]:
    return {name: "waiting" for name, _ in _PROBES}


def _has_failed(state: ServiceState, exits: list[Exit]) -> bool:
    if state.state in ("dead", "exited"):
        return True
    codes = [exit_.code for exit_ in _exits_of(state, exits)]
    forgotten = state.restarts - len(codes)
    return state.is_crashing and forgotten + sum(code != 0 for code in codes) >= CRASHES


def _exits_of(state: ServiceState, exits: list[Exit]) -> list[Exit]:
    """Return the ends since the container was last started by hand, which are as many as its restarts."""
    return [exit_ for exit_ in exits if exit_.service == state.service][-state.restarts :]


def _is_steady(state: ServiceState) -> bool:
    """Tell whether a container has run for long enough to be trusted, which is longer once it has crashed."""
    if state.fails:
        return False
    return state.seconds > (STEADY_AFTER_CRASH_SECONDS if state.restarts else STEADY_SECONDS)


def _check_disk(client: "DockerClient", stack: Stack) -> None:
    try:
        use = disk_use(client, stack)
    except ToolkitError:  # the server has just ended; the next look at the containers tells
        return
    if use is not None and use.percent >= DISK_FULL_PERCENT:
        raise ToolkitError(
            f"the disk with CVAT's data is {use.percent:.0f} % full, and CVAT does not get ready above "
            f"{DISK_FULL_PERCENT} %: free some space (docker system df shows what Docker keeps), then `make up`"
        )


class ContainerFailed(ToolkitError):
    """A container has ended or keeps crashing.

    ``discardable`` is ``queue`` or ``cache`` when its damaged volume is one of these, else None; see
    :func:`toolkit.stack.startup.discard`.
    """

    def __init__(self, message: str, details: list[str], discardable: str | None) -> None:
        super().__init__(message, details)
        self.discardable = discardable


def container_failure(
    client: "DockerClient", stack: Stack, state: ServiceState, exits: list[Exit] | None = None
) -> ContainerFailed:
    """Make the error for a container that has ended: its name, exit code, likely cause and last log lines.

    ``exits`` are its ends as far as they are known, so that the log is that of the run that ended and not of the next.
    """
    known = _exits_of(state, exits or []) if state.restarts else []
    code = known[-1].code if known else state.exit_code
    since = known[-2].moment if len(known) > 1 else None
    lines = last_log_lines(client, stack, state.service, LOG_LINES, since, known[-1].moment if known else None)
    cause = likely_cause(lines, code, state.out_of_memory)
    times = f", {state.restarts} times by now" if state.restarts > 1 else ""
    details = [f"likely cause: {cause}"] if cause else []
    discardable = _DISCARDABLE.get(cause or "")
    if discardable:
        details.append(f"to empty its volume and go on: make up ARGS=--discard={discardable}")
    return ContainerFailed(
        f"{state.service} ended with exit code {code}{times} (container {state.container}; "
        f"all it said: make logs ARGS={state.service})",
        details + [f"its log: {line}" for line in lines],
        discardable,
    )


def _too_late(
    client: "DockerClient", stack: Stack, states: list[ServiceState], problems: dict[str, str | None], timeout: float
) -> ToolkitError:
    suspect = next((state.service for state in states if not state.runs or state.health == "unhealthy"), "cvat_server")
    waited_for = next((problem for problem in problems.values() if problem and problem != "waiting"), "its containers")
    details = [f"{state.service}: {state.words}" for state in states if not state.runs]
    for service in dict.fromkeys((suspect, "cvat_server", "cvat_db", "cvat_worker")):
        if cause := likely_cause(last_log_lines(client, stack, service, count=30)):
            details.append(f"likely cause: {cause}")
            break
    details += [f"{suspect} said: {line}" for line in last_log_lines(client, stack, suspect)]
    return ToolkitError(
        f'CVAT was not ready after {timeout:.0f} s: {waited_for} (a slow machine may need more: ARGS="--timeout 600")',
        details,
    )


class _Sign(NamedTuple):
    pattern: str
    cause: str


_ENGINE_SIGNS = (
    _Sign(
        r"toomanyrequests|rate limit",
        "the registry allows no more pulls for now: `docker login`, or wait, then `make pull`",
    ),
    _Sign(
        r"manifest unknown|not found: manifest|repository does not exist|pull access denied",
        "there is no such image: check CVAT_VERSION and the image names in compose/versions.env and config/cvat.env",
    ),
    _Sign(
        r"dial tcp|i/o timeout|tls handshake|no such host|lookup .* on|failed to resolve|connection refused.*registry",
        "the image registry cannot be reached: check the network or proxy of the Docker engine, then `make pull`",
    ),
)
"""What the engine says about a registry. Programs in containers use the same words about each other."""

_SIGNS = (
    _Sign(
        r"password authentication failed",
        "the database was made with another password than config/cvat.env holds: put the file of that time back, "
        "or restore a backup, or `make destroy` for a new beginning",
    ),
    _Sign(
        r"no space left on device|disk quota exceeded|database or disk is full",
        "the disk is full: free some space, then `make up`",
    ),
    _Sign(
        r"format string .* contains names \(.*'env_.* which cannot be expanded",
        "a variable that the image's supervisord needs is not set at all: the image is newer than compose/compose.yml "
        "knows, so update this toolkit, or use a version that `make status` calls tested",
    ),
    _Sign(
        r"bad file format reading the append only file|short read or oom loading db|wrong signature trying to load db",
        DAMAGED_QUEUE,
    ),
    _Sign(r"failed to load config.*failed to open file|failed to open: .*corruption", DAMAGED_CACHE),
    _Sign(
        r"exec format error|does not match the specified platform|no matching manifest for",
        "the image is made for another processor: CVAT's images are for x86-64 alone",
    ),
    _Sign(
        r"port is already allocated|address already in use",
        "the port is taken: `make doctor` says by whom; another one: `make up CVAT_PORT=8081`",
    ),
    _Sign(
        r"database files are incompatible with server",
        "the data are of another PostgreSQL major version: set CVAT_DB_IMAGE back, or restore a backup",
    ),
    _Sign(
        r"duplicate column|relation .* already exists|inconsistentmigrationhistory",
        "the data are of another version of CVAT: use the version they were made with, or `make upgrade`",
    ),
    _Sign(
        r"\bout of memory\b|cannot allocate memory|\boom\b|oomkilled",
        "memory ran out: give the Docker engine more, 4 GB at least",
    ),
    _Sign(r"permission denied", "the program may not read or write its files"),
)

OUT_OF_MEMORY = "killed for want of memory: give the Docker engine 4 GB or more, or raise the container's limit"

_EXIT_CODES = {
    126: "its command cannot be run",
    127: "its command is not in the image: the image is not the one that is expected",
    KILLED: "killed from outside, mostly for want of memory: give the Docker engine 4 GB or more",
    139: "it crashed (segmentation fault)",
    143: "stopped from outside",
}


def likely_cause(lines: list[str], exit_code: int | None = None, out_of_memory: bool = False) -> str | None:
    """Guess by what a container said last why it failed, and what to do about it; None when nothing is recognised.

    ``out_of_memory`` tells whether the engine says that memory ran out.
    """
    if out_of_memory:
        return OUT_OF_MEMORY
    return _recognised(lines, _SIGNS) or _EXIT_CODES.get(exit_code or 0)


def cause_of_refusal(lines: list[str]) -> str | None:
    """Guess why the engine refused to pull or to start, from what it said last; None when nothing is recognised."""
    return _recognised(lines, _ENGINE_SIGNS + _SIGNS)


def _recognised(lines: list[str], signs: tuple[_Sign, ...]) -> str | None:
    text = "\n".join(lines).lower()
    return next((sign.cause for sign in signs if re.search(sign.pattern, text)), None)
