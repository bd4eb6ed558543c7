"""A report's file: replaced as a whole, and only if it was a report before."""

import os
from pathlib import Path

from toolkit.core.errors import ToolkitError, UsageError
from toolkit.core.files import temporary_folder

_LOOKED_AT = 4096


def check_target(path: Path, mark: str) -> None:
    """Check that a report can be written, before the work of making it.

    Args:
        path: The file to be.
        mark: Text that every such file has near its beginning.

    Raises:
        UsageError: Its folder does not exist, or it is a folder.
        ToolkitError: There is another file that is no report.
    """
    if not path.parent.is_dir():
        raise UsageError(f"{path.parent} does not exist: make the folder, or name another file")
    if path.is_dir():
        raise UsageError(f"{path} is a folder: name a file in it, such as {path / 'report.html'}")
    if os.path.lexists(path) and not _is_report(path, mark):
        raise ToolkitError(f"{path} is not a report of this toolkit, so it stays: remove it, or name another file")


def _is_report(path: Path, mark: str) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return mark.encode() in stream.read(_LOOKED_AT)


def write_report(path: Path, text: str, mark: str) -> None:
    """Write a report beside its place and move it there.

    Args:
        path: The file.
        text: Its whole content.
        mark: As for :func:`check_target`, which is asked again.

    Raises:
        ToolkitError: There is meanwhile another file that is no report.
        OSError: It could not be written; what was there before is unchanged.
    """
    with temporary_folder(path.parent, f".{path.name}-") as folder:
        part = folder / path.name
        with part.open("w", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        check_target(path, mark)
        part.replace(path)
