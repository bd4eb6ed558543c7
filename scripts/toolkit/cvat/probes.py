"""Plain requests to a CVAT server over HTTP: is it healthy, which version, how fast, who may sign in; access tokens."""

import http.client
import secrets
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from importlib.metadata import version as installed_version
from typing import Any
from urllib.parse import quote

from toolkit.config.local_cvat import tested_versions
from toolkit.core.errors import FAILED, OK, SKIPPED, WARNING, Check, ToolkitError
from toolkit.core.retry import read_retry_policy
from toolkit.core.secrets import remember
from toolkit.cvat.connection import Connection, StoredToken, is_token, read_token
from toolkit.cvat.errors import OTHER_NAME, Kind, busy, classify, other_name

HEALTH_PATH = "/api/server/health/?format=json"
ABOUT_PATH = "/api/server/about"
LOGIN_PAGE_PATH = "/auth/login"
LOGIN_PATH = "/api/auth/login"
CLOCK_SECONDS = 60
LARGEST = 16 * 1024**2
"""Bytes of an answer here; the longest, a page of tokens, has some ten thousand."""


@dataclass(frozen=True)
class Answer:
    """What a server answered, and how many seconds passed from sending the request to the answer's end.

    ``date`` is the server's clock in seconds since 1970, None when it does not tell.
    """

    status: int
    seconds: float
    body: bytes
    content_type: str
    date: float | None

    @classmethod
    def of(cls, status: int, seconds: float, body: bytes, headers: Mapping[str, str | None]) -> "Answer":
        """Make it of what was answered and how long that took."""
        return cls(status, seconds, body, headers.get("Content-Type") or "", _clock(headers.get("Date")))

    def json(self) -> Any:
        """Return the decoded body, None when it is no JSON."""
        import json

        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


class Unreachable(ToolkitError):
    """No HTTP answer came from a server."""


Adapter = Callable[[str, str, Any, Mapping[str, str], float], Answer]
_adapters: dict[str, Adapter] = {}


def mount(url: str, adapter: Adapter) -> None:
    """Have all requests for a server go another way than over this machine's network.

    The adapter gets path, method, what to send as JSON, headers, and the seconds that one request may take; it raises
    :class:`Unreachable` where no answer comes.
    """
    _adapters[url] = adapter


def ask(
    url: str,
    path: str,
    method: str = "GET",
    body: Any = None,
    authorization: str | None = None,
    timeout: float | None = None,
    notice: Callable[[str], None] | None = None,
) -> Answer:
    """Send one request, and return its answer whatever the status.

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
        policy = replace(policy, attempts=1, queue=0)
    headers = {"Accept": "application/vnd.cvat+json, application/json, */*"}
    if authorization:
        headers["Authorization"] = authorization
    if url in _adapters:
        return _adapters[url](path, method, body, headers, policy.answer)
    start = time.monotonic()
    with urllib3.PoolManager() as pool:
        harden(pool, url, policy, notice or (lambda line: None), LARGEST)
        try:
            response = pool.request(method, url + path, json=body, headers=headers, redirect=False)
        except (urllib3.exceptions.HTTPError, OSError, ValueError, http.client.HTTPException) as error:
            raise Unreachable(f"no answer from {url}: {_reason(error)}") from error
    return Answer.of(response.status, time.monotonic() - start, response.data, response.headers)


def _clock(date: str | None) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp() if date else None
    except (ValueError, OverflowError, TypeError):
        return None


def _reason(error: Exception) -> str:
    kind = classify(error).kind
    return type(error).__name__ if kind in (Kind.UNPARSABLE, Kind.OTHER) else str(kind)


def health_problem(url: str, timeout: float | None = None) -> str | None:
    """Say in a few words whether server, database, both Redis or OPA's rules are not ready; None when healthy."""
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


def server_version(url: str) -> str:
    """Return the version that the server gives itself; raises ToolkitError where it does not answer, or is no CVAT."""
    answer = ask(url, ABOUT_PATH)
    about = answer.json()
    if answer.status != 200 or not isinstance(about, dict) or not isinstance(about.get("version"), str):
        if trouble := busy(url, answer.status):
            raise ToolkitError(trouble)
        raise ToolkitError(f"{url} does not answer like CVAT (status {answer.status} for {ABOUT_PATH})")
    return str(about["version"])


def sign_in(url: str, username: str, password: str, notice: Callable[[str], None] | None = None) -> str:
    """Sign in with a password, and return the value for the Authorization header.

    With ``notice``, which is called with a line each time, it is tried again, which does no harm here; without, it is
    tried once. Raises ToolkitError with what the server says where it refuses.
    """
    remember(password)
    answer = ask(url, LOGIN_PATH, "POST", {"username": username, "password": password}, notice=notice)
    said = answer.json()
    key = said.get("key") if isinstance(said, dict) else None
    if answer.status == 200 and isinstance(key, str) and is_token(key):
        return f"Token {key}"
    if answer.status in (400, 401):
        raise ToolkitError(
            f"{url} does not let {username} in: wrong user name or password "
            "(CVAT_USERNAME, CVAT_PASSWORD; a local superuser gets a new password with `make superuser RESET=1`)"
        )
    trouble = busy(url, answer.status)
    raise ToolkitError(trouble or f"{url} did not answer to signing in as CVAT does (status {answer.status})")


def server_checks(url: str, connection: Connection | None = None) -> Iterator[Check]:
    """Check a CVAT server from outside: health, clock, version, the kept token, signing in as the client does.

    The connection has the credentials that the other scripts would use; None where there are none.
    """
    healthy = True
    for check in answer_checks(url):
        healthy = healthy and check.state != FAILED
        yield check
    if healthy:
        yield from _token_check(url)
        if connection is not None:
            yield _sign_in_check(connection)


def answer_checks(url: str) -> Iterator[Check]:
    """Check what a server answers to anybody: health, clock, version."""
    problem = health_problem(url)
    advice = "" if problem is None else "wait if it just started; the address comes from CVAT_URL or CVAT_PORT"
    yield Check("server", FAILED if problem else OK, f"healthy at {url}", problem or "healthy", advice)
    if problem:
        return
    answer = ask(url, ABOUT_PATH)
    if answer.date is not None:
        yield clock_check("clock of the server", abs(answer.date - time.time()))
    yield version_check(url)


def numbers(version: str) -> tuple[int, ...]:
    """Return the numbers of a version, for comparing."""
    parts = version.lstrip("v").split("-")[0].split("+")[0].split(".")
    return tuple(int(part) for part in parts if part.isdigit())


def clock_check(name: str, drift: float) -> Check:
    """Judge the seconds by which a clock differs from this machine's."""
    late = drift > CLOCK_SECONDS
    advice = "set the clock (on Docker Desktop: restart it); tokens and sessions end too early or late" if late else ""
    return Check(name, WARNING if late else OK, f"within {CLOCK_SECONDS} s of this machine's", f"{drift:.0f} s", advice)


def version_check(url: str) -> Check:
    """Check that the server's version, but for its last number, is one that was tested with this client."""
    client, found = installed_version("cvat-cli"), server_version(url)
    version, tested = numbers(found)[:2], sorted({numbers(one)[:2] for one in tested_versions()})
    names = [".".join(map(str, one)) for one in tested]
    required = f"a tested version: CVAT {' or '.join(names)}"
    shown = f"server {found}, cvat-cli {client}"
    if version in tested:
        return Check("versions", OK, required, shown)
    if version < tested[0]:
        advice = f"older than {names[0]}, the oldest that was tested: upgrade it"
    elif version < tested[-1]:
        advice = "between tested versions, but not tested itself: should something fail, upgrade it"
    else:
        is_ahead = version > numbers(client)[:2]
        advice = f"newer than {names[-1]}, the newest that was tested"
        advice += f"{', and the server is newer than the client' if is_ahead else ''}: update this toolkit"
    return Check("versions", WARNING, required, shown, advice)


def _token_check(url: str) -> Iterator[Check]:
    required = "valid for this server"
    try:
        token = read_token()
    except ToolkitError as error:
        yield Check("access token", FAILED, required, "damaged", error.message)
        return
    if token is None:
        return
    if token.url != url:
        yield Check("access token", SKIPPED, required, f"for {token.url}", "not sent to this server")
        return
    known = not token.has_expired and ask(url, "/api/users/self", authorization=f"Bearer {token.value}").status == 200
    found = f"until {token.expires[:10]}" if known else "expired or revoked"
    yield Check("access token", OK if known else FAILED, required, found, "" if known else "make token")


def _sign_in_check(connection: Connection) -> Check:
    from toolkit.cvat.api import session

    required = "as make import and make export do"
    who = f"as {connection.username}" if connection.username else "with the access token"
    try:
        with session(connection, policy=replace(read_retry_policy(), attempts=1)) as api:
            api.export_formats()
    except ToolkitError as error:
        return Check("signing in", FAILED, required, f"not possible {who}", error.message)
    return Check("signing in", OK, required, who)


TOKENS_PATH = "/api/auth/access_tokens"


def create_token(
    url: str,
    username: str,
    authorization: str,
    days: int,
    read_only: bool = False,
    notice: Callable[[str], None] = lambda line: None,
) -> StoredToken:
    """Have the server make a personal access token, which is not stored yet; raises ToolkitError where it refuses.

    ``authorization`` is what :func:`sign_in` gave for that user's password.
    """
    expires = (datetime.now(UTC) + timedelta(days=days)).replace(microsecond=0)
    name = f"cvat-toolkit on {socket.gethostname()[:40]} {secrets.token_hex(3)}"
    wish = {"name": name, "expiry_date": expires.isoformat(), "read_only": read_only}
    try:
        answer = ask(url, TOKENS_PATH, "POST", wish, authorization, notice=notice)
    except (Unreachable, KeyboardInterrupt):
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
    with suppress(Unreachable):
        path = f"{TOKENS_PATH}?name={quote(name)}&page_size=100"
        listed = ask(url, path, authorization=authorization, notice=notice).json()
        found = listed.get("results") if isinstance(listed, dict) else None
        for token in found if isinstance(found, list) else ():
            if isinstance(token, dict) and token.get("name") == name and type(token.get("id")) is int:
                path = f"{TOKENS_PATH}/{token['id']}"
                ask(url, path, "DELETE", authorization=authorization, notice=notice)


def revoke_token(token: StoredToken, authorization: str) -> bool:
    """Have the server forget a token; False when it does not.

    ``authorization`` is that of its owner, signed in with the password: a token that may only read cannot revoke
    itself.
    """
    try:
        return ask(token.url, f"{TOKENS_PATH}/{token.id}", "DELETE", authorization=authorization).status == 204
    except Unreachable:
        return False
