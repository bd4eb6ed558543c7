"""Export archives: stored, files only, bytes as they were uploaded."""

import posixpath
import time
import zipfile
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from standin.api import frames
from standin.data.store import Store
from standin.exports.dataset import Item

Contents = dict[str, "Item | bytes"]
"""What goes under which name."""


class _Frames:
    """Reads images out of the tasks' files, keeping the last one open."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._task_id: int | None = None
        self._stream: BinaryIO | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._stream:
            self._stream.close()

    def read(self, item: Item) -> bytes:
        if self._stream is None or item.task_id != self._task_id:
            if self._stream:
                self._stream.close()
            self._stream = frames.file_of(self._store, item.task_id).open("rb")
            self._task_id = item.task_id
        self._stream.seek(item.frame["position"])
        return self._stream.read(item.frame["size"])


def write(store: Store, contents: Contents, target: Path) -> None:
    """Write an export's archive.

    Args:
        store: Where the images are.
        contents: Images and texts by their names in the archive.
        target: The file to write; appears when it is complete.
    """
    part = target.with_suffix(".part")
    moment = time.gmtime()[:6]
    try:
        with zipfile.ZipFile(part, "w") as archive, _Frames(store) as images:
            for name, content in contents.items():
                member = zipfile.ZipInfo(name, moment)
                member.external_attr = 0o100644 << 16
                archive.writestr(member, content if isinstance(content, bytes) else images.read(content))
        part.rename(target)
    finally:
        part.unlink(missing_ok=True)


def placed(pairs: Iterable[tuple[str, Item]]) -> Contents:
    """Return images under their paths; of two with one path the later replaces the earlier, as on a disk.

    A path that would leave the archive's top is left out.
    """
    contents: Contents = {}
    for path, item in pairs:
        plain = posixpath.normpath(path.lstrip("/"))
        if not plain.startswith("../"):
            contents[plain] = item
    return contents
