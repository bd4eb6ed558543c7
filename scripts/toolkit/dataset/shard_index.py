"""The index of a dataset of shards, as Parquet: a row for each image."""

import hashlib
import io
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from itertools import islice
from typing import Any, BinaryIO

from toolkit.core.storage import import_extra
from toolkit.dataset.detection_manifest import DetectionManifest
from toolkit.dataset.layout import INDEX_TABLE
from toolkit.dataset.manifest import FileRecord, ImageRecord, Manifest

_ROWS = 100_000
"""In a row group, which is in memory at once."""


def check_writable() -> None:
    """Check that an index can be written.

    Raises:
        ToolkitError: The library is not installed.
    """
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
