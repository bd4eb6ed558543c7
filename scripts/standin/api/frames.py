"""The frames of a task: one file of all image bytes, one row for each image."""

import io
import json
import mimetypes
import zipfile
from pathlib import Path
from typing import Any

from starlette.responses import Response

from standin.api.web import Call
from standin.data.store import Row, Store
from standin.errors import ApiError, NotFoundError, ServerError

CHUNK_SIZE = 72
"""How many frames a browser fetches at once."""


def file_of(store: Store, task_id: int) -> Path:
    """Return the file that holds the bytes of a task's images, one after another."""
    return store.task_folder(task_id) / "frames.bin"


def of_task(store: Store, task_id: int) -> list[Row]:
    """Return the rows of a task's frames in their order."""
    return store.all("SELECT * FROM frames WHERE task_id = ? ORDER BY number", task_id)


def read(store: Store, frame: Row) -> bytes:
    """Return the bytes of an image as they were uploaded."""
    with file_of(store, frame["task_id"]).open("rb") as stream:
        stream.seek(frame["position"])
        return stream.read(frame["size"])


def media_type(name: str) -> str:
    """Return an image's media type by its name."""
    return mimetypes.guess_type(name)[0] or "image/jpeg"


def image(store: Store, task_id: int, number: int) -> Response:
    """Answer with one frame.

    Raises:
        NotFoundError: The task has no such frame.
    """
    frame = store.one("SELECT * FROM frames WHERE task_id = ? AND number = ?", task_id, number)
    if frame is None:
        raise NotFoundError("Frame")
    return Response(read(store, frame), media_type=media_type(frame["name"]))


def preview(store: Store, task_id: int) -> Response:
    """Answer with a small picture of a task's first frame."""
    from PIL import Image, UnidentifiedImageError

    frame = store.one("SELECT * FROM frames WHERE task_id = ? AND number = 0", task_id)
    if frame is None:
        raise NotFoundError("Preview")
    picture = io.BytesIO()
    try:
        with Image.open(io.BytesIO(read(store, frame))) as opened:
            opened.thumbnail((256, 256))
            opened.convert("RGB").save(picture, "JPEG")
    except (UnidentifiedImageError, OSError):
        raise ServerError from None
    return Response(picture.getvalue(), media_type="image/jpeg")


def _chunk(store: Store, task_id: int, number: int) -> Response:
    rows = store.all(
        "SELECT * FROM frames WHERE task_id = ? AND number >= ? AND number < ? ORDER BY number",
        task_id,
        number * CHUNK_SIZE,
        (number + 1) * CHUNK_SIZE,
    )
    if not rows:
        raise NotFoundError("Chunk")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for place, frame in enumerate(rows):
            suffix = Path(frame["name"]).suffix.lower() or ".jpeg"
            archive.writestr(f"{place:06d}{suffix}", read(store, frame))
    return Response(buffer.getvalue(), media_type="application/zip")


def data(call: Call, task_id: int) -> Response:
    """Answer a request for a task's or job's data: ``type`` is frame, chunk or preview."""
    store = call.state.store
    kind = call.query.get("type")
    if kind == "preview":
        return preview(store, task_id)
    if kind not in ("frame", "chunk"):
        raise ApiError(400, ["Data type not specified or not supported"])
    number = call.number("number", call.number("index"))
    if number is None:
        raise ApiError(400, ["Number should be specified"])
    return image(store, task_id, number) if kind == "frame" else _chunk(store, task_id, number)


def meta(store: Store, task: Row) -> dict[str, Any]:
    """Return what the API tells about a task's frames."""
    rows = of_task(store, task["id"])
    return {
        "chapters": None,
        "chunks_updated_date": task["updated"],
        "chunk_size": CHUNK_SIZE,
        "size": len(rows),
        "image_quality": task["image_quality"],
        "start_frame": 0,
        "stop_frame": max(len(rows) - 1, 0),
        "frame_filter": "",
        "frames": [
            {
                "width": row["width"],
                "height": row["height"],
                "name": row["name"],
                "related_files": 0,
                "has_related_context": False,
            }
            for row in rows
        ],
        "deleted_frames": json.loads(task["deleted_frames"]),
        "included_frames": None,
        "storage": "local",
        "cloud_storage_id": None,
    }
