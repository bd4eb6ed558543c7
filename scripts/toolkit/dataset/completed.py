"""Which frames of an export are in completed jobs: a list beside the zip, for no format tells it."""

import json
from collections.abc import Iterable

from toolkit.core.storage import Place, size_of, write
from toolkit.dataset.archive import Archive, open_archive

_LARGEST = 256 << 20


_ENDING = ".completed.json"


def list_beside(path: Place) -> Place:
    """Name the list of an export's zip."""
    return path.with_suffix(_ENDING)


def write_completed(path: Place, frames: Iterable[str]) -> None:
    """Write the list of an export; it is known to be of this export by the directory of the zip."""
    with open_archive(path) as archive:
        content = {"directory_sha256": archive.directory_sha256(), "completed": sorted(frames)}
    write(list_beside(path), json.dumps(content, ensure_ascii=False, indent=0) + "\n")


def read_completed(archive: Archive) -> frozenset[str] | None:
    """Read the frames of completed jobs; None if there is no list of this very export."""
    path = list_beside(archive.path)
    try:
        size = size_of(path)
        if size is None or size > _LARGEST:
            return None
        content = json.loads(path.read_text("utf-8"))
        if content["directory_sha256"] != archive.directory_sha256():
            return None
        return frozenset(str(name) for name in content["completed"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
