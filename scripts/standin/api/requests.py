"""Background requests as clients poll them."""

from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from standin import CvatVersion
from standin.api.web import Call, paged, resource
from standin.data.store import Row
from standin.errors import ApiError, PlainError


def show(call: Call, request: Row) -> dict[str, Any]:
    """Return a request as the API shows it."""
    user = call.state.accounts.get(request["user_id"])
    has_file = request["status"] == "finished" and request["result_file"]
    organization = {} if call.state.options.version == CvatVersion.V2_54 else {"org_id": None}
    return {
        "status": request["status"],
        "message": request["message"],
        "id": request["id"],
        "operation": {
            "type": request["type"],
            "target": request["target"],
            "project_id": request["project_id"],
            "task_id": request["task_id"],
            "job_id": request["job_id"],
            **organization,
            "format": request["format"],
            "lightweight": None,
        },
        "progress": 0.0,
        "created_date": request["created"],
        "started_date": request["started"],
        "finished_date": request["finished"],
        "expiry_date": request["expiry"],
        "owner": {"id": request["user_id"], "username": user["username"] if user else ""},
        "result_url": call.url(request["result_path"], rq_id=request["id"]) if has_file else None,
        "result_id": request["result_id"],
    }


def _existing(call: Call) -> Row:
    request = call.state.background.get(call.params["id"])
    if request is None or request["user_id"] != call.owner["id"]:
        raise PlainError(404, "There is no request with specified id")
    return request


def _list(call: Call) -> dict[str, Any]:
    rows = call.state.background.of_user(call.owner["id"])
    for name in ("status", "target", "format"):
        if wanted := call.query.get(name):
            rows = [row for row in rows if row[name] == wanted]
    for name in ("project_id", "task_id", "job_id"):
        if (number := call.number(name)) is not None:
            rows = [row for row in rows if row[name] == number]
    if action := call.query.get("action"):
        rows = [row for row in rows if row["type"].startswith(f"{action}:")]
    return paged(call, rows, lambda row: show(call, row))


def _retrieve(call: Call) -> dict[str, Any]:
    return show(call, _existing(call))


def _cancel(call: Call) -> Response:
    request = _existing(call)
    of_2_54 = call.state.options.version == CvatVersion.V2_54
    stoppable = not of_2_54 and request["type"].startswith("export:")
    status = call.state.background.cancel(request["id"], started=stoppable)
    if status is None:
        return Response(status_code=200)
    if of_2_54:
        raise ApiError(400, ["Only requests that have not yet been started can be cancelled"])
    if status == "started":
        raise PlainError(
            400,
            "Cancellation of started requests is supported only for export requests executed by production workers",
        )
    raise PlainError(400, f"Requests with status '{status}' cannot be cancelled")


def routes() -> list[Route]:
    """Return the routes of this module."""
    return [
        resource("/api/requests", GET=_list),
        resource("/api/requests/{id:path}/cancel", POST=_cancel),
        resource("/api/requests/{id:path}", GET=_retrieve),
    ]
