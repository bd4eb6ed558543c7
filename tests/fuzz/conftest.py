"""How long to look: a glance in every test run, longer with `make fuzz`."""

import os
from collections.abc import Callable

from hypothesis import HealthCheck, settings

from toolkit.core.errors import ToolkitError

settings.register_profile("glance", max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
settings.register_profile("long", max_examples=3000, deadline=None, suppress_health_check=list(HealthCheck))


def examples() -> settings:
    """Return the settings for the tests of this folder."""
    return settings.get_profile("long" if os.environ.get("FUZZ") else "glance")


def refusal(function: Callable[[], object]) -> ToolkitError | None:
    """Call a function and return how it refused, None if it did not; anything else that it raises is a defect."""
    try:
        function()
    except ToolkitError as error:
        return error
    return None
