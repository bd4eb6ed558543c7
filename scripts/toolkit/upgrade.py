"""Which version an upgrade leaves and which it goes to."""

import os
import re

from toolkit.errors import UsageError
from toolkit.stack import VERSION_KEY, Stack, find_stack, recorded_version


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
