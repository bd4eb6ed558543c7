"""What the server tells of itself."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from standin.api.web import Call, resource

HEALTHY = (
    "Cache backend: default",
    "Cache backend: media",
    "DatabaseBackend",
    "DatabaseBackend[default]",
    "DiskUsage",
    "MemoryUsage",
    "OPAHealthCheck",
)


def _about(call: Call) -> dict[str, Any]:
    return {
        "name": "CVAT stand-in server",
        "description": "This is not CVAT. It is a small stand-in for tests, dry runs and the demo that answers as a "
        "CVAT of the version below was recorded to answer; it has no annotation tool.",
        "version": call.state.options.version.release,
        "logo_url": call.url("/static/logo.svg"),
        "subtitle": "A stand-in, not CVAT",
    }


async def _health(request: Request) -> Response:
    # Everything a CVAT asks after is this one process.
    return JSONResponse(dict.fromkeys(HEALTHY, "working"))


def routes() -> list[Route]:
    """Return the routes of this module."""
    return [
        resource("/api/server/about", public=True, GET=_about),
        Route("/api/server/health", _health, methods=["GET", "HEAD"]),
    ]
