"""An address in front of a server that goes away in the middle: connections break, and new ones are refused."""

import re
import select
import socket
import struct
import threading
from contextlib import suppress
from fnmatch import fnmatchcase
from typing import Self

_HEAD = re.compile(rb"([A-Z]+) (\S+) HTTP/1\.[01]\r\n")
_PIECE = 65536
_RESET_AT_CLOSE = struct.pack("ii", 1, 0)


class VanishingServer:
    """Passes everything on until a request comes that it is told to go away at.

    The server behind it goes on, as one does whose network is cut.

    Args:
        url: The server.
    """

    def __init__(self, url: str) -> None:
        host, port = url.removeprefix("http://").split(":")
        self._target = host, int(port)
        with socket.socket() as chosen:
            # Only a port that was asked for by its number stays with a socket that stops listening.
            chosen.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            chosen.bind(("127.0.0.1", 0))
            self._listener = socket.create_server(chosen.getsockname())
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._lock = threading.Lock()
        self._near: set[socket.socket] = set()
        self._listens = threading.Event()
        self._closed = False
        self._trigger: tuple[str, str] | None = None
        self._skip = 0
        self._seconds: float | None = None
        self.hits = 0

    def __enter__(self) -> Self:
        self._listens.set()
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True
        self._stop_listening()
        self._listens.set()

    def vanish_at(self, method: str, path: str, skip: int, seconds: float | None) -> None:
        """Order to go away at a request.

        Args:
            method: Its method.
            path: A pattern of its path.
            skip: How many like it are let through before.
            seconds: For how long; None until :meth:`come_back`.
        """
        self._trigger, self._skip, self._seconds = (method, path), skip, seconds

    def vanish(self) -> None:
        """Go away at once."""
        self._stop_listening()
        with self._lock:
            for near in self._near:
                with suppress(OSError):
                    near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
                    near.shutdown(socket.SHUT_RDWR)
        self.hits += 1
        if self._seconds is not None:
            threading.Timer(self._seconds, self.come_back).start()

    def come_back(self) -> None:
        """Be there again, and stay."""
        self._trigger = None
        if not self._listens.is_set() and not self._closed:
            self._listener.listen()
            self._listens.set()

    def _stop_listening(self) -> None:
        """Refuse connections, but keep the port: a socket that is bound and does not listen does both (on Linux)."""
        self._listens.clear()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with self._listener:
            while not self._closed:
                self._listens.wait()
                with suppress(OSError):
                    near, _ = self._listener.accept()
                    threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        with suppress(OSError), near, socket.create_connection(self._target) as far:
            with self._lock:
                self._near.add(near)
            try:
                while self._pass_on(near, far):
                    pass
            finally:
                with self._lock:
                    self._near.discard(near)

    def _pass_on(self, near: socket.socket, far: socket.socket) -> bool:
        for source in select.select([near, far], [], [])[0]:
            data = source.recv(_PIECE)
            if source is near and self._is_trigger(data):
                self.vanish()
                return False
            if not data:
                return False
            (far if source is near else near).sendall(data)
        return True

    def _is_trigger(self, data: bytes) -> bool:
        head = _HEAD.match(data)
        if head is None or self._trigger is None or not self._listens.is_set():
            return False
        method, path = self._trigger
        if head[1].decode() != method or not fnmatchcase(head[2].decode().split("?")[0], path.split("?")[0]):
            return False
        self._skip -= 1
        return self._skip < 0
