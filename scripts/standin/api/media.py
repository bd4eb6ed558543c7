"""From uploaded files to the frames of a task, as CVAT's import worker does it."""

import io
import mimetypes
import re
import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from standin.api import frames, storages
from standin.data.background import Result
from standin.data.state import Bucket
from standin.data.store import Row, Store, now

# What CVAT leaves out of an archive without a word.
IGNORED_PARTS = ("__MSOSX", "._.DS_Store", "__MACOSX", ".DS_Store")
MAX_IMAGE_BYTES = 2**30
DEFAULT_SEGMENT = 0


@dataclass(frozen=True)
class ImageSource:
    """An image that was uploaded: the frame name it gets and where its bytes are."""

    name: str
    read: Callable[[], bytes]


class MediaError(ValueError):
    """The uploaded files make no task."""


MediaError.__module__ = "builtins"
MediaError.__qualname__ = MediaError.__name__ = "ValueError"


@dataclass(frozen=True)
class StoredFiles:
    """What a task takes from a bucket: objects, and folders with a slash at their end."""

    bucket: Bucket
    names: list[str]

    def sources(self) -> list[ImageSource]:
        """Find the images; a key that is not there fails when it is read."""
        keys = list(storages.keys(self.bucket)) if any(name.endswith("/") for name in self.names) else []
        named = [name for name in self.names if not name.endswith("/")]
        named += [key for key in keys for name in self.names if name.endswith("/") and key.startswith(name)]
        return [ImageSource(key, (self.bucket.folder / key).read_bytes) for key in named if _kind(key) == "image"]


def import_frames(store: Store, task: Row, options: dict[str, Any], stored: StoredFiles | None = None) -> Result:
    """Make the uploaded files of a task, or those in a bucket, its frames, and its jobs.

    Args:
        store: Where the task is.
        task: The task, without data so far.
        options: What came with the end of the upload (``sorting_method``, ``start_frame`` …).
        stored: What is taken from a bucket, None for what was uploaded.

    Raises:
        Exception: A file is no image, or there is none; the message is what a CVAT reports.
    """
    folder = store.upload_folder(task["id"])
    with _sources(folder) if stored is None else nullcontext(stored.sources()) as found:
        sources = _chosen(_sorted(found, options), options)
        if not sources:
            raise MediaError("No media data found")
        rows = _pack(store, task["id"], sources)
    with store.transaction() as connection:
        connection.executemany("INSERT INTO frames VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
        _add_jobs(store, task, len(rows))
        store.update("tasks", task["id"], size=len(rows), image_quality=int(options.get("image_quality") or 70))
        store.touch_task(task["id"])
    shutil.rmtree(folder, ignore_errors=True)
    return Result()


def _add_jobs(store: Store, task: Row, size: int) -> None:
    step = task["segment_size"] or size
    for start in range(0, size, step):
        stop = min(start + step, size) - 1
        store.insert("jobs", task_id=task["id"], start=start, stop=stop, created=now(), updated=now())


@contextmanager
def _sources(folder: Path) -> Iterator[list[ImageSource]]:
    files = sorted(folder.iterdir())
    archives = [file for file in files if _kind(file.name) == "archive"]
    images = [file for file in files if _kind(file.name) == "image"]
    if len(archives) > 1 or (archives and images):
        raise MediaError(
            "Only one archive or many images can be used simultaneously, "
            f"but {len(archives)} archive(s), {len(images)} image(s) found."
        )
    if not archives:
        yield [ImageSource(file.name, file.read_bytes) for file in images]
        return
    with zipfile.ZipFile(archives[0]) as archive:
        yield [
            ImageSource(member.filename, lambda member=member: _member(archive, member))  # type: ignore[misc]
            for member in archive.infolist()
            if not member.is_dir()
            and not any(part in member.filename for part in IGNORED_PARTS)
            and _kind(member.filename) == "image"
        ]


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    if member.file_size > MAX_IMAGE_BYTES:
        raise MediaError(f"{member.filename} is larger than {MAX_IMAGE_BYTES} bytes")
    return archive.read(member)


def _kind(name: str) -> str:
    guess = mimetypes.guess_type(name)[0] or ""
    if guess in ("application/zip", "application/x-zip-compressed"):
        return "archive"
    return "image" if guess.startswith("image/") and guess != "image/svg+xml" else "other"


def _sorted(sources: list[ImageSource], options: dict[str, Any]) -> list[ImageSource]:
    method = str(options.get("sorting_method") or "lexicographical").lower()
    if method == "natural":
        return sorted(sources, key=lambda source: _natural(source.name))
    if method == "predefined":
        order = {name: place for place, name in enumerate(options.get("upload_file_order") or [])}
        return sorted(sources, key=lambda source: order.get(source.name, len(order)))
    return sorted(sources, key=lambda source: source.name)


def _natural(name: str) -> list[tuple[bool, int, str]]:
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in re.split(r"(\d+)", name)]


def _chosen(sources: list[ImageSource], options: dict[str, Any]) -> list[ImageSource]:
    start = int(options.get("start_frame") or 0)
    stop = options.get("stop_frame")
    step = re.fullmatch(r"step\s*=\s*([1-9]\d*)", str(options.get("frame_filter") or "").strip())
    end = len(sources) if stop is None else int(stop) + 1
    return sources[start : end : int(step[1]) if step else 1]


def _pack(store: Store, task_id: int, sources: list[ImageSource]) -> list[tuple[Any, ...]]:
    """Write all images behind each other into one file and return their rows."""
    target = frames.file_of(store, task_id)
    part = target.with_suffix(".part")
    try:
        with part.open("wb") as stream:
            rows = [_add(stream, task_id, number, source) for number, source in enumerate(sources)]
        part.rename(target)
    finally:
        part.unlink(missing_ok=True)
    return rows


def _add(stream: BinaryIO, task_id: int, number: int, source: ImageSource) -> tuple[Any, ...]:
    path = f"/home/django/data/data/{task_id}/raw/{source.name}"
    try:
        content = source.read()
    except (zipfile.BadZipFile, zlib.error) as error:
        raise MediaError(f"{path}: {error}") from error
    width, height = _dimensions(content, path)
    position = stream.tell()
    stream.write(content)
    return task_id, number, source.name, width, height, position, len(content)


def _dimensions(content: bytes, path: str) -> tuple[int, int]:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(content)) as picture:
            if picture.format == "JPEG" and b"\xff\xd9" not in content[-4096:]:
                picture.load()  # a JPEG without its end: let Pillow say what a CVAT's worker says
            width, height = picture.size
            turned = picture.getexif().get(0x0112, 1) >= 5
    except UnidentifiedImageError:
        raise UnidentifiedImageError(f"cannot identify image file {path!r}") from None
    return (height, width) if turned else (width, height)
