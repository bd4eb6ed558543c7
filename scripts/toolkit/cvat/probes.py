"""Plain questions to a CVAT server over HTTP: is it healthy, which version, how fast, who may sign in."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from toolkit.core.errors import ToolkitError
from toolkit.core.retry import read_retry_policy
from toolkit.cvat.errors import NO_TLS, OTHER_NAME, busy, other_name

if TYPE_CHECKING:
    from urllib3.exceptions import HTTPError

HEALTH_PATH = "/api/server/health/?format=json"
ABOUT_PATH = "/api/server/about"
LOGIN_PAGE_PATH = "/auth/login"
LOGIN_PATH = "/api/auth/login"


@dataclass(frozen=True)
class Answer:
    """What a server answered.

    Attributes:
        status: The HTTP status.
        seconds: The time from sending the request to the end of the answer.
        body: The answer's bytes.
        content_type: Its declared type.
        date: The server's clock in seconds since 1970, None when it does not tell.
    """

    status: int
    seconds: float
    body: bytes
    content_type: str
    date: float | None

    def json(self) -> Any:
        """Return the decoded body, None when it is no JSON."""
        import json

        try:
            return json.loads(self.body)
        except ValueError:
            return None


class Unreachable(ToolkitError):
    """No HTTP answer came from a server."""


def ask(
    url: str,
    path: str,
    method: str = "GET",
    body: Any = None,
    authorization: str | None = None,
    timeout: float | None = None,
    notice: Callable[[str], None] | None = None,
) -> Answer:
    """Send one request.

    Redirects are not followed: credentials go to the server that was named and to no other.

    Args:
        url: Scheme, host and port.
        path: Path and query.
        method: The HTTP method.
        body: What to send as JSON.
        authorization: The value of the Authorization header.
        timeout: Seconds that the server may be silent, and that its answer may take; by default `CVAT_ANSWER_TIMEOUT`.
        notice: Called with a line when the request is tried again. Without it the request is sent once, as fits a
            question about this very moment.

    Returns:
        The answer, whatever its status.

    Raises:
        Unreachable: No answer; the message says why in one line.
        UsageError: A limit in the environment is wrong.
    """
    import urllib3

    from toolkit.cvat.http import harden

    policy = read_retry_policy()
    if timeout is not None:
        policy = replace(policy, answer=timeout)
    if notice is None:
        policy = replace(policy, attempts=1)
    headers = {"Accept": "application/vnd.cvat+json, application/json, */*"}
    if authorization:
        headers["Authorization"] = authorization
    start = time.monotonic()
    with urllib3.PoolManager() as pool:
        harden(pool, url, policy, notice or (lambda line: None))
        try:
            response = pool.request(method, url + path, json=body, headers=headers, redirect=False)
        except urllib3.exceptions.HTTPError as error:
            raise Unreachable(f"no answer from {url}: {_reason(error)}") from error
    return Answer(
        response.status,
        time.monotonic() - start,
        response.data,
        response.headers.get("Content-Type", ""),
        _clock(response.headers.get("Date")),
    )


def _clock(date: str | None) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp() if date else None
    except ValueError:
        return None


def _reason(error: "HTTPError") -> str:
    from toolkit.cvat.http import EndlessAnswer, UntrustedServer

    text = str(error)
    if any(sign in text for sign in NO_TLS):
        return "it does not speak TLS (its address begins with http://, then)"
    if isinstance(error, UntrustedServer):
        return "its TLS certificate is not trusted (for a private authority: REQUESTS_CA_BUNDLE=/path/to/ca.pem)"
    if isinstance(error, EndlessAnswer):
        return f"{error}, is it a CVAT?"
    for sign, reason in (
        ("timed out", "it took too long"),
        ("refused", "connection refused"),
        ("Name or service not known", "its name is unknown"),
        ("nodename nor servname", "its name is unknown"),
        ("Failed to resolve", "its name is unknown"),
        ("RemoteDisconnected", "it closed the connection"),
        ("reset by peer", "it closed the connection"),
        ("IncompleteRead", "it closed the connection"),
    ):
        if sign in text:
            return reason
    return type(error).__name__


def health_problem(url: str, timeout: float | None = None) -> str | None:
    """Ask whether the server, its database, both Redis and OPA's rules are ready.

    Returns:
        None when healthy, else what is wrong in a few words.
    """
    try:
        answer = ask(url, HEALTH_PATH, timeout=timeout)
    except Unreachable as error:
        return error.message
    if answer.status == 200:
        return None
    if answer.status == OTHER_NAME:
        return other_name(url)
    parts = answer.json()
    if isinstance(parts, dict):
        broken = [f"{name}: {word}" for name, word in parts.items() if word != "working"]
        if broken:
            return f"health is {answer.status} ({'; '.join(broken)})"
    return f"health is {answer.status}" + (" (the server is not up behind the UI)" if answer.status == 502 else "")


def login_page_problem(url: str, timeout: float | None = None) -> str | None:
    """Ask whether the web UI serves its login page; None when it does."""
    try:
        answer = ask(url, LOGIN_PAGE_PATH, timeout=timeout)
    except Unreachable as error:
        return error.message
    if answer.status == 200 and "text/html" in answer.content_type:
        return None
    return f"the login page is {answer.status} {answer.content_type}".rstrip()


def login_problem(url: str, timeout: float | None = None) -> str | None:
    """Try to sign in as nobody, which a working server refuses; None when it does."""
    try:
        answer = ask(url, LOGIN_PATH, "POST", {"username": "nobody-here", "password": "no"}, timeout=timeout)
    except Unreachable as error:
        return error.message
    return None if answer.status < 500 else f"signing in is {answer.status}"


def server_version(url: str, authorization: str | None = None) -> str:
    """Return the version that the server gives itself.

    Raises:
        ToolkitError: It does not answer, or is no CVAT.
    """
    answer = ask(url, ABOUT_PATH, authorization=authorization)
    about = answer.json()
    if answer.status != 200 or not isinstance(about, dict) or "version" not in about:
        if trouble := busy(url, answer.status):
            raise ToolkitError(trouble)
        raise ToolkitError(f"{url} does not answer like CVAT (status {answer.status} for {ABOUT_PATH})")
    return str(about["version"])


def sign_in(url: str, username: str, password: str, notice: Callable[[str], None] | None = None) -> str:
    """Sign in with a password.

    Args:
        url: The server.
        username: The user name.
        password: The password.
        notice: Called with a line when it is tried again, which does no harm here; without it, it is tried once.

    Returns:
        The value for the Authorization header.

    Raises:
        ToolkitError: The server refuses; the message says what it said.
    """
    answer = ask(url, LOGIN_PATH, "POST", {"username": username, "password": password}, notice=notice)
    said = answer.json()
    if answer.status == 200 and isinstance(said, dict) and "key" in said:
        return f"Token {said['key']}"
    if answer.status in (400, 401):
        raise ToolkitError(
            f"{url} does not let {username} in: wrong user name or password "
            "(CVAT_USERNAME, CVAT_PASSWORD; a local superuser gets a new password with `make superuser RESET=1`)"
        )
    trouble = busy(url, answer.status)
    raise ToolkitError(trouble or f"{url} did not answer to signing in as CVAT does (status {answer.status})")
