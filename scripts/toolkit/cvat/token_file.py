"""The file that keeps the personal access token which the scripts use in a password's place."""

import json
import os
import stat
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from toolkit.config.local_cvat import ROOT
from toolkit.core.errors import ToolkitError
from toolkit.core.files import read_own, write_atomically

_LARGEST = 64 * 1024


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
        return datetime.fromisoformat(self.expires).astimezone(UTC) <= datetime.now(UTC)


def read_token() -> StoredToken | None:
    """Read the token file.

    Returns:
        The token, expired or not; None without a file.

    Raises:
        ToolkitError: The file is not what `make token` writes, or others than its owner can read it.
    """
    path = token_file()
    try:
        content = read_own(path, _LARGEST)
        if path.lstat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ToolkitError(f"{path} holds a token and is open to others: chmod 600 {path}, or remove it")
        token = StoredToken(**json.loads(content))
        kinds = {"url": str, "username": str, "expires": str, "id": int, "value": str}
        if any(type(getattr(token, name)) is not kind for name, kind in kinds.items()) or not is_token(token.value):
            raise TypeError
        datetime.fromisoformat(token.expires).astimezone(UTC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ToolkitError(
            f"{path} is no token of yours ({error.strerror}): remove it, or name another file"
        ) from error
    except (ValueError, TypeError, RecursionError, OverflowError) as error:
        raise ToolkitError(f"{path} is damaged: remove it, and make a new token with `make token`") from error
    return token


def is_token(text: str) -> bool:
    """Tell whether a text can be sent as a token: visible signs of ASCII alone."""
    return bool(text) and text.isascii() and text.isprintable() and " " not in text


def stored_token(url: str) -> str | None:
    """Return the token kept for a server, None when there is none that is still valid for exactly this address."""
    token = read_token()
    return token.value if token and token.url == url and not token.has_expired else None


def save_token(token: StoredToken) -> None:
    """Write the token file, readable by its owner alone."""
    write_atomically(token_file(), json.dumps(asdict(token), indent=2) + "\n", is_private=True)
