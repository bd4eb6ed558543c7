"""A dataset as WebDataset reads it: tar files of about one size, each sample an image and a JSON of the same key.

Everything but the images' bytes is known before the first shard is written: which image is where, and how large each
shard becomes. The bytes depend on content, labels and options alone, so the same export gives the same shards.
"""

import hashlib
import io
import json
import tarfile
import threading
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import islice
from typing import Any, BinaryIO, NamedTuple, TypeVar

from toolkit.core.errors import UsageError
from toolkit.core.storage import import_extra
from toolkit.core.text import Percent
from toolkit.core.workers import run_workers, worker_count
from toolkit.dataset.detection_manifest import DetectionManifest
from toolkit.dataset.layout import (
    ALL_SIDES,
    CLASSES,
    INDEX_TABLE,
    LABELS,
    MANIFEST,
    MOST_SHARDS,
    shard_name,
    shards_part,
)
from toolkit.dataset.manifest import FileRecord, ImageRecord, KeptRecords, Manifest

MOST_WORKERS = 4
_BLOCK = tarfile.BLOCKSIZE
_KEY_DIGITS = 9
_LARGEST_FACTS = 64 * 1024**2
_USUAL_FACTS = 4096
_ZEROS = bytes(tarfile.RECORDSIZE)
_SPELLINGS = {"jpeg": "jpg", "jpe": "jpg", "jfif": "jpg", "tiff": "tif", "dib": "bmp", "apng": "png"}
_CONTENTS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WebP")

Piece = bytes | memoryview
ReadImage = Callable[[int], Iterable[Piece]]
"""Gives the bytes of an image by its index; a piece is valid until the next one is asked for."""


class Sample(NamedTuple):
    """What a shard has of an image.

    The side is ``training``, ``validation`` or ``test``, the extension that of the content, such as ``jpg``, the name
    its path in the export; ``facts`` is what its JSON tells.
    """

    side: str
    extension: str
    size: int
    sha256: str
    name: str
    facts: Mapping[str, object]


class Shard(NamedTuple):
    """A shard to be.

    Attributes:
        name: Its file's name.
        first: The number of its first image among all of the dataset; the others follow.
        images: The index of each among the samples.
        offsets: Where the bytes of each begin.
        size: Its bytes.
    """

    name: str
    first: int
    images: "array[int]"
    offsets: "array[int]"
    size: int

    def placed(self) -> Iterator[tuple[int, str, int]]:
        """Give of each image its index, what it and its JSON are called, and where its bytes begin."""
        for number, (image, offset) in enumerate(zip(self.images, self.offsets, strict=True), self.first):
            yield image, f"{number:0{_KEY_DIGITS}}", offset


class Shards(NamedTuple):
    """All shards of a dataset, and the samples that are in them, by image."""

    samples: Sequence[Sample]
    each: Sequence[Shard]

    @property
    def size(self) -> int:
        """Bytes of all shards together."""
        return sum(shard.size for shard in self.each)

    @property
    def parts(self) -> tuple[str, ...]:
        """What is made in the dataset's folder."""
        counts = {side: sum(shard.name.startswith(f"{side}-") for shard in self.each) for side in ALL_SIDES}
        of_sides = (shards_part(side, count) for side, count in counts.items() if count)
        return (*of_sides, INDEX_TABLE, CLASSES, LABELS, MANIFEST)


def extension_of(name: str, content: str | None) -> str:
    """Spell the extension of an image in one way, by its content if that is a picture of another format."""
    extension = (content if content in _CONTENTS else name.rpartition(".")[2]).lower()
    return _SPELLINGS.get(extension, extension)


def plan_shards(samples: Sequence[Sample], shard_size: int, seed: int) -> Shards:
    """Give every image its shard of so many bytes, which one image alone may exceed.

    The images of a side are in an order that looks random, so that each shard has something of every class, and readers
    need not shuffle among many shards. It follows from the seed, their content and their names.

    Raises UsageError where there would be too many.
    """
    of_side = {side: array("Q") for side in ALL_SIDES}
    for index, sample in enumerate(samples):
        of_side[sample.side].append(index)

    def rank(index: int) -> bytes:
        sample = samples[index]
        return hashlib.sha256(f"{seed} {sample.sha256} {sample.name}".encode("utf-8", "surrogatepass")).digest()

    shards: list[Shard] = []
    first = 0
    for side, indices in of_side.items():
        shards += _shards_of_side(side, sorted(indices, key=rank), samples, shard_size, first)
        first += len(indices)
    return Shards(samples, shards)


def _shards_of_side(
    side: str, indices: Sequence[int], samples: Sequence[Sample], shard_size: int, first: int
) -> Iterator[Shard]:
    number = size = 0
    images, offsets = array("Q"), array("Q")
    for index in indices:
        sample = samples[index]
        needed = 2 * _BLOCK + _padded(sample.size) + _padded(len(_facts(sample)))
        if images and _whole(size + needed) > shard_size:
            yield Shard(shard_name(side, number), first, images, offsets, _whole(size))
            number, size, first = number + 1, 0, first + len(images)
            images, offsets = array("Q"), array("Q")
            if number == MOST_SHARDS:
                raise UsageError(f"there would be more than {MOST_SHARDS} shards of {side}: give a larger --shard-size")
        images.append(index)
        offsets.append(size + _BLOCK)
        size += needed
    if images:
        yield Shard(shard_name(side, number), first, images, offsets, _whole(size))


def _padded(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK


def _whole(size: int) -> int:
    """Add the end of a tar, two blocks of zeros, and fill the last record up."""
    return -(-(size + 2 * _BLOCK) // tarfile.RECORDSIZE) * tarfile.RECORDSIZE


def _facts(sample: Sample) -> bytes:
    return json.dumps(sample.facts).encode()


def _header(name: str, size: int) -> bytes:
    """Make a header that says nothing of when, where and by whom it was made."""
    entry = tarfile.TarInfo(name)
    entry.size = size
    return entry.tobuf(tarfile.USTAR_FORMAT)


def pieces_of(shard: Shard, samples: Sequence[Sample], read: ReadImage) -> Iterator[Piece]:
    """Make the bytes of a shard."""
    total = 0
    for image, key, _ in shard.placed():
        sample = samples[image]
        yield _header(f"{key}.{sample.extension}", sample.size)
        yield from read(image)
        facts = _facts(sample)
        yield _ZEROS[: _padded(sample.size) - sample.size] + _header(f"{key}.json", len(facts)) + facts
        yield _ZEROS[: _padded(len(facts)) - len(facts)]
        total += 2 * _BLOCK + _padded(sample.size) + _padded(len(facts))
    yield _ZEROS[:_BLOCK]
    yield _ZEROS[: shard.size - total - _BLOCK]


def write_shards(
    shards: Shards,
    read: ReadImage,
    create: Callable[[str], AbstractContextManager[BinaryIO]],
    on_percent: Callable[[], None] = lambda: None,
) -> list[FileRecord]:
    """Write all shards, some at a time, and return what was written in their order.

    Args:
        read: Gives the images, in any thread.
        create: Opens a new file of the dataset by its name.
        on_percent: Called for every hundredth of the work.
    """
    records: dict[str, FileRecord] = {}
    waiting = deque(shards.each)
    percent = Percent(shards.size, on_percent)
    written = 0

    def work(_number: int, stopped: threading.Event) -> None:
        nonlocal written
        while not stopped.is_set():
            try:
                shard = waiting.popleft()
            except IndexError:
                return
            sha256 = hashlib.sha256()
            with create(shard.name) as stream:
                for piece in pieces_of(shard, shards.samples, read):
                    if stopped.is_set():
                        raise _Stopped
                    sha256.update(piece)
                    stream.write(piece)
                    written += len(piece)
            records[shard.name] = FileRecord(shard.name, shard.size, sha256.hexdigest())

    run_workers(work, worker_count(MOST_WORKERS, len(shards.each)), lambda: percent.reach(written))
    return [records[shard.name] for shard in shards.each]


class _Stopped(Exception):
    """Another thread has failed, so that this one's shard is not to look whole."""


_AnyManifest = TypeVar("_AnyManifest", Manifest, DetectionManifest)


def in_shards(manifest: _AnyManifest, shards: Shards) -> _AnyManifest:
    """Turn the record of a dataset in folders into that of the same in shards, in their order, with no file yet."""
    paths = {path: path for record in manifest.duplicates for path in record.paths}
    images: Any = KeptRecords() if isinstance(manifest, Manifest) else []
    for shard in shards.each:
        for index, key, offset in shard.placed():
            image = manifest.images[index]
            path = f"{shard.name}/{key}.{shards.samples[index].extension}"
            if image.path in paths:
                paths[image.path] = path
            images.append(image._replace(path=path, offset=offset))
    duplicates = [record._replace(paths=[paths[path] for path in record.paths]) for record in manifest.duplicates]
    return manifest._replace(parts=shards.parts, images=images, duplicates=duplicates, files=[])


def read_facts(read: Callable[[int, int], bytes], offset: int, size: int) -> dict[str, Any]:
    """Read the JSON behind an image of a shard; raises ValueError where there is none.

    ``read`` gives bytes of the shard, from a place on and as many as that; the image has ``size`` of them at
    ``offset``.
    """
    start = offset + _padded(size)
    piece = read(start, _BLOCK + _USUAL_FACTS)
    try:
        length = tarfile.TarInfo.frombuf(piece[:_BLOCK], "utf-8", "strict").size
    except tarfile.HeaderError as error:
        raise ValueError(error) from None
    text = piece[_BLOCK:] if length <= _USUAL_FACTS else read(start + _BLOCK, min(length, _LARGEST_FACTS))
    facts: dict[str, Any] = json.loads(text[:length])
    return facts


_ROWS = 100_000
"""In a row group, which is in memory at once."""


def check_writable() -> None:
    """Check that an index can be written; raises ToolkitError where the library is not installed."""
    import_extra("pyarrow.parquet", "--format webdataset")


def write_index(
    manifest: Manifest | DetectionManifest, create: Callable[[str], AbstractContextManager[BinaryIO]]
) -> FileRecord:
    """Write the index of a dataset whose images are in shards; gives its record."""
    arrow: Any = import_extra("pyarrow", "--format webdataset")
    parquet: Any = import_extra("pyarrow.parquet", "--format webdataset")
    is_detection = isinstance(manifest, DetectionManifest)
    columns = {
        "path": arrow.string(),
        "shard": arrow.string(),
        "key": arrow.string(),
        "offset": arrow.int64(),
        **(
            {"classes": arrow.list_(arrow.string()), "class_ids": arrow.list_(arrow.int64())}
            if is_detection
            else {"class": arrow.string(), "class_id": arrow.int64()}
        ),
        **({"source": arrow.string()} if len(manifest.sources) > 1 else {}),
        "side": arrow.string(),
        "size": arrow.int64(),
        "sha256": arrow.string(),
    }
    schema = arrow.schema(list(columns.items()))
    rows = _rows(manifest)
    with create(INDEX_TABLE) as stream:
        hashed = _Hashed(stream)
        with parquet.ParquetWriter(hashed, schema, compression="zstd") as writer:
            while group := list(islice(rows, _ROWS)):
                values = zip(*group, strict=True)
                arrays = [arrow.array(column, kind) for column, kind in zip(values, columns.values(), strict=True)]
                writer.write_table(arrow.Table.from_arrays(arrays, schema=schema))
    return FileRecord(INDEX_TABLE, hashed.size, hashed.sha256.hexdigest())


def _rows(manifest: Manifest | DetectionManifest) -> Iterator[tuple[object, ...]]:
    for image in manifest.images:
        shard, _, name = image.path.partition("/")
        labels: tuple[object, object]
        if isinstance(image, ImageRecord):
            labels = (image.class_name, manifest.labels[image.class_name])
        else:
            labels = (list(image.boxes), [manifest.labels[label] for label in image.boxes])
        key = name.partition(".")[0]
        source = (image.source,) if len(manifest.sources) > 1 else ()
        yield image.frame, shard, key, image.offset, *labels, *source, image.side, image.size, image.sha256


class _Hashed(io.RawIOBase):
    """Writes to a stream and hashes what it writes."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.sha256 = hashlib.sha256()
        self.size = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.size

    def write(self, data: Any) -> int:
        self.sha256.update(data)
        self._stream.write(data)
        self.size += len(data)
        return len(data)
