"""Signing in, users and personal access tokens."""

from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from standin import CvatVersion
from standin.api import auth
from standin.api.web import Call, answer, paged, resource
from standin.data.accounts import SESSION_LENGTH
from standin.data.store import Row, new_key, timestamp
from standin.errors import ApiError, NotFoundError


def show_short(call: Call, user_id: int) -> dict[str, Any] | None:
    """Return a user as other resources name one."""
    user = call.state.accounts.get(user_id)
    if user is None:
        return None
    return {
        "url": call.url(f"/api/users/{user['id']}"),
        "id": user["id"],
        "username": user["username"],
        "first_name": "",
        "last_name": "",
    }


def show(call: Call, user: Row) -> dict[str, Any]:
    """Return a user as the API shows one."""
    return {
        **(show_short(call, user["id"]) or {}),
        "email": user["email"],
        "groups": ["admin"],
        "is_staff": True,
        "is_superuser": True,
        "is_active": True,
        "last_login": user["last_login"],
        "date_joined": user["date_joined"],
        "has_analytics_access": True,
    }


def set_session(request: Request, response: Response, key: str) -> None:
    """Give the browser its session."""
    secure = auth.external_origin(request).startswith("https://")
    seconds = int(SESSION_LENGTH.total_seconds())
    response.set_cookie("sessionid", key, seconds, httponly=True, samesite="lax", secure=secure)
    response.set_cookie("csrftoken", new_key(16), seconds, samesite="lax", secure=secure)


def _login(call: Call) -> Response:
    if call.state.options.version == CvatVersion.V2_54 and "origin" in call.request.headers:
        auth.check_origin(call.request)
    fields = call.fields()
    missing = [name for name in ("password",) if not fields.get(name)]
    if missing:
        raise ApiError(400, {name: ["This field is required."] for name in missing})
    username = str(fields.get("username") or fields.get("email") or "")
    user = call.state.accounts.with_password(username, str(fields["password"]))
    if user is None:
        raise ApiError(400, {"non_field_errors": ["Unable to log in with provided credentials."]})
    response = answer({"key": call.state.accounts.login_token(user)})
    set_session(call.request, response, call.state.accounts.open_session(user))
    return response


def _logout(call: Call) -> Response:
    if call.user is not None:
        call.state.accounts.close_login_token(call.user)
    call.state.accounts.close_session(call.request.cookies.get("sessionid", ""))
    response = answer({"detail": "Successfully logged out."})
    response.delete_cookie("sessionid")
    return response


def _self(call: Call) -> dict[str, Any]:
    return show(call, call.owner)


def _list(call: Call) -> dict[str, Any]:
    rows = call.state.store.all("SELECT * FROM users ORDER BY id")
    if text := call.query.get("search"):
        rows = [row for row in rows if text.lower() in row["username"].lower()]
    return paged(call, rows, lambda row: show(call, row))


def _retrieve(call: Call) -> dict[str, Any]:
    user = call.state.accounts.get(call.params["id"])
    if user is None:
        raise NotFoundError("User")
    return show(call, user)


def _show_token(call: Call, token: Row) -> dict[str, Any]:
    return {
        "id": token["id"],
        "name": token["name"],
        "created_date": token["created"],
        "updated_date": token["updated"],
        "expiry_date": token["expiry"],
        "last_used_date": token["last_used"],
        "read_only": bool(token["read_only"]),
        "owner": show_short(call, token["user_id"]),
    }


def _expiry(given: Any) -> str | None:
    if given is None:
        return None
    try:
        moment = datetime.fromisoformat(given)
    except (TypeError, ValueError):
        raise ApiError(400, {"expiry_date": ["Datetime has wrong format."]}) from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if moment <= datetime.now(UTC):
        raise ApiError(400, {"expiry_date": ["Expiration date must be in the future"]})
    return timestamp(moment)


def _list_tokens(call: Call) -> dict[str, Any]:
    rows = call.state.store.all("SELECT * FROM access_tokens WHERE user_id = ? ORDER BY id", call.owner["id"])
    return paged(call, rows, lambda row: _show_token(call, row))


def _create_token(call: Call) -> Response:
    fields = call.fields()
    name = fields.get("name")
    if not isinstance(name, str) or not name:
        raise ApiError(400, {"name": ["This field is required."]})
    token_id, value = call.state.accounts.add_access_token(
        call.owner, name, _expiry(fields.get("expiry_date")), bool(fields.get("read_only"))
    )
    call.params["id"] = token_id
    return answer({**_show_token(call, _own_token(call)), "value": value}, 201)


def _own_token(call: Call) -> Row:
    token = call.state.store.one(
        "SELECT * FROM access_tokens WHERE id = ? AND user_id = ?", call.params["id"], call.owner["id"]
    )
    if token is None:
        raise NotFoundError("AccessToken")
    return token


def _retrieve_token(call: Call) -> dict[str, Any]:
    return _show_token(call, _own_token(call))


def _delete_token(call: Call) -> None:
    token = _own_token(call)
    with call.state.store.transaction() as connection:
        connection.execute("DELETE FROM access_tokens WHERE id = ?", (token["id"],))


def routes() -> list[Route]:
    """Return the routes of this module."""
    return [
        resource("/api/auth/login", public=True, POST=_login),
        resource("/api/auth/logout", public=True, POST=_logout),
        resource("/api/auth/access_tokens", GET=_list_tokens, POST=_create_token),
        resource("/api/auth/access_tokens/{id:int}", GET=_retrieve_token, DELETE=_delete_token),
        resource("/api/users", GET=_list),
        resource("/api/users/self", GET=_self),
        resource("/api/users/{id:int}", GET=_retrieve),
    ]
