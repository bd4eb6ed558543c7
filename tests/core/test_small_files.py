"""Files of the lower layers that are damaged, gone, or meet a file system that cannot do what is asked."""

import io
import random
from pathlib import Path

import pytest
from PIL import Image as Picture

from toolkit.core.errors import ToolkitError, UsageError
from toolkit.core.images import NoImage, NotAJpeg, check_whole
from toolkit.dataset.labels import read_pinned
from toolkit.report.pictures import MAX_BYTES, make_thumbnail
from toolkit.transfer.images import Image
from toolkit.transfer.task import write_archive


def picture(size: tuple[int, int] = (16, 12), form: str = "JPEG", mode: str = "L", **options) -> bytes:
    stream = io.BytesIO()
    content = random.Random(1).randbytes(size[0] * size[1] * len(mode))
    Picture.frombytes(mode, size, content).save(stream, form, **options)
    return stream.getvalue()


# --- JPEG ---------------------------------------------------------------------------------------------------------

WHOLE = picture()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(WHOLE, id="as written"),
        pytest.param(WHOLE[:2] + b"\xff\xff\xff" + WHOLE[2:], id="fill bytes"),
        pytest.param(WHOLE[:2] + b"\xff\x01" + WHOLE[2:], id="a marker without length"),
        pytest.param(WHOLE + b"a camera's own data", id="bytes behind it"),
    ],
)
def test_a_whole_jpeg_is_whole(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.jpg").write_bytes(content)
    check_whole(tmp_path / "x.jpg")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"GIF89a", "a GIF file, not a JPEG image"),
        (WHOLE[:-2], "cut short: it has no end"),
        (WHOLE[:30], "cut short: it has no picture"),
        (WHOLE[:4], "cut short: it has no picture"),
    ],
)
def test_a_jpeg_that_was_cut_is_told_by_where(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "x.jpg").write_bytes(content)
    with pytest.raises(NotAJpeg, match=reason):
        check_whole(tmp_path / "x.jpg")


# --- Thumbnails ---------------------------------------------------------------------------------------------------


def thumbnail(content: bytes, longest: int = 64, expected: tuple[int, int] | None = None):
    return make_thumbnail(io.BytesIO(content), longest, expected)


def test_a_thumbnail_keeps_the_shape_and_its_limit_of_bytes() -> None:
    large = thumbnail(picture((600, 300), mode="RGB"), 256)
    assert (large.width, large.height, large.is_tiny) == (256, 128, False)
    assert len(large.uri) < MAX_BYTES * 4 / 3 + 100
    tiny = thumbnail(picture((16, 12)))
    assert (tiny.width, tiny.height, tiny.is_tiny) == (16, 12, True)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_pictures_of_every_kind_are_drawn(mode: str) -> None:
    stream = io.BytesIO()
    Picture.new(mode, (60, 30)).save(stream, "PNG")
    assert thumbnail(stream.getvalue()).uri.startswith("data:image/webp;base64,")


def test_a_turned_picture_is_drawn_as_the_boxes_count() -> None:
    exif = Picture.Exif()
    exif[0x112] = 6  # the camera was held upright
    turned = picture((40, 20), exif=exif)
    assert thumbnail(turned)[1:3] == (20, 40)
    assert thumbnail(turned, expected=(20, 40))[1:3] == (20, 40)
    assert thumbnail(turned, expected=(40, 20))[1:3] == (40, 20)


def test_what_cannot_be_drawn_says_why() -> None:
    with pytest.raises(NoImage, match="not an image"):
        thumbnail(b"no picture")
    with pytest.raises(NoImage, match="cannot be drawn"):
        thumbnail(picture((600, 300), form="PNG")[:200])
    huge = io.BytesIO()
    Picture.new("1", (10_000, 8_001)).save(huge, "PNG")
    with pytest.raises(NoImage, match=r"too large to draw \(10000 × 8001\)"):
        thumbnail(huge.getvalue())


# --- The upload's archive -----------------------------------------------------------------------------------------


def test_an_image_that_went_away_is_named(tmp_path: Path) -> None:
    with pytest.raises(ToolkitError, match=r"1\.jpg went away while it was read: run again"):
        write_archive([Image("1.jpg", tmp_path, 10)], tmp_path / "upload.zip")


def test_an_upload_that_has_no_room_is_refused_before_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(b"x")
    with pytest.raises(ToolkitError, match=r"free, the upload needs 1024.0 TiB for a while: make room"):
        write_archive([Image("1.jpg", tmp_path, 2**50)], tmp_path / "upload.zip")
    assert not (tmp_path / "upload.zip").exists()


# --- Labels of one's own ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\xff\xfe", "is not UTF-8 text"),
        (b"\n \n", "names no class"),
        (b"cat\ndog\ncat\n", "names classes twice"),
        (b'{"cat": 0,', "line 1, column 11: not JSON"),
        (b'{"cat": true}', "the id of cat must be an integer from 0"),
        (b'{"cat": -1}', "the id of cat must be an integer from 0"),
        (b'{"cat": 0, "cat": 1}', "cat is there twice"),
        (b'{"cat": 0, "dog": 0}', "two names have the same id"),
        (b'{"cat": 100000}', "so ids must be below 100000"),
        (b"../cat\n", "has names that cannot be class folders"),
        (b"Cat\ncat\n", "has names that cannot be class folders"),
    ],
)
def test_labels_that_cannot_be_taken_say_why(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "labels"
    path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        read_pinned(path)
    assert reason in caught.value.message
    assert str(path) in caught.value.message


def test_labels_that_are_not_there_say_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file or directory"):
        read_pinned(tmp_path / "none")


@pytest.mark.parametrize("content", [b"\xef\xbb\xbfcat\n\n dog \n", b'{"dog": 1, "cat": 0}'])
def test_labels_come_in_the_order_of_their_ids(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "labels").write_bytes(content)
    assert list(read_pinned(tmp_path / "labels").items()) == [("cat", 0), ("dog", 1)]
