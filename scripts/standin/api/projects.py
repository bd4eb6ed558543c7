"""Projects."""

from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from standin import CvatVersion
from standin.api import frames, labels, users
from standin.api.records import get_or_404, list_objects, validate_name
from standin.api.web import Call, answer, paged, resource
from standin.data.store import Row, now
from standin.errors import ApiError, PlainError, ServerError


def show(call: Call, project: Row) -> dict[str, Any]:
    """Return a project as the API shows it."""
    store = call.state.store
    tasks = store.all("SELECT id, size, subset FROM tasks WHERE project_id = ?", project["id"])
    path = f"/api/projects/{project['id']}"
    return {
        "url": call.url(path),
        "id": project["id"],
        "name": project["name"],
        "owner": users.show_short(call, project["owner_id"]),
        "assignee": None,
        "guide_id": None,
        "bug_tracker": project["bug_tracker"],
        "created_date": project["created"],
        "updated_date": project["updated"],
        "status": project["status"],
        "dimension": "2d" if any(task["size"] for task in tasks) else None,
        "organization": None,
        "organization_id": None,
        "target_storage": None,
        "source_storage": None,
        "tasks": {"count": len(tasks), "url": call.url("/api/tasks", project_id=project["id"])},
        "labels": {"url": call.url("/api/labels", project_id=project["id"])},
        "assignee_updated_date": None,
        "task_subsets": sorted({task["subset"] for task in tasks if task["subset"]}),
    }


def existing(call: Call) -> Row:
    """Return the project that the path names.

    Raises:
        ApiError: There is none (404).
    """
    return get_or_404(call, "projects", "Project")


def _list(call: Call) -> dict[str, Any]:
    rows = list_objects(call, "projects", "name")
    if owner := call.query.get("owner"):
        users_by_id = {row["id"]: row["username"] for row in call.state.store.all("SELECT * FROM users")}
        rows = [row for row in rows if users_by_id.get(row["owner_id"]) == owner]
    return paged(call, rows, lambda row: show(call, row))


def _create(call: Call) -> Response:
    fields = call.fields()
    name = validate_name(fields)
    specs = labels.check(fields.get("labels"))
    store = call.state.store
    with store.transaction():
        project_id = store.insert(
            "projects",
            name=name,
            owner_id=call.owner["id"],
            bug_tracker=fields.get("bug_tracker") or "",
            created=now(),
            updated=now(),
        )
        labels.change(store, {"project_id": project_id}, specs)
    call.params["id"] = project_id
    return answer(show(call, existing(call)), 201, {"location": call.url(f"/api/projects/{project_id}")})


def _retrieve(call: Call) -> dict[str, Any]:
    return show(call, existing(call))


def _patch(call: Call) -> dict[str, Any]:
    project = existing(call)
    fields = call.fields()
    specs = labels.check(fields.get("labels"))
    changes = {name: fields[name] for name in ("name", "bug_tracker") if isinstance(fields.get(name), str)}
    with call.state.store.transaction():
        call.state.store.update("projects", project["id"], **changes, updated=now())
        labels.change(call.state.store, {"project_id": project["id"]}, specs)
    return show(call, existing(call))


def _delete(call: Call) -> None:
    project = existing(call)
    store = call.state.store
    with store.transaction() as connection:
        tasks = store.all("SELECT id FROM tasks WHERE project_id = ?", project["id"])
        connection.execute("DELETE FROM projects WHERE id = ?", (project["id"],))
    for task in tasks:
        store.delete_task_files(task["id"])


def _preview(call: Call) -> Response:
    project = existing(call)
    task = call.state.store.one("SELECT * FROM tasks WHERE project_id = ? ORDER BY id DESC LIMIT 1", project["id"])
    if task is None:
        raise PlainError(404, "Project image preview not found")
    if not task["size"]:
        # The newest task is asked, also where it has no data; leftovers of failed uploads hurt the project's page.
        if call.state.options.version == CvatVersion.V2_54:
            raise ServerError
        raise ApiError(404, {"detail": "Task has no media"})
    return frames.preview(call.state.store, task["id"])


def routes() -> list[Route]:
    """Return the routes of this module."""
    return [
        resource("/api/projects", GET=_list, POST=_create),
        resource("/api/projects/{id:int}", GET=_retrieve, PATCH=_patch, DELETE=_delete),
        resource("/api/projects/{id:int}/preview", GET=_preview),
    ]
