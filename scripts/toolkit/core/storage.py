"""Addresses in object storage, such as s3://bucket/dataset, with as much of a path's ways as the toolkit needs.

fsspec and the libraries of the clouds come in when an address is used. Credentials are theirs: from the environment, or
from the files of the cloud's own tools. Nothing of the data touches the local disk.
"""

import importlib
import io
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import IO, Any, BinaryIO, ParamSpec, TypeVar
from urllib.parse import unquote

from toolkit.core.errors import ToolkitError, UsageError
from toolkit.core.files import RangedFile, resolve, write_atomically
from toolkit.core.secrets import redact, remember
from toolkit.core.text import printable

STORAGE = "requirements-storage.txt"


def import_extra(name: str, needed_by: str) -> ModuleType:
    """Import a library of :data:`STORAGE`; the ToolkitError says what needs it where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ToolkitError(
            f"{needed_by} needs {error.name or name}, which is not installed: run make storage "
            f"(pip install --no-deps --require-hashes -r {STORAGE})"
        ) from None


SCHEMES = ("s3", "gs", "az")
_MARK = "://"
_UPLOAD_PART = 16 * 1024**2
"""Bytes that are sent at once; what is shorter is sent whole. S3 takes 10,000 of them for an object."""
_READ_PART = 1024**2
_SECRETS = (
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_CONNECTION_STRING",
    "AZURE_STORAGE_SAS_TOKEN",
    "AZURE_CLIENT_SECRET",
)

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")


def is_address(text: str) -> bool:
    """Tell whether something typed is an address instead of a path."""
    return _MARK in text


def _said(method: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
    """Have a method of an address raise errors in our words."""

    @wraps(method)
    def call(*arguments: _Parameters.args, **options: _Parameters.kwargs) -> _Result:
        with _errors(arguments[0]):
            return method(*arguments, **options)

    return call


@contextmanager
def _errors(address: object) -> Iterator[None]:
    try:
        yield
    except (ToolkitError, FileNotFoundError):
        raise
    except PermissionError:
        raise ToolkitError(
            f"{address}: access denied: look at the rights, and at the credentials of the cloud's own tools"
        ) from None
    except Exception as error:  # each library has a family of its own
        name = type(error).__name__
        if "Credential" in name:
            raise ToolkitError(
                f"{address}: no credentials that can be used ({name}): give them as the cloud's own tools take them"
            ) from None
        text = redact(" ".join(str(error).split()), _secrets())[:300]
        raise ToolkitError(f"{address}: {printable(text) or name} ({name})") from None


def _secrets() -> tuple[str, ...]:
    return tuple(os.environ[name] for name in _SECRETS if os.environ.get(name))


_systems: dict[tuple[int, str], Any] = {}
_lock = threading.Lock()


def _system(scheme: str) -> Any:
    """Give this process' file system of a scheme; a forked process needs one of its own."""
    with _lock:
        key = os.getpid(), scheme
        if key not in _systems:
            remember(*_secrets())
            fsspec: Any = import_extra("fsspec", f"{scheme}{_MARK}")
            logging.getLogger("gcsfs").setLevel(logging.CRITICAL)  # it warns of what it then does otherwise
            try:
                _systems[key] = fsspec.filesystem(scheme, use_listings_cache=False)
            except ImportError as error:
                import_extra(error.name or "fsspec", f"{scheme}{_MARK}")
                raise
        return _systems[key]


os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


class Address:
    """An object, or all whose names begin with its name and a slash."""

    def __init__(self, scheme: str, key: str) -> None:
        self.scheme = scheme
        self.key = key

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Read an address; the UsageError of one that cannot be used does not show what stands before an @ in it."""
        scheme, _, rest = text.partition(_MARK)
        shown = printable(f"{scheme[:20]}{_MARK}{rest.rpartition('@')[2]}")
        if scheme not in SCHEMES:
            known = ", ".join(f"{name}{_MARK}" for name in SCHEMES)
            raise UsageError(f"{shown} is no address that is known here: {known} are, or name a file of this machine")
        if "@" in rest.partition("/")[0]:
            raise UsageError(f"{shown}: credentials do not belong into an address: give them to the cloud's own tools")
        parts = rest.rstrip("/").split("/")
        if not all(parts) or {".", ".."} & {unquote(part) for part in parts} or not rest.isprintable():
            raise UsageError(f"{shown} is no address of an object: write it as {scheme}{_MARK}bucket/folder")
        return cls(scheme, "/".join(parts))

    def __str__(self) -> str:
        return f"{self.scheme}{_MARK}{self.key}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Address) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    def __truediv__(self, name: str) -> "Address":
        return Address(self.scheme, f"{self.key}/{name}")

    def with_suffix(self, suffix: str) -> "Address":
        """Give what has another extension."""
        return Address(self.scheme, str(PurePosixPath(self.key).with_suffix(suffix)))

    @property
    def name(self) -> str:
        """The last part of its name."""
        return self.key.rpartition("/")[2]

    @_said
    def size(self) -> int | None:
        """Tell its bytes; None if there is no such object."""
        try:
            found = _system(self.scheme).info(self.key)
        except FileNotFoundError:
            return None
        return int(found["size"]) if found["type"] == "file" else None

    def is_file(self) -> bool:
        """Tell whether there is such an object."""
        return self.size() is not None

    @_said
    def is_dir(self) -> bool:
        """Tell whether objects lie below it."""
        return bool(_system(self.scheme).isdir(self.key))

    @_said
    def version(self) -> str:
        """Tell what becomes another when the object is written again; raises FileNotFoundError where there is none."""
        found = _system(self.scheme).info(self.key)
        known = ("ETag", "etag", "generation", "LastModified", "last_modified")
        return f"{found['size']} {next((found[name] for name in known if found.get(name)), '')}"

    @_said
    def names(self) -> set[str]:
        """Name what lies directly below it; none if nothing does."""
        try:
            found = _system(self.scheme).ls(self.key, detail=False)
        except FileNotFoundError:
            return set()
        return {name.rstrip("/").rpartition("/")[2] for name in found}

    @_said
    def files(self) -> dict[str, int]:
        """Find all objects below it: bytes by relative name."""
        found = _system(self.scheme).find(self.key, detail=True)
        return {
            name[len(self.key) + 1 :]: int(entry["size"])
            for name, entry in found.items()
            if name.startswith(f"{self.key}/") and not name.endswith("/")
        }

    @_said
    def matches(self) -> "list[Address]":
        """Find the objects that it means as a pattern."""
        return [Address(self.scheme, name) for name in sorted(_system(self.scheme).glob(self.key))]

    @_said
    def read(self, start: int, length: int) -> bytes:
        """Read ``length`` bytes from ``start`` on; raises FileNotFoundError where there is no such object."""
        if not length:
            return b""
        content: bytes = _system(self.scheme).cat_file(self.key, start=start, end=start + length)
        return content

    @_said
    def read_bytes(self) -> bytes:
        """Read all of it; raises FileNotFoundError where there is no such object."""
        content: bytes = _system(self.scheme).cat_file(self.key)
        return content

    def read_text(self, encoding: str) -> str:
        """Read all of it as text; see :meth:`read_bytes`."""
        return self.read_bytes().decode(encoding)

    def open(self, mode: str = "rb") -> IO[bytes]:
        """Open it to read from, at any place; raises FileNotFoundError where there is no such object."""
        if (size := self.size()) is None:
            raise FileNotFoundError(str(self))
        return io.BufferedReader(RangedFile(self.read, size), _READ_PART)

    @contextmanager
    def create(self) -> Iterator[BinaryIO]:
        """Write it; it is there when the block has ended, and not at all if that fails."""
        with self._written():
            stream: Any = _system(self.scheme).open(self.key, "wb", block_size=_UPLOAD_PART)
        stream.write = self._written()(stream.write)  # what else fails in the block is not the storage's doing
        try:
            yield stream
            self._written()(stream.close)()
        except BaseException:
            with suppress(Exception):
                stream.discard()
            stream.closed = True  # or the garbage collection would send what there is
            raise

    def write_bytes(self, content: bytes) -> None:
        """Write it in one go."""
        with self._written():
            _system(self.scheme).pipe_file(self.key, content)

    @contextmanager
    def _written(self) -> Iterator[None]:
        with _errors(self):
            try:
                yield
            except FileNotFoundError:
                raise ToolkitError(f"{self}: there is no such bucket: make it with the cloud's own tools") from None

    @_said
    def rename(self, target: "Address") -> None:
        """Give it another name; object storage copies it, without it travelling."""
        _system(self.scheme).mv(self.key, target.key)

    @_said
    def unlink(self, missing_ok: bool = False) -> None:
        """Remove it."""
        try:
            _system(self.scheme).rm_file(self.key)
        except FileNotFoundError:
            if not missing_ok:
                raise

    @_said
    def remove(self, names: Mapping[str, object]) -> None:
        """Remove objects below it."""
        if names:
            _system(self.scheme).rm([f"{self.key}/{name}" for name in names])


Place = Path | Address
"""Where something is: on this machine, or in object storage."""


def size_of(place: Place) -> int | None:
    """Tell the bytes of a file or object; None if there is none."""
    if isinstance(place, Address):
        return place.size()
    return place.stat().st_size if place.is_file() else None


def write(place: Place, text: str) -> None:
    """Write a small text whole or not at all."""
    if isinstance(place, Address):
        place.write_bytes(text.encode("utf-8"))
    else:
        write_atomically(place, text)


def locate(given: str | os.PathLike[str], folder: Path | None = None) -> Place:
    """Read what was typed: an address or a path; with a folder as :func:`toolkit.core.files.resolve` reads it."""
    text = os.fspath(given)
    if is_address(text):
        return Address.parse(text)
    return Path(text) if folder is None else resolve(text, folder)


def local(place: Place, needed_by: str) -> Path:
    """Check that something is on this machine; raises UsageError where it is an address."""
    if isinstance(place, Address):
        raise UsageError(f"{place} is an address, but {needed_by} takes files and folders of this machine alone")
    return place
