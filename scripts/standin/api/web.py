"""Requests, answers and errors in the form that CVAT gives them."""

import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from standin.api import auth
from standin.data.state import State
from standin.data.store import Row
from standin.errors import ApiError, PlainError, ServerError

MEDIA_TYPE = "application/vnd.cvat+json"
MAX_JSON_BYTES = 100 * 2**20
PAGE_SIZE = 10
MAX_PAGE_SIZE = 1000
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")

ERROR_PAGE = (
    '\n<!doctype html>\n<html lang="en">\n<head>\n  <title>{title}</title>\n</head>\n<body>\n  <h1>{title}</h1>'
    "<p>{text}</p>\n</body>\n</html>\n"
)


@dataclass
class Call:
    """One request to the API with who asks and what is asked for."""

    request: Request
    state: State
    user: Row | None
    params: dict[str, Any]
    data: Any = field(default=None)

    @property
    def query(self) -> dict[str, str]:
        """The query parameters; of a repeated one the last."""
        return dict(self.request.query_params)

    @property
    def owner(self) -> Row:
        """The user who asks, where the resource is not public."""
        if self.user is None:
            raise ApiError(401, {"detail": "Authentication credentials were not provided."}, auth.CHALLENGE)
        return self.user

    def url(self, path: str, **query: Any) -> str:
        """Return an absolute URL of this server as the client knows it."""
        return f"{auth.external_origin(self.request)}{path}" + (f"?{urlencode(query)}" if query else "")

    def fields(self) -> dict[str, Any]:
        """Return the JSON object that was sent."""
        if not isinstance(self.data, dict):
            raise ApiError(400, {"non_field_errors": ["Invalid data. Expected a dictionary."]})
        return self.data

    def number(self, name: str, default: int | None = None) -> int | None:
        """Return a query parameter that is a whole number."""
        text = self.query.get(name)
        if text in (None, ""):
            return default
        try:
            return int(str(text))
        except ValueError:
            raise ApiError(400, {name: ["Enter a number."]}) from None


Handler = Callable[[Call], Any]


def answer(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a JSON answer in CVAT's media type; no body at all for ``None``."""
    if body is None:
        return Response(status_code=status, headers=headers)
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return Response(text.encode("utf-8", "surrogatepass"), status, headers, MEDIA_TYPE)


def error_page(status: int, title: str, text: str = "") -> Response:
    """Return one of Django's plain error pages."""
    return Response(ERROR_PAGE.format(title=title, text=text), status, media_type="text/html")


def paged(call: Call, rows: list[Any], show: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
    """Return one page of a listing, with links to its neighbours."""
    size = max(1, min(call.number("page_size", PAGE_SIZE) or PAGE_SIZE, MAX_PAGE_SIZE))
    page = call.number("page", 1) or 1
    first = (page - 1) * size
    if page < 1 or (first >= len(rows) and page != 1):
        raise ApiError(404, {"detail": "Invalid page."})

    def link(number: int) -> str:
        return call.url(call.request.url.path, **{**call.query, "page": str(number)})

    return {
        "count": len(rows),
        "next": link(page + 1) if first + size < len(rows) else None,
        "previous": link(page - 1) if page > 1 else None,
        "results": [show(row) for row in rows[first : first + size]],
    }


def resource(path: str, *, public: bool = False, **handlers: Handler) -> Route:
    """Return the route of one API resource.

    Args:
        path: The path with Starlette's parameters, without a slash at its end.
        public: Whether it answers those who have not signed in.
        **handlers: A function for each method in capitals. It gets a :class:`Call` and returns the JSON body, nothing
            (204), or a ready response. Plain functions run in a thread and get the JSON that was sent; coroutine
            functions read the body themselves.
    """
    allowed = [method for method in METHODS if method in handlers or method == "OPTIONS"]
    if "GET" in handlers:
        allowed.insert(allowed.index("OPTIONS"), "HEAD")
    allow = ", ".join(allowed)

    async def endpoint(request: Request) -> Response:
        try:
            response = await _dispatch(request, handlers, public)
        except PlainError as error:
            response = Response(error.body, error.status, error.headers, "text/html; charset=utf-8")
        except ApiError as error:
            response = answer(error.body, error.status, error.headers)
        except ServerError:
            return error_page(500, "Server Error (500)")
        except ClientDisconnect:
            return Response(status_code=400)
        if "content-disposition" not in response.headers:  # a file comes from the proxy before a CVAT, without it
            response.headers["allow"] = allow
        return response

    return Route(path, endpoint, methods=list(METHODS))


async def _dispatch(request: Request, handlers: dict[str, Handler], public: bool) -> Response:
    state: State = request.app.state.standin
    user = await run_in_threadpool(auth.identify, request, state.accounts)
    call = Call(request, state, user, dict(request.path_params))
    if not public:
        _ = call.owner
    if request.method == "OPTIONS":
        return answer({"name": request.url.path})
    method = "GET" if request.method == "HEAD" and "HEAD" not in handlers else request.method
    handler = handlers.get(method)
    if handler is None:
        raise ApiError(405, {"detail": f'Method "{request.method}" not allowed.'})
    if inspect.iscoroutinefunction(handler):
        result = await handler(call)
    else:
        call.data = await read_json(request)
        result = await run_in_threadpool(handler, call)
    if isinstance(result, Response):
        return result
    return answer(result, 204 if result is None else 200)


async def read_json(request: Request) -> Any:
    """Return the JSON that was sent, or nothing.

    Raises:
        ApiError: It is not JSON (400), or larger than a CVAT takes (413).
    """
    parts, total = [], 0
    async for part in request.stream():
        total += len(part)
        if total > MAX_JSON_BYTES:
            raise ApiError(413, {"detail": "The request is too large."})
        parts.append(part)
    body = b"".join(parts)
    if not body or "json" not in request.headers.get("content-type", ""):
        return None
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ApiError(400, {"detail": f"JSON parse error - {error}"}) from None
