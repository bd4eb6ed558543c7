"""A dataset against its manifest: what is missing, what is there too much, what has changed."""

import hashlib
import os
from array import array
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, MutableSequence, Sequence
from enum import StrEnum
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from toolkit.core.errors import ProblemsFound, UsageError
from toolkit.core.images import HEAD_SIZE, other_format
from toolkit.core.sequences import Computed
from toolkit.core.storage import Address, Place
from toolkit.core.text import Percent
from toolkit.core.workers import map_in_threads, run_processes, worker_count
from toolkit.dataset import detection_manifest, labels
from toolkit.dataset.detection_manifest import DetectionManifest, is_detection
from toolkit.dataset.layout import (
    ALIASES,
    BOXES,
    CLASSES,
    DETECTION_PARTS,
    DETECTION_SIDES,
    EXPORTED,
    LABELS,
    MANIFEST,
    has_shards,
    is_shard,
)
from toolkit.dataset.manifest import ImageRecord, Manifest
from toolkit.dataset.manifest_reading import read
from toolkit.dataset.publish import is_unfinished, recover

_READ_SIZE = 1024 * 1024
_STORED_SIZE = 8 * 1024 * 1024
_MOST_THREADS = 8
_BATCH = 500
_FILES_OF_PROCESS = 5000
"""For fewer files another process is not worth its start."""
_CACHES = {f"{BOXES}/{side}.cache" for side in DETECTION_SIDES.values()}
"""What ultralytics leaves beside the labels that it has read."""


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
        formats: By the content's format, the images whose extension tells another.
    """

    manifest: Manifest | DetectionManifest
    problems: list[Problem]
    files: int
    hashed_bytes: int
    formats: dict[str, list[str]]


class _Expected(NamedTuple):
    path: str
    size: int
    sha256: str


def verify(dataset: Place, on_percent: Callable[[], None] = lambda: None) -> Verdict:
    """Compare a dataset with its manifest; what else lies in the same folder is nobody's business.

    Args:
        dataset: The folder, or the address.
        on_percent: Called for every hundredth of the hashing.

    Raises:
        UsageError: There is no such folder.
        ToolkitError: It has no manifest, or one that cannot be read.
        ProblemsFound: It lies at an address, and is not complete.
    """
    if isinstance(dataset, Address):
        return _verify_stored(dataset, on_percent)
    if not dataset.is_dir():
        raise UsageError(f"{dataset} is not a folder: name the folder of the dataset (--dataset-dir)")
    recover(dataset)
    manifest = read_manifest(dataset / MANIFEST)
    tops = _tops(manifest)
    expected = _Expectations(manifest)
    of_folder: dict[str, array[int]] = {}
    for index, path in enumerate(expected.paths()):
        of_folder.setdefault(path.rpartition("/")[0], array("L")).append(index)
    folders = _expected_folders(manifest, tops, of_folder)
    problems = list(_other_parts(dataset, manifest))
    hashing = _Hashing(dataset, expected)
    there = {name for name in tops if os.path.lexists(dataset / name)}
    waiting = deque([""])

    def look(folder: str) -> _Folder:
        names = there if not folder else None
        return _compare_folder(dataset, folder, names, map(expected.at, of_folder.get(folder, ())))

    def keep(found: _Folder) -> None:
        indices = of_folder.pop(found.path, array("L"))
        problems.extend(found.problems)
        hashing.add(found.files, indices)
        for path in found.folders:
            if path not in folders:
                problems.append(Problem(Kind.EXTRA, f"{path}/"))
            folders.discard(path)
        waiting.extend(found.folders)

    processes = worker_count(_MOST_THREADS, 1 + len(expected) // _FILES_OF_PROCESS)
    run_processes(lambda: look, lambda _process: waiting.popleft() if waiting else None, processes, keep)
    problems.extend(Problem(Kind.MISSING, expected[index].path) for left in of_folder.values() for index in left)
    problems.extend(Problem(Kind.MISSING, f"{path}/") for path in folders)
    problems.extend(hashing.run(on_percent))
    if has_shards(manifest.parts):
        problems.extend(_other_shards((path.name for path in dataset.glob("*.tar")), tops))
        problems.extend(_changed_samples(dataset, manifest, _changed(problems)))
    formats = {content: sorted(paths) for content, paths in sorted(hashing.formats.items())}
    problems.sort(key=lambda problem: problem.path)
    return Verdict(manifest, problems, len(expected) + 1, hashing.hashed_bytes, formats)


def read_manifest(path: Place) -> Manifest | DetectionManifest:
    """Read the manifest of a dataset of either kind; raises what the two readers raise."""
    return detection_manifest.read(path) if is_detection(path) else read(path)


def _tops(manifest: Manifest | DetectionManifest) -> list[str]:
    """Name the entries of the dataset's folder that are compared by their records."""
    if has_shards(manifest.parts):
        return [record.path for record in manifest.files]
    if isinstance(manifest, DetectionManifest):
        return [name for name in DETECTION_PARTS if name not in (LABELS, MANIFEST)]
    return [*manifest.sides, *([EXPORTED] if EXPORTED in manifest.parts else [])]


class _Expectations(Computed[_Expected]):
    """The files that a manifest tells of, each made when it is asked for."""

    def __init__(self, manifest: Manifest | DetectionManifest) -> None:
        self._images: Sequence[ImageRecord] = ()
        self._exported: Sequence[ImageRecord] = ()
        if isinstance(manifest, DetectionManifest):
            self._others = [_Expected(*record) for record in manifest.all_files()]
            return
        self._others = [_Expected(*record) for record in manifest.files]
        if not manifest.files:
            self._images = manifest.images
            if EXPORTED in manifest.parts:
                self._exported = manifest.images
                self._others = [_Expected(record.path, record.size, record.sha256) for record in manifest.left_out]

    def paths(self) -> Iterator[str]:
        """Name them all, in their order."""
        yield from (image.path for image in self._images)
        yield from (image.exported_path for image in self._exported)
        yield from (other.path for other in self._others)

    def __len__(self) -> int:
        return len(self._images) + len(self._exported) + len(self._others)

    def at(self, index: int) -> _Expected:
        """Give a file."""
        count = len(self._images)
        if index < count:
            image = self._images[index]
            return _Expected(image.path, image.size, image.sha256)
        if index < count + len(self._exported):
            image = self._exported[index - count]
            return _Expected(image.exported_path, image.size, image.sha256)
        return self._others[index - count - len(self._exported)]


def _expected_folders(manifest: Manifest | DetectionManifest, tops: Iterable[str], found: Iterable[str]) -> set[str]:
    folders = set()
    if isinstance(manifest, Manifest):
        folders = {*manifest.sides, EXPORTED} & {*tops} | {*(manifest.folders if EXPORTED in tops else ())}
        folders.update(f"{side}/{name}" for side in manifest.sides for name in manifest.labels if side in tops)
    folders.update(filter(None, found))
    for folder in tuple(folders):
        while folder := folder.rpartition("/")[0]:
            folders.add(folder)
    return folders


def _other_parts(dataset: Path, manifest: Manifest | DetectionManifest) -> Iterator[Problem]:
    """Compare what is neither a side nor the export: the files of labels, and the links."""
    texts = {LABELS: labels.as_json, CLASSES: labels.as_lines}
    for name in manifest.parts:
        path = dataset / name
        if (side := ALIASES.get(name)) is not None:
            if not path.is_symlink() or str(path.readlink()) != side:
                kind = Kind.CHANGED if os.path.lexists(path) else Kind.MISSING
                yield Problem(kind, name, f"is no link to {side}" if kind is Kind.CHANGED else "")
        elif (write := texts.get(name)) is None:
            continue
        elif path.is_symlink() or not path.is_file():
            yield Problem(Kind.CHANGED if os.path.lexists(path) else Kind.MISSING, name)
        elif path.read_bytes() != write(manifest.labels).encode("utf-8", "surrogatepass"):
            yield Problem(Kind.CHANGED, name, "has other names or ids than the manifest")


class _Folder(NamedTuple):
    """What is in a folder: the folders in it, what differs, and by device the files that are to be hashed.

    Of each file it is the inode and the number among those that are expected in the folder, one behind the other.
    """

    path: str
    folders: list[str]
    problems: list[Problem]
    files: "dict[int, array[int]]"


def _compare_folder(dataset: Path, folder: str, names: Container[str] | None, expected: Iterable[_Expected]) -> _Folder:
    """Look at what is in a folder, by its path below the dataset's; of the dataset's own only at some names."""
    found = _Folder(folder, [], [], {})
    files = {file.path: (number, file) for number, file in enumerate(expected)}
    with os.scandir(dataset / folder) as entries:
        for entry in entries:
            path = f"{folder}/{entry.name}" if folder else entry.name
            if names is not None and path not in names:
                continue
            if entry.is_dir(follow_symlinks=False):
                found.folders.append(path)
            elif (file := files.pop(path, None)) is None:
                if path not in _CACHES:
                    found.problems.append(Problem(Kind.EXTRA, path))
            elif (detail := _visible_difference(entry, file[1])) is not None:
                found.problems.append(Problem(Kind.CHANGED, path, detail))
            else:
                status = entry.stat(follow_symlinks=False)
                found.files.setdefault(status.st_dev, array("Q")).extend((status.st_ino, file[0]))
    found.problems.extend(Problem(Kind.MISSING, path) for path in files)
    return found


def _other_shards(names: Iterable[str], known: Iterable[str]) -> Iterator[Problem]:
    """Find shards that the manifest does not tell of: a reader that takes all of a side would take them too."""
    for name in {*names} - {*known}:
        if is_shard(name):
            yield Problem(Kind.EXTRA, name)


def _changed(problems: Iterable[Problem]) -> set[str]:
    return {problem.path for problem in problems if problem.kind is Kind.CHANGED}


def _changed_samples(
    dataset: Place, manifest: Manifest | DetectionManifest, differing: Container[str]
) -> Iterator[Problem]:
    """Name the images that are otherwise in the shards that are otherwise."""
    for image in manifest.images:
        shard = image.path.partition("/")[0]
        if shard in differing:
            with (dataset / shard).open("rb") as stream:
                stream.seek(image.offset)
                if hashlib.sha256(stream.read(image.size)).hexdigest() != image.sha256:
                    yield Problem(Kind.CHANGED, image.path, f"has other content than {image.frame}")


def _verify_stored(dataset: Address, on_percent: Callable[[], None]) -> Verdict:
    """Compare a dataset in object storage with its manifest; no folders are there, and no links."""
    if is_unfinished(dataset):
        raise ProblemsFound(
            f"{dataset} is not complete: a conversion into it is at work, or was stopped: convert again"
        )
    manifest = read_manifest(dataset / MANIFEST)
    tops = _tops(manifest)
    files = {expected.path: expected for expected in _Expectations(manifest)}
    texts = {LABELS: labels.as_json, CLASSES: labels.as_lines}
    for name in {*texts} & {*manifest.parts}:
        text = texts[name](manifest.labels).encode("utf-8", "surrogatepass")
        files[name] = _Expected(name, len(text), hashlib.sha256(text).hexdigest())
    found = dataset.files()
    problems = [
        Problem(Kind.EXTRA, path)
        for path in found.keys() - files.keys() - _CACHES
        if path.partition("/")[0] in tops and path != MANIFEST
    ]
    problems.extend(Problem(Kind.MISSING, path) for path in files.keys() - found.keys())
    formats: dict[str, list[str]] = {}

    def look(expected: _Expected) -> Problem | None:
        if found[expected.path] != expected.size:
            detail = f"{found[expected.path]} bytes instead of {expected.size}"
            return Problem(Kind.CHANGED, expected.path, detail)
        sha256, head = hashlib.sha256(), b""
        for start in range(0, expected.size, _STORED_SIZE):
            piece = (dataset / expected.path).read(start, min(_STORED_SIZE, expected.size - start))
            head = head or piece[:HEAD_SIZE]
            sha256.update(piece)
        if (content := other_format(expected.path, head)) is not None:
            formats.setdefault(content, []).append(expected.path)
        same = sha256.hexdigest() == expected.sha256
        return None if same else Problem(Kind.CHANGED, expected.path, "has other content")

    there = [expected for path, expected in files.items() if path in found]
    show = Percent(len(there), on_percent).add
    problems.extend(filter(None, map_in_threads(look, there, _MOST_THREADS, show, are_waiting=True)))
    if has_shards(manifest.parts):
        problems.extend(_other_shards(found, tops))
        problems.extend(_changed_samples(dataset, manifest, _changed(problems)))
    hashed = sum(expected.size for expected in there)
    named = {content: sorted(paths) for content, paths in sorted(formats.items())}
    return Verdict(manifest, sorted(problems, key=lambda problem: problem.path), len(files) + 1, hashed, named)


def _visible_difference(entry: os.DirEntry[str], expected: _Expected) -> str | None:
    if not entry.is_file(follow_symlinks=False):
        return "is not a regular file"
    size = entry.stat(follow_symlinks=False).st_size
    return None if size == expected.size else f"{size} bytes instead of {expected.size}"


class _Hashed(NamedTuple):
    """What one look at some files has found: how many they are, their bytes, differences, and formats by path."""

    files: int
    size: int
    problems: list[Problem]
    formats: list[tuple[str, str]]


class _Hashing:
    """Hashes files in some processes, in the order of their inodes, which is roughly that of the disk."""

    def __init__(self, dataset: Path, expected: _Expectations) -> None:
        self._dataset = dataset
        self._expected = expected
        self._index_bits = len(expected).bit_length()
        # Inode and index in one number: pairs of a million, or their numbers as objects, take much memory.
        self._of_device: dict[int, MutableSequence[int]] = {}
        self.hashed_bytes = 0
        self.formats: dict[str, list[str]] = {}

    def add(self, files: "Mapping[int, array[int]]", indices: Sequence[int]) -> None:
        """Take up files of a folder that are there; what hard links share is hashed once."""
        for device, pairs in files.items():
            numbers = self._of_device.setdefault(device, array("Q"))
            for inode, number in zip(pairs[::2], pairs[1::2], strict=True):
                both = (inode << self._index_bits) + indices[number]
                try:
                    numbers.append(both)
                except OverflowError:  # few file systems number their inodes so high
                    numbers = self._of_device[device] = [*numbers, both]

    def run(self, on_percent: Callable[[], None]) -> list[Problem]:
        problems: list[Problem] = []
        for device, numbers in self._of_device.items():
            in_order = sorted(numbers)
            self._of_device[device] = array("Q", in_order) if isinstance(numbers, array) else in_order
        percent = Percent(sum(map(len, self._of_device.values())), on_percent)
        tasks = deque(
            (device, start, min(start + _BATCH, len(numbers)))
            for device, numbers in self._of_device.items()
            for start in range(0, len(numbers), _BATCH)
        )

        def keep(found: _Hashed) -> None:
            problems.extend(found.problems)
            self.hashed_bytes += found.size
            for content, path in found.formats:
                self.formats.setdefault(content, []).append(path)
            percent.add(found.files)

        def take(_process: int) -> tuple[int, int, int] | None:
            return tasks.popleft() if tasks else None

        run_processes(self._start, take, worker_count(_MOST_THREADS, len(tasks)) or 1, keep)
        return problems

    def _start(self) -> Callable[[tuple[int, int, int]], _Hashed]:
        buffer = memoryview(bytearray(_READ_SIZE))

        def look(task: tuple[int, int, int]) -> _Hashed:
            device, start, end = task
            numbers, bits = self._of_device[device], self._index_bits
            while start and start < end and numbers[start] >> bits == numbers[start - 1] >> bits:
                start += 1  # the batch before has hashed it
            while end < len(numbers) and numbers[end] >> bits == numbers[end - 1] >> bits:
                end += 1
            found: list[Problem] = []
            formats: list[tuple[str, str]] = []
            size = 0
            for _, group in groupby(numbers[start:end], lambda number: number >> bits):
                files = [self._expected.at(number & (1 << bits) - 1) for number in group]
                size += files[0].size
                found.extend(self._compare(files, buffer, formats))
            return _Hashed(task[2] - task[1], size, found, formats)

        return look

    def _compare(self, group: list[_Expected], buffer: memoryview, formats: list[tuple[str, str]]) -> Iterator[Problem]:
        """Hash one file and compare it with all its names' records."""
        detail = "has other content"
        try:
            found = self._hash(group[0], buffer, formats)
        except OSError as error:
            found, detail = "", f"cannot be read: {error.strerror}"
        for expected in group:
            if expected.sha256 != found:
                yield Problem(Kind.CHANGED, expected.path, detail)

    def _hash(self, expected: _Expected, buffer: memoryview, formats: list[tuple[str, str]]) -> str:
        sha256 = hashlib.sha256()
        head = b""
        file = os.open(f"{self._dataset}/{expected.path}", os.O_RDONLY | os.O_NOFOLLOW)
        try:
            while got := os.readv(file, [buffer]):
                head = head or bytes(buffer[: min(got, HEAD_SIZE)])
                sha256.update(buffer[:got])
        finally:
            os.close(file)
        if (content := other_format(expected.path, head)) is not None:
            formats.append((content, expected.path))
        return sha256.hexdigest()
