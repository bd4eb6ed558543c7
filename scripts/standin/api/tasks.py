"""Tasks: their records, their data, their frames."""

import contextlib
import json
from datetime import timedelta
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import Route

from standin import CvatVersion
from standin.api import frames, labels, media, storages, uploads, users, web
from standin.api.records import get_or_404, list_objects, validate_name
from standin.api.web import Call, answer, paged, resource
from standin.data.background import AlreadyRunningError, Order
from standin.data.store import Row, dump, now
from standin.errors import ApiError, InvalidError, ServerError

KEPT_CREATION = timedelta(seconds=500)


def show(call: Call, task: Row) -> dict[str, Any]:
    """Return a task as the API shows it; one without data lacks the fields that speak of data."""
    store = call.state.store
    jobs = store.all("SELECT * FROM jobs WHERE task_id = ?", task["id"])
    with_data = task["size"] is not None
    chunks = {
        "data_chunk_size": frames.CHUNK_SIZE,
        "data_original_chunk_type": "imageset",
        "data_compressed_chunk_type": "imageset",
        "data_cloud_storage_id": None,
    }
    of_2_54 = call.state.options.version == CvatVersion.V2_54
    project = {} if of_2_54 else {"project_name": project_name(call, task)}
    kind = {} if of_2_54 else {"media_type": "image" if with_data else ""}
    data = {"size": task["size"], "image_quality": task["image_quality"], "data": task["id"]}
    return {
        "url": call.url(f"/api/tasks/{task['id']}"),
        "id": task["id"],
        "name": task["name"],
        "project_id": task["project_id"],
        **project,
        "mode": "annotation" if with_data else "",
        **kind,
        "owner": users.show_short(call, task["owner_id"]),
        "assignee": None,
        "bug_tracker": task["bug_tracker"],
        "created_date": task["created"],
        "updated_date": task["updated"],
        "overlap": 0 if with_data else None,
        "segment_size": (task["segment_size"] or task["size"]) if with_data else task["segment_size"],
        "status": task["status"],
        **(chunks if with_data else {}),
        "guide_id": None,
        **(data if with_data else {}),
        "dimension": "2d",
        "subset": task["subset"],
        "organization_id": None,
        "organization": None,
        "target_storage": None,
        "source_storage": None,
        "jobs": {
            "count": len(jobs),
            "completed": sum(job["state"] == "completed" for job in jobs),
            "validation": sum(job["stage"] == "validation" for job in jobs),
            "url": call.url("/api/jobs", task_id=task["id"]),
        },
        "labels": {"url": call.url("/api/labels", task_id=task["id"])},
        "assignee_updated_date": None,
        "validation_mode": None,
        "consensus_enabled": False,
    }


def project_name(call: Call, task: Row) -> str | None:
    """Return the name of the project that a task belongs to, if it does."""
    name: str | None = call.state.store.value("SELECT name FROM projects WHERE id = ?", task["project_id"])
    return name


def existing(call: Call) -> Row:
    """Return the task that the path names.

    Raises:
        NotFoundError: There is none.
    """
    return get_or_404(call, "tasks", "Task")


def _list(call: Call) -> dict[str, Any]:
    rows = list_objects(call, "tasks", "name", "status", "subset")
    if (project_id := call.number("project_id")) is not None:
        rows = [row for row in rows if row["project_id"] == project_id]
    return paged(call, rows, lambda row: show(call, row))


def _create(call: Call) -> Response:
    fields = call.fields()
    name = validate_name(fields)
    project_id = fields.get("project_id")
    specs = labels.check(fields.get("labels"))
    store = call.state.store
    if project_id is not None and store.one("SELECT id FROM projects WHERE id = ?", project_id) is None:
        raise InvalidError("Project matching query does not exist.")
    if project_id is not None and specs:
        raise ApiError(400, {"labels": ["Labels can't be set for a task inside a project"]})
    with store.transaction():
        task_id = store.insert(
            "tasks",
            project_id=project_id,
            name=name,
            owner_id=call.owner["id"],
            bug_tracker=fields.get("bug_tracker") or "",
            subset=fields.get("subset") or "",
            status="annotation",
            segment_size=int(fields.get("segment_size") or 0),
            created=now(),
            updated=now(),
        )
        labels.change(store, {"task_id": task_id}, specs)
        store.touch_task(task_id)
    call.params["id"] = task_id
    return answer(show(call, existing(call)), 201, {"location": call.url(f"/api/tasks/{task_id}")})


def _retrieve(call: Call) -> dict[str, Any]:
    return show(call, existing(call))


def _patch(call: Call) -> dict[str, Any]:
    task = existing(call)
    fields = call.fields()
    specs = labels.check(fields.get("labels"))
    changes = {name: fields[name] for name in ("name", "bug_tracker", "subset") if isinstance(fields.get(name), str)}
    with call.state.store.transaction():
        if changes:
            call.state.store.update("tasks", task["id"], **changes)
        owner = {"project_id": task["project_id"]} if task["project_id"] else {"task_id": task["id"]}
        labels.change(call.state.store, owner, specs)
        call.state.store.touch_task(task["id"])
    return show(call, existing(call))


def _delete(call: Call) -> None:
    task = existing(call)
    store = call.state.store
    with store.transaction() as connection:
        store.touch_task(task["id"])
        connection.execute("DELETE FROM tasks WHERE id = ?", (task["id"],))
    store.delete_task_files(task["id"])


async def _upload(call: Call) -> Response:
    task = await run_in_threadpool(existing, call)
    headers = call.request.headers
    if task["size"] is not None:
        raise InvalidError("Adding more data is not allowed")
    if "upload-start" in headers and "upload-finish" not in headers:
        return Response(status_code=202)
    if "upload-length" in headers:
        return await run_in_threadpool(uploads.create, call, f"/api/tasks/{task['id']}/data")
    folder = call.state.store.upload_folder(task["id"])
    if "upload-multiple" in headers:
        await uploads.save_form(call, folder)
        return Response(status_code=200)
    if uploads.is_form(call):
        options = await uploads.save_form(call, folder)
    else:
        options = await web.read_json(call.request) or {}
    return await run_in_threadpool(_start_import, call, task, options)


def _start_import(call: Call, task: Row, options: Any) -> Response:
    if not isinstance(options, dict) or "image_quality" not in options:
        raise ApiError(400, {"image_quality": ["This field is required."]})
    if options.get("remote_files"):
        raise ApiError(
            400, {"remote_files": ["This stand-in takes uploaded files, and those of cloud storages, only."]}
        )
    stored = _stored_files(call, options)
    store = call.state.store
    order = Order(
        id=f"action=create&target=task&target_id={task['id']}",
        type="create:task",
        target="task",
        user_id=call.owner["id"],
        kept=KEPT_CREATION,
        project_id=task["project_id"],
        task_id=task["id"],
    )
    try:
        request_id = call.state.background.submit(order, lambda: media.import_frames(store, task, options, stored))
    except AlreadyRunningError as error:
        raise ApiError(409, {"rq_id": str(error)}) from None
    return answer({"rq_id": request_id}, 202)


def _stored_files(call: Call, options: dict[str, Any]) -> media.StoredFiles | None:
    """Return what is to be taken from a cloud storage, None where the files were uploaded."""
    names, number = options.get("server_files"), options.get("cloud_storage_id")
    if not names:
        return None
    if number is None or not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ApiError(400, {"server_files": ["This stand-in has no share: name a cloud storage."]})
    bucket = storages.bucket_of(call, number) if isinstance(number, int) else None
    if bucket is None:
        raise ApiError(400, {"cloud_storage_id": [f"The specified cloud storage {number} does not exist."]})
    return media.StoredFiles(bucket, names)


def _data(call: Call) -> Response:
    return frames.data(call, existing(call)["id"])


async def _append(call: Call) -> Response:
    return await uploads.append(call, f"/api/tasks/{call.params['id']}/data")


def _offset(call: Call) -> Response:
    return uploads.offset(call, f"/api/tasks/{call.params['id']}/data")


def _meta(call: Call) -> dict[str, Any]:
    task = existing(call)
    if task["size"] is None:
        if call.state.options.version == CvatVersion.V2_54:
            raise ServerError  # measured of the preview; a task without data has no row that this could show
        raise InvalidError("Data is not uploaded for the task yet")
    return frames.meta(call.state.store, task)


def _patch_meta(call: Call) -> dict[str, Any]:
    task = existing(call)
    deleted = call.fields().get("deleted_frames")
    if isinstance(deleted, list) and all(isinstance(number, int) for number in deleted):
        call.state.store.update("tasks", task["id"], deleted_frames=dump(sorted(set(deleted))))
        call.state.store.touch_task(task["id"])
    return _meta(call)


def _preview(call: Call) -> Response:
    return frames.preview(call.state.store, existing(call)["id"])


def _status(call: Call) -> dict[str, Any]:
    task = existing(call)
    request = call.state.background.get(f"action=create&target=task&target_id={task['id']}")
    states = {"queued": "Queued", "started": "Started", "failed": "Failed"}
    state = states.get(request["status"], "Finished") if request else "Finished"
    return {"state": state, "message": request["message"] if request else "", "progress": 0.0}


def deleted_frames(task: Row) -> set[int]:
    """Return the numbers of the frames that a person took out of a task."""
    with contextlib.suppress(ValueError):
        return set(json.loads(task["deleted_frames"]))
    return set()


def routes() -> list[Route]:
    """Return the routes of this module."""
    return [
        resource("/api/tasks", GET=_list, POST=_create),
        resource("/api/tasks/{id:int}", GET=_retrieve, PATCH=_patch, DELETE=_delete),
        resource("/api/tasks/{id:int}/data", GET=_data, POST=_upload),
        resource("/api/tasks/{id:int}/data/meta", GET=_meta, PATCH=_patch_meta),
        resource("/api/tasks/{id:int}/data/{upload}", PATCH=_append, HEAD=_offset),
        resource("/api/tasks/{id:int}/preview", GET=_preview),
        resource("/api/tasks/{id:int}/status", GET=_status),
    ]
