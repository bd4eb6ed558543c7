"""The personal access token that the scripts use in a password's place, and the file that keeps it."""

import secrets
import socket
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from toolkit.core.errors import ToolkitError
from toolkit.cvat import probes as server
from toolkit.cvat.errors import busy
from toolkit.cvat.token_file import StoredToken, is_token

TOKENS_PATH = "/api/auth/access_tokens"


def create_token(
    url: str,
    username: str,
    authorization: str,
    days: int,
    read_only: bool = False,
    notice: Callable[[str], None] = lambda line: None,
) -> StoredToken:
    """Have the server make a personal access token.

    Args:
        url: The server.
        username: Who it is for.
        authorization: What :func:`toolkit.cvat.probes.sign_in` gave for that user's password.
        days: How long it is valid.
        read_only: Whether it may only look.
        notice: Called with a line when a request is tried again.

    Returns:
        The token, not stored yet.

    Raises:
        ToolkitError: The server refuses.
    """
    expires = (datetime.now(UTC) + timedelta(days=days)).replace(microsecond=0)
    name = f"cvat-toolkit on {socket.gethostname()[:40]} {secrets.token_hex(3)}"
    wish = {"name": name, "expiry_date": expires.isoformat(), "read_only": read_only}
    try:
        answer = server.ask(url, TOKENS_PATH, "POST", wish, authorization, notice=notice)
    except (server.Unreachable, KeyboardInterrupt):
        _revoke_lost(url, name, authorization, notice)
        raise
    said = answer.json()
    value, number = (said.get("value"), said.get("id")) if isinstance(said, dict) else (None, None)
    is_made = isinstance(value, str) and is_token(value) and type(number) is int
    if answer.status not in (200, 201) or not is_made:
        if answer.status < 400 or answer.status >= 500:
            _revoke_lost(url, name, authorization, notice)
        if answer.status in (404, 405):
            raise ToolkitError(
                f"{url} makes no access token (status {answer.status}); CVAT has them from 2.42 on: "
                "use CVAT_USERNAME and CVAT_PASSWORD with an older one"
            )
        trouble = busy(url, answer.status)
        raise ToolkitError(trouble or f"{url} makes no access token (status {answer.status})")
    return StoredToken(url, username, expires.isoformat(), int(number or 0), str(value))


def _revoke_lost(url: str, name: str, authorization: str, notice: Callable[[str], None]) -> None:
    """Have the server forget a token that it may have made although its answer did not reach us."""
    with suppress(server.Unreachable):
        path = f"{TOKENS_PATH}?name={quote(name)}&page_size=100"
        listed = server.ask(url, path, authorization=authorization, notice=notice).json()
        found = listed.get("results") if isinstance(listed, dict) else None
        for token in found if isinstance(found, list) else ():
            if isinstance(token, dict) and token.get("name") == name and type(token.get("id")) is int:
                path = f"{TOKENS_PATH}/{token['id']}"
                server.ask(url, path, "DELETE", authorization=authorization, notice=notice)


def revoke_token(token: StoredToken, authorization: str) -> bool:
    """Have the server forget a token.

    Args:
        token: The token.
        authorization: That of its owner, signed in with the password: a token that may only read cannot revoke itself.

    Returns:
        False when the server does not.
    """
    try:
        return server.ask(token.url, f"{TOKENS_PATH}/{token.id}", "DELETE", authorization=authorization).status == 204
    except server.Unreachable:
        return False
