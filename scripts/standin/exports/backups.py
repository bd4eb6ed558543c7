"""Project backups: a file that makes the same project again."""

import json
import zipfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import Route

from standin.api import annotations, frames, labels, media, projects, uploads, web
from standin.api.web import Call, resource
from standin.data.background import Order, Result
from standin.data.store import Row, Store, now
from standin.errors import ApiError
from standin.exports import views

KEPT_IMPORT = timedelta(hours=1)
MANIFEST = "project.json"
TARGET = "/api/projects/backup"


class BackupError(Exception):
    """The file is no backup of a stand-in."""


def _describe(store: Store, project: Row) -> dict[str, Any]:
    in_project = store.all("SELECT * FROM tasks WHERE project_id = ? ORDER BY id", project["id"])
    return {
        "made_by": "CVAT stand-in",
        "version": "1.0",
        "name": project["name"],
        "bug_tracker": project["bug_tracker"],
        "labels": [
            {"name": label["name"], "color": label["color"], "type": label["type"]}
            for label in labels.of_project(store, project["id"])
        ],
        "tasks": [_describe_task(store, task) for task in in_project],
    }


def _describe_task(store: Store, task: Row) -> dict[str, Any]:
    names = {label["id"]: label["name"] for label in labels.of_task(store, task)}
    shown = annotations.show(annotations.of_task(store, task["id"]))
    for item in shown["tags"] + shown["shapes"]:
        item["label"] = names[item["label_id"]]
    return {
        "name": task["name"],
        "subset": task["subset"],
        "with_data": task["size"] is not None,
        "tags": shown["tags"],
        "shapes": shown["shapes"],
    }


def _write(store: Store, project: Row, target: Path) -> None:
    part = target.with_suffix(".part")
    in_project = store.all("SELECT * FROM tasks WHERE project_id = ? ORDER BY id", project["id"])
    try:
        with zipfile.ZipFile(part, "w") as archive:
            archive.writestr(MANIFEST, json.dumps(_describe(store, project), ensure_ascii=False))
            for place, task in enumerate(in_project):
                for frame in frames.of_task(store, task["id"]):
                    archive.writestr(f"task_{place}/data/{frame['name']}", frames.read(store, frame))
        part.rename(target)
    finally:
        part.unlink(missing_ok=True)


def _read(store: Store, owner_id: int, file: Path) -> int:
    try:
        with zipfile.ZipFile(file) as archive:
            described = json.loads(archive.read(MANIFEST))
            with store.transaction():
                return _restore(store, owner_id, described, archive)
    except (KeyError, ValueError, zipfile.BadZipFile) as error:
        raise BackupError("Incorrect project: this is no backup that a stand-in made") from error


def _restore(store: Store, owner_id: int, described: dict[str, Any], archive: zipfile.ZipFile) -> int:
    project_id = store.insert(
        "projects",
        name=described["name"],
        owner_id=owner_id,
        bug_tracker=described["bug_tracker"],
        created=now(),
        updated=now(),
    )
    label_ids = {spec["name"]: labels.add(store, {"project_id": project_id}, spec) for spec in described["labels"]}
    for place, task in enumerate(described["tasks"]):
        task_id = store.insert(
            "tasks",
            project_id=project_id,
            name=task["name"],
            owner_id=owner_id,
            bug_tracker="",
            subset=task["subset"],
            status="annotation",
            segment_size=0,
            created=now(),
            updated=now(),
        )
        if task["with_data"]:
            _restore_data(store, task_id, archive, f"task_{place}/data/")
        restored = store.one("SELECT * FROM tasks WHERE id = ?", task_id)
        assert restored is not None
        for item in task["tags"] + task["shapes"]:
            item["label_id"] = label_ids[item["label"]]
        annotations.add(store, restored, task)
    return project_id


def _restore_data(store: Store, task_id: int, archive: zipfile.ZipFile, prefix: str) -> None:
    task = store.one("SELECT * FROM tasks WHERE id = ?", task_id)
    assert task is not None
    upload = store.upload_folder(task_id) / "data.zip"
    with zipfile.ZipFile(upload, "w") as images:
        for name in _below(archive, prefix):
            images.writestr(name, archive.read(prefix + name))
    media.import_frames(store, task, {})


def _below(archive: zipfile.ZipFile, prefix: str) -> Iterator[str]:
    return (name.removeprefix(prefix) for name in archive.namelist() if name.startswith(prefix))


def _start_export(call: Call) -> Response:
    project = projects.existing(call)
    store = call.state.store
    moment = project["updated"][:19].replace("-", "_").replace("T", "_").replace(":", "_")

    def work() -> Result:
        file = views.export_file(call.state)
        _write(store, project, file)
        return Result(file, f"project_{project['name']}_backup_{moment}.zip")

    order = Order(
        id=f"action=export&target=project&target_id={project['id']}&user_id={call.owner['id']}&subresource=backup",
        type="export:backup",
        target="project",
        user_id=call.owner["id"],
        kept=views.KEPT,
        project_id=project["id"],
        download_path=f"/api/projects/{project['id']}/backup/download",
    )
    return views.submit(call, order, work)


async def _upload(call: Call) -> Response:
    headers = call.request.headers
    if "upload-start" in headers and "upload-finish" not in headers:
        return Response(status_code=202)
    if "upload-length" in headers:
        return await run_in_threadpool(uploads.create, call, TARGET)
    await web.read_json(call.request)
    return await run_in_threadpool(_start_import, call)


def _start_import(call: Call) -> Response:
    file = uploads.taken(call, TARGET)
    owner_id = call.owner["id"]

    def work() -> Result:
        try:
            return Result(id=_read(call.state.store, owner_id, file))
        finally:
            file.unlink(missing_ok=True)

    order = Order(
        id=f"action=import&target=project&id={uuid4()}&subresource=backup",
        type="import:backup",
        target="project",
        user_id=owner_id,
        kept=KEPT_IMPORT,
    )
    return views.submit(call, order, work)


async def _append(call: Call) -> Response:
    return await uploads.append(call, TARGET)


def _offset(call: Call) -> Response:
    return uploads.offset(call, TARGET)


def _not_for_tasks(_call: Call) -> Response:
    raise ApiError(501, ["This stand-in for CVAT makes backups of projects, not of tasks."])


def routes() -> list[Route]:
    """Return the routes of this module."""
    return [
        resource("/api/projects/{id:int}/backup/export", POST=_start_export),
        resource("/api/projects/{id:int}/backup/download", GET=views.download),
        resource(TARGET, POST=_upload),
        resource(f"{TARGET}/{{upload}}", PATCH=_append, HEAD=_offset),
        resource("/api/tasks/{id:int}/backup/export", POST=_not_for_tasks),
        resource("/api/tasks/backup", POST=_not_for_tasks),
    ]
