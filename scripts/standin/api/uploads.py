"""Uploads as CVAT takes them: many files in one request, or one file in parts (TUS)."""

import base64
import binascii
import shutil
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import uuid4

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException
from starlette.responses import Response

from standin.api.web import Call
from standin.data.store import Row
from standin.errors import ApiError, NotFoundError, ServerError

MAX_SIZE = 26_843_545_600
"""25 GiB, CVAT's cap for one file."""

TUS_HEADERS = {
    "tus-resumable": "1.0.0",
    "tus-version": "1.0.0",
    "tus-extension": "",
    "tus-max-size": str(MAX_SIZE),
}
COPY_SIZE = 2**20


def base_name(name: str) -> str:
    """Return what CVAT keeps of a client's path: its last part.

    Raises:
        ApiError: Nothing is left that could name a file.
    """
    last = PurePosixPath(name.replace("\\", "/")).name
    if last in ("", ".", "..") or "\0" in last:
        raise ApiError(400, [f"File name {name} is not allowed"])
    return last


def create(call: Call, target: str) -> Response:
    """Begin an upload in parts.

    Args:
        call: The request with Upload-Length and Upload-Metadata.
        target: The path of the resource that the file is for.

    Raises:
        ApiError: It is too large (413), a file of this name has come already (409), or its headers make no sense
            (400).
    """
    try:
        length = int(call.request.headers["upload-length"])
        filename = _metadata(call.request.headers.get("upload-metadata", ""))["filename"]
    except (KeyError, ValueError, binascii.Error):
        raise ApiError(400, ["Upload-Length and a filename in Upload-Metadata are needed"]) from None
    if not 0 <= length <= MAX_SIZE:
        raise ApiError(413, f"File size exceeds max limit of {MAX_SIZE} bytes")
    if target.endswith("/data") and (_task_folder(call, target) / base_name(filename)).exists():
        raise ApiError(409, "File with same name already exists", TUS_HEADERS)
    upload_id = f"{call.owner['id']}_{uuid4()}"
    (call.state.store.scratch_folder("uploads") / upload_id).touch()
    call.state.store.insert(
        "uploads",
        id=upload_id,
        user_id=call.owner["id"],
        target=target,
        file=base_name(filename),
        length=length,
    )
    headers = {**TUS_HEADERS, "location": call.url(f"{target}/{upload_id}")}
    # A task's data keeps its name; other files are found again by the upload's id.
    headers["upload-filename"] = base_name(filename) if target.endswith("/data") else upload_id
    return Response(status_code=201, headers=headers)


def _metadata(header: str) -> dict[str, str]:
    pairs = (item.strip().partition(" ") for item in header.split(",") if item.strip())
    return {name: base64.b64decode(value, validate=True).decode() for name, _, value in pairs}


def _under_way(call: Call, target: str) -> Row:
    upload = call.state.store.one(
        "SELECT * FROM uploads WHERE id = ? AND target = ? AND user_id = ?",
        call.params["upload"],
        target,
        call.owner["id"],
    )
    if upload is None:
        raise NotFoundError("Upload")
    return upload


def offset(call: Call, target: str) -> Response:
    """Tell how much of an upload has arrived."""
    upload = _under_way(call, target)
    return Response(
        headers={
            **TUS_HEADERS,
            "upload-offset": str(upload["received"]),
            "upload-length": str(upload["length"]),
            "cache-control": "no-store",
        }
    )


async def append(call: Call, target: str) -> Response:
    """Take the next part of an upload; a part that breaks off is as if it had never been sent.

    Raises:
        ApiError: It does not begin where the last part ended (409), or is longer than announced (413).
    """
    upload = await run_in_threadpool(_under_way, call, target)
    headers = {**TUS_HEADERS, "upload-offset": str(upload["received"])}
    if call.request.headers.get("upload-offset") != str(upload["received"]):
        raise ApiError(409, None, headers)
    received = upload["received"]
    file = call.state.store.scratch_folder("uploads") / upload["id"]
    with file.open("r+b") as stream:
        stream.seek(received)
        async for part in call.request.stream():
            received += len(part)
            if received > upload["length"]:
                raise ApiError(413, None, headers)
            await run_in_threadpool(stream.write, part)
    await run_in_threadpool(call.state.store.update, "uploads", upload["id"], received=received)
    if received == upload["length"] and target.endswith("/data"):
        await run_in_threadpool(_hand_over, call, upload, _task_folder(call, target) / upload["file"])
    return Response(status_code=204, headers={**TUS_HEADERS, "upload-offset": str(received)})


def _task_folder(call: Call, target: str) -> Path:
    return call.state.store.upload_folder(int(target.split("/")[3]))


def _hand_over(call: Call, upload: Row, target: Path) -> None:
    if target.exists():  # two uploads of one name at once: the second meets the database's constraint
        raise ServerError
    (call.state.store.scratch_folder("uploads") / upload["id"]).rename(target)


def taken(call: Call, target: str) -> Path:
    """Return the file of a finished upload that the query's ``filename`` names.

    Raises:
        ApiError: There is none, or parts of it are missing.
    """
    call.params["upload"] = call.query.get("filename", "")
    try:
        upload = _under_way(call, target)
    except NotFoundError:
        raise ApiError(400, ["No such file were uploaded"]) from None
    if upload["received"] != upload["length"]:
        raise ApiError(400, ["The upload is not complete"])
    return call.state.store.scratch_folder("uploads") / str(upload["id"])


async def save_form(call: Call, folder: Path) -> dict[str, Any]:
    """Save the files of a multipart request under their base names and return its other fields.

    Raises:
        ServerError: Two files have one base name, in this request or an earlier one of the upload.
    """
    try:
        form = await call.request.form(max_files=100_000, max_fields=100_000)
    except MultiPartException as error:
        raise ApiError(400, {"detail": f"Multipart form parse error - {error}"}) from None
    fields: dict[str, Any] = {}
    try:
        for name, value in form.multi_items():
            if not isinstance(value, UploadFile):
                fields[name] = value
            elif name.startswith("client_files"):
                await run_in_threadpool(_save, value, folder / base_name(value.filename or ""))
    finally:
        await form.close()
    return fields


def _save(upload: UploadFile, target: Path) -> None:
    try:
        with target.open("xb") as stream:
            shutil.copyfileobj(upload.file, stream, COPY_SIZE)
    except FileExistsError:
        raise ServerError from None


def is_form(call: Call) -> bool:
    """Tell whether a request carries files in a form."""
    return call.request.headers.get("content-type", "").startswith("multipart/form-data")
