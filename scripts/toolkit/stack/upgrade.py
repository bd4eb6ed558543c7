"""Which version an upgrade leaves and which it goes to."""

import os
import re
from typing import TYPE_CHECKING

from toolkit.config.local_cvat import FOUNDATION, VERSION_KEY, Stack, find_stack, recorded_version
from toolkit.core.errors import UsageError
from toolkit.stack.engine import service_states

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


def as_it_runs(client: "DockerClient", stack: Stack) -> Stack:
    """Return a stack with the images that its containers run.

    They need not be those of the settings any more: a newer toolkit brings newer ones for what CVAT stands on, and the
    way back leads to the old ones.

    Args:
        client: The engine.
        stack: The stack as its settings say.

    Returns:
        The same stack; its version stays.

    Raises:
        UsageError: A service does not run, so nobody could tell whether it worked before.
    """
    states = service_states(client, stack)
    stopped = [state.service for state in states if not state.runs]
    if stopped:
        raise UsageError(f"{', '.join(stopped)} not running: `make up` first, so that the old version is known to work")
    images = {state.service: state.image for state in states}
    return stack.with_settings(**{key: images[service] for service, key in FOUNDATION.items()})
