"""The formats that a CVAT offers, and those that this stand-in really reads and writes."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from starlette.routing import Route

from standin.errors import InvalidError
from standin.web import Call, resource

EXPORTED = ("ImageNet 1.0", "CVAT for images 1.1", "COCO 1.0")
IMPORTED = ("CVAT 1.1",)


@cache
def offered() -> dict[str, list[dict[str, Any]]]:
    """Return CVAT's list of exporters and importers."""
    listed = json.loads(Path(__file__).with_name("formats.json").read_text(encoding="utf-8"))
    return {"exporters": listed["exporters"], "importers": [_importer(name) for name in listed["importers"]]}


def _importer(name: str) -> dict[str, Any]:
    dimension = "3d" if name in ("Datumaro 3D 1.0", "Sly Point Cloud Format 1.0", "Kitti Raw Format 1.0") else "2d"
    extension = "XML, ZIP" if name in IMPORTED else "ZIP"
    return {"name": name, "ext": extension, "version": name.split()[-1], "dimension": dimension, "enabled": True}


def check_export(name: str) -> None:
    """Refuse a format that no CVAT exports, and one that this stand-in does not.

    Raises:
        InvalidError: 400 with the reason.
    """
    _check(name, "exporters", EXPORTED, "export")


def check_import(name: str) -> None:
    """Refuse a format that no CVAT imports annotations from, and one that this stand-in does not.

    Raises:
        InvalidError: 400 with the reason.
    """
    _check(name, "importers", IMPORTED, "import")


def _check(name: str, kind: str, supported: tuple[str, ...], verb: str) -> None:
    if name not in {item["name"] for item in offered()[kind]}:
        raise InvalidError("Unknown format specified for the request")
    if name not in supported:
        raise InvalidError(
            f"This is a stand-in for CVAT that does not {verb} {name}, only {', '.join(supported)}; a real CVAT does."
        )


def _list(_call: Call) -> dict[str, Any]:
    return dict(offered())


def routes() -> list[Route]:
    """Return the routes of this module."""
    return [resource("/api/server/annotation/formats", GET=_list)]
