"""Which CVAT is talked to, and as whom; and the file that keeps an access token in place of a password."""

import json
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from toolkit.config.file import ConfigurationFile
from toolkit.config.local_cvat import ROOT, find_stack
from toolkit.core.errors import ToolkitError, UsageError
from toolkit.core.files import read_own, write_atomically
from toolkit.core.secrets import remember

if TYPE_CHECKING:
    from toolkit.config.model import Part

_LARGEST = 64 * 1024


def token_file() -> Path:
    """Return where the token is kept: ``config/access-token``, or what ``CVAT_TOKEN_FILE`` names."""
    return Path(os.environ.get("CVAT_TOKEN_FILE") or ROOT / "config" / "access-token")


@dataclass(frozen=True)
class StoredToken:
    """A token and the one server it belongs to, by scheme, host and port; it is sent to no other.

    ``expires`` is ISO 8601 in UTC, ``value`` the secret, ``id`` the server's number of it.
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
    """Read the token, expired or not, from the token file; None without one.

    Raises ToolkitError where the file is not what `make token` writes, or others than its owner can read it.
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


_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_HOST = re.compile(r"[\w.~-]+|[0-9A-Fa-f:.]+(%[\w.~-]+)?")


@dataclass(frozen=True)
class Connection:
    """A server and the means to sign in to it: a user name and a password, or a personal access token.

    The URL is scheme, host and port, without a slash at the end. ``organization`` is the short name of the one that
    projects and tasks belong to; None for one's own.
    """

    url: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    organization: str | None = None

    def __post_init__(self) -> None:
        remember(*self.secrets)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be shown."""
        return tuple(secret for secret in (self.password, self.token) if secret)

    def task_url(self, task_id: int) -> str:
        """Return the address of a task's page in the web UI."""
        return f"{browser_url(self.url)}/tasks/{task_id}"

    def tagging_url(self, task_id: int, job_id: int) -> str:
        """Return the address at which the web UI shows a job ready for its images to be tagged."""
        return f"{self.task_url(task_id)}/jobs/{job_id}?defaultWorkspace=TAGS"

    def project_url(self, project_id: int) -> str:
        """Return the address of a project's page in the web UI."""
        return f"{browser_url(self.url)}/projects/{project_id}"


def browser_url(url: str) -> str:
    """Return the address at which a person's browser finds a server of this machine; any other address as it is.

    In GitHub Codespaces that is the forwarded port; the variables that name it are described at
    https://docs.github.com/en/codespaces/developing-in-a-codespace/default-environment-variables-for-your-codespace
    """
    name, domain = os.environ.get("CODESPACE_NAME"), os.environ.get("GITHUB_CODESPACES_PORT_FORWARDING_DOMAIN")
    parts = urlsplit(url)
    if not name or not domain or parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        return url
    return f"https://{name}-{parts.port or 80}.{domain}"


def default_url(environ: Mapping[str, str] | None = None) -> str:
    """Return the address of the local stack, on the port that `CVAT_PORT` or config/cvat.env names.

    Raises UsageError where a setting of the stack is wrong.
    """
    return find_stack(environ).url


def resolve_connection(
    file: ConfigurationFile | None = None,
    url: str | None = None,
    username: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> Connection:
    """Find the server and the credentials; an option wins over the environment, that over the file.

    The access token that `make token` keeps for exactly this address is taken before the credentials of the file.

    Args:
        file: The opened configuration file, or None.
        url: The server's address from the command line.
        username: The user name from the command line.
        environ: The environment (`CVAT_URL`, `CVAT_ACCESS_TOKEN`, `CVAT_USERNAME`, `CVAT_PASSWORD`,
            `CVAT_ORGANIZATION`).

    Returns:
        The connection; nothing has been asked of the server yet.

    Raises:
        UsageError: The address is no http(s) address, or credentials are missing; one detail line each.
    """
    from toolkit.config.model import ConfigurationProblems, CredentialKeys, Problem, read

    environ = os.environ if environ is None else environ
    token = environ.get("CVAT_ACCESS_TOKEN") if username is None else None
    problems: list[Problem] = []
    address, credentials = "", None
    try:
        address = check_url(url or environ.get("CVAT_URL") or default_url(environ), "--url" if url else "CVAT_URL")
        if token and not is_token(token):
            problems.append(Problem("it is no token: it holds a blank or a line break", "CVAT_ACCESS_TOKEN"))
        if not token and not username and not environ.get("CVAT_USERNAME") and not environ.get("CVAT_PASSWORD"):
            token = stored_token(address)
    except UsageError as error:
        problems += [Problem(line, "--url" if url else "CVAT_URL") for line in error.details or [error.message]]
    if not token:
        try:
            credentials = read(CredentialKeys, file, {"cvat_username": username}, environ)
        except ConfigurationProblems as error:
            problems += error.problems
            last = problems[-1]
            if ": missing" in last.line or last.line.endswith("found an empty string"):
                problems[-1] = last._replace(line=f"{last.line}; {_other_way(address)}")
    if problems:
        raise UsageError(problems[0].line) if len(problems) == 1 else ConfigurationProblems(file, problems)
    organization = environ.get("CVAT_ORGANIZATION") or None
    if credentials is None:
        return Connection(address, token=token, organization=organization)
    password = credentials.cvat_password.get_secret_value()
    return Connection(address, credentials.cvat_username, password, organization=organization)


def _other_way(address: str) -> str:
    """Say how else one can sign in to a server, and whether there is a token for another spelling of its address."""
    kept = read_token()
    if kept is None or not address or not _is_same_machine(kept.url, address):
        return "or sign in once with `make token`, which keeps an access token for the scripts"
    if kept.has_expired:
        return f"the access token in {token_file()} has expired: make a new one with `make token`"
    return f"the access token in {token_file()} is for {kept.url}, not for {address}: name that in CVAT_URL"


def _is_same_machine(one: str, other: str) -> bool:
    (_, host, port), (_, other_host, other_port) = origin(one), origin(other)
    return port == other_port and (host == other_host or {host, other_host} <= _LOOPBACK)


def origin(url: str) -> tuple[str, str | None, int | None]:
    """Return scheme, host and port of a URL."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def check_url(url: str, source: str = "CVAT_URL") -> str:
    """Return a server's address without a slash at the end.

    Raises UsageError, which names the source of the address, where it is not of the form http(s)://host[:port], or
    holds credentials. What might be a password is not repeated.
    """
    if "@" in unquote(url):  # wherever it stands: a password may hold any of / # ? [
        raise UsageError(
            f"{source} holds a user name or password: put them into CVAT_USERNAME and CVAT_PASSWORD, "
            f"and give {source} as http://host:port"
        )
    try:
        parts = urlsplit(url)
        is_valid = bool(_HOST.fullmatch(parts.hostname or "")) and (parts.port is None or parts.port > 0)
    except ValueError:
        parts, is_valid = urlsplit(""), False
    if parts.scheme not in ("http", "https") or not is_valid or not url.isprintable():
        raise UsageError(f"{source} must be of the form http://host:port, found {url}")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise UsageError(f"{source} must end after the host and port, found {url}")
    return f"{parts.scheme}://{parts.netloc}"


def read_with_connection(
    part: "type[Part]",
    file: ConfigurationFile | None,
    options: Mapping[str, object],
    url: str | None = None,
    username: str | None = None,
) -> "tuple[Part, Connection]":
    """Read the keys of a step that talks to the server, and find the server.

    ``options`` are values from the command line by key, of which None counts as not given. Raises UsageError with all
    problems of both, one detail line each.
    """
    from toolkit.config.model import ConfigurationProblems, Problem, read

    problems: list[Problem] = []
    keys = connection = None
    try:
        keys = read(part, file, options)
    except ConfigurationProblems as error:
        problems += error.problems
    try:
        connection = resolve_connection(file, url, username)
    except ConfigurationProblems as error:
        problems += error.problems
    except UsageError as error:
        problems += [Problem(line, "--url" if url else "CVAT_URL") for line in error.details or [error.message]]
    if keys is None or connection is None:
        raise ConfigurationProblems(file, problems)
    return keys, connection
