"""Which files of a folder are imported, and what is found wrong with them before anything is sent."""

import io
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Picture

from toolkit.core.errors import ToolkitError
from toolkit.core.images import problem_with
from toolkit.cvat.api import Label
from toolkit.transfer.images import (
    HIDDEN,
    OTHER_FILE,
    OTHER_SPELLING,
    SPECIAL,
    Image,
    check_images,
    find_images,
    lost_on_export,
)
from toolkit.transfer.task import check_folders, folder_tags


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
        OTHER_FILE: ["7.png", "8", "jpg"],
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
        "cut short: it has no end (CVAT would take it, grey where it ends)",
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
    assert offenders(tmp_path) == ["cut.jpg: cut short: it has no end (CVAT would take it, grey where it ends)"]


def test_bytes_behind_the_end_are_no_fault(tmp_path):
    put(tmp_path, "phone.jpg", content=jpeg(20, 10) + b"\0camera's own data" * 100)
    assert check(tmp_path) == {}


@pytest.mark.parametrize(
    "options", [{"progressive": True}, {"quality": 100, "subsampling": 0}, {"comment": b"\xff\xd9"}]
)
def test_kinds_of_jpeg(tmp_path, options):
    put(tmp_path, "1.jpg", content=jpeg(33, 17, **options))
    assert check(tmp_path) == {}


def test_without_verification_files_are_not_opened(tmp_path):
    put(tmp_path, "text.jpg", content=b"hello")
    assert check(tmp_path, decode=False) == {}


def test_more_than_the_server_takes_is_refused():
    images = [Image(f"{number}.jpg", Path("/nowhere"), 13 * 1024**3) for number in range(2)]
    with pytest.raises(ToolkitError) as caught:
        check_images(images, decode=False)
    assert "26.0 GiB, the server takes 25.0 GiB" in caught.value.details[0]


WHOLE = jpeg(32, 32)


@settings(deadline=None, max_examples=300)
@given(st.integers(0, len(WHOLE) - 2), st.binary(max_size=30))
def test_broken_jpegs_never_raise_anything(tmp_path_factory, cut, noise):
    path = tmp_path_factory.getbasetemp() / f"broken-{os.getpid()}.jpg"
    path.write_bytes(WHOLE[:cut] + noise)
    problem_with(path)


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


def test_frames_are_tagged_with_their_first_folder():
    labels = [Label("a", "tag", 7), Label("b", "any", 8), Label("a", "rectangle", 9)]
    frames = ["a/1.jpg", "b/x/2.jpg", "top.jpg"]
    images = [Image(name, Path("images"), 1) for name in reversed(frames)]
    assert folder_tags(frames, images, labels) == [(0, 7), (1, 8)]


JUNK = b"\0junk between segments\0"


def mpo(first: bytes, second: bytes) -> bytes:
    """Append a second picture to a first one, as phones do."""
    return first + second


def odd_pictures() -> dict[str, tuple[bytes, str | None]]:
    """Pictures that decoders and CVAT do not agree about with a naive check, with what is wrong with each."""
    whole = jpeg(64, 64)
    end_of_app0 = 4 + int.from_bytes(whole[4:6], "big")
    orientation = b"\x12\x01\x02\0\x02\0\0\0" + b"1\0\0\0"  # of type text
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0" + orientation + b"\0\0\0\0"
    number = Picture.Exif()
    number[0x0112] = 6
    png = io.BytesIO()
    Picture.new("RGB", (4, 4)).save(png, "PNG")
    huge = bytearray(jpeg(8, 8))
    at = huge.index(b"\xff\xc0") + 5
    huge[at : at + 4] = (16000).to_bytes(2, "big") * 2
    return {
        "junk": (whole[:end_of_app0] + JUNK + whole[end_of_app0:], None),
        "stuffing": (whole[:end_of_app0] + b"\xff\x00x" + whole[end_of_app0:], None),
        "turned": (jpeg(16, 16, exif=number), None),
        "two": (mpo(whole, jpeg(32, 32)), None),
        "cut first": (mpo(whole[:-90], jpeg(32, 32)), "cut short: a second picture begins before the first one ends"),
        "cut header": (
            mpo(whole[:end_of_app0], jpeg(32, 32)),
            "cut short: a second picture begins before the first one ends",
        ),
        "text": (jpeg(16, 16, exif=exif), "its EXIF orientation is no number"),
        "huge": (bytes(huge), "has 16000 × 16000 pixels, CVAT takes 178,956,970 at most"),
        "png": (png.getvalue(), "a PNG file, not a JPEG image"),
        "page": (b"<!DOCTYPE html><p>404", "a HTML file, not a JPEG image"),
    }


@pytest.mark.parametrize("name", odd_pictures())
def test_what_cvat_would_refuse_is_refused_and_nothing_else(tmp_path, name):
    content, problem = odd_pictures()[name]
    put(tmp_path, f"{name}.jpg", content=content)
    if problem is None:
        assert check(tmp_path) == {}
    else:
        assert [line.startswith(f"{name}.jpg: {problem}") for line in offenders(tmp_path)] == [True]


def test_a_person_can_leave_broken_files_out(tmp_path):
    put(tmp_path, "good.jpg", "also good.jpg")
    put(tmp_path, "bad.jpg", content=b"hello")
    assert check(tmp_path, skip_broken=True) == {"bad.jpg": "not a JPEG image"}
    with pytest.raises(ToolkitError, match="--skip-broken leaves broken files out, --no-verify sends them unseen"):
        check(tmp_path)
    for good in tmp_path.glob("*good.jpg"):
        good.unlink()
    with pytest.raises(ToolkitError, match="all images are broken"):
        check(tmp_path, skip_broken=True)


def test_several_extensions_and_all_that_cvat_opens(tmp_path):
    put(tmp_path, "1.jpg", "2.JPG", "3.jpeg", "4.png", "5.PNG", "6.txt", "7.webp")
    assert [image.name for image in find_images(tmp_path, ["jpg", "JPG", "png"]).images] == ["1.jpg", "2.JPG", "4.png"]
    assert [image.name[0] for image in find_images(tmp_path, "images").images] == ["1", "2", "3", "4", "5", "7"]
    found = find_images(tmp_path, ["jpg", "png"])
    assert found.left_out == {OTHER_SPELLING: ["2.JPG", "3.jpeg", "5.PNG"], OTHER_FILE: ["6.txt", "7.webp"]}
    for name in ("1.jpg", "2.JPG", "3.jpeg", "5.PNG"):
        (tmp_path / name).unlink()
    with pytest.raises(ToolkitError, match=r"1 files end in png \(--extension png\)"):
        find_images(tmp_path, "jpg")


@pytest.mark.parametrize(("form", "ending"), [("PNG", "png"), ("BMP", "bmp"), ("GIF", "gif"), ("WebP", "webp")])
def test_other_kinds_of_images_are_looked_into(tmp_path, form, ending):
    stream = io.BytesIO()
    Picture.effect_noise((32, 32), 90).convert("RGB").save(stream, form)
    put(tmp_path, f"whole.{ending}", content=stream.getvalue())
    put(tmp_path, f"cut.{ending}", content=stream.getvalue()[: len(stream.getvalue()) // 2])
    put(tmp_path, f"jpeg.{ending}", content=WHOLE)
    broken = check_images(find_images(tmp_path, ending).images, skip_broken=True)
    assert sorted(broken) == [f"cut.{ending}", f"jpeg.{ending}"]
    assert broken[f"jpeg.{ending}"].startswith(f"a JPEG file, not a {form} image")


def test_names_that_the_servers_renaming_would_lose():
    assert lost_on_export(["image.jpg"], ["other.jpg", "image_1.jpg"]) == []
    assert lost_on_export(["image.jpg", "image_1.jpg"], ["image.jpg"]) == [
        "image.jpg is there 2 times, one of them would become image_1.jpg, which is there too"
    ]
    assert lost_on_export(["image.jpg", "image.jpg"], ["image_1.jpg"])
    assert lost_on_export(["a/1.jpg", "a/1.jpg", "a/1_2.jpg"], ["a/1.jpg"])
    assert lost_on_export(["image.jpg", "image.jpg", "image_1.jpg"], ["new.jpg"]) == []  # nothing new is concerned
