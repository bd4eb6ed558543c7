"""The personal access token that the scripts use in a password's place, and the file that keeps it."""

import json
import os
import secrets
import socket
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

from toolkit.config.local_cvat import ROOT
from toolkit.core.errors import ToolkitError
from toolkit.core.whole_file import write_whole
from toolkit.cvat import probes as server
from toolkit.cvat.errors import busy

TOKENS_PATH = "/api/auth/access_tokens"


def token_file() -> Path:
    """Return where the token is kept: ``config/access-token``, or what ``CVAT_TOKEN_FILE`` names."""
    return Path(os.environ.get("CVAT_TOKEN_FILE") or ROOT / "config" / "access-token")


@dataclass(frozen=True)
class StoredToken:
    """A token and the one server it belongs to.

    Attributes:
        url: Scheme, host and port of the server; the token is sent to no other.
        username: Who made it.
        expires: When it ends, ISO 8601 in UTC.
        id: The server's number of it.
        value: The secret.
    """

    url: str
    username: str
    expires: str
    id: int
    value: str = field(repr=False)

    @property
    def has_expired(self) -> bool:
        """Whether its time is over."""
        return datetime.fromisoformat(self.expires) <= datetime.now(UTC)


def read_token() -> StoredToken | None:
    """Read the token file.

    Returns:
        The token, expired or not; None without a file.

    Raises:
        ToolkitError: The file is not what `make token` writes, or others than its owner can read it.
    """
    path = token_file()
    try:
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ToolkitError(f"{path} holds a token and is open to others: chmod 600 {path}, or remove it")
        kept = json.loads(path.read_text(encoding="utf-8"))
        token = StoredToken(**kept)
        datetime.fromisoformat(token.expires)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise ToolkitError(f"{path} is damaged: remove it, and make a new token with `make token`") from error
    return token


def stored_token(url: str) -> str | None:
    """Return the token kept for a server, None when there is none that is still valid for exactly this address."""
    token = read_token()
    return token.value if token and token.url == url and not token.has_expired else None


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
    if answer.status not in (200, 201) or not isinstance(said, dict) or "value" not in said:
        if answer.status < 400 or answer.status >= 500:
            _revoke_lost(url, name, authorization, notice)
        if answer.status in (404, 405):
            raise ToolkitError(
                f"{url} makes no access token (status {answer.status}); CVAT has them from 2.42 on: "
                "use CVAT_USERNAME and CVAT_PASSWORD with an older one"
            )
        trouble = busy(url, answer.status)
        raise ToolkitError(trouble or f"{url} makes no access token (status {answer.status})")
    return StoredToken(url, username, expires.isoformat(), int(said.get("id", 0)), str(said["value"]))


def _revoke_lost(url: str, name: str, authorization: str, notice: Callable[[str], None]) -> None:
    """Have the server forget a token that it may have made although its answer did not reach us."""
    with suppress(server.Unreachable):
        path = f"{TOKENS_PATH}?name={quote(name)}&page_size=100"
        listed = server.ask(url, path, authorization=authorization, notice=notice).json()
        for token in listed.get("results", ()) if isinstance(listed, dict) else ():
            if isinstance(token, dict) and token.get("name") == name:
                path = f"{TOKENS_PATH}/{token.get('id')}"
                server.ask(url, path, "DELETE", authorization=authorization, notice=notice)


def keep_token(token: StoredToken) -> None:
    """Write the token file, readable by its owner alone."""
    write_whole(token_file(), json.dumps(asdict(token), indent=2) + "\n", is_private=True)


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
