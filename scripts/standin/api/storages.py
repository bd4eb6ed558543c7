"""Cloud storages: folders in the place of buckets, as `--bucket` names them; the API makes none."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response
from starlette.routing import Route

from standin.api.web import Call, answer, paged, resource
from standin.data.state import Bucket
from standin.errors import NotFoundError

LARGEST_PAGE = 500


def bucket_of(call: Call, number: int) -> Bucket | None:
    """Return a storage's bucket, None if there is no such storage."""
    buckets = call.state.options.buckets
    return buckets[number - 1] if 0 < number <= len(buckets) else None


def keys(bucket: Bucket) -> Iterator[str]:
    """List the keys of a bucket in the order in which S3 lists them."""
    found = (path for path in bucket.folder.rglob("*") if path.is_file())
    yield from sorted((path.relative_to(bucket.folder).as_posix() for path in found), key=lambda key: key.encode())


def _show(call: Call, number: int, bucket: Bucket) -> dict[str, Any]:
    region = {"region": "us-east-1"} | ({"prefix": bucket.prefix} if bucket.prefix else {})
    return {
        "id": number,
        "display_name": bucket.name,
        "owner": None,
        "manifests": [],
        "provider_type": "AWS_S3_BUCKET",
        "resource": bucket.name,
        "credentials_type": "ANONYMOUS_ACCESS",
        "specific_attributes": urlencode(region),
        "description": "",
        "organization": None,
    }


def _list(call: Call) -> dict[str, Any]:
    rows = list(enumerate(call.state.options.buckets, start=1))[::-1]
    return paged(call, rows, lambda row: _show(call, *row))


def _retrieve(call: Call) -> dict[str, Any]:
    bucket = bucket_of(call, call.params["id"])
    if bucket is None:
        raise NotFoundError("CloudStorage")
    return _show(call, call.params["id"], bucket)


def _content(call: Call) -> Response | dict[str, Any]:
    bucket = bucket_of(call, call.params["id"])
    if bucket is None or not bucket.folder.is_dir():
        return answer("An internal error has occurred", 500)  # CVAT's own word for a storage that is not there, too
    prefix = call.query.get("prefix", "").removeprefix("/")
    size = call.query.get("page_size", str(LARGEST_PAGE))
    if not size.isnumeric():
        return Response("Wrong value for page_size was found", 400)
    if prefix and bucket.prefix and not (bucket.prefix.startswith(prefix) or prefix.startswith(bucket.prefix)):
        return {"next": None, "content": []}
    if bucket.prefix.startswith(prefix) and prefix != bucket.prefix:
        if prefix and "/" in bucket.prefix[len(prefix) :]:
            return {"next": None, "content": [_entry(bucket.prefix[len(prefix) :].split("/")[0], "DIR")]}
        prefix = bucket.prefix
    entries: dict[str, str] = {}
    for key in keys(bucket):
        if key.startswith(prefix):
            own, slash, _ = key[len(prefix) :].partition("/")
            entries[prefix + own + slash] = "DIR" if slash else "REG"
    start = int(call.query.get("next_token") or 0)
    page = list(entries.items())[start : start + min(int(size), LARGEST_PAGE)]
    end = start + len(page)
    shown = [_entry(name.strip("/")[prefix.rfind("/") + 1 :], kind) for name, kind in page]
    return {
        "next": str(end) if end < len(entries) else None,
        "content": sorted(shown, key=lambda entry: entry["type"]),
    }


def _entry(name: str, kind: str) -> dict[str, str]:
    return {"name": name, "type": kind, "mime_type": "DIR" if kind == "DIR" else _mime_type(name)}


def _mime_type(name: str) -> str:
    return "image" if Path(name).suffix.lower() in (".jpg", ".jpeg", ".png", ".bmp", ".gif") else "unknown"


def routes() -> list[Route]:
    """Return the routes of this module."""
    return [
        resource("/api/cloudstorages", GET=_list),
        resource("/api/cloudstorages/{id:int}", GET=_retrieve),
        resource("/api/cloudstorages/{id:int}/content-v2", GET=_content),
    ]
