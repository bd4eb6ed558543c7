"""Waiting until CVAT can be used, and saying why when it cannot."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from toolkit import server
from toolkit.diagnosis import likely_cause
from toolkit.engine import ServiceState, last_log_lines, service_states
from toolkit.errors import ToolkitError
from toolkit.stack import Stack

if TYPE_CHECKING:
    from docker import DockerClient

POLL_SECONDS = 1.0
PROBE_TIMEOUT_SECONDS = 10.0
CRASHES_ALLOWED = 5
STEADY_SECONDS = 3.0
STEADY_AFTER_CRASH_SECONDS = 15.0

_QUESTIONS: tuple[tuple[str, Callable[[str, float], str | None]], ...] = (
    ("server health", server.health_problem),
    ("login page", server.login_page_problem),
    ("sign-in", server.login_problem),
)


@dataclass(frozen=True)
class Progress:
    """How far a starting CVAT is.

    Attributes:
        seconds: Time since the wait began.
        states: One line's worth of text by service or question, in a fixed order.
        ready: Whether all is well, which ends the wait.
    """

    seconds: float
    states: dict[str, str]
    ready: bool


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
        ToolkitError: A container has ended or keeps crashing, or it was not ready in time. The message names the
            container and its exit code, the details are the likely cause and its last log lines.
    """
    start = time.monotonic()
    first = {state.service: state.restarts for state in service_states(client, stack)}
    while True:
        states = service_states(client, stack)
        for state in states:
            if _has_failed(state, first.get(state.service, 0)):
                raise container_failure(client, stack, state)
        problems = _ask(stack.url) if all(state.runs for state in states) else _not_asked()
        seconds = time.monotonic() - start
        ready = not any(problems.values()) and all(_is_steady(state) for state in states)
        shown = {state.service: describe(state) for state in states}
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


def describe(state: ServiceState) -> str:
    """Put the state of a service into a few words."""
    words = state.state if not state.health or state.health == "starting" else f"{state.state}, {state.health}"
    if state.state in ("exited", "restarting", "dead"):
        words += f" (exit code {state.exit_code})"
    return words + (f", restarted {state.restarts}×" if state.restarts else "")


def _has_failed(state: ServiceState, restarts_before: int) -> bool:
    if state.state == "dead" or state.state == "exited":
        return True
    return not state.runs and state.restarts - restarts_before >= CRASHES_ALLOWED


def _is_steady(state: ServiceState) -> bool:
    """Tell whether a container has run for long enough to be trusted, which is longer once it has crashed."""
    if state.fails:
        return False
    return _seconds_since(state.started) > (STEADY_AFTER_CRASH_SECONDS if state.restarts else STEADY_SECONDS)


def _seconds_since(moment: str) -> float:
    """Return the age of a moment as the engine writes it, with nanoseconds."""
    started = datetime.fromisoformat(moment[:19]).replace(tzinfo=UTC)
    return (datetime.now(UTC) - started).total_seconds()


def container_failure(client: "DockerClient", stack: Stack, state: ServiceState) -> ToolkitError:
    """Make the error for a container that has ended: its name, exit code, likely cause and last log lines."""
    lines = last_log_lines(client, stack, state.service)
    cause = likely_cause(lines, state.exit_code, state.out_of_memory)
    crashes = f" after {state.restarts} restarts" if state.restarts else ""
    return ToolkitError(
        f"{state.service} ended with exit code {state.exit_code}{crashes} (container {state.container}; "
        f"all it said: make logs ARGS={state.service})",
        [f"likely cause: {cause}"] * bool(cause) + [f"its log: {line}" for line in lines],
    )


def _too_late(
    client: "DockerClient", stack: Stack, states: list[ServiceState], problems: dict[str, str | None], timeout: float
) -> ToolkitError:
    suspect = next((state.service for state in states if not state.runs or state.health == "unhealthy"), "cvat_server")
    waited_for = next((problem for problem in problems.values() if problem and problem != "waiting"), "its containers")
    details = [f"{state.service}: {describe(state)}" for state in states if not state.runs]
    for service in dict.fromkeys((suspect, "cvat_server", "cvat_db", "cvat_worker")):
        if cause := likely_cause(last_log_lines(client, stack, service, count=30)):
            details.append(f"likely cause: {cause}")
            break
    details += [f"{suspect} said: {line}" for line in last_log_lines(client, stack, suspect)]
    return ToolkitError(
        f"CVAT was not ready after {timeout:.0f} s: {waited_for} (a slow machine may need more: --timeout)", details
    )
