"""Labels of projects and tasks."""

import json
import zlib
from typing import Any

from starlette.routing import Route

from standin.api.records import get_or_404
from standin.api.web import Call, paged, resource
from standin.data.store import Row, Store, dump
from standin.errors import ApiError, NotFoundError

TYPES = (
    "any", "cuboid", "ellipse", "mask", "points", "polygon", "polyline", "rectangle", "skeleton", "tag",
)  # fmt: skip


def show(label: Row) -> dict[str, Any]:
    """Return a label as the API shows it."""
    return {
        "id": label["id"],
        "name": label["name"],
        "color": label["color"],
        "attributes": json.loads(label["attributes"]),
        "type": label["type"],
        "sublabels": [],
        **({"project_id": label["project_id"]} if label["project_id"] else {"task_id": label["task_id"]}),
        "parent_id": None,
        "has_parent": False,
    }


def check(specs: Any) -> list[dict[str, Any]]:
    """Return the label specifications that came with a project or task.

    Raises:
        ApiError: One is none, has no name, has the name of another, or is of a type that does not exist.
    """
    if specs is None:
        return []
    if not isinstance(specs, list) or not all(isinstance(spec, dict) for spec in specs):
        raise ApiError(400, {"labels": ["Expected a list of items."]})
    problems = [_problem(spec) for spec in specs]
    if any(problems):
        raise ApiError(400, {"labels": problems})
    names = [spec["name"] for spec in specs if "name" in spec]
    if len(set(names)) < len(names):
        raise ApiError(400, {"labels": ["All label names must be unique for the task"]})
    return specs


def _problem(spec: dict[str, Any]) -> dict[str, list[str]]:
    if "id" not in spec and not spec.get("name"):
        return {"name": ["This field is required."]}
    if spec.get("type", "any") not in TYPES:
        return {"type": [f'"{spec["type"]}" is not a valid choice.']}
    return {}


def change(store: Store, owner: dict[str, int], specs: list[dict[str, Any]]) -> None:
    """Add, rename and delete labels.

    Args:
        store: Where they are.
        owner: ``{"project_id": N}`` or ``{"task_id": N}``.
        specs: What :func:`check` has let through: new labels, or changes to those with an ``id``.

    Raises:
        NotFoundError: An id is none of the owner's labels.
    """
    ((column, value),) = owner.items()
    with store.transaction() as connection:
        for spec in specs:
            if "id" not in spec:
                add(store, owner, spec)
                continue
            label = store.one(f"SELECT * FROM labels WHERE id = ? AND {column} = ?", spec["id"], value)
            if label is None:
                raise NotFoundError("Label")
            if spec.get("deleted"):
                connection.execute("DELETE FROM labels WHERE id = ?", (label["id"],))
            else:
                _update(store, label, spec)


def add(store: Store, owner: dict[str, int], spec: dict[str, Any]) -> int:
    """Add one label and return its id."""
    attributes = [
        {**attribute, "id": number, "input_type": attribute.get("input_type", "text")}
        for number, attribute in enumerate(spec.get("attributes") or [], 1)
    ]
    return store.insert(
        "labels",
        **owner,
        name=spec["name"],
        color=spec.get("color") or _color(spec["name"]),
        type=spec.get("type") or "any",
        attributes=dump(attributes),
    )


def of_project(store: Store, project_id: int) -> list[Row]:
    """Return a project's labels in the order of their ids."""
    return store.all("SELECT * FROM labels WHERE project_id = ? ORDER BY id", project_id)


def of_task(store: Store, task: Row) -> list[Row]:
    """Return the labels that a task uses: its project's, or its own."""
    if task["project_id"]:
        return of_project(store, task["project_id"])
    return store.all("SELECT * FROM labels WHERE task_id = ? ORDER BY id", task["id"])


def _color(name: str) -> str:
    return f"#{zlib.crc32(name.encode('utf-8', 'surrogatepass')) & 0xFFFFFF:06x}"


def _update(store: Store, label: Row, spec: dict[str, Any]) -> None:
    changes = {name: spec[name] for name in ("name", "color", "type") if spec.get(name)}
    if changes:
        store.update("labels", label["id"], **changes)


def _list(call: Call) -> dict[str, Any]:
    store = call.state.store
    if (project_id := call.number("project_id")) is not None:
        rows = of_project(store, project_id)
    elif (task_id := call.number("task_id")) is not None:
        task = store.one("SELECT * FROM tasks WHERE id = ?", task_id)
        rows = of_task(store, task) if task else []
    elif (job_id := call.number("job_id")) is not None:
        task = store.one("SELECT tasks.* FROM tasks JOIN jobs ON task_id = tasks.id WHERE jobs.id = ?", job_id)
        rows = of_task(store, task) if task else []
    else:
        rows = store.all("SELECT * FROM labels ORDER BY id")
    return paged(call, rows, show)


def _existing(call: Call) -> Row:
    return get_or_404(call, "labels", "Label")


def _retrieve(call: Call) -> dict[str, Any]:
    return show(_existing(call))


def _patch(call: Call) -> dict[str, Any]:
    label = _existing(call)
    spec = call.fields()
    check([{"name": label["name"], **spec}])
    _update(call.state.store, label, spec)
    return show(_existing(call))


def _delete(call: Call) -> None:
    label = _existing(call)
    with call.state.store.transaction() as connection:
        connection.execute("DELETE FROM labels WHERE id = ?", (label["id"],))


def routes() -> list[Route]:
    """Return the routes of this module."""
    return [
        resource("/api/labels", GET=_list),
        resource("/api/labels/{id:int}", GET=_retrieve, PATCH=_patch, DELETE=_delete),
    ]
