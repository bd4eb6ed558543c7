"""What of the person's environment the programs get that the scripts start."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

SECRETS = frozenset(
    {
        "CVAT_PASSWORD",
        "CVAT_ACCESS_TOKEN",
        "CVAT_SUPERUSER_PASSWORD",
        "CVAT_POSTGRES_PASSWORD",
        "PASS",  # where cvat-cli looks for the password
    }
)
"""Variables whose values are secret."""


def without_secrets(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment for a program that is to know none of our secrets.

    The rest stays: docker, uv and browsers want their own variables, proxies, the home and the PATH.

    Args:
        environ: The environment; by default that of this process.

    Returns:
        A copy without :data:`SECRETS`.
    """
    given = os.environ if environ is None else environ
    return {name: value for name, value in given.items() if name not in SECRETS}


@contextmanager
def secrets_hidden() -> Iterator[None]:
    """Take :data:`SECRETS` out of the environment of this process, for a library that starts a program by itself."""
    hidden = {name: os.environ.pop(name) for name in SECRETS & os.environ.keys()}
    try:
        yield
    finally:
        os.environ.update(hidden)
