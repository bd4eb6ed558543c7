"""The lines of docs/reading.md that read shards, as they stand there, have every image with its own id."""

import sys
from pathlib import Path

from dev.reader_data import LAYOUTS, make_dataset
from dev.readers import SHARDS, read, snippets
from tests.support.conversions import names_in


def test_webdataset_reads_every_image_right(tmp_path: Path) -> None:
    (snippet,) = (snippet for snippet in snippets() if snippet.task == SHARDS)
    (layout,) = (layout for layout in LAYOUTS if layout.task == SHARDS)
    dataset = make_dataset(layout, tmp_path)
    assert "training-000001.tar" in names_in(dataset)
    (outcome,) = read(Path(sys.executable), snippet, [dataset], tmp_path / "home")
    assert str(outcome) == "right (81)"
