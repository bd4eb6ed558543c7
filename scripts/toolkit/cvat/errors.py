"""What can go wrong in a conversation with a server, and what that means for a person: one line with what to do."""

import json
import re
import ssl
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from http.client import HTTPException
from typing import TYPE_CHECKING

from toolkit.core.errors import ToolkitError, TransientError
from toolkit.core.secrets import redact

if TYPE_CHECKING:
    from toolkit.cvat.connection import Connection

_LONGEST = 300
OTHER_NAME = 421
"""The status by which the front door refuses a host name."""
_CAUSES = 10
_BUSY = (429, 500, 502, 503, 504)
_PLAIN_HTTP = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST")
"""What OpenSSL says of an answer that is plain HTTP, by its version."""
_OTHER_ORGANIZATION = "should be in the same organization"
"""What CVAT says when a task is sent to an organization's project without saying which organization is meant."""
_TOO_LONG = re.compile(r"Invalid value for `(\w+)`, length must be less than or equal to `(\d+)`")
"""What cvat-sdk says of a value that CVAT could not keep; it asks nothing of the server then."""


class Kind(StrEnum):
    """The kinds of failures that a person does different things about."""

    REFUSED = "connection refused"
    UNKNOWN_HOST = "its name is unknown"
    TIMEOUT = "it took too long"
    BROKEN = "it closed the connection"
    NO_TLS = "it does not speak TLS (its address begins with http://, then)"
    CERTIFICATE = "its TLS certificate is not trusted (for a private authority: REQUESTS_CA_BUNDLE=/path/to/ca.pem)"
    REDIRECTED = "it redirects elsewhere"
    ENDLESS = "its answer has no end, is it a CVAT?"
    NO_COOKIES = "signing in gave no cookies"
    STATUS = "an HTTP status"
    BACKGROUND = "background work failed"
    TOO_LONG = "a value is too long"
    UNPARSABLE = "its answer is none of CVAT's"
    OTHER = "something else"


@dataclass(frozen=True)
class Failure:
    """A failure as plain data, which a process can hand to another.

    The status is that of HTTP, None without an answer; the text what the server, or the library, says of it.
    """

    kind: Kind
    status: int | None = None
    text: str = ""

    def to_json(self) -> str:
        """Write it on one line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> "Failure":
        """Read what :meth:`to_json` wrote."""
        try:
            values = json.loads(line)
            return cls(Kind(values["kind"]), values["status"], str(values["text"]))
        except (ValueError, KeyError, TypeError):  # a server's words that look like it
            return cls(Kind.UNPARSABLE)


class AlreadyRunning(ToolkitError):
    """The server is at work on the same request already."""


class SignInWithoutCookies(Exception):
    """The server took the password, but cvat-sdk cannot keep the session that it gave."""


def classify(error: BaseException) -> Failure:
    """Tell the kind of what cvat-sdk, cvat-cli, urllib3 or the network raised."""
    from cvat_sdk.core.exceptions import BackgroundRequestException
    from cvat_sdk.exceptions import ApiException, OpenApiException

    if isinstance(error, SignInWithoutCookies):
        return Failure(Kind.NO_COOKIES)
    if isinstance(error, ToolkitError):  # of the storage that a download goes to
        return Failure(Kind.OTHER, text=error.message)
    if isinstance(error, BackgroundRequestException):
        return Failure(Kind.BACKGROUND, text=str(error))
    if isinstance(error, ApiException) and error.status:
        return Failure(Kind.STATUS, error.status, _body(error.body))
    for cause in _causes(error):
        if kind := _network_kind(cause):
            return Failure(kind, text=str(getattr(cause, "place", "")))
    if found := _TOO_LONG.search(str(error)):
        return Failure(Kind.TOO_LONG, text=f"the {found[1]} is too long: CVAT takes {found[2]} characters")
    if type(error).__name__ in ("CriticalError", "AuthStoreError"):  # of cvat-cli, which is loaded only in its process
        return Failure(Kind.OTHER, text=str(error))
    if isinstance(error, OSError) and not isinstance(error, OpenApiException):
        return Failure(Kind.OTHER, text=f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}")
    return Failure(Kind.UNPARSABLE, text=f"{type(error).__name__}: {error}")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Go down to what lies below an error, from the outside in."""
    seen: list[BaseException] = []
    queue: list[BaseException] = [error]
    while queue and len(seen) < _CAUSES:
        cause = queue.pop(0)
        if cause in seen:
            continue
        seen.append(cause)
        yield cause
        below = [getattr(cause, "reason", None), cause.__cause__, cause.__context__, *cause.args]
        queue += [item for item in below if isinstance(item, BaseException)]


def _network_kind(error: BaseException) -> Kind | None:
    from urllib3 import exceptions

    if isinstance(kind := getattr(error, "kind", None), Kind):  # toolkit.cvat.http raised it
        return kind
    if isinstance(error, ssl.SSLError):
        return Kind.NO_TLS if (error.reason or "").upper().replace(" ", "_") in _PLAIN_HTTP else Kind.CERTIFICATE
    if isinstance(error, exceptions.NameResolutionError):
        return Kind.UNKNOWN_HOST
    if isinstance(error, exceptions.NewConnectionError | ConnectionRefusedError):  # the first is a timeout to urllib3
        return Kind.REFUSED
    if isinstance(error, exceptions.ConnectTimeoutError | exceptions.ReadTimeoutError | TimeoutError):
        return Kind.TIMEOUT
    if isinstance(error, exceptions.ProtocolError | exceptions.DecodeError | HTTPException | ConnectionError):
        return Kind.BROKEN
    return None


def translate_error(failure: Failure, connection: "Connection") -> ToolkitError:
    """Say what a failure means for a person; the connection's secrets are taken out of what the server says."""
    url = connection.url
    text = redact(failure.text, connection.secrets)
    match failure.kind:
        case Kind.STATUS:
            return _refusal(failure.status or 0, failure.text, connection)
        case Kind.REFUSED | Kind.UNKNOWN_HOST:
            return TransientError(f"no CVAT answers at {url}: start one with make up, or name another in CVAT_URL")
        case Kind.BROKEN:
            return TransientError(f"the connection to {url} broke in the middle: run again")
        case Kind.TIMEOUT:
            return ToolkitError(f"CVAT at {url} did not answer in time: look with make status")
        case Kind.NO_TLS:
            message = f"{url} does not speak TLS: put its http:// address into CVAT_URL, if that is safe there"
        case Kind.CERTIFICATE:
            message = (
                f"the certificate of {url} could not be verified: "
                "name the file of your authority in REQUESTS_CA_BUNDLE, or use the right host name"
            )
        case Kind.REDIRECTED:
            message = (
                f"{url} redirects to {text}, where your credentials were not sent: "
                "if that is your CVAT, put its address into CVAT_URL"
            )
        case Kind.ENDLESS:
            message = f"{url} gave an answer without end: is it a CVAT?"
        case Kind.NO_COOKIES:
            message = (
                f"{url} took the password of {connection.username}, but its session cannot be kept "
                "(cookies for HTTPS alone): sign in with an access token, use make token"
            )
        case Kind.BACKGROUND:
            message = f"CVAT could not do it: {_shorten(text)}"
        case Kind.UNPARSABLE:
            message = f"{url} does not answer as CVAT does: is CVAT_URL right?"
        case _:
            message = _shorten(text) or "no reason was given"
    return ToolkitError(message)


def _refusal(status: int, text: str, connection: "Connection") -> ToolkitError:
    url, detail = connection.url, _detail(redact(text, connection.secrets))
    if "Unable to log in with provided credentials" in text or (status == 401 and connection.username):
        return ToolkitError(
            f"{url} refused the password of user {connection.username}: "
            "check CVAT_USERNAME and CVAT_PASSWORD, or cvat_username and cvat_password in the configuration"
        )
    if status == 401:
        return ToolkitError(f"{url} refused the access token: it may have expired; make a new one with make token")
    if status == 403 and "CSRF" in text:
        return ToolkitError(
            f"{url} refused it ({detail}): a proxy before CVAT hides how it was called; have it send Host and "
            "X-Forwarded-Proto on (nginx: proxy_set_header X-Forwarded-Proto $scheme), or sign in with make token"
        )
    if status == 403:
        return ToolkitError(f"{url} does not allow this: {detail}")
    if status == 413:
        return ToolkitError(
            f"a proxy before {url} does not let so large an upload through (HTTP 413): raise its limit to 25 GiB "
            "(nginx: client_max_body_size 25g), or give --images-per-task"
        )
    if status == 409:
        return AlreadyRunning(f"CVAT refused it (HTTP 409): {detail}")
    if status == OTHER_NAME:
        return ToolkitError(other_name(url))
    if trouble := busy(url, status):
        return TransientError(trouble)
    if _OTHER_ORGANIZATION in text:
        detail = f"{detail.rstrip('.')}; name the project's organization in CVAT_ORGANIZATION"
    return ToolkitError(f"CVAT refused it (HTTP {status}): {detail}")


def other_name(url: str) -> str:
    """Say what it means that the front door of a local stack does not answer to the name in an address."""
    return f"CVAT does not answer to the host name of {url} (HTTP {OTHER_NAME}): add it to its CVAT_HOSTS, then make up"


def busy(url: str, status: int | None) -> str | None:
    """Say in a line what an HTTP status tells about a server that cannot work at the moment; None for any other."""
    if status == OTHER_NAME:
        return other_name(url)
    if status == 429:
        return f"CVAT at {url} turns away so many requests at once (HTTP 429): wait a minute and run again"
    if status == 500:
        return "CVAT failed inside (HTTP 500): look with make logs"
    if status in _BUSY:
        return f"CVAT at {url} is not ready (HTTP {status}): wait a minute, or look with make status"
    return None


def _body(body: object) -> str:
    return body.decode(errors="replace") if isinstance(body, bytes) else str(body or "")


def _detail(body: str) -> str:
    """Take the words out of the JSON that the server answers with, whatever its shape."""
    if body.lstrip().startswith("<"):
        return "the answer was a web page"
    try:
        return _shorten(" ".join(_words(json.loads(body)))) or "no reason was given"
    except (ValueError, RecursionError):
        return _shorten(body) or "no reason was given"


def _words(answer: object) -> list[str]:
    if isinstance(answer, dict):
        return [word for value in answer.values() for word in _words(value)]
    if isinstance(answer, list):
        return [word for value in answer for word in _words(value)]
    return [str(answer)]


def _shorten(text: str) -> str:
    if text.lstrip().startswith("Traceback (most recent call last)"):  # the cause stands at its end
        text = text.rstrip().rpartition("\n")[2]
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else line[:_LONGEST] + "…"
