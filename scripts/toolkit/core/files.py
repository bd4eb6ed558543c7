"""Temporary folders that are gone at the end of a run, or at the next one if the run was killed."""

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from toolkit.core.claims import claim

_LOCK = ".lock"
_TRIES = 5


@contextmanager
def temporary_folder(place: Path, prefix: str) -> Iterator[Path]:
    """Make a temporary folder, after removing those that killed runs have left in the same place.

    Args:
        place: The folder to make it in.
        prefix: What its name begins with.

    Yields:
        The folder, removed at the end whatever happens.
    """
    remove_abandoned(place, prefix)
    with ExitStack() as stack:
        for _ in range(_TRIES):
            folder = stack.enter_context(_new_folder(place, prefix))
            try:
                stack.enter_context(claim(folder / _LOCK))
                break
            except (BlockingIOError, FileNotFoundError):
                continue  # another run took it for an abandoned one before it was claimed
            except OSError:
                break  # a file system without locks: a killed run's folder is not found by the next
        yield folder


@contextmanager
def _new_folder(place: Path, prefix: str) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=place))
    try:
        yield folder
    finally:
        try:
            shutil.rmtree(folder, ignore_errors=True)
        except KeyboardInterrupt:  # in the middle of tidying up: that comes first
            shutil.rmtree(folder, ignore_errors=True)
            raise


def remove_abandoned(place: Path, prefix: str) -> list[Path]:
    """Remove the temporary folders of one's own that no living process has claimed.

    Args:
        place: The folder that they are in.
        prefix: What their names begin with.

    Returns:
        Those that were removed.
    """
    removed = []
    for folder in sorted(place.glob(f"{prefix}*")):
        with suppress(OSError):
            if _is_own(folder) and _remove(folder):
                removed.append(folder)
    return removed


def _is_own(folder: Path) -> bool:
    state = folder.lstat()
    return stat.S_ISDIR(state.st_mode) and state.st_uid == os.geteuid()


def _remove(folder: Path) -> bool:
    """Remove a folder while holding the claim on it; a run that has only just made it finds that and makes another."""
    try:
        with claim(folder / _LOCK):
            shutil.rmtree(folder, ignore_errors=True)
    except OSError:
        return False
    return True
