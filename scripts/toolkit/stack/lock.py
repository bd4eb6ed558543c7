"""One command at a time changes a project.

The lock is a file of this user's, one for each project and engine. The system frees it when its holder has ended, by
SIGKILL as well; the docker calls of a holder keep it too, so that what a killed command has begun is over before
another command begins.
"""

import hashlib
import json
import os
import pwd
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from toolkit.config.local_cvat import Stack, find_stack
from toolkit.core.errors import ToolkitError
from toolkit.core.files import try_lock
from toolkit.stack.compose import shared_descriptors
from toolkit.stack.engine import engine_address
from toolkit.stack.kubernetes import refuse_on_cluster

POLL_SECONDS = 0.2
NAMELESS_SECONDS = 2.0
"""How long a lock may be held by one that has not said yet who it is."""
ABANDONED_SECONDS = 150.0
"""How long the docker calls of a killed command are waited for: a stop of CVAT takes up to a minute."""

Say = Callable[[str], None]


class LockedError(ToolkitError):
    """Another command is at work on the project."""


@dataclass(frozen=True)
class Holder:
    """Who holds a lock: a command as typed (``make backup``), its process, and since when (ISO 8601, local time)."""

    command: str
    pid: int
    since: str

    def __str__(self) -> str:
        return f"`{self.command}` (process {self.pid}, since {self.since[11:]})"

    @property
    def is_alive(self) -> bool:
        """Whether its process still runs."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
        return True


@contextmanager
def locked_stack(command: str, wait: bool, say: Say) -> Iterator[Stack]:
    """Hold the lock of the project that the settings name, and give its settings as the holder before has left them.

    Args:
        command: What a person typed, for others to see.
        wait: Wait for the present holder.
        say: Called with who is waited for.

    Raises:
        UsageError: A setting is wrong, or names a CVAT on Kubernetes.
        LockedError: Another command holds it; the message says which, since when, and how to wait for it.
    """
    stack = find_stack()
    refuse_on_cluster(stack, command)
    with project_lock(stack.project, command, wait, say):
        yield find_stack()


@contextmanager
def project_lock(project: str, command: str, wait: bool, say: Say) -> Iterator[None]:
    """Hold the lock of a project; see :func:`locked_stack`."""
    path = lock_file(project)
    with ExitStack() as held:
        descriptor = _enter(held, path, project, wait, say)
        holder = Holder(command, os.getpid(), datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")[:19])
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(asdict(holder)).encode(), 0)
        shared_descriptors.append(descriptor)
        try:
            yield
        finally:
            shared_descriptors.remove(descriptor)
            os.ftruncate(descriptor, 0)


def _enter(held: ExitStack, path: Path, project: str, wait: bool, say: Say) -> int:
    start = time.monotonic()
    said: Holder | None = None
    while True:
        try:
            return held.enter_context(try_lock(path))
        except BlockingIOError:
            holder = _holder(path)
        except OSError as error:
            raise ToolkitError(
                f"cannot lock project {project} ({path}: {error.strerror}): set XDG_STATE_HOME to a folder of yours"
            ) from error
        patience = NAMELESS_SECONDS if holder is None else 0.0 if holder.is_alive else ABANDONED_SECONDS
        if not wait and time.monotonic() - start >= patience:
            raise LockedError(
                f"project {project} is being changed by {holder or 'another command'}: try again when it is done, "
                "or wait for it with --wait (make … ARGS=--wait)"
            )
        if holder not in (None, said):
            say(f"Waiting for {holder}{'' if holder.is_alive else ', which was killed, to end on the engine'} …")
            said = holder
        time.sleep(POLL_SECONDS)


def _holder(path: Path) -> Holder | None:
    try:
        return Holder(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def lock_file(project: str) -> Path:
    """Return the file that all commands of this user on this engine lock for one project.

    Raises ToolkitError where its folder cannot be made, or is somebody else's.
    """
    address = engine_address()
    if address.startswith("unix://"):
        address = os.path.realpath(address.removeprefix("unix://"))
    name = f"{project}-{hashlib.sha256(address.encode()).hexdigest()[:8]}.lock"
    folder = _state_folder()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = folder.lstat()
    except OSError as error:
        raise ToolkitError(
            f"cannot make the folder of locks {folder} ({error.strerror}): set XDG_STATE_HOME to a folder of yours"
        ) from error
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.geteuid() or state.st_mode & 0o022:
        raise ToolkitError(
            f"{folder} is not a folder that you alone can write to, so no lock in it is trusted: remove it, or set "
            "XDG_STATE_HOME to a folder of yours"
        )
    return folder / name


def _state_folder() -> Path:
    named = os.environ.get("XDG_STATE_HOME", "")
    if named.startswith("/"):
        return Path(named) / "cvat-toolkit" / "locks"
    homes = [Path(os.environ.get("HOME") or "/")]
    with suppress(KeyError):
        homes.append(Path(pwd.getpwuid(os.geteuid()).pw_dir))
    for home in homes:  # that of sudo may be another user's
        if home.is_dir() and home.stat().st_uid == os.geteuid() and os.access(home, os.W_OK):
            return home / ".local" / "state" / "cvat-toolkit" / "locks"
    return Path(tempfile.gettempdir()) / f"cvat-toolkit-{os.geteuid()}"
