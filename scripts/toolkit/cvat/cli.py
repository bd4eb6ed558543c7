"""The upstream command-line client, run as a process of its own.

The password goes to it through the environment, never through its arguments, where every user could read it.
"""

import json
import os
import queue
import re
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from toolkit.core.errors import ToolkitError, UsageError
from toolkit.core.secrets import redact, without_secrets
from toolkit.core.storage import Address
from toolkit.cvat.cli_launcher import FAILURE, NOTICE
from toolkit.cvat.connection import Connection
from toolkit.cvat.errors import Failure, Kind, translate_error

_LAUNCHER = Path(__file__).with_name("cli_launcher.py")

NO_FILE = os.devnull
_GRACE = 3.0
_TELL_EVERY = 0.5


class DeadlineExceeded(ToolkitError):
    """The client was stopped because it took longer than it may."""


class Stopped(ToolkitError):
    """The client was stopped because another thread asked for it."""


def run(
    connection: Connection,
    arguments: Sequence[str],
    on_line: Callable[[str], None] = lambda line: None,
    deadline: float | None = None,
    on_idle: Callable[[], None] = lambda: None,
    may_stop: Callable[[], bool] = lambda: True,
    notice: Callable[[str], None] = lambda line: None,
    stop: threading.Event | None = None,
    store: Address | None = None,
    client: "Client | None" = None,
) -> str:
    """Run cvat-cli and wait for its end.

    Args:
        connection: The server, and as whom to sign in.
        arguments: The command and its arguments, such as ``["project", "create", …]``.
        on_line: Called with each line of progress or log that the client prints.
        deadline: Seconds that it may take; None for no limit.
        on_idle: Called about every second while nothing is printed.
        may_stop: Whether the client may be stopped now. An interrupt waits for it, three seconds at most: a client that
            is stopped between asking for a task and hearing its number leaves a task that nobody knows of.
        notice: Called with a line when a request is tried again.
        stop: Set by another thread to stop the client, which counts as an interrupt.
        store: What gets a file that the client downloads, past this machine's disk; the client is to be given
            :data:`NO_FILE` for its path.
        client: One that is loaded and has signed in; else one is started.

    Returns:
        What it printed to standard output, without white space at the ends.

    Raises:
        DeadlineExceeded: It took longer than ``deadline``; it has been stopped.
        Stopped: ``stop`` was set; it has been stopped.
        ToolkitError: It failed; the message says why.
        KeyboardInterrupt: Ctrl-C; it has been stopped.
    """
    if client is None:
        check_user_name(connection)
        client = Client()
        client.sign_in(connection, store)
    client.tell(arguments)
    failure: Failure | None = None
    last_line = ""

    def check() -> None:
        if stop is not None and stop.is_set():
            raise Stopped("interrupted")
        on_idle()

    try:
        for line in client.lines(deadline, check):
            if line.startswith(NOTICE):
                notice(line.removeprefix(NOTICE))
            elif line.startswith(FAILURE):
                failure = Failure.from_json(line.removeprefix(FAILURE))
            else:
                last_line = redact(line, connection.secrets)  # a server's words are among them
                on_line(last_line)
    except (KeyboardInterrupt, Stopped):
        with suppress(DeadlineExceeded):
            for line in client.lines(_GRACE, lambda: None, until=may_stop):
                on_line(line)
        raise
    finally:
        client.stop()
    if client.exit_code is not None and client.exit_code < 0:
        raise ToolkitError(f"cvat-cli was killed (signal {-client.exit_code}); if memory ran out, free some; run again")
    if client.exit_code != 0:
        # It prints itself only what is wrong with its arguments.
        raise translate_error(failure or Failure(Kind.OTHER, text=last_line), connection)
    return client.output()


@contextmanager
def loading() -> Iterator["Client"]:
    """Start a client that loads, which takes a while, and is to sign in before :func:`run` has it do something, once.

    It needs nothing of this process, which can read its own modules meanwhile.
    """
    client = Client()
    try:
        yield client
    finally:
        client.stop()


class Client:
    """A running cvat-cli, its standard error read line by line."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            # -P: a file of the working directory must not be taken for a module.
            [sys.executable, "-P", _LAUNCHER],
            env={**without_secrets(), "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"},
            stdin=subprocess.PIPE,  # takes what it is to do; its end tells it that we are gone, even by SIGKILL
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for us: we stop the client, then undo what it began
        )
        self._output: list[bytes] = []
        self._chunks: queue.Queue[bytes] = queue.Queue()
        self._rest = b""
        self._pending: deque[str] = deque()
        self._readers = [
            threading.Thread(target=_read, args=(self._process.stdout, self._output.append), daemon=True),
            threading.Thread(target=_read, args=(self._process.stderr, self._chunks.put), daemon=True),
        ]
        for reader in self._readers:
            reader.start()
        self._orders: queue.Queue[bytes] = queue.Queue()
        self._writer = threading.Thread(target=self._hand_over, daemon=True)
        self._writer.start()

    def sign_in(
        self, connection: Connection, store: Address | None = None, cookies: Mapping[str, str] | None = None
    ) -> None:
        """Have it sign in to a server, or take over the cookies of a session that is there already."""
        self._send(
            {
                "url": connection.url,
                "store": None if store is None else str(store),
                "credentials": {} if cookies else _credentials(connection),
                "cookies": dict(cookies or {}),
                "arguments": _sign_in_arguments(connection),
            }
        )

    def tell(self, arguments: Sequence[str]) -> None:
        """Have it do what it is for, once it has signed in."""
        self._send({"arguments": list(arguments)})

    def _send(self, message: object) -> None:
        self._orders.put(json.dumps(message).encode() + b"\n")

    def _hand_over(self) -> None:
        """Write what it is to do; that may have to wait until it reads, when many names are more than a pipe holds."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it has ended, and said why
            while order := self._orders.get():
                self._process.stdin.write(order)
                self._process.stdin.flush()

    @property
    def exit_code(self) -> int | None:
        """Its exit code, once it has ended."""
        return self._process.returncode

    def output(self) -> str:
        """Give what it has printed to standard output."""
        return b"".join(self._output).decode(errors="replace").strip()

    def lines(
        self, deadline: float | None, on_idle: Callable[[], None], until: Callable[[], bool] = lambda: False
    ) -> Iterator[str]:
        """Yield lines until the client closes its standard error; a progress bar's carriage return ends one as well.

        ``on_idle`` is called at least about every second, also between lines that come faster.
        """
        told = time.monotonic()
        end = None if deadline is None else time.monotonic() + deadline
        while not until():
            while self._pending:  # what an interrupt has cut off
                yield self._pending.popleft()
            if end is not None and time.monotonic() >= end:
                raise DeadlineExceeded(f"gave up after {deadline:g} s")
            if time.monotonic() - told >= _TELL_EVERY:
                told = time.monotonic()
                on_idle()
            try:
                chunk = self._chunks.get(timeout=_TELL_EVERY)
            except queue.Empty:
                continue
            *lines, self._rest = re.split(rb"[\r\n]+", self._rest + (chunk or b"\n"))
            self._pending.extend(line.decode(errors="replace") for line in lines if line.strip())
            while self._pending:
                yield self._pending.popleft()
            if not chunk:
                self._process.wait()
                return

    def stop(self) -> None:
        """End it, if it has not ended."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_GRACE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._orders.put(b"")
        for thread in (*self._readers, self._writer):
            thread.join(_GRACE)
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()


def _read(stream: IO[bytes], sink: Callable[[bytes], None]) -> None:
    """Pass on what arrives, then an empty chunk for the end."""
    chunk = b"-"
    while chunk:
        chunk = os.read(stream.fileno(), 65536)
        sink(chunk)


def _credentials(connection: Connection) -> dict[str, str]:
    """Give what cvat-cli signs in with, by the variables that it reads; it gets them through a pipe."""
    if connection.token is not None:
        return {"CVAT_ACCESS_TOKEN": connection.token}
    return {} if connection.password is None else {"PASS": connection.password}


def check_user_name(connection: Connection) -> None:
    """Check that cvat-cli can be given the user name; raises UsageError where it cannot."""
    if connection.username is not None and ":" in connection.username:
        raise UsageError(f"the user name {connection.username} holds a colon, which cvat-cli cannot pass on")


def _sign_in_arguments(connection: Connection) -> list[str]:
    arguments = [f"--server-host={connection.url}"]
    if connection.organization is not None:
        arguments.append(f"--organization={connection.organization}")
    if connection.username is not None:
        arguments.append(f"--auth={connection.username}")
    return arguments


QUEUED_TOO_LONG = 30.0
"""Seconds in the queue after which the worker may be down; the server never says so."""

_STATE = re.compile(r"INFO: .* status: (\w+) \(message=")


@dataclass
class JobMonitor:
    """Follows one piece of background work, and warns once when it waits for long.

    ``state`` is the last that the server told: "queued", "started", "finished", "failed"; empty before the first.
    """

    what: str
    warn: Callable[[str], None]
    state: str = ""
    _changed: float = field(default_factory=time.monotonic)
    _warned: bool = False

    def on_line(self, line: str) -> None:
        """Take in a line of cvat-cli."""
        if (found := _STATE.search(line)) and found[1] != self.state:
            self.state, self._changed = found[1], time.monotonic()

    def on_idle(self) -> None:
        """Warn if it has been queued for long; to be called now and then."""
        if self.state == "queued" and time.monotonic() - self._changed > QUEUED_TOO_LONG and not self._warned:
            self._warned = True
            self.warn(
                f"the {self.what} has been queued for {QUEUED_TOO_LONG:.0f} s: "
                f"the {self.what} worker may be busy or down, look with make status"
            )

    def timeout_message(self, timeout: float) -> str:
        """Say what was going on when the time was over."""
        if self.state == "queued":
            return (
                f"no {self.what} after {timeout:g} s, it was last queued: "
                f"the {self.what} worker may be down, look with make status"
            )
        return f"no {self.what} after {timeout:g} s, it was last {self.state or 'asked for'}: give a longer --timeout"
