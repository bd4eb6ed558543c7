"""Faults that tests order: what goes wrong between a client and a server, and in a server's workers.

A rule says which requests it is for, which of them are spared first, how many are hit, and what happens to those::

    {"method": "PATCH", "path": "/api/tasks/*/data*", "skip": 2, "count": 1, "action": "reset"}

resets the third chunk of an upload. The actions on requests:

- ``status``: answer with ``status``, ``headers`` and ``body``; the request is not carried out.
- ``reset``: break the connection (a TCP reset) after ``after`` bytes; with ``stage`` ``"request"`` (the default) while
  the request is read and without carrying it out, with ``"response"`` in the middle of the answer's body.
- ``hang``: say nothing for ``seconds``, then reset. ``stage`` as above: with ``"response"`` it is carried out first.
- ``trickle``: answer with ``rate`` bytes a second.
- ``truncate``: end the answer's body after ``after`` bytes although more were announced.
- ``corrupt``: change the byte at ``after`` of the answer's body, and every 4,096th after it.

The actions on background work, where ``path`` is its type as ``export:dataset`` or ``create:*``:

- ``stay-queued``: as if no worker served the queue.
- ``worker-fails``: fail with ``message``.
"""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import asdict, dataclass, field, fields
from fnmatch import fnmatchcase
from typing import Any

MAX_RULES = 100
MAX_BODY = 2**20
MAX_SECONDS = 600.0

REQUEST_ACTIONS = ("status", "reset", "hang", "trickle", "truncate", "corrupt")
WORKER_ACTIONS = ("stay-queued", "worker-fails")

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


@dataclass
class Rule:
    """One ordered fault; see the module's description."""

    action: str
    path: str = "*"
    method: str = "*"
    skip: int = 0
    count: int | None = 1
    stage: str = "request"
    status: int = 503
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""
    after: int = 0
    seconds: float = 60.0
    rate: int = 1024
    message: str = "The worker was told to fail"
    seen: int = 0
    hit: int = 0

    @classmethod
    def parse(cls, given: Any) -> "Rule":
        """Make a rule of JSON.

        Raises:
            ValueError: It is no rule; says why.
        """
        names = {item.name for item in fields(cls)} - {"seen", "hit"}
        if not isinstance(given, dict) or not set(given) <= names:
            raise ValueError(f"a rule is an object with keys of {sorted(names)}")
        rule = cls(**{"action": "", **given})
        if rule.action not in REQUEST_ACTIONS + WORKER_ACTIONS:
            raise ValueError(f"action must be one of {REQUEST_ACTIONS + WORKER_ACTIONS}")
        if rule.stage not in ("request", "response"):
            raise ValueError("stage must be request or response")
        if len(rule.body) > MAX_BODY or not 0 <= rule.seconds <= MAX_SECONDS or rule.rate < 1 or rule.after < 0:
            raise ValueError(
                f"body up to {MAX_BODY} characters, seconds up to {MAX_SECONDS}, rate from 1, after from 0"
            )
        return rule

    def take(self) -> bool:
        """Count one match and tell whether it is hit."""
        self.seen += 1
        if self.seen <= self.skip or (self.count is not None and self.hit >= self.count):
            return False
        self.hit += 1
        return True


class Faults:
    """The rules in force."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[Rule] = []

    def add(self, rule: Rule) -> None:
        """Put a rule in force behind those there are.

        Raises:
            ValueError: There are too many.
        """
        with self._lock:
            if len(self._rules) >= MAX_RULES:
                raise ValueError(f"no more than {MAX_RULES} rules")
            self._rules.append(rule)

    def clear(self) -> None:
        """Drop all rules."""
        with self._lock:
            self._rules.clear()

    def show(self) -> list[dict[str, Any]]:
        """Return the rules with how often each matched (seen) and struck (hit)."""
        with self._lock:
            return [asdict(rule) for rule in self._rules]

    def take_request(self, method: str, path: str) -> Rule | None:
        """Return the rule that hits a request, if one does."""
        return self._take(REQUEST_ACTIONS, path, method)

    def take_worker(self, operation: str) -> Rule | None:
        """Return the rule that hits a piece of background work, if one does."""
        return self._take(WORKER_ACTIONS, operation, "*")

    def _take(self, actions: tuple[str, ...], path: str, method: str) -> Rule | None:
        taken = None
        with self._lock:
            for rule in self._rules:
                matches = (
                    rule.action in actions
                    and fnmatchcase(path, rule.path)
                    and (method == "*" or fnmatchcase(method, rule.method))
                )
                if matches and taken is None and rule.take():
                    taken = rule
        return taken


class FaultyConnection:
    """One request that a rule hits: stands between the server and the application.

    Args:
        rule: The rule.
        receive: The server's channel for the request's body.
        send: The server's channel for the answer.
        transport: The connection, to break it.
    """

    def __init__(self, rule: Rule, receive: Receive, send: Send, transport: asyncio.Transport | None) -> None:
        self._rule = rule
        self._receive = receive
        self._send = send
        self._transport = transport
        self._sent = 0
        self._broken = False

    async def run(self, application: Callable[[Receive, Send], Awaitable[None]]) -> None:
        """Let the request go wrong as ordered."""
        rule = self._rule
        if rule.action == "status":
            await self._answer()
        elif rule.action in ("reset", "hang") and rule.stage == "request":
            await self._read(rule.after)
            await self._break()
        else:
            await application(self._receive, self._faulty_send)

    async def _answer(self) -> None:
        await self._read(None)
        body = self._rule.body.encode("utf-8", "surrogatepass")
        headers = {"content-type": "text/plain; charset=utf-8", "content-length": str(len(body))}
        headers.update({name.lower(): value for name, value in self._rule.headers.items()})
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": self._rule.status, "headers": raw})
        await self._send({"type": "http.response.body", "body": body})

    async def _read(self, limit: int | None) -> None:
        total = 0
        while limit is None or total < limit:
            message = await self._receive()
            total += len(message.get("body", b""))
            if not message.get("more_body"):
                return

    async def _break(self) -> None:
        self._broken = True
        if self._rule.action == "hang":
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._until_the_client_leaves(), self._rule.seconds)
        reset(self._transport)

    async def _until_the_client_leaves(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _faulty_send(self, message: Message) -> None:
        if self._broken:
            return
        if self._rule.action == "hang" and self._rule.after == 0:
            await self._break()  # not even the status line
        elif message["type"] == "http.response.body":
            await self._faulty_body(message)
        else:
            await self._send(message)

    async def _faulty_body(self, message: Message) -> None:
        body = message.get("body", b"")
        rule = self._rule
        if rule.action == "trickle":
            await self._trickle(body)
        elif rule.action == "corrupt":
            await self._send({**message, "body": self._corrupted(body)})
        elif self._sent + len(body) > rule.after or not message.get("more_body"):
            await self._send({**message, "body": body[: rule.after - self._sent], "more_body": True})
            await self._end()
        else:
            await self._send(message)
        self._sent += len(body)
        if rule.action == "trickle" and not message.get("more_body"):
            await self._send({"type": "http.response.body", "body": b""})

    async def _end(self) -> None:
        if self._rule.action == "truncate":
            self._broken = True
            if self._transport is not None:
                self._transport.close()
        else:
            await self._break()

    async def _trickle(self, body: bytes) -> None:
        step = max(1, self._rule.rate // 10)
        for start in range(0, len(body), step):
            part = body[start : start + step]
            await self._send({"type": "http.response.body", "body": part, "more_body": True})
            await asyncio.sleep(len(part) / self._rule.rate)

    def _corrupted(self, body: bytes) -> bytes:
        changed = bytearray(body)
        first = self._rule.after - self._sent
        for place in range(first if first >= 0 else first % 4096, len(changed), 4096):
            changed[place] ^= 0xFF
        return bytes(changed)


def reset(transport: asyncio.Transport | None) -> None:
    """Break a connection so that the other side sees a reset."""
    if transport is None:
        return
    connection = transport.get_extra_info("socket")
    if connection is not None:
        # Closing a socket that may not linger sends RST in place of FIN.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    transport.abort()
