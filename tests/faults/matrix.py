"""What can go wrong at which step: the rows and columns of docs/faults.md."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Step:
    """A request of a script, or a piece of the server's work for it.

    Attributes:
        script: The script.
        name: What is done.
        method: The request's method.
        path: Its path, as the stand-in's faults match it.
        skip: How many requests like it come before.
        work: The type of the background work, for faults of a worker.
    """

    script: str
    name: str
    method: str = ""
    path: str = ""
    skip: int = 0
    work: str = ""


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong once, or always.

    Attributes:
        name: What it is.
        rule: The stand-in's rule for it.
    """

    name: str
    rule: dict[str, Any] = field(hash=False)


STEPS = [
    Step("import", "sign in", "POST", "/api/auth/login"),
    Step("import", "create the task", "POST", "/api/tasks"),
    Step("import", "send the images", "POST", "/api/tasks/*/data*", skip=1),
    Step("import", "end the upload", "POST", "/api/tasks/*/data*", skip=2),
    Step("import", "wait for the server", "GET", "/api/requests/*"),
    Step("import", "compare the frames", "GET", "/api/tasks/*/data/meta"),
    Step("import", "the import worker", work="create:*"),
    Step("export", "ask for the formats", "GET", "/api/server/annotation/formats"),
    Step("export", "ask for the export", "POST", "/api/projects/*/dataset/export*"),
    Step("export", "wait for the server", "GET", "/api/requests/*"),
    Step("export", "download", "GET", "/api/projects/*/dataset/download*"),
    Step("export", "the export worker", work="export:dataset"),
    Step("project", "sign in", "POST", "/api/auth/login"),
    Step("project", "create the project", "POST", "/api/projects"),
    Step("token", "sign in", "POST", "/api/auth/login"),
    Step("token", "make the token", "POST", "/api/auth/access_tokens"),
    Step("status", "health", "GET", "/api/server/health*"),
    Step("status", "version", "GET", "/api/server/about"),
]

REQUEST_FAULTS = [
    Fault("reset", {"action": "reset"}),
    Fault("reset in the answer", {"action": "reset", "stage": "response", "after": 20}),
    Fault("500", {"action": "status", "status": 500}),
    Fault("502", {"action": "status", "status": 502, "body": "<html>Bad Gateway</html>"}),
    Fault("503, Retry-After", {"action": "status", "status": 503, "headers": {"Retry-After": "1"}}),
    Fault("429, Retry-After", {"action": "status", "status": 429, "headers": {"Retry-After": "1"}}),
    Fault("401", {"action": "status", "status": 401, "body": '{"detail":"Invalid token."}'}),
    Fault("hang", {"action": "hang", "seconds": 30}),
    Fault("trickle", {"action": "trickle", "rate": 10}),
    Fault("cut short", {"action": "truncate", "after": 20}),
    Fault("wrong bytes", {"action": "corrupt"}),
]
WORKER_FAULTS = [
    Fault("stays queued", {"action": "stay-queued"}),
    Fault("worker fails", {"action": "worker-fails", "message": "out of memory"}),
]
FOR_EVER = [
    Fault("always 503", {"action": "status", "status": 503, "count": None}),
    Fault("always reset", {"action": "reset", "count": None}),
]
"""What does not pass: tried again, then given up."""

UNREACHABLE = [
    Fault("refused for a moment", {"seconds": 0.4}),
    Fault("refused from then on", {"seconds": None}),
]
"""A server that goes away at a request: the connection breaks, and every new one is refused (:mod:`.vanishing`)."""


def faults_of(step: Step) -> list[Fault]:
    """Return the faults that a step is tried with."""
    if step.work:
        return WORKER_FAULTS
    return REQUEST_FAULTS + FOR_EVER + UNREACHABLE


RACES = {("send the images", "reset in the answer"), ("send the images", "cut short")}
"""The answer has no body, so it is whole; the next request notices in time that the connection is gone, or not."""


CASES = [(step, fault) for step in STEPS for fault in faults_of(step)]


def _few() -> list[tuple[Step, Fault]]:
    """Choose cases so that every script meets every fault, at one of its steps in turn."""
    cases: dict[tuple[str, str], list[tuple[Step, Fault]]] = {}
    for step, fault in CASES:
        cases.setdefault((step.script, fault.name), []).append((step, fault))
    turns: Counter[str] = Counter()
    chosen = []
    for (script, _), same in cases.items():
        chosen.append(same[turns[script] % len(same)])
        turns[script] += 1
    return chosen


FEW = _few()
COLUMNS = [fault.name for fault in REQUEST_FAULTS + FOR_EVER + UNREACHABLE + WORKER_FAULTS]
