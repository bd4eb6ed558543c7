"""Whatever an archive holds: it becomes a whole dataset, or it is refused in words and nothing is left."""

import io
import tempfile
import zipfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from toolkit.dataset.archive import open_archive
from toolkit.dataset.assignment import Rules
from toolkit.dataset.convert import Request, convert
from toolkit.transfer.export import check_archive

from .conftest import examples, refusal


def export(compression: int) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name in ("cat/1.jpg", "cat/b/2.jpg", "cat/3.jpg", "dog/1.jpg", "dog/日.jpg", "no_label/x.jpg"):
            archive.writestr(name, name.encode() * 20)
        archive.writestr("synsets.txt", b"cat\ndog\n")
    return stream.getvalue()


WHOLE = [export(zipfile.ZIP_STORED), export(zipfile.ZIP_DEFLATED)]


@st.composite
def damaged(draw) -> bytes:
    """An export with a few bytes changed, cut out or put in, mostly in its directory, where it hurts."""
    content = bytearray(draw(st.sampled_from(WHOLE)))
    for _ in range(draw(st.integers(1, 6))):
        directory = content.find(b"PK\x01\x02")
        start = max(directory, 0) if draw(st.booleans()) else 0
        place = draw(st.integers(start, max(start, len(content) - 1)))
        match draw(st.sampled_from(["change", "cut", "insert"])):
            case "change":
                content[place : place + 1] = draw(st.binary(min_size=1, max_size=4))
            case "cut":
                del content[place : place + draw(st.integers(1, 30))]
            case _:
                content[place:place] = draw(st.binary(max_size=8))
    return bytes(content)


def look_into(path: Path) -> None:
    with open_archive(path) as archive:
        assert all(member.size >= 0 for member in archive.members)


@examples()
@given(content=damaged() | st.binary(max_size=300))
def test_a_damaged_archive_is_refused_or_harmless(content):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "export.zip"
        path.write_bytes(content)
        error = refusal(lambda: look_into(path))
        assert error is None or error.message
        error = refusal(lambda: check_archive(path, "ImageNet 1.0"))
        assert error is None or "nothing was kept" in error.message
        target = folder / "dataset"
        error = refusal(lambda: convert(Request([path], target, Rules(validation_fraction=0.5, seed=1))))
        made = {path.name for path in target.iterdir()} if target.exists() else set()
        assert error is None or not made
        assert error is not None or {"cvat_exported", "labels.json", "training", "validation"} <= made
        written = {path.name for path in folder.iterdir()}
        assert written <= {"export.zip", "dataset"}
