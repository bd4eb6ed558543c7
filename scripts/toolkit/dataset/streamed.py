"""The writing half of a conversion that writes file after file: shards, and whatever lies in object storage.

For tags and boxes alike: what is in the files was decided before, by the same code as for folders of this machine.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import count
from typing import NamedTuple, TypeVar

from toolkit.core.sequences import Compact
from toolkit.core.storage import Address, Place
from toolkit.core.text import Percent
from toolkit.core.workers import map_in_threads
from toolkit.dataset import detection_manifest, labels
from toolkit.dataset import manifest as classification_manifest
from toolkit.dataset.archive import refused, reopen
from toolkit.dataset.detection_manifest import DetectionManifest
from toolkit.dataset.exports import Exports
from toolkit.dataset.layout import CLASSES, INDEX_TABLE, LABELS, MANIFEST, Format
from toolkit.dataset.manifest import FileRecord, Manifest
from toolkit.dataset.publish import DatasetPublisher, StoredPublisher, check_target, dataset_in, publisher_for
from toolkit.dataset.shards import (
    Piece,
    ReadImage,
    Sample,
    check_writable,
    extension_of,
    in_shards,
    plan_shards,
    write_index,
    write_shards,
)
from toolkit.dataset.unpack import READ_SIZE, Contents, Damaged, Reader

_MOST_UPLOADS = 16

_Any = TypeVar("_Any", Manifest, DetectionManifest)


class StreamRequest(NamedTuple):
    """Where the files go, and what they are.

    ``shard_size`` is in bytes; None writes each image by itself, as in folders. The seed is that of the order in
    shards.
    """

    target: Place
    overwrite: bool
    shard_size: int | None
    seed: int

    def options(self) -> dict[str, object]:
        """List what has a say in shards, by the names of the command's options."""
        return {"format": Format.WEBDATASET, "shard_size": self.shard_size}

    def check(self, parts: tuple[str, ...], dry_run: bool) -> None:
        """Check early what can be checked; for a dry run a dataset that is there is no error.

        ``parts`` are names of what is written if it is no shards. Raises ToolkitError where a library is not installed,
        there is a dataset already, or something is in the way.
        """
        if self.shard_size is not None:
            check_writable()
            parts = (INDEX_TABLE, CLASSES, LABELS, MANIFEST)
        check_target(self.target, self.overwrite or dry_run, parts)


def halves(on_percent: Callable[[], None]) -> tuple[Callable[[], None], Callable[[], None]]:
    """Give two steps, each of a hundred parts, half of the whole progress each."""

    def half() -> Callable[[], None]:
        parts = count(1)
        return lambda: on_percent() if next(parts) % 2 == 0 else None

    return half(), half()


class Stream(NamedTuple):
    """What is to be written.

    ``members`` has the member of the exports that each image is, ``facts`` what its JSON tells in shards,
    ``label_files`` path and content of what is written from the labels beside the images.
    """

    exports: Exports
    contents: Contents
    members: Sequence[int]
    facts: Iterable[dict[str, object]]
    label_files: Sequence[tuple[str, bytes]] = ()


def write_stream(
    request: StreamRequest, manifest: _Any, stream: Stream, on_percent: Callable[[], None], dry_run: bool
) -> tuple[_Any, int, list[str]]:
    """Write a dataset, or only say what it would be, by its record in folders.

    Returns the record, the bytes, and the names of what it replaces; ``on_percent`` is called for every hundredth of
    the writing.
    """
    replaced = dataset_in(request.target)
    if request.shard_size is not None:
        made, size = _write_shards(request, request.shard_size, manifest, stream, on_percent, dry_run)
        return made, size, replaced
    size = sum(image.size for image in manifest.images) + sum(len(content) for _, content in stream.label_files)
    if not dry_run and isinstance(request.target, Address):
        with StoredPublisher(request.target, request.overwrite, manifest.parts) as publisher:
            _write_files(manifest, stream, publisher, on_percent)
            _write_records(manifest, publisher)
            publisher.publish()
    return manifest, size, replaced


def _write_shards(
    request: StreamRequest,
    shard_size: int,
    manifest: _Any,
    stream: Stream,
    on_percent: Callable[[], None],
    dry_run: bool,
) -> tuple[_Any, int]:
    members = stream.exports.members
    samples = (
        Sample(
            image.side,
            extension_of(name := members[member].name, stream.contents.formats.get(member)),
            image.size,
            image.sha256,
            name,
            {**facts, "source": image.source} if image.source else facts,
        )
        for image, member, facts in zip(manifest.images, stream.members, stream.facts, strict=True)
    )
    shards = plan_shards(Compact(Sample, samples), shard_size, request.seed)
    made = in_shards(manifest, shards)
    if dry_run:
        return made, shards.size
    with publisher_for(request.target, request.overwrite, shards.parts) as publisher, ExitStack() as stack:
        read = _reader(stream, stack)
        written: list[FileRecord] = write_shards(shards, read, publisher.create, on_percent)
        made = made._replace(files=[*written, write_index(made, publisher.create)])
        _write_records(made, publisher)
        publisher.publish()
    return made, shards.size


def _write_files(
    manifest: Manifest | DetectionManifest, stream: Stream, publisher: StoredPublisher, on_percent: Callable[[], None]
) -> None:
    """Write each image, and each file of labels, as an object of its own."""
    total = len(manifest.images) + len(stream.label_files)

    def write(number: int) -> None:
        if number >= len(manifest.images):
            path, content = stream.label_files[number - len(manifest.images)]
            publisher.write(path, content)
        else:
            publisher.write(manifest.images[number].path, b"".join(map(bytes, read(number))))

    with ExitStack() as stack:
        read = _reader(stream, stack)
        map_in_threads(write, range(total), _MOST_UPLOADS, Percent(total, on_percent).add, are_waiting=True)


def _write_records(manifest: Manifest | DetectionManifest, publisher: DatasetPublisher | StoredPublisher) -> None:
    """Write what says what is in the dataset, the manifest last."""
    for name, pieces in _records_of(manifest):
        with publisher.create(name) as file:
            file.writelines(piece.encode("utf-8", "surrogatepass") for piece in pieces)


def _records_of(manifest: Manifest | DetectionManifest) -> Iterator[tuple[str, Iterable[str]]]:
    if CLASSES in manifest.parts:
        yield CLASSES, [labels.as_lines(manifest.labels)]
    yield LABELS, [labels.as_json(manifest.labels)]
    if isinstance(manifest, Manifest):
        yield MANIFEST, classification_manifest.lines(manifest)
    else:
        yield MANIFEST, detection_manifest.lines(manifest)


def _reader(stream: Stream, stack: ExitStack) -> ReadImage:
    """Give the bytes of images, in any thread, until the stack is closed."""
    exports, members = stream.exports, stream.members
    archives = {export.folder: stack.enter_context(reopen(export.archive)) for export in exports.each}
    export_of = exports.finder()

    def read(image: int) -> Iterator[Piece]:
        member = exports.members[members[image]]
        archive = archives[export_of(members[image]).folder]
        reader = Reader(archive, min(READ_SIZE, member.limit - member.offset))
        reader.load(member.offset, member.limit)
        try:
            yield from reader.content(member)
        except Damaged as damage:
            raise refused(archive.path, [f"{member.name}: {damage}"]) from None

    return read
