"""Annotations: tags on whole frames and rectangles in them."""

import json
from datetime import timedelta
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import Route

from standin.api import annotation_xml, formats, jobs, labels, tasks, uploads, web
from standin.api.web import Call, answer, resource
from standin.data.background import AlreadyRunningError, Order, Result
from standin.data.store import Row, Store, dump
from standin.errors import ApiError, InvalidError

KEPT_IMPORT = timedelta(hours=1)
KINDS = {"tags": "tag", "shapes": "shape"}
RECTANGLE = "rectangle"

TAG: dict[str, Any] = {"group": None, "source": "manual", "attributes": []}
SHAPE: dict[str, Any] = {
    "type": RECTANGLE,
    "occluded": False,
    "outside": False,
    "z_order": 0,
    "rotation": 0.0,
    "points": [],
    "group": None,
    "source": "manual",
    "attributes": [],
    "elements": [],
}


def show(rows: list[Row]) -> dict[str, Any]:
    """Return annotations as the API shows them."""
    shown: dict[str, Any] = {"version": 0, "tags": [], "shapes": [], "tracks": []}
    for row in rows:
        item = {"id": row["id"], "frame": row["frame"], "label_id": row["label_id"], **json.loads(row["body"])}
        shown["tags" if row["kind"] == "tag" else "shapes"].append(item)
    return shown


def of_task(store: Store, task_id: int, start: int = 0, stop: int | None = None) -> list[Row]:
    """Return the annotations of a task's frames from ``start`` to ``stop``, both included."""
    query = "SELECT * FROM annotations WHERE task_id = ? AND frame >= ? AND frame <= ? ORDER BY frame, id"
    return store.all(query, task_id, start, 2**62 if stop is None else stop)


def add(store: Store, task: Row, given: dict[str, Any]) -> range:
    """Add annotations to a task and return their ids.

    Raises:
        ApiError: One is on no frame of the task, has none of its labels, or is of a kind that is not kept here.
    """
    label_ids = {label["id"] for label in labels.of_task(store, task)}
    if given.get("tracks"):
        raise InvalidError("This stand-in keeps tags and rectangles, no tracks.")
    rows = []
    for key, kind in KINDS.items():
        for item in given.get(key) or []:
            _check(task, label_ids, kind, item)
            body = {name: item.get(name, default) for name, default in (TAG if kind == "tag" else SHAPE).items()}
            rows.append((task["id"], kind, item["frame"], item["label_id"], dump(body)))
    with store.transaction() as connection:
        last = store.value("SELECT seq FROM sqlite_sequence WHERE name = 'annotations'") or 0
        connection.executemany(
            "INSERT INTO annotations (task_id, kind, frame, label_id, body) VALUES (?, ?, ?, ?, ?)", rows
        )
        store.touch_task(task["id"])
    return range(last + 1, last + 1 + len(rows))


def _check(task: Row, label_ids: set[int], kind: str, item: Any) -> None:
    if not isinstance(item, dict) or not isinstance(item.get("frame"), int):
        raise ApiError(400, {"frame": ["This field is required."]})
    if not 0 <= item["frame"] < (task["size"] or 0):
        raise InvalidError(f"Frame {item['frame']} is not in the task.")
    if item.get("label_id") not in label_ids:
        raise InvalidError(f"label_id `{item.get('label_id')}` is invalid")
    if kind == "shape" and (item.get("type") != RECTANGLE or len(item.get("points") or []) != 4):
        raise InvalidError("This stand-in keeps tags and rectangles, no other shapes.")


def _delete(store: Store, task: Row, ids: list[int] | None, start: int = 0, stop: int = 2**62) -> None:
    with store.transaction() as connection:
        if ids is None:
            connection.execute(
                "DELETE FROM annotations WHERE task_id = ? AND frame >= ? AND frame <= ?", (task["id"], start, stop)
            )
        else:
            connection.executemany(
                "DELETE FROM annotations WHERE task_id = ? AND id = ?", [(task["id"], key) for key in ids]
            )
        store.touch_task(task["id"])


def _rows(store: Store, ids: range) -> list[Row]:
    return store.all("SELECT * FROM annotations WHERE id >= ? AND id < ? ORDER BY id", ids.start, ids.stop)


class _Scope:
    """The task of a request and, where it is about a job, the part of its frames."""

    def __init__(self, call: Call, of_job: bool) -> None:
        self.store = call.state.store
        self.start, self.stop = 0, 2**62
        if of_job:
            job = jobs.existing(call)
            self.task = jobs.task_of(call, job)
            self.start, self.stop = job["start"], job["stop"]
        else:
            self.task = tasks.existing(call)

    def get(self) -> dict[str, Any]:
        return show(of_task(self.store, self.task["id"], self.start, self.stop))

    def put(self, given: dict[str, Any]) -> dict[str, Any]:
        with self.store.transaction():
            _delete(self.store, self.task, None, self.start, self.stop)
            return show(_rows(self.store, add(self.store, self.task, given)))

    def patch(self, action: str | None, given: dict[str, Any]) -> dict[str, Any]:
        if action not in ("create", "update", "delete"):
            raise ApiError(400, {"action": ["This query parameter must be create, update or delete."]})
        old = [item["id"] for key in KINDS for item in given.get(key) or [] if isinstance(item.get("id"), int)]
        with self.store.transaction():
            if action != "create":
                _delete(self.store, self.task, old)
            if action == "delete":
                return {"version": 0, "tags": [], "shapes": [], "tracks": [], **given}
            return show(_rows(self.store, add(self.store, self.task, given)))

    def delete(self) -> None:
        _delete(self.store, self.task, None, self.start, self.stop)


async def _upload(call: Call) -> Response:
    task = await run_in_threadpool(tasks.existing, call)
    headers = call.request.headers
    target = f"/api/tasks/{task['id']}/annotations"
    if "upload-start" in headers and "upload-finish" not in headers:
        return Response(status_code=202)
    if "upload-length" in headers:
        return await run_in_threadpool(uploads.create, call, target)
    await web.read_json(call.request)
    return await run_in_threadpool(_start_import, call, task, target)


def _start_import(call: Call, task: Row, target: str) -> Response:
    formats.check_import(call.query.get("format", ""), call.state.options.version)
    file = uploads.taken(call, target)
    store = call.state.store
    order = Order(
        id=f"action=import&target=task&target_id={task['id']}&subresource=annotations",
        type="import:annotations",
        target="task",
        user_id=call.owner["id"],
        kept=KEPT_IMPORT,
        project_id=task["project_id"],
        task_id=task["id"],
    )

    def work() -> Result:
        try:
            given = annotation_xml.read(store, task, file)
            with store.transaction():
                _delete(store, task, None)
                add(store, task, given)
        finally:
            file.unlink(missing_ok=True)
        return Result()

    try:
        return answer({"rq_id": call.state.background.submit(order, work)}, 202)
    except AlreadyRunningError as error:
        raise ApiError(409, {"rq_id": str(error)}) from None


async def _append(call: Call) -> Response:
    return await uploads.append(call, f"/api/tasks/{call.params['id']}/annotations")


def _offset(call: Call) -> Response:
    return uploads.offset(call, f"/api/tasks/{call.params['id']}/annotations")


def _handlers(of_job: bool) -> dict[str, web.Handler]:
    return {
        "GET": lambda call: _Scope(call, of_job).get(),
        "PUT": lambda call: _Scope(call, of_job).put(call.fields()),
        "PATCH": lambda call: _Scope(call, of_job).patch(call.query.get("action"), call.fields()),
        "DELETE": lambda call: _Scope(call, of_job).delete(),
    }


def routes() -> list[Route]:
    """Return the routes of this module."""
    return [
        resource("/api/tasks/{id:int}/annotations", public=False, POST=_upload, **_handlers(of_job=False)),
        resource("/api/tasks/{id:int}/annotations/{upload}", PATCH=_append, HEAD=_offset),
        resource("/api/jobs/{id:int}/annotations", public=False, **_handlers(of_job=True)),
    ]
