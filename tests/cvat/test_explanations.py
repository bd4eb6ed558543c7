"""What a complaint of the server, or of cvat-cli, becomes for a person."""

import pytest

from toolkit.core.errors import ToolkitError
from toolkit.cvat.connection import Connection
from toolkit.cvat.errors import AlreadyRunning, TransientError, busy, explain

URL = "http://localhost:8080"


def connection(**more: str) -> Connection:
    return Connection(url=URL, **more)


def answered(status: int, body: str) -> str:
    return (
        f"Status Code: {status}\nReason: x\nHTTP response headers: HTTPHeaderDict({{}})\nHTTP response body: {body}\n"
    )


@pytest.mark.parametrize(
    ("complaint", "kind", "line"),
    [
        (
            answered(400, '{"name": ["Too odd."], "size": {"max": 3}}'),
            ToolkitError,
            "CVAT refused it (HTTP 400): Too odd. 3",
        ),
        (answered(400, "b'[\"Too odd.\"]'"), ToolkitError, "CVAT refused it (HTTP 400): Too odd."),
        (answered(400, "Too odd."), ToolkitError, "CVAT refused it (HTTP 400): Too odd."),
        (answered(404, "<!doctype html><p>no"), ToolkitError, "CVAT refused it (HTTP 404): the answer was a web page"),
        (answered(400, "x" * 301), ToolkitError, f"CVAT refused it (HTTP 400): {'x' * 300}…"),
        (
            answered(400, '"Task and project should be in the same organization."'),
            ToolkitError,
            "CVAT refused it (HTTP 400): Task and project should be in the same organization"
            "; name the project's organization in CVAT_ORGANIZATION",
        ),
        (answered(409, '"is running"'), AlreadyRunning, "CVAT refused it (HTTP 409): is running"),
        (answered(403, '{"detail": "not yours"}'), ToolkitError, f"{URL} does not allow this: not yours"),
        (
            answered(429, ""),
            TransientError,
            f"CVAT at {URL} has too much to do (HTTP 429): wait a minute and run again",
        ),
        (answered(500, ""), TransientError, "CVAT failed inside (HTTP 500): look with make logs"),
        (
            answered(503, ""),
            TransientError,
            f"CVAT at {URL} is not ready (HTTP 503): wait a minute, or look with make status",
        ),
        (
            "Connection refused",
            TransientError,
            f"no CVAT answers at {URL}: start one with make up, or name another in CVAT_URL",
        ),
        ("IncompleteRead(3)", TransientError, f"the connection to {URL} broke in the middle: run again"),
        ("read timed out", ToolkitError, f"CVAT at {URL} did not answer in time: look with make status"),
        ("the answer is longer than 1 MiB", ToolkitError, f"{URL} gave an answer without end: is it a CVAT?"),
        (
            "it redirected to https://elsewhere:8443/x",
            ToolkitError,
            f"{URL} redirects to https://elsewhere:8443, where your credentials were not sent: "
            "if that is your CVAT, put its address into CVAT_URL",
        ),
        (
            "CERTIFICATE_VERIFY_FAILED",
            ToolkitError,
            f"the certificate of {URL} could not be verified: "
            "name the file of your authority in REQUESTS_CA_BUNDLE, or use the right host name",
        ),
        ("BackgroundRequestException: no\n room ", ToolkitError, "CVAT could not do it: no room"),
        (
            "Invalid value for `name`, length must be less than or equal to `256`",
            ToolkitError,
            "the name is too long: CVAT takes 256 characters",
        ),
        ("JSONDecodeError: Expecting value", ToolkitError, f"{URL} does not answer as CVAT does: is CVAT_URL right?"),
        ("first\n[2026-01-01 00:00:00] CRITICAL: the last line\n\n", ToolkitError, "the last line"),
        ("", ToolkitError, "no reason was given"),
    ],
)
def test_a_complaint_becomes_one_line_that_says_what_to_do(complaint: str, kind: type, line: str) -> None:
    error = explain(complaint, connection(token="t"))
    assert (type(error), error.message) == (kind, line)


def test_a_refused_sign_in_says_which_credentials_are_wrong() -> None:
    by_password = connection(username="ana", password="p")
    for complaint in (answered(401, "{}"), answered(400, '{"x": ["Unable to log in with provided credentials."]}')):
        assert explain(complaint, by_password).message == (
            f"{URL} refused the password of user ana: "
            "check CVAT_USERNAME and CVAT_PASSWORD, or cvat_username and cvat_password in the configuration"
        )
    assert explain(answered(401, "{}"), connection(token="t")).message == (
        f"{URL} refused the access token: it may have expired; make a new one with make token"
    )


def test_other_answers_are_no_sign_of_a_busy_server() -> None:
    assert [busy(URL, status) for status in (None, 200, 404, 501)] == [None] * 4
