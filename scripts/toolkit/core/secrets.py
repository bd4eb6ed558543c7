"""What of the person's environment the programs get that the scripts start."""

import functools
import os
import re
from collections.abc import Iterator
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


def without_secrets() -> dict[str, str]:
    """Copy the environment, without :data:`SECRETS`, for a program that is to know none of them.

    The rest stays: docker, uv and browsers want their own variables, proxies, the home and the PATH.
    """
    return {name: value for name, value in os.environ.items() if name not in SECRETS}


@contextmanager
def secrets_hidden() -> Iterator[None]:
    """Take :data:`SECRETS` out of the environment of this process, for a library that starts a program by itself."""
    hidden = {name: os.environ.pop(name) for name in SECRETS & os.environ.keys()}
    try:
        yield
    finally:
        os.environ.update(hidden)


def redact(text: str, secrets: tuple[str, ...]) -> str:
    """Put `[hidden]` for secrets in what a server says: it may repeat them in one of the forms of sending."""
    for form in _forms(secrets):
        text = text.replace(form, "[hidden]")
    return text


_known: set[str] = set()
_COOKIES = re.compile(r"(sessionid|csrftoken)=[^;'\"\s]+")


def remember(*secrets: str) -> None:
    """Have :func:`redact_known` know of secrets."""
    _known.update(secrets)


def redact_known(text: str) -> str:
    """Take all secrets out that this process uses, and the cookies of its session: for a traceback."""
    given = [os.environ[name] for name in SECRETS & os.environ.keys()]
    return _COOKIES.sub(r"\1=[hidden]", redact(text, tuple(sorted(_known.union(given)))))


@functools.cache
def _forms(secrets: tuple[str, ...]) -> list[str]:
    import base64
    import html
    import json
    from urllib.parse import quote, quote_plus

    forms: set[str] = set()
    for secret in secrets:
        forms |= {secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1]}
        forms |= {form(secret, errors="surrogateescape") for form in (quote, quote_plus)}
        forms |= {quote(secret, safe="", errors="surrogateescape"), html.escape(secret)}
        forms.add(base64.b64encode(secret.encode("utf-8", "surrogateescape")).decode("ascii"))
    return sorted(forms - {""}, key=len, reverse=True)
