"""Which frames of an export are in completed jobs: a list beside the zip, for no format tells it."""

import json
from collections.abc import Iterable
from pathlib import Path

from toolkit.core.files import write_atomically
from toolkit.dataset.archive import Archive, open_archive

_LARGEST = 256 << 20


def list_beside(path: Path) -> Path:
    """Name the list of an export's zip."""
    return path.with_suffix(".completed.json")


def write_completed(path: Path, frames: Iterable[str]) -> None:
    """Write the list of an export; it is known to be of this export by the directory of the zip."""
    with open_archive(path) as archive:
        content = {"directory_sha256": archive.directory_sha256(), "completed": sorted(frames)}
    write_atomically(list_beside(path), json.dumps(content, ensure_ascii=False, indent=0) + "\n")


def read_completed(archive: Archive) -> frozenset[str] | None:
    """Read the frames of completed jobs; None if there is no list of this very export."""
    path = list_beside(archive.path)
    try:
        if not path.is_file() or path.stat().st_size > _LARGEST:
            return None
        content = json.loads(path.read_text("utf-8"))
        if content["directory_sha256"] != archive.directory_sha256():
            return None
        return frozenset(str(name) for name in content["completed"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
