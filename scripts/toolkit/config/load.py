"""What a step is to do: its keys, the server if it needs one, and what to warn of beforehand."""

import os
from pathlib import Path
from typing import NamedTuple, TypeVar

from toolkit.config.file import ConfigurationFile, exposed_password, open_configuration
from toolkit.config.model import DEFAULT_FILE, Keys, unknown_keys

Part = TypeVar("Part", bound=Keys)


class Found(NamedTuple):
    """A configuration file, if there is one, and what to warn of.

    Attributes:
        file: The opened file, or None.
        warnings: One line each.
    """

    file: ConfigurationFile | None
    warnings: list[str]


def find_configuration(config: Path | None) -> Found:
    """Open the configuration file that a step reads.

    Args:
        config: The file that was asked for; None takes configuration.json of the working directory if it is there.

    Returns:
        The file, with a warning for each unknown key and for a password that others can see.

    Raises:
        UsageError: The file cannot be read or is no JSON object.
    """
    if config is None and os.path.lexists(DEFAULT_FILE):
        config = Path(DEFAULT_FILE)
    if config is None:
        return Found(None, [])
    file = open_configuration(config)
    return Found(file, unknown_keys(file) + exposed_password(file))
