"""The stand-in as an ASGI application."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from standin.api import annotations, formats, jobs, labels, pages, projects, storages, tasks, users, web
from standin.api import faults as fault_api
from standin.api import requests as requests_api
from standin.api import server as server_api
from standin.data.state import State
from standin.exports import backups, views


class _WithoutLastSlash:
    """Takes ``/api/tasks/1/data/`` for ``/api/tasks/1/data``: a CVAT answers both."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith("/api/"):
            scope = {**scope, "path": scope["path"].rstrip("/")}
        await self._app(scope, receive, send)


async def _not_found(_request: Request, _error: Exception) -> Response:
    return web.error_page(404, "Not Found", "The requested resource was not found on this server.")


async def _server_error(_request: Request, _error: Exception) -> Response:
    return web.error_page(500, "Server Error (500)")


def build(state: State) -> ASGIApp:
    """Return the application that serves a state."""
    modules = (
        users,
        projects,
        labels,
        tasks,
        jobs,
        annotations,
        requests_api,
        formats,
        server_api,
        storages,
        views,
        backups,
    )
    routes = [route for module in modules for route in module.routes()]
    routes += pages.routes(state)
    if state.options.faults:
        routes += fault_api.routes(state)
    app = Starlette(routes=routes, exception_handlers={404: _not_found, 500: _server_error})
    app.state.standin = state
    return fault_api.Observer(_WithoutLastSlash(app), state)
