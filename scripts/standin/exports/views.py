"""Asking for an export and fetching it."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from starlette.responses import FileResponse, Response
from starlette.routing import Route

from standin.api import auth, formats, projects, tasks
from standin.api.web import Call, answer, resource
from standin.data.background import AlreadyRunningError, Order, Result
from standin.data.state import State
from standin.data.store import Row, new_key
from standin.errors import ApiError, InvalidError
from standin.exports import archive, coco, cvat_xml, dataset, imagenet
from standin.exports.dataset import Dataset

KEPT = timedelta(days=1)


def contents(found: Dataset, format_name: str, with_images: bool, state: State) -> archive.Contents:
    """Lay out an export in one of the supported formats."""
    if format_name == "COCO 1.0":
        return coco.contents(found, with_images)
    if format_name == "CVAT for images 1.1":
        return cvat_xml.contents(found, with_images)
    return imagenet.contents(found, with_images, state.options.merge_label_folder)


def export_file(state: State) -> Path:
    """Return a new name for a finished export."""
    return state.store.scratch_folder("exports") / f"{new_key()}.zip"


def submit(call: Call, order: Order, work: Callable[[], Result]) -> Response:
    """Start an export and answer with the request to poll.

    Raises:
        ApiError: 409 with the request that is under way.
    """
    try:
        return answer({"rq_id": call.state.background.submit(order, work)}, 202)
    except AlreadyRunningError as error:
        raise ApiError(409, {"rq_id": str(error)}) from None


def _start(call: Call, kind: str, row: Row) -> Response:
    format_name = call.query.get("format", "")
    formats.check_export(format_name, call.state.options.version)
    with_images = call.query.get("save_images", "").lower() in ("true", "1", "yes")
    state = call.state
    origin = auth.external_origin(call.request)
    subresource = "dataset" if with_images else "annotations"
    tag = format_name.replace(" ", "_").replace(".", "~")
    path = f"/api/{kind}s/{row['id']}"
    moment = row["updated"][:19].replace("-", "_").replace("T", "_").replace(":", "_")

    def work() -> Result:
        found = (dataset.of_project if kind == "project" else dataset.of_task)(state.store, row, origin)
        file = export_file(state)
        archive.write(state.store, contents(found, format_name, with_images, state), file)
        return Result(file, f"{kind}_{row['id']}_{subresource}_{moment}_{format_name.lower()}.zip")

    order = Order(
        id=f"action=export&target={kind}&target_id={row['id']}&user_id={call.owner['id']}"
        f"&format={tag}&subresource={subresource}",
        type=f"export:{subresource}",
        target=kind,
        user_id=call.owner["id"],
        kept=KEPT,
        project_id=row["id"] if kind == "project" else row["project_id"],
        task_id=row["id"] if kind == "task" else None,
        format=format_name,
        download_path=f"{path}/dataset/download",
    )
    return submit(call, order, work)


def download(call: Call) -> Response:
    """Answer with the file of the finished request that ``rq_id`` names.

    Raises:
        ApiError: There is none, or it is not this resource's or not this user's.
    """
    request = call.state.background.get(call.query.get("rq_id", ""))
    path = call.request.url.path
    if request is None or request["result_path"] != path or request["user_id"] != call.owner["id"]:
        raise ApiError(404, {"detail": "Not found."})
    if request["status"] != "finished" or not Path(request["result_file"] or "").is_file():
        raise InvalidError("The export is not ready")
    headers = {"content-disposition": _disposition(request["result_name"])}
    return FileResponse(request["result_file"], headers=headers, media_type="application/zip")


def _disposition(name: str) -> str:
    plain = name.isascii() and name.isprintable() and not set(name) & set('"\\')
    return f'attachment; filename="{name}"' if plain else f"attachment; filename*=utf-8''{quote(name, safe='')}"


def _project(call: Call) -> Response:
    return _start(call, "project", projects.existing(call))


def _task(call: Call) -> Response:
    task = tasks.existing(call)
    if task["size"] is None:
        raise InvalidError("Exporting a dataset from a task without data is not possible")
    return _start(call, "task", task)


def routes() -> list[Route]:
    """Return the routes of this module."""
    starts: dict[str, Callable[[Call], Any]] = {"projects": _project, "tasks": _task}
    return [
        route
        for kind, start in starts.items()
        for route in (
            resource(f"/api/{kind}/{{id:int}}/dataset/export", POST=start),
            resource(f"/api/{kind}/{{id:int}}/dataset/download", GET=download),
        )
    ]
