"""What a server's or cvat-cli's complaint means for a person: one line that says what to do."""

import json
import re
from typing import TYPE_CHECKING

from toolkit.core.errors import ToolkitError

if TYPE_CHECKING:
    from toolkit.cvat.connection import Connection

_STATUS = re.compile(r"Status Code: (\d+)")
_BODY = re.compile(r"HTTP response body: (.*?)\s*\Z", re.DOTALL)
_BACKGROUND = re.compile(r"BackgroundRequestException: (.*?)\s*\Z", re.DOTALL)
_LOG_PREFIX = re.compile(r"^\[[^\]]*\] [A-Z]+: ")
_NOBODY_THERE = ("Connection refused", "Failed to resolve", "Name or service not known", "No route to host")
_BROKEN = ("Connection broken", "Connection reset", "Connection aborted", "IncompleteRead", "RemoteDisconnected")
OTHER_NAME = 421
"""The status by which the front door refuses a host name."""
_BUSY = (429, 500, 502, 503, 504)
_ELSEWHERE = re.compile(r"redirected to (https?://[^\s:/]+(?::\d+)?)")
_GIBBERISH = ("UnicodeDecodeError", "JSONDecodeError", "ApiTypeError", "ApiValueError", "KeyError", "AssertionError")
"""What cvat-sdk trips over when an answer is not what CVAT says."""
NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "record layer failure", "HTTP_REQUEST")
"""What OpenSSL says of an answer that is plain HTTP, by its version."""
_TOO_LONG = re.compile(r"Invalid value for `(\w+)`, length must be less than or equal to `(\d+)`")
"""What cvat-sdk says of a value that CVAT could not keep; it asks nothing of the server then."""
_OTHER_ORGANIZATION = "should be in the same organization"
"""What CVAT says when a task is sent to an organization's project without saying which organization is meant."""
_LONGEST = 300


class TransientError(ToolkitError):
    """Something that may well succeed when it is tried again: a broken connection, a server that is not ready."""


class AlreadyRunning(ToolkitError):
    """The server is at work on the same request already."""


def explain(complaint: str, connection: "Connection") -> ToolkitError:
    """Translate a complaint into an error for a person.

    Args:
        complaint: The text of a cvat-sdk exception, or what cvat-cli printed to standard error.
        connection: The server that was asked, and as whom.

    Returns:
        The error, to be raised.
    """
    if refusal := _sign_in(complaint, connection) or _wrong_server(complaint, connection):
        return ToolkitError(refusal)
    if _status(complaint) == 409:
        return AlreadyRunning(_answer(complaint, connection))
    if "timed out" in complaint:
        return ToolkitError(f"CVAT at {connection.url} did not answer in time: look with make status")
    if not _BACKGROUND.search(complaint) and (trouble := _trouble(complaint, connection)):
        return TransientError(trouble)
    return ToolkitError(_answer(complaint, connection))


def _sign_in(complaint: str, connection: "Connection") -> str | None:
    status = _status(complaint)
    if "Unable to log in with provided credentials" in complaint or (status == 401 and connection.username):
        return (
            f"{connection.url} refused the password of user {connection.username}: "
            "check CVAT_USERNAME and CVAT_PASSWORD, or cvat_username and cvat_password in the configuration"
        )
    if status == 401:
        return f"{connection.url} refused the access token: it may have expired; make a new one with make token"
    if status == 403:
        return f"{connection.url} does not allow this: {_detail(complaint)}"
    return None


def _wrong_server(complaint: str, connection: "Connection") -> str | None:
    if _status(complaint) == OTHER_NAME:
        return other_name(connection.url)
    if any(sign in complaint for sign in NO_TLS):
        return f"{connection.url} does not speak TLS: put its http:// address into CVAT_URL, if that is safe there"
    if "CERTIFICATE_VERIFY_FAILED" in complaint or "SSLError" in complaint:
        return (
            f"the certificate of {connection.url} could not be verified: "
            "name the file of your authority in REQUESTS_CA_BUNDLE, or use the right host name"
        )
    if found := _ELSEWHERE.search(complaint):
        return (
            f"{connection.url} redirects to {found[1]}, where your credentials were not sent: "
            "if that is your CVAT, put its address into CVAT_URL"
        )
    if "the answer is longer than" in complaint:
        return f"{connection.url} gave an answer without end: is it a CVAT?"
    return None


def _trouble(complaint: str, connection: "Connection") -> str | None:
    if any(sign in complaint for sign in _NOBODY_THERE):
        return f"no CVAT answers at {connection.url}: start one with make up, or name another in CVAT_URL"
    if any(sign in complaint for sign in _BROKEN):
        return f"the connection to {connection.url} broke in the middle: run again"
    return busy(connection.url, _status(complaint))


def other_name(url: str) -> str:
    """Say what it means that the front door of a local stack does not answer to the name in an address."""
    return f"CVAT does not answer to the host name of {url} (HTTP {OTHER_NAME}): add it to its CVAT_HOSTS, then make up"


def busy(url: str, status: int | None) -> str | None:
    """Say what an answer's status tells about a server that cannot do its work at the moment.

    Args:
        url: The server.
        status: The HTTP status, None without an answer.

    Returns:
        One line for a person; None for any other status.
    """
    if status == OTHER_NAME:
        return other_name(url)
    if status == 429:
        return f"CVAT at {url} has too much to do (HTTP 429): wait a minute and run again"
    if status == 500:
        return "CVAT failed inside (HTTP 500): look with make logs"
    if status in _BUSY:
        return f"CVAT at {url} is not ready (HTTP {status}): wait a minute, or look with make status"
    return None


def _answer(complaint: str, connection: "Connection") -> str:
    if found := _BACKGROUND.search(complaint):
        return f"CVAT could not do it: {_shorten(found[1])}"
    if found := _TOO_LONG.search(complaint):
        return f"the {found[1]} is too long: CVAT takes {found[2]} characters"
    status = _status(complaint)
    if status is None and any(sign in complaint for sign in _GIBBERISH):
        return f"{connection.url} does not answer as CVAT does: is CVAT_URL right?"
    if status is None:
        return _shorten(_last_line(complaint))
    advice = "; name the project's organization in CVAT_ORGANIZATION" if _OTHER_ORGANIZATION in complaint else ""
    return (
        f"CVAT refused it (HTTP {status}): {_detail(complaint).rstrip('.') if advice else _detail(complaint)}{advice}"
    )


def _status(complaint: str) -> int | None:
    found = _STATUS.search(complaint)
    return int(found[1]) if found else None


def _detail(complaint: str) -> str:
    """Take the words out of the JSON that the server answers with, whatever its shape."""
    found = _BODY.search(complaint)
    body = found[1] if found else _last_line(complaint)
    if body[:2] in ("b'", 'b"') and body[-1:] == body[1]:  # cvat-cli prints some bodies as Python bytes
        body = body[2:-1]
    if body.lstrip().startswith("<"):
        return "the answer was a web page"
    try:
        return _shorten(" ".join(_words(json.loads(body))))
    except ValueError:
        return _shorten(body)


def _words(answer: object) -> list[str]:
    if isinstance(answer, dict):
        return [word for value in answer.values() for word in _words(value)]
    if isinstance(answer, list):
        return [word for value in answer for word in _words(value)]
    return [str(answer)]


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return _LOG_PREFIX.sub("", lines[-1]) if lines else "no reason was given"


def _shorten(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else line[:_LONGEST] + "…"
