"""What a step is to do: its keys, the server if it needs one, and what to warn of beforehand."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

from toolkit.config.file import ConfigurationFile, exposed_password, open_configuration
from toolkit.config.model import DEFAULT_FILE, Keys, problems_in, read, unknown_keys
from toolkit.core.errors import UsageError
from toolkit.cvat.connection import Connection, resolve_connection

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


def read_with_connection(
    part: type[Part],
    file: ConfigurationFile | None,
    options: Mapping[str, object],
    url: str | None = None,
    username: str | None = None,
) -> tuple[Part, Connection]:
    """Read the keys of a step that talks to the server, and find the server.

    Args:
        part: The step's part of the configuration model.
        file: The opened configuration file, or None.
        options: Values from the command line by key; None values count as not given.
        url: The server's address from the command line.
        username: The user name from the command line.

    Returns:
        The step's keys and the connection.

    Raises:
        UsageError: All problems of both, one detail line each.
    """
    problems: list[UsageError] = []
    keys = connection = None
    try:
        keys = read(part, file, options)
    except UsageError as error:
        problems.append(error)
    try:
        connection = resolve_connection(file, url, username)
    except UsageError as error:
        problems.append(error)
    if keys is None or connection is None:
        raise problems_in(file, [line for error in problems for line in (error.details or [error.message])])
    return keys, connection
