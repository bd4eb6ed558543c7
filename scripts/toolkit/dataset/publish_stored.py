"""Publishing a dataset in object storage, where nothing can be renamed and nothing locked.

What says that there is a dataset, ``manifest.json``, is removed first and written last. An object ``.converting`` tells
that a conversion is at work, or was killed: the next one clears up what it had begun, and ``verify`` says so.
"""

import json
import secrets
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import BinaryIO

from toolkit.core.errors import ToolkitError
from toolkit.core.storage import Address
from toolkit.dataset.layout import CLASSES, INDEX_TABLE, LABELS, MANIFEST, SPECIFIED, entries_of
from toolkit.dataset.manifest import recorded_parts

_MARK = ".converting"
_TELLING = (MANIFEST, LABELS, INDEX_TABLE, CLASSES)
"""What is removed first, so that nothing looks whole that is not."""


def is_unfinished(target: Address) -> bool:
    """Tell whether a conversion is at work there, or was killed."""
    return (target / _MARK).is_file()


def stored_dataset_in(target: Address) -> list[str]:
    """Name what makes an address one with a dataset."""
    if is_unfinished(target):
        return []
    there = target.names()
    return [name for name in dict.fromkeys((*SPECIFIED, INDEX_TABLE, MANIFEST)) if name in there]


def check_stored_target(target: Address, overwrite: bool, parts: Iterable[str]) -> None:
    """Check that a dataset may be written to an address.

    Raises:
        ToolkitError: There is a dataset already, or an object that is in the way.
    """
    if target.is_file():
        raise ToolkitError(f"{target} is an object: name a prefix for the dataset (--output-dir)")
    there = stored_dataset_in(target)
    if there and not overwrite:
        raise ToolkitError(
            f"{target} already contains a dataset ({', '.join(there)}): "
            "remove it, set another address, or replace it with --overwrite"
        )
    replaced = {*SPECIFIED, *recorded_parts(target / MANIFEST), *_begun(target)}
    if in_the_way := sorted((target.names() & set(parts)) - replaced):
        raise ToolkitError(f"{target / in_the_way[0]} is in the way: move it away or set another address")


def _begun(target: Address) -> list[str]:
    """Name what a killed conversion may have written."""
    try:
        return entries_of(json.loads((target / _MARK).read_bytes())["parts"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return []


class StoredPublisher:
    """The way of one conversion to an address; see :class:`toolkit.dataset.publish.DatasetPublisher`."""

    def __init__(self, target: Address, overwrite: bool, parts: Iterable[str]) -> None:
        self._target = target
        self._overwrite = overwrite
        self._parts = list(parts)
        self._note = json.dumps({"id": secrets.token_hex(16), "parts": self._parts}).encode()
        self._written: dict[str, None] = {}
        self._lock = threading.Lock()
        self._is_done = False

    def __enter__(self) -> "StoredPublisher":
        target = self._target
        check_stored_target(target, self._overwrite, entries_of(self._parts))
        old = {*recorded_parts(target / MANIFEST), *_begun(target)}
        (target / _MARK).write_bytes(self._note)
        there = {name: size for name, size in target.files().items() if name.partition("/")[0] in old}
        target.remove({name: 0 for name in _TELLING if name in there})
        target.remove({name: 0 for name in there if name not in _TELLING})
        return self

    @contextmanager
    def create(self, path: str) -> Iterator[BinaryIO]:
        """Write a new file of the dataset."""
        with self._lock:
            self._written[path] = None
        with (self._target / path).create() as stream:
            yield stream

    def write(self, path: str, content: bytes) -> None:
        """Write a new file of the dataset in one go."""
        with self._lock:
            self._written[path] = None
        (self._target / path).write_bytes(content)

    def publish(self) -> None:
        """Let what was written be the dataset.

        Raises:
            ToolkitError: Meanwhile another conversion began there.
        """
        self._check_alone()
        self._target.remove({_MARK: 0})
        self._is_done = True

    def _check_alone(self) -> None:
        with suppress(FileNotFoundError):
            if (self._target / _MARK).read_bytes() == self._note:
                return
        raise ToolkitError(f"another conversion into {self._target} began meanwhile: run one again, alone")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_done:
            return
        with suppress(ToolkitError, FileNotFoundError):  # it is the storage that fails, perhaps; the mark stays
            self._check_alone()
            there = self._target.files()
            self._target.remove({name: 0 for name in self._written if name in there})
            self._target.remove({_MARK: 0})
