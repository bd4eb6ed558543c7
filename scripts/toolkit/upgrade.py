"""Which version an upgrade leaves and which it goes to."""

import os
import re
from typing import TYPE_CHECKING

from toolkit.engine import service_states
from toolkit.errors import UsageError
from toolkit.stack import VERSION_KEY, Stack, find_stack, recorded_version

if TYPE_CHECKING:
    from docker import DockerClient


def from_to(wanted: str) -> tuple[Stack, Stack]:
    """Find the stack as it is and as it is to be.

    Args:
        wanted: The version to go to, with or without its ``v``.

    Returns:
        The old stack, of the version that ``config/cvat.env`` keeps, and the new one.

    Raises:
        UsageError: There is nothing to upgrade, or it is of that version already.
    """
    target = f"v{wanted}" if re.match(r"\d", wanted) else wanted
    recorded = recorded_version()
    if recorded is None:
        raise UsageError(f"there is no CVAT to upgrade here: make up CVAT_VERSION={target} starts that version")
    if recorded == target:
        raise UsageError(f"CVAT is of version {recorded} already")
    outside = {name: value for name, value in os.environ.items() if name != VERSION_KEY}
    old = find_stack(outside)
    return old, old.with_settings(**{VERSION_KEY: target})


def check_running(client: "DockerClient", stack: Stack) -> None:
    """Refuse to upgrade a stack that does not run: nobody could tell then whether it worked before.

    Raises:
        UsageError: A service does not run.
    """
    stopped = [state.service for state in service_states(client, stack) if not state.runs]
    if stopped:
        raise UsageError(f"{', '.join(stopped)} not running: `make up` first, so that the old version is known to work")
