"""Running the stand-in on a port."""

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path

import uvicorn
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from standin import app
from standin.api import faults as fault_api
from standin.data.state import ServerOptions, State


class _KnownConnections(AutoHTTPProtocol):  # type: ignore[misc,valid-type]
    """uvicorn's protocol, with its connections where a fault finds them."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._peer = transport.get_extra_info("peername")
        if self._peer:
            fault_api.connections[self._peer[:2]] = transport
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._peer:
            fault_api.connections.pop(self._peer[:2], None)
        super().connection_lost(exc)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_ready()


def listen(host: str, port: int) -> socket.socket:
    """Take a port; 0 takes any free one.

    Raises:
        OSError: It is taken, or the host is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(128)
    except OSError:
        listener.close()
        raise
    return listener


def url_of(listener: socket.socket, host: str) -> str:
    """Return the URL under which a listener is reached from this machine."""
    name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{name}:{listener.getsockname()[1]}"


def serve(folder: Path, options: ServerOptions, listener: socket.socket, on_ready: Callable[[], None]) -> None:
    """Serve a data directory until SIGINT or SIGTERM.

    Args:
        folder: The data directory.
        options: How the stand-in behaves.
        listener: Where it listens.
        on_ready: Called once requests are answered.
    """
    state = State.open(folder, options)
    config = uvicorn.Config(
        app.build(state),
        http=_KnownConnections,
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=3,
    )
    try:
        _Server(config, on_ready).run(sockets=[listener])
    finally:
        state.close()
