"""Files and folders as a careful program handles them: paths as typed, atomic writes, locks, temporary folders."""

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from toolkit.core.errors import UsageError

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
                stack.enter_context(try_lock(folder / _LOCK))
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
    """Remove a folder while holding its lock; a run that has only just made it finds that and makes another."""
    try:
        with try_lock(folder / _LOCK):
            shutil.rmtree(folder, ignore_errors=True)
    except OSError:
        return False
    return True


def write_atomically(path: Path, text: str, is_private: bool = False) -> None:
    """Write a file beside its place and move it there.

    What a killed run has left beside it is written over by the next.

    Args:
        path: The file; an older one is replaced.
        text: Its whole content.
        is_private: Whether its owner alone may read it.

    Raises:
        OSError: It could not be written; what was there before is unchanged.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        descriptor = os.open(part, flags, 0o600 if is_private else 0o666)
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as stream:
            if is_private:
                os.fchmod(stream.fileno(), 0o600)
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


@contextmanager
def try_lock(path: Path) -> Iterator[int]:
    """Lock a file for this process; the system drops the lock when the process ends, by SIGKILL as well.

    Args:
        path: The file, made if missing, readable by its owner alone; it is not removed at the end.

    Yields:
        Its descriptor; a child process that inherits it keeps the lock until it ends, too.

    Raises:
        BlockingIOError: Another living process holds it, or has just removed it.
        OSError: The file cannot be made, or its file system knows no locks.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.fstat(descriptor).st_nlink:
            raise BlockingIOError(f"{path} was removed meanwhile")
        yield descriptor
    finally:
        os.close(descriptor)


def resolve(given: str | os.PathLike[str], folder: Path) -> Path:
    """Make a given path absolute without following any symbolic link.

    Checked is every part of the path that was typed below ``folder``; of an absolute path that leads elsewhere only the
    last part is, because a system's own links (such as ``/tmp`` on macOS) are nobody's mistake.

    Args:
        given: The path as typed, relative to ``folder`` or absolute.
        folder: The absolute folder that a relative path counts from.

    Returns:
        The absolute, normalised path; it need not exist.

    Raises:
        UsageError: A part of the path is a symbolic link.
    """
    absolute = Path(os.path.normpath(folder / given))
    for part in _typed_parts(Path(given), folder, absolute):
        if part.is_symlink():
            raise UsageError(f"{part} is a symbolic link, which is not supported: name the real file or folder")
    return absolute


def _typed_parts(given: Path, folder: Path, absolute: Path) -> list[Path]:
    if not given.is_absolute():
        parts = []
        current = folder
        for name in given.parts:
            current = current.parent if name == os.pardir else current / name
            parts.append(current)
        return parts
    if absolute.is_relative_to(folder):
        below = absolute.relative_to(folder).parts
        return [folder.joinpath(*below[: depth + 1]) for depth in range(len(below))]
    return [absolute]
