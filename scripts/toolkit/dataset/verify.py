"""A dataset against its manifest: what is missing, what is there too much, what has changed."""

import hashlib
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from toolkit.core.errors import UsageError
from toolkit.dataset import labels
from toolkit.dataset.layout import EXPORTED, LABELS, MANIFEST, SIDES
from toolkit.dataset.manifest import Manifest, read

_READ_SIZE = 1024 * 1024
_MOST_THREADS = 8
_POLL_SECONDS = 0.05


class Kind(StrEnum):
    """What is wrong with a path."""

    MISSING = "missing"
    EXTRA = "extra"
    CHANGED = "changed"


class Problem(NamedTuple):
    """A difference between a dataset and its manifest.

    Attributes:
        kind: What is wrong.
        path: Below the dataset's folder; that of a folder ends with a slash.
        detail: More about it, or nothing.
    """

    kind: Kind
    path: str
    detail: str = ""


class Verdict(NamedTuple):
    """The result of a verification.

    Attributes:
        manifest: What the dataset should be.
        problems: All differences, by path.
        files: How many files the manifest tells of.
        hashed_bytes: How many bytes were hashed; what hard links share is hashed once.
    """

    manifest: Manifest
    problems: list[Problem]
    files: int
    hashed_bytes: int


class _Expected(NamedTuple):
    path: str
    size: int
    sha256: str


def verify(dataset: Path, on_percent: Callable[[], None] = lambda: None) -> Verdict:
    """Compare a dataset with its manifest; what else lies in the same folder is nobody's business.

    Args:
        dataset: The folder.
        on_percent: Called for every hundredth of the hashing.

    Returns:
        The verdict.

    Raises:
        UsageError: There is no such folder.
        ToolkitError: It has no manifest, or one that cannot be read.
    """
    if not dataset.is_dir():
        raise UsageError(f"{dataset} is not a folder: name the folder of the dataset (--dataset-dir)")
    manifest = read(dataset / MANIFEST)
    files = {expected.path: expected for expected in _expected_files(manifest)}
    count = len(files)
    folders = _expected_folders(manifest, files)
    problems = list(_label_problems(dataset, manifest))
    to_hash: dict[tuple[int, int], list[_Expected]] = {}
    for path, entry in _walk(dataset):
        if entry.is_dir(follow_symlinks=False):
            if path not in folders:
                problems.append(Problem(Kind.EXTRA, f"{path}/"))
            folders.discard(path)
        elif (expected := files.pop(path, None)) is None:
            problems.append(Problem(Kind.EXTRA, path))
        elif (detail := _visible_difference(entry, expected)) is not None:
            problems.append(Problem(Kind.CHANGED, path, detail))
        else:
            status = entry.stat(follow_symlinks=False)
            to_hash.setdefault((status.st_dev, status.st_ino), []).append(expected)
    problems.extend(Problem(Kind.MISSING, path) for path in files)
    problems.extend(Problem(Kind.MISSING, f"{path}/") for path in folders)
    problems.extend(_Hashing(dataset, to_hash).finish(on_percent))
    hashed = sum(group[0].size for group in to_hash.values())
    return Verdict(manifest, sorted(problems, key=lambda problem: problem.path), count + 1, hashed)


def _expected_files(manifest: Manifest) -> Iterator[_Expected]:
    for image in manifest.images:
        yield _Expected(image.path, image.size, image.sha256)
        yield _Expected(image.exported_path, image.size, image.sha256)
    for record in manifest.left_out:
        yield _Expected(record.path, record.size, record.sha256)


def _expected_folders(manifest: Manifest, files: Iterable[str]) -> set[str]:
    folders = {EXPORTED, *SIDES, *manifest.folders}
    folders.update(f"{side}/{name}" for side in SIDES for name in manifest.labels)
    folders.update({path.rpartition("/")[0] for path in files})
    for folder in tuple(folders):
        while folder := folder.rpartition("/")[0]:
            folders.add(folder)
    return folders


def _label_problems(dataset: Path, manifest: Manifest) -> Iterator[Problem]:
    path = dataset / LABELS
    if path.is_symlink() or not path.is_file():
        yield Problem(Kind.CHANGED if os.path.lexists(path) else Kind.MISSING, LABELS)
    elif path.read_bytes() != labels.as_json(manifest.labels).encode():
        yield Problem(Kind.CHANGED, LABELS, "has other names or ids than the manifest")


def _walk(dataset: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    waiting = [name for name in (EXPORTED, *SIDES) if os.path.lexists(dataset / name)]
    with os.scandir(dataset) as entries:
        yield from ((entry.name, entry) for entry in entries if entry.name in waiting)
    waiting = [name for name in waiting if (dataset / name).is_dir() and not (dataset / name).is_symlink()]
    while waiting:
        folder = waiting.pop()
        with os.scandir(dataset / folder) as entries:
            for entry in entries:
                path = f"{folder}/{entry.name}"
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(path)
                yield path, entry


def _visible_difference(entry: os.DirEntry[str], expected: _Expected) -> str | None:
    if not entry.is_file(follow_symlinks=False):
        return "is not a regular file"
    size = entry.stat(follow_symlinks=False).st_size
    return None if size == expected.size else f"{size} bytes instead of {expected.size}"


class _Hashing:
    """Hashes files with some threads, in the order of their inodes, which is roughly that of the disk."""

    def __init__(self, dataset: Path, groups: Mapping[tuple[int, int], list[_Expected]]) -> None:
        self._dataset = dataset
        self._groups = deque(groups[inode] for inode in sorted(groups))
        self._total = len(self._groups)
        self._problems: list[Problem] = []
        self._failure: BaseException | None = None
        self._stopped = threading.Event()

    def finish(self, on_percent: Callable[[], None]) -> list[Problem]:
        """Hash everything."""
        count = min(_MOST_THREADS, os.cpu_count() or 1, self._total)
        threads = [threading.Thread(target=self._work, daemon=True) for _ in range(count)]
        for thread in threads:
            thread.start()
        shown = 0
        try:
            while any(thread.is_alive() for thread in threads):
                threads[0].join(_POLL_SECONDS)
                percent = 100 - 100 * len(self._groups) // self._total
                for _ in range(percent - shown):
                    on_percent()
                shown = max(shown, percent)
        finally:
            self._stopped.set()
            for thread in threads:
                thread.join()
        if self._failure is not None:
            raise self._failure
        return self._problems

    def _work(self) -> None:
        buffer = memoryview(bytearray(_READ_SIZE))
        try:
            while not self._stopped.is_set():
                try:
                    group = self._groups.popleft()
                except IndexError:
                    return
                self._compare(group, buffer)
        except BaseException as error:  # whatever it is, the waiting thread raises it
            self._failure = error
            self._stopped.set()

    def _compare(self, group: list[_Expected], buffer: memoryview) -> None:
        """Hash one file and compare it with all its names' records."""
        detail = "has other content"
        try:
            found = self._hash(group[0], buffer)
        except OSError as error:
            found, detail = "", f"cannot be read: {error.strerror}"
        self._problems.extend(
            Problem(Kind.CHANGED, expected.path, detail) for expected in group if expected.sha256 != found
        )

    def _hash(self, expected: _Expected, buffer: memoryview) -> str:
        sha256 = hashlib.sha256()
        file = os.open(self._dataset / expected.path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            while (got := os.readv(file, [buffer])) and not self._stopped.is_set():
                sha256.update(buffer[:got])
        finally:
            os.close(file)
        return sha256.hexdigest()
