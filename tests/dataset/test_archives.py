"""Archives that must not be unpacked, and odd ones that may."""

import io
import os
import random
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.conversions import converted, is_whole, make_zip, refused, side, two_classes


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "here").mkdir()
    return tmp_path / "here" / "dataset"


def write(path: Path, *entries: tuple[zipfile.ZipInfo | str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in two_classes():
            archive.writestr(name, name)
        for entry, content in entries:
            archive.writestr(entry, content)
    return path


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("/cat/1.jpg", "absolute"),
        ("C:/cat/1.jpg", "absolute"),
        ("../1.jpg", "leads out"),
        ("cat/../../1.jpg", "leads out"),
        ("cat/..", "leads out"),
        ("cat\\1.jpg", "backslash"),
        ("..\\1.jpg", "backslash"),
        ("cat/./1.jpg", "lone dot"),
        ("cat//1.jpg", "empty part"),
        ("cat/a\nb.jpg", "control character"),
        ("cat/a\x7f.jpg", "control character"),
        ("cat/a\x85.jpg", "control character"),
        ("cat/" + "x" * 252 + ".jpg", "255 bytes"),
        ("cat/" + "日" * 85 + ".jpg", "255 bytes"),
        ("cat/" + "/".join(["x" * 200] * 20) + "/1.jpg", "is longer"),
        ("cat/000.jpg", "twice"),
        ("cat/000.jpg/inner.jpg", "also a file"),
        ("cat", "also a folder"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_unsafe_names_are_refused_by_name(name: str, reason: str, here: Path) -> None:
    text = refused(write(here.parent / "export.zip", (name, b"x")), here)
    assert reason in text
    assert "1 member that cannot be unpacked safely" in text
    assert all(character == "\n" or character.isprintable() for character in text)


def test_a_name_with_nul_is_refused(here: Path) -> None:
    archive = write(here.parent / "export.zip", ("cat/zzXzz.jpg", b"x"))
    archive.write_bytes(archive.read_bytes().replace(b"zzXzz", b"zz\0zz"))
    assert "control character" in refused(archive, here)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("cat", "CAT"),
        ("caf\u00e9", "cafe\u0301"),
        ("\u212b", "\u00c5"),
        ("stra\u00dfe", "STRASSE"),
        ("\uac00", "\u1100\u1161"),
    ],
)
def test_names_that_differ_in_unicode_form_or_case_only_are_two_where_the_file_system_has_both(
    one: str, two: str, here: Path
) -> None:
    names = {f"{name}/{number}.jpg" for name in (one, two) for number in range(6)} | {f"{one}/x.jpg", f"{one}/X.jpg"}
    archive = make_zip(here.parent / "export.zip", sorted(names))
    (here.parent / one).touch()
    is_one = (here.parent / two).exists()
    (here.parent / one).unlink()
    if is_one:
        assert "collides" in refused(archive, here)
        return
    answer = converted(archive, here)
    assert answer["labels"].keys() == {one, two}
    assert any("other file systems take for one" in warning for warning in answer["warnings"])
    assert side(here, "training") | side(here, "validation") == names
    assert is_whole(here)


@pytest.mark.parametrize(
    "name", ["a:b", "e\u0301 only", "\u202eevil", "日本", "\U0001f600", "'; rm", "-rf", ".hidden", "~"]
)
def test_unusual_but_harmless_names_are_kept_exactly(name: str, here: Path) -> None:
    names = {f"{name}/{name}{number}.jpg" for number in range(5)}
    converted(make_zip(here.parent / "export.zip", names), here)
    assert side(here, "training") | side(here, "validation") == names
    assert is_whole(here)


@pytest.mark.parametrize("mode", [0o120777, 0o020644, 0o060644, 0o010644, 0o140644])
def test_links_and_devices_are_refused(mode: int, here: Path) -> None:
    entry = zipfile.ZipInfo("cat/link.jpg")
    entry.external_attr = mode << 16
    assert "cat/link.jpg: is a" in refused(write(here.parent / "export.zip", (entry, b"/etc/passwd")), here)


def test_all_offenders_are_listed_at_once(here: Path) -> None:
    archive = write(here.parent / "export.zip", ("../a.jpg", b""), ("/b.jpg", b""), ("c\\d.jpg", b""))
    text = refused(archive, here)
    assert all(name in text for name in ("../a.jpg", "/b.jpg", "c\\d.jpg", "3 members"))


def patched(archive: Path, change: Callable[[bytearray], None]) -> Path:
    content = bytearray(archive.read_bytes())
    change(content)
    archive.write_bytes(content)
    return archive


def flip_data(content: bytearray) -> None:
    content[content.index(b"cat/003.jpg", content.index(b"cat/003.jpg") + 1)] ^= 1


def other_local_name(content: bytearray) -> None:
    content[content.index(b"cat/003.jpg")] = ord("k")


def other_local_size(content: bytearray) -> None:
    start = content.index(b"cat/003.jpg") - 30
    struct.pack_into("<L", content, start + 18, 3)


def encrypted(content: bytearray) -> None:
    start = content.rindex(b"cat/003.jpg") - 46
    content[start + 8] |= 1


def lies_elsewhere(content: bytearray) -> None:
    start = content.rindex(b"cat/003.jpg") - 46
    struct.pack_into("<L", content, start + 42, 7)


def same_place(content: bytearray) -> None:
    start = content.rindex(b"cat/003.jpg") - 46
    other = content.index(b"cat/004.jpg") - 30
    struct.pack_into("<L", content, start + 42, other)


@pytest.mark.parametrize(
    "change", [flip_data, other_local_name, other_local_size, encrypted, lies_elsewhere, same_place]
)
def test_damaged_members_are_refused_by_name(change: Callable[[bytearray], None], here: Path) -> None:
    archive = make_zip(here.parent / "export.zip", {name: name.encode() for name in two_classes()})
    assert "cat/003.jpg: " in refused(patched(archive, change), here)


@pytest.mark.parametrize("level", [0, 1])
def test_a_flipped_bit_anywhere_in_the_data_is_found(level: int, here: Path) -> None:
    data = {name: os.urandom(200) + bytes(5000) for name in two_classes()}
    method = {"compression": zipfile.ZIP_DEFLATED} if level else {}
    archive = make_zip(here.parent / "export.zip", data, **method)
    whole = archive.read_bytes()
    start = whole.index(b"dog/004.jpg") + 11
    for position in (start, start + 150, start + 210):
        archive.write_bytes(whole[:position] + bytes([whole[position] ^ 4]) + whole[position + 1 :])
        assert "dog/004.jpg: " in refused(archive, here)


@pytest.mark.parametrize("content", [b"", b"PK", b"\xff\xd8\xff\xe0 an image", b"PK\x05\x06" + bytes(17)])
def test_what_is_no_zip_is_refused_in_one_line(content: bytes, here: Path) -> None:
    archive = here.parent / "export.zip"
    archive.write_bytes(content)
    assert len(refused(archive, here).splitlines()) == 1


def test_every_truncation_is_refused(here: Path) -> None:
    archive = make_zip(here.parent / "export.zip", [f"cat/{number}.jpg" for number in range(6)])
    whole = archive.read_bytes()
    for length in (len(whole) - 1, len(whole) // 2, 100, 30, len(whole) - 22):
        archive.write_bytes(whole[:length])
        refused(archive, here)


def test_a_bomb_is_refused(here: Path) -> None:
    archive = here.parent / "export.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as bomb:
        for name in two_classes():
            bomb.writestr(name, name)
        bomb.writestr("cat/bomb.jpg", bytes(12_000_000))
    assert "cat/bomb.jpg: unpacks to 12000000 bytes" in refused(archive, here)


def test_data_beyond_the_declared_size_are_not_written(here: Path) -> None:
    archive = here.parent / "export.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as lying:
        for name in two_classes():
            lying.writestr(name, name * 50)
    content = bytearray(archive.read_bytes())
    for start in (content.index(b"cat/005.jpg") - 30 + 22, content.rindex(b"cat/005.jpg") - 46 + 24):
        struct.pack_into("<L", content, start, 10)
    archive.write_bytes(content)
    assert "cat/005.jpg: unpacks to more" in refused(archive, here)


def test_sizes_that_no_such_file_can_hold_are_refused(here: Path) -> None:
    names = [f"cat/huge{number}.jpg" for number in range(300)]
    archive = write(here.parent / "export.zip", *((name, b"small") for name in names))
    content = bytearray(archive.read_bytes())
    for name in names:
        start = content.rindex(name.encode()) - 46
        struct.pack_into("<LL", content, start + 20, 0xFFFFFFF0, 0xFFFFFFF0)
    archive.write_bytes(content)
    assert "as a zip bomb does" in refused(archive, here)


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_that_exports_do_not_use_are_refused(compression: int, here: Path) -> None:
    archive = make_zip(here.parent / "export.zip", two_classes(), compression=compression)
    assert "20 members" in refused(archive, here)


def test_an_export_without_images_says_so(here: Path) -> None:
    archive = make_zip(here.parent / "export.zip", ["synsets.txt", "default.txt"])
    assert "exported without images" in refused(archive, here)


def contents() -> dict[str, bytes]:
    numbers = random.Random(3)
    sizes = [0, 1, 100, 70_000, 1024 * 1024 - 1, 1024 * 1024, 1024 * 1024 + 1, 3_500_000]
    return {
        f"{name}/{number}.jpg": numbers.randbytes(size // 2) + bytes(size - size // 2)
        for name in ("cat", "dog")
        for number, size in enumerate(sizes)
    }


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_sizes_around_the_buffer_come_out_byte_for_byte(compression: int, here: Path) -> None:
    data = contents()
    converted(make_zip(here.parent / "export.zip", data, compression=compression), here)
    for name, content in data.items():
        assert (here / "cvat_exported" / name).read_bytes() == content
    assert is_whole(here)


class Unseekable(io.RawIOBase):
    """A pipe: zipfile then writes sizes and CRC behind the data."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("prefix", [b"", b"#!/bin/sh\nself-extracting\n"])
@pytest.mark.parametrize("zip64", [False, True])
def test_streamed_prefixed_and_zip64_archives_are_read(
    compression: int, prefix: bytes, zip64: bool, here: Path
) -> None:
    data = contents()
    archive = here.parent / "export.zip"
    stream = Unseekable(archive)
    with zipfile.ZipFile(stream, "w", compression) as writing:
        for name, content in data.items():
            with writing.open(name, "w", force_zip64=zip64) as member:
                member.write(content)
    stream.flush()
    archive.write_bytes(prefix + archive.read_bytes())
    converted(archive, here)
    for name, content in data.items():
        assert (here / "cvat_exported" / name).read_bytes() == content


@pytest.mark.slow
def test_a_hundred_thousand_members(here: Path) -> None:
    archive = make_zip(here.parent / "export.zip", (f"class {n % 7}/{n}.jpg" for n in range(100_000)))
    answer = converted(archive, here)
    assert answer["images"] == 100_000
    assert len(side(here, "validation")) == 20_000
    assert is_whole(here)
