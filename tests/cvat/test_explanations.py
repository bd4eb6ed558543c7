"""What a complaint of the server, or of cvat-cli, becomes for a person."""

import base64
import html
import json
from urllib.parse import quote, quote_plus

import pytest
import urllib3
from cvat_sdk.core.exceptions import BackgroundRequestException
from urllib3 import exceptions

from toolkit.core.errors import ToolkitError, TransientError
from toolkit.cvat.connection import Connection
from toolkit.cvat.errors import AlreadyRunning, Failure, Kind, busy, classify, translate_error
from toolkit.cvat.http import RedirectedElsewhere

URL = "http://localhost:8080"


def connection(**more: str) -> Connection:
    return Connection(url=URL, **more)


def answered(status: int, body: str) -> Failure:
    return Failure(Kind.STATUS, status, body)


@pytest.mark.parametrize(
    ("failure", "kind", "line"),
    [
        (
            answered(400, '{"name": ["Too odd."], "size": {"max": 3}}'),
            ToolkitError,
            "CVAT refused it (HTTP 400): Too odd. 3",
        ),
        (answered(400, "Too odd."), ToolkitError, "CVAT refused it (HTTP 400): Too odd."),
        (answered(400, "[" * 100_000), ToolkitError, f"CVAT refused it (HTTP 400): {'[' * 300}…"),
        (answered(404, "<!doctype html><p>no"), ToolkitError, "CVAT refused it (HTTP 404): the answer was a web page"),
        (
            Failure(
                Kind.BACKGROUND, text='Traceback (most recent call last):\n  File "job.py", line 1\nTypeError: no\n'
            ),
            ToolkitError,
            "CVAT could not do it: TypeError: no",
        ),
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
            answered(403, '{"detail": "CSRF Failed: Referer checking failed - no Referer."}'),
            ToolkitError,
            f"{URL} refused it (CSRF Failed: Referer checking failed - no Referer.): a proxy before CVAT hides how it "
            "was called; have it send Host and X-Forwarded-Proto on (nginx: proxy_set_header X-Forwarded-Proto "
            "$scheme), or sign in with make token",
        ),
        (
            answered(413, "<html>"),
            ToolkitError,
            f"a proxy before {URL} does not let so large an upload through (HTTP 413): raise its limit to 25 GiB "
            "(nginx: client_max_body_size 25g), or give --images-per-task",
        ),
        (
            answered(429, ""),
            TransientError,
            f"CVAT at {URL} turns away so many requests at once (HTTP 429): wait a minute and run again",
        ),
        (answered(500, ""), TransientError, "CVAT failed inside (HTTP 500): look with make logs"),
        (
            answered(503, ""),
            TransientError,
            f"CVAT at {URL} is not ready (HTTP 503): wait a minute, or look with make status",
        ),
        (
            Failure(Kind.REFUSED),
            TransientError,
            f"no CVAT answers at {URL}: start one with make up, or name another in CVAT_URL",
        ),
        (Failure(Kind.BROKEN), TransientError, f"the connection to {URL} broke in the middle: run again"),
        (Failure(Kind.TIMEOUT), ToolkitError, f"CVAT at {URL} did not answer in time: look with make status"),
        (Failure(Kind.ENDLESS), ToolkitError, f"{URL} gave an answer without end: is it a CVAT?"),
        (
            Failure(Kind.REDIRECTED, text="https://elsewhere:8443"),
            ToolkitError,
            f"{URL} redirects to https://elsewhere:8443, where your credentials were not sent: "
            "if that is your CVAT, put its address into CVAT_URL",
        ),
        (
            Failure(Kind.CERTIFICATE),
            ToolkitError,
            f"the certificate of {URL} could not be verified: "
            "name the file of your authority in REQUESTS_CA_BUNDLE, or use the right host name",
        ),
        (
            Failure(Kind.NO_COOKIES),
            ToolkitError,
            f"{URL} took the password of None, but its session cannot be kept (cookies for HTTPS alone): "
            "sign in with an access token, use make token",
        ),
        (Failure(Kind.BACKGROUND, text="no\n room "), ToolkitError, "CVAT could not do it: no room"),
        (Failure(Kind.UNPARSABLE), ToolkitError, f"{URL} does not answer as CVAT does: is CVAT_URL right?"),
        (Failure(Kind.OTHER, text=" the\nlast line"), ToolkitError, "the last line"),
        (Failure(Kind.OTHER), ToolkitError, "no reason was given"),
    ],
)
def test_a_failure_becomes_one_line_that_says_what_to_do(failure: Failure, kind: type, line: str) -> None:
    error = translate_error(failure, connection(token="t0ken"))
    assert (type(error), error.message) == (kind, line)
    assert Failure.from_json(failure.to_json()) == failure


def test_a_refused_sign_in_says_which_credentials_are_wrong() -> None:
    by_password = connection(username="ana", password="p")
    for failure in (answered(401, "{}"), answered(400, '{"x": ["Unable to log in with provided credentials."]}')):
        assert translate_error(failure, by_password).message == (
            f"{URL} refused the password of user ana: "
            "check CVAT_USERNAME and CVAT_PASSWORD, or cvat_username and cvat_password in the configuration"
        )
    assert translate_error(answered(401, "{}"), connection(token="t")).message == (
        f"{URL} refused the access token: it may have expired; make a new one with make token"
    )


@pytest.mark.parametrize("secret", ["S3cret", 'qu"ote\\', "pä ss/w@rd", "ключ%&"])
def test_what_we_sent_is_never_repeated(secret: str) -> None:
    """A server may answer with the body that it was sent, in any of the forms of sending."""
    forms = [secret, json.dumps(secret), json.dumps(secret, ensure_ascii=False), quote(secret), quote_plus(secret)]
    forms += [base64.b64encode(secret.encode()).decode(), html.escape(secret), repr(secret)]
    for form in forms:
        for kind in (Kind.BACKGROUND, Kind.OTHER, Kind.STATUS):
            failure = Failure(kind, 400 if kind is Kind.STATUS else None, f"you sent {form}!")
            for who in (connection(username="ana", password=secret), connection(token=secret)):
                message = translate_error(failure, who).message
                assert form not in message
                assert "[hidden]" in message


def test_kinds_of_exceptions() -> None:
    pool = urllib3.HTTPConnectionPool("x")
    made = urllib3.connection.HTTPConnection("x")
    refused = exceptions.NewConnectionError(made, "refused")
    cases = {
        Kind.REFUSED: exceptions.MaxRetryError(pool, "/", refused),
        Kind.UNKNOWN_HOST: exceptions.MaxRetryError(pool, "/", exceptions.NameResolutionError("x", made, OSError())),
        Kind.TIMEOUT: exceptions.ReadTimeoutError(pool, "/", "slow"),
        Kind.BROKEN: exceptions.ProtocolError("broken", ConnectionResetError()),
        Kind.BACKGROUND: BackgroundRequestException("no room"),
        Kind.UNPARSABLE: RecursionError(),
        Kind.REDIRECTED: RedirectedElsewhere("http://y:80"),
    }
    assert {kind: classify(error).kind for kind, error in cases.items()} == {kind: kind for kind in cases}


def test_other_answers_are_no_sign_of_a_busy_server() -> None:
    assert [busy(URL, status) for status in (None, 200, 404, 501)] == [None] * 4
