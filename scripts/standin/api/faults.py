"""Where tests order faults and read what was asked; there only with ``--faults``."""

import asyncio
import json
from collections.abc import MutableMapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from standin.data.state import State
from standin.faults.rules import FaultyConnection, Rule

PREFIX = "/standin/"

connections: dict[tuple[str, int], asyncio.Transport] = {}
"""The open connections by the address of their other side, so that a fault can break them."""


class Observer:
    """Notes every request and lets those go wrong that a rule is for."""

    def __init__(self, app: ASGIApp, state: State) -> None:
        self._app = app
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection of the ASGI protocol."""
        if scope["type"] != "http" or scope["path"].startswith(PREFIX):
            await self._app(scope, receive, send)
            return
        status: int | None = None

        async def noting(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        rule = self._state.faults.take_request(scope["method"], scope["path"])
        try:
            if rule is None:
                await self._app(scope, receive, noting)
                return

            async def application(faulty_receive: Receive, faulty_send: Send) -> None:
                await self._app(scope, faulty_receive, faulty_send)

            transport = connections.get(tuple(scope["client"] or ()))
            await FaultyConnection(rule, receive, noting, transport).run(application)
        finally:
            query = scope["query_string"].decode("latin-1")
            path = scope["path"] + (f"?{query}" if query else "")
            self._state.log.add(scope["method"], path, status)


def routes(state: State) -> list[Route]:
    """Return the routes of this module."""

    async def faults(request: Request) -> Response:
        if request.method == "DELETE":
            state.faults.clear()
        elif request.method == "POST":
            try:
                state.faults.add(Rule.parse(json.loads(await request.body())))
            except (ValueError, TypeError) as error:
                return JSONResponse({"detail": str(error)}, 400)
        return JSONResponse(state.faults.show())

    async def log(request: Request) -> Response:
        if request.method == "DELETE":
            state.log.clear()
        return JSONResponse(state.log.entries())

    return [
        Route(f"{PREFIX}faults", faults, methods=["GET", "POST", "DELETE"]),
        Route(f"{PREFIX}log", log, methods=["GET", "DELETE"]),
    ]
