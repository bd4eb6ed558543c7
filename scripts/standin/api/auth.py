"""Who asks, and whether a browser was tricked into asking: Django's checks as CVAT has them."""

import base64
import binascii
import hmac
from urllib.parse import urlsplit

from starlette.requests import Request

from standin.data.accounts import Accounts
from standin.data.store import Row
from standin.errors import ApiError

CHALLENGE = {"WWW-Authenticate": "Token"}
SAFE_METHODS = ("GET", "HEAD", "OPTIONS", "TRACE")


def external_origin(request: Request) -> str:
    """Return ``scheme://host`` as the client knows this server, behind whatever forwards to it."""
    scheme = request.headers.get("x-forwarded-proto", request.url.scheme).split(",")[0].strip()
    host = request.headers.get("x-forwarded-host") or request.headers.get("host") or request.url.netloc
    return f"{'https' if scheme == 'https' else 'http'}://{host.split(',')[0].strip()}"


def identify(request: Request, accounts: Accounts) -> Row | None:
    """Return the user who asks; nobody for a request without credentials.

    Raises:
        ApiError: The credentials are wrong (401), a read-only token writes, or a request with a session's cookie does
            not come from this site (403).
    """
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    match scheme.lower():
        case "token":
            return _valid(accounts.with_login_token(value.strip()), "Invalid token.")
        case "bearer":
            return _bearer(request, accounts, value.strip())
        case "basic":
            return _valid(_basic(accounts, value.strip()), "Invalid username/password.")
    user = accounts.with_session(request.cookies.get("sessionid", ""))
    if user is not None and request.method not in SAFE_METHODS:
        check_origin(request)
        _check_csrf_token(request)
    return user


def check_origin(request: Request) -> None:
    """Refuse what another site sends through a browser.

    Raises:
        ApiError: 403 in Django's words.
    """
    origin = request.headers.get("origin")
    if origin is None:
        if external_origin(request).startswith("https://"):
            _check_referer(request)
        return
    if origin.lower() != _without_default_port(external_origin(request)).lower():
        raise _csrf_error(f"Origin checking failed - {origin} does not match any trusted origins.")


def _check_referer(request: Request) -> None:
    referer = request.headers.get("referer")
    if referer is None:
        raise _csrf_error("Referer checking failed - no Referer.")
    parts = urlsplit(referer)
    if f"{parts.scheme}://{parts.netloc}".lower() != external_origin(request).lower():
        raise _csrf_error(f"Referer checking failed - {referer} does not match any trusted origins.")


def _without_default_port(origin: str) -> str:
    return origin.removesuffix(":80") if origin.startswith("http://") else origin.removesuffix(":443")


def _check_csrf_token(request: Request) -> None:
    cookie = request.cookies.get("csrftoken")
    header = request.headers.get("x-csrftoken")
    if cookie is None:
        raise _csrf_error("CSRF cookie not set.")
    if header is None:
        raise _csrf_error("CSRF token missing.")
    if not hmac.compare_digest(cookie.encode(), header.encode()):
        raise _csrf_error("CSRF token from the 'X-Csrftoken' HTTP header incorrect.")


def _csrf_error(reason: str) -> ApiError:
    return ApiError(403, {"detail": f"CSRF Failed: {reason}"})


def _valid(user: Row | None, sentence: str) -> Row:
    if user is None:
        raise ApiError(401, {"detail": sentence}, CHALLENGE)
    return user


def _bearer(request: Request, accounts: Accounts, value: str) -> Row:
    token = _valid(accounts.with_access_token(value), "Invalid token.")
    may_export = request.method == "POST" and request.url.path.rstrip("/").endswith("/export")
    if token["read_only"] and request.method not in SAFE_METHODS and not may_export:
        raise ApiError(403, {"detail": "You do not have permission to perform this action."})
    return _valid(accounts.get(token["user_id"]), "Invalid token.")


def _basic(accounts: Accounts, value: str) -> Row | None:
    try:
        username, _, password = base64.b64decode(value).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return accounts.with_password(username, password)
