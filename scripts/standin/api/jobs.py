"""Jobs: the parts of a task that one person annotates."""

from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from standin.api import frames
from standin.api.records import get_or_404
from standin.api.web import Call, paged, resource
from standin.data.store import Row, now
from standin.errors import ApiError, NotFoundError

STATES = ("new", "in progress", "completed", "rejected")
STAGES = ("annotation", "validation", "acceptance")


def show(call: Call, job: Row) -> dict[str, Any]:
    """Return a job as the API shows it."""
    task = task_of(call, job)
    return {
        "url": call.url(f"/api/jobs/{job['id']}"),
        "id": job["id"],
        "task_id": job["task_id"],
        "task_name": task["name"],
        "project_id": task["project_id"],
        "project_name": call.state.store.value("SELECT name FROM projects WHERE id = ?", task["project_id"]),
        "assignee": None,
        "guide_id": None,
        "dimension": "2d",
        "bug_tracker": task["bug_tracker"] or None,
        "status": job["stage"],
        "stage": job["stage"],
        "state": job["state"],
        "mode": "annotation",
        "frame_count": job["stop"] - job["start"] + 1,
        "start_frame": job["start"],
        "stop_frame": job["stop"],
        "data_chunk_size": frames.CHUNK_SIZE,
        "data_compressed_chunk_type": "imageset",
        "data_original_chunk_type": "imageset",
        "created_date": job["created"],
        "updated_date": job["updated"],
        "issues": {"url": call.url("/api/issues", job_id=job["id"]), "count": 0},
        "labels": {"url": call.url("/api/labels", job_id=job["id"])},
        "type": "annotation",
        "organization": None,
        "organization_id": None,
        "target_storage": None,
        "source_storage": None,
        "assignee_updated_date": None,
        "parent_job_id": None,
        "consensus_replicas": 0,
    }


def existing(call: Call) -> Row:
    """Return the job that the path names.

    Raises:
        NotFoundError: There is none.
    """
    return get_or_404(call, "jobs", "Job")


def task_of(call: Call, job: Row) -> Row:
    """Return the task that a job is a part of."""
    task = call.state.store.one("SELECT * FROM tasks WHERE id = ?", job["task_id"])
    if task is None:
        raise NotFoundError("Task")
    return task


def _list(call: Call) -> dict[str, Any]:
    rows = call.state.store.all(
        "SELECT jobs.*, project_id FROM jobs JOIN tasks ON tasks.id = task_id ORDER BY jobs.id DESC"
    )
    for name in ("task_id", "project_id"):
        if (wanted := call.number(name)) is not None:
            rows = [row for row in rows if row[name] == wanted]
    return paged(call, rows, lambda row: show(call, row))


def _retrieve(call: Call) -> dict[str, Any]:
    return show(call, existing(call))


def _patch(call: Call) -> dict[str, Any]:
    job = existing(call)
    fields = call.fields()
    for name, choices in (("state", STATES), ("stage", STAGES)):
        if name in fields and fields[name] not in choices:
            raise ApiError(400, {name: [f'"{fields[name]}" is not a valid choice.']})
    changes = {name: fields[name] for name in ("state", "stage") if name in fields}
    call.state.store.update("jobs", job["id"], **changes, updated=now())
    call.state.store.touch_task(job["task_id"])
    return show(call, existing(call))


def _data(call: Call) -> Response:
    return frames.data(call, existing(call)["task_id"])


def _meta(call: Call) -> dict[str, Any]:
    job = existing(call)
    meta = frames.meta(call.state.store, task_of(call, job))
    shown = meta["frames"][job["start"] : job["stop"] + 1]
    return {**meta, "frames": shown, "size": len(shown), "start_frame": job["start"], "stop_frame": job["stop"]}


def _preview(call: Call) -> Response:
    return frames.preview(call.state.store, existing(call)["task_id"])


def routes() -> list[Route]:
    """Return the routes of this module."""
    return [
        resource("/api/jobs", GET=_list),
        resource("/api/jobs/{id:int}", GET=_retrieve, PATCH=_patch),
        resource("/api/jobs/{id:int}/data", GET=_data),
        resource("/api/jobs/{id:int}/data/meta", GET=_meta),
        resource("/api/jobs/{id:int}/preview", GET=_preview),
    ]
