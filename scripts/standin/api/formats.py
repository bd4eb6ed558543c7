"""The formats that a CVAT offers, and those that this stand-in really reads and writes."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from starlette.routing import Route

from standin import CvatVersion
from standin.api.web import Call, resource
from standin.errors import InvalidError

EXPORTED = ("ImageNet 1.0", "CVAT for images 1.1", "COCO 1.0")
IMPORTED = ("CVAT 1.1",)


@cache
def offered(version: CvatVersion) -> dict[str, list[dict[str, Any]]]:
    """Return the exporters and importers of a CVAT, in its order."""
    file = Path(__file__).with_name(f"formats-{version}.json")
    listed: dict[str, list[dict[str, Any]]] = json.loads(file.read_text(encoding="utf-8"))
    return listed


def check_export(name: str, version: CvatVersion) -> None:
    """Refuse a format that no CVAT exports, and one that this stand-in does not.

    Raises:
        InvalidError: 400 with the reason.
    """
    _check(name, offered(version)["exporters"], EXPORTED, "export")


def check_import(name: str, version: CvatVersion) -> None:
    """Refuse a format that no CVAT imports annotations from, and one that this stand-in does not.

    Raises:
        InvalidError: 400 with the reason.
    """
    _check(name, offered(version)["importers"], IMPORTED, "import")


def _check(name: str, listed: list[dict[str, Any]], supported: tuple[str, ...], verb: str) -> None:
    if name not in {item["name"] for item in listed}:
        raise InvalidError("Unknown format specified for the request")
    if name not in supported:
        raise InvalidError(
            f"This is a stand-in for CVAT that does not {verb} {name}, only {', '.join(supported)}; a real CVAT does."
        )


def _list(call: Call) -> dict[str, Any]:
    return dict(offered(call.state.options.version))


def routes() -> list[Route]:
    """Return the routes of this module."""
    return [resource("/api/server/annotation/formats", GET=_list)]
