"""Which files of a folder are imported, and what is found wrong with them before anything is sent."""

import io
import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Picture

from toolkit.core.errors import ToolkitError
from toolkit.core.images import NotAJpeg, check_whole, picture_size
from toolkit.cvat.api import Label
from toolkit.transfer.folder_tags import check_folders, write_annotations
from toolkit.transfer.images import HIDDEN, NO_JPEG, OTHER_SPELLING, SPECIAL, Image, find_images
from toolkit.transfer.preflight import check_images


def jpeg(width: int = 8, height: int = 6, **options) -> bytes:
    stream = io.BytesIO()
    Picture.effect_noise((width, height), 90).save(stream, "JPEG", **options)
    return stream.getvalue()


def put(folder: Path, *names: str, content: bytes | None = None) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(jpeg() if content is None else content)


def check(folder: Path, **options):
    return check_images(find_images(folder, "jpg").images, **options)


def offenders(folder: Path) -> list[str]:
    with pytest.raises(ToolkitError, match="nothing was sent") as caught:
        check(folder)
    return list(caught.value.details)


def test_finds_images_at_any_depth_and_says_what_it_leaves_out(tmp_path):
    put(tmp_path, "1.jpg", "a/1.jpg", "a/b c/日本.jpg", "x.jpg/in a folder.jpg", "a/..jpg")
    put(tmp_path, "2.JPG", "a/3.jpeg", "4.Jpg", ".5.jpg", ".git/6.jpg", "7.png", "8", "jpg")
    os.mkfifo(tmp_path / "9.jpg")
    found = find_images(tmp_path, "jpg")
    assert [image.name for image in found.images] == ["1.jpg", "a/1.jpg", "a/b c/日本.jpg", "x.jpg/in a folder.jpg"]
    assert found.left_out == {
        OTHER_SPELLING: ["2.JPG", "4.Jpg", "a/3.jpeg"],
        HIDDEN: [".5.jpg", ".git/", "a/..jpg"],
        NO_JPEG: ["7.png", "8", "jpg"],
        SPECIAL: ["9.jpg"],
    }
    assert [image.name for image in find_images(tmp_path, "JPG").images] == ["2.JPG"]


def test_symbolic_links_inside_are_refused_with_their_paths(tmp_path):
    put(tmp_path, "real/1.jpg")
    (tmp_path / "folder link").symlink_to("real")
    (tmp_path / "real/file link.jpg").symlink_to("1.jpg")
    (tmp_path / "real/broken").symlink_to("nowhere")
    with pytest.raises(ToolkitError, match="holds symbolic links") as caught:
        find_images(tmp_path, "jpg")
    assert list(caught.value.details) == ["folder link", "real/broken", "real/file link.jpg"]


def test_nothing_to_import_says_why(tmp_path):
    with pytest.raises(ToolkitError, match="does not exist"):
        find_images(tmp_path / "none", "jpg")
    put(tmp_path, "1.JPG")
    with pytest.raises(ToolkitError, match=r"1 have another spelling of it, such as 1\.JPG"):
        find_images(tmp_path, "jpg")
    with pytest.raises(ToolkitError, match="is no folder"):
        find_images(tmp_path / "1.JPG", "jpg")


def test_all_offenders_are_listed_at_once(tmp_path):
    whole = jpeg(64, 64)
    put(tmp_path, "good.jpg", content=whole)
    put(tmp_path, "text.jpg", content=b"hello")
    put(tmp_path, "empty.jpg", content=b"")
    put(tmp_path, "short.jpg", content=whole[:-40])
    put(tmp_path, "header only.jpg", content=whole[:30])
    put(tmp_path, "a\\b.jpg", "new\nline.jpg", "10:01.jpg", "Same.jpg", "same.jpg", "e\u0301.jpg", "\u00e9.jpg")
    (tmp_path / os.fsdecode(b"\xff.jpg")).write_bytes(whole)
    found = offenders(tmp_path)
    assert [line.split(": ", 1)[1] for line in found if line.startswith(("text", "empty", "short", "header"))] == [
        "empty",
        "cut short: it has no picture",
        "cut short: it has no end",
        "not a JPEG image",
    ]
    assert len([line for line in found if "rename" in line]) == 6
    assert len(found) == 10


def test_a_truncated_photograph_with_a_thumbnail_is_still_truncated(tmp_path):
    thumbnail = jpeg(16, 16)
    exif = b"Exif\0\0" + thumbnail
    whole = jpeg(64, 64, exif=exif)
    assert whole.count(b"\xff\xd9") == 2
    put(tmp_path, "cut.jpg", content=whole[:-100])
    assert offenders(tmp_path) == ["cut.jpg: cut short: it has no end"]


def test_bytes_behind_the_end_are_no_fault(tmp_path):
    put(tmp_path, "phone.jpg", content=jpeg(20, 10) + b"\0camera's own data" * 100)
    assert check(tmp_path) == {"phone.jpg": (20, 10)}


@pytest.mark.parametrize(
    "options", [{"progressive": True}, {"quality": 100, "subsampling": 0}, {"comment": b"\xff\xd9"}]
)
def test_kinds_of_jpeg(tmp_path, options):
    put(tmp_path, "1.jpg", content=jpeg(33, 17, **options))
    assert check(tmp_path) == {"1.jpg": (33, 17)}


def test_without_verification_files_are_not_opened(tmp_path):
    put(tmp_path, "text.jpg", content=b"hello")
    assert check(tmp_path, decode=False) == {}


def test_more_than_the_server_takes_is_refused():
    images = [Image(f"{number}.jpg", Path("/nowhere"), 13 * 1024**3) for number in range(2)]
    with pytest.raises(ToolkitError) as caught:
        check_images(images, decode=False)
    assert "26.0 GiB, the server takes 25 GiB" in caught.value.details[0]


WHOLE = jpeg(32, 32)


@settings(deadline=None, max_examples=300)
@given(st.integers(0, len(WHOLE) - 2), st.binary(max_size=30))
def test_broken_jpegs_never_raise_anything_else(tmp_path_factory, cut, noise):
    path = tmp_path_factory.getbasetemp() / f"broken-{os.getpid()}.jpg"
    path.write_bytes(WHOLE[:cut] + noise)
    for look in (check_whole, picture_size):
        with suppress(NotAJpeg):
            look(path)


def test_folders_must_be_tag_labels_of_the_project():
    images = [Image(name, Path(name), 1) for name in ("cat/1.jpg", "dog/1.jpg", "car/x/1.jpg", "top.jpg")]
    labels = [Label("cat", "tag"), Label("dog", "any"), Label("car", "rectangle")]
    check_folders([image for image in images if image.folder != "car"], labels, 7)
    with pytest.raises(ToolkitError, match="project 7") as caught:
        check_folders(images, labels, 7)
    assert list(caught.value.details) == [
        "no label: car",
        "folders: car, cat, dog",
        "tag labels of the project: cat, dog",
    ]


def test_annotations_name_every_image_in_a_folder(tmp_path):
    from xml.etree import ElementTree

    names = ["a/1.jpg", 'b "quoted" & <odd>/x/1.jpg', "top.jpg"]
    sizes = {"a/1.jpg": (320, 240)}
    tagged = write_annotations([Image(name, Path(name), 1) for name in names], sizes, tmp_path / "tags.xml")
    root = ElementTree.parse(tmp_path / "tags.xml").getroot()
    assert tagged == 2
    assert [(image.get("name"), image.find("tag").get("label")) for image in root.iter("image")] == [
        ("a/1.jpg", "a"),
        ('b "quoted" & <odd>/x/1.jpg', 'b "quoted" & <odd>'),
    ]
    assert root.find("image").attrib == {"id": "0", "name": "a/1.jpg", "width": "320", "height": "240"}
