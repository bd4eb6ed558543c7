"""Waiting until CVAT can be used, and saying why when it cannot."""

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from toolkit.config.local_cvat import Stack
from toolkit.core.errors import ToolkitError
from toolkit.core.progress import Progress
from toolkit.cvat import probes as server
from toolkit.stack.checks import DISK_FULL_PERCENT, disk_use
from toolkit.stack.diagnosis import DAMAGED_CACHE, DAMAGED_QUEUE, likely_cause
from toolkit.stack.engine import (
    CRASHES,
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

_DISCARDABLE = {DAMAGED_QUEUE: "queue", DAMAGED_CACHE: "cache"}

_QUESTIONS: tuple[tuple[str, Callable[[str, float], str | None]], ...] = (
    ("server health", server.health_problem),
    ("login page", server.login_page_problem),
    ("sign-in", server.login_problem),
)


def wait_for_server(url: str, timeout: float) -> Iterator[Progress]:
    """Wait for a CVAT whose containers are out of sight.

    Args:
        url: Its address.
        timeout: Seconds after which the wait is given up.

    Yields:
        The state about once a second, the last one being ready.

    Raises:
        ToolkitError: It was not ready in time.
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

    Args:
        client: The engine.
        stack: The project.
        timeout: Seconds after which the wait is given up.

    Yields:
        The state about once a second, the last one being ready.

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
    for name, question in _QUESTIONS:
        problems[name] = question(url, PROBE_TIMEOUT_SECONDS)
        if problems[name]:
            break
    return problems


def _not_asked() -> dict[str, str | None]:
    return {name: "waiting" for name, _ in _QUESTIONS}


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

    Attributes:
        discardable: ``queue`` or ``cache`` when its damaged volume is one of these, else None; see
            :func:`toolkit.stack.startup.discard`.
    """

    def __init__(self, message: str, details: list[str], discardable: str | None) -> None:
        super().__init__(message, details)
        self.discardable = discardable


def container_failure(
    client: "DockerClient", stack: Stack, state: ServiceState, exits: list[Exit] | None = None
) -> ContainerFailed:
    """Make the error for a container that has ended: its name, exit code, likely cause and last log lines.

    Args:
        client: The engine.
        stack: The project.
        state: The container's state.
        exits: Its ends as far as they are known, so that the log is that of the run that ended and not of the next.
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
        f"CVAT was not ready after {timeout:.0f} s: {waited_for} (a slow machine may need more: --timeout)", details
    )
