"""Which archives are opened, with which members, and which are refused in which words."""

import contextlib
import io
import struct
import unicodedata
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.core.errors import ToolkitError, UsageError
from toolkit.core.safe_names import BOMB_RATIO, BOMB_SIZE, is_bomb, unsafe_names
from toolkit.dataset import archive
from toolkit.dataset.archive import HAS_DESCRIPTOR, Archive, open_archive, raw_bytes

Entry = tuple[zipfile.ZipInfo | str, bytes]


def zipped(*entries: Entry, comment: bytes = b"", method: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as writing:
        for entry, content in entries:
            writing.writestr(entry, content)
        writing.comment = comment
    return stream.getvalue()


def put(folder: Path, content: bytes) -> Path:
    path = folder / "export.zip"
    path.write_bytes(content)
    return path


def opened(folder: Path, content: bytes) -> Archive:
    with open_archive(put(folder, content)) as found:
        return found


def names(found: Archive) -> list[str]:
    return [member.name for member in found.members]


def refusal(folder: Path, content: bytes) -> ToolkitError:
    path = put(folder, content)
    with pytest.raises(ToolkitError) as caught, open_archive(path):
        pass
    assert caught.value.exit_code == 1
    assert "\n" not in caught.value.message
    return caught.value


def offenders(folder: Path, content: bytes) -> tuple[str, ...]:
    """Open it, expect that members are refused, and give the line for each."""
    error = refusal(folder, content)
    count = "1 member" if len(error.details) == 1 else f"{len(error.details)} members"
    assert error.message == f"{folder / 'export.zip'} has {count} that cannot be unpacked safely"
    return error.details


def incomplete(folder: Path, content: bytes) -> str:
    """Open it, expect that it is no whole zip, and give the reason."""
    message = refusal(folder, content).message
    start, end = (
        f"{folder / 'export.zip'} is not a complete zip (",
        "): export it again, or fetch it again if it was copied",
    )
    assert message.startswith(start)
    assert message.endswith(end)
    return message.removeprefix(start).removesuffix(end)


PLACES = {
    "flags": (8, "<H"),
    "method": (10, "<H"),
    "packed": (20, "<L"),
    "size": (24, "<L"),
    "name_length": (28, "<H"),
    "extra_length": (30, "<H"),
    "comment_length": (32, "<H"),
    "offset": (42, "<L"),
}
"""Where the fields of a record of the central directory are, and their sizes (APPNOTE.TXT 4.3.12)."""


def changed(content: bytes, name: str, **fields: int) -> bytes:
    """Overwrite fields of a member in the directory, as damage or malice would."""
    new = bytearray(content)
    start = new.rindex(name.encode()) - 46
    assert new[start : start + 4] == b"PK\1\2"
    for field, value in fields.items():
        place, form = PLACES[field]
        struct.pack_into(form, new, start + place, value)
    return bytes(new)


WHOLE = zipped(*((f"cat/{number}.jpg", b"abc") for number in range(6)))


# --- What is opened -----------------------------------------------------------------------------------------------


def test_members_come_with_place_size_and_sum(tmp_path: Path) -> None:
    content = b"some bytes " * 50
    data = zipped(("cat/1.jpg", b"abc"), ("cat/b/", b""), ("dog/2.jpg", content), method=zipfile.ZIP_DEFLATED)
    found = opened(tmp_path, data)
    assert found.path == tmp_path / "export.zip"
    assert found.size == len(data)
    assert found.folders == ["cat/b"]
    first, second = found.members
    assert (first.name, second.name) == ("cat/1.jpg", "dog/2.jpg")
    assert (first.size, second.size) == (3, 550)
    assert (first.crc, second.crc) == (zlib.crc32(b"abc"), zlib.crc32(content))
    assert first.offset == 0
    assert data[second.offset : second.offset + 4] == b"PK\3\4"
    assert first.limit == data.index(b"PK\3\4", 4)  # there begins the folder's entry
    assert second.limit == data.index(b"PK\1\2")
    assert second.packed < second.size
    assert {first.method, second.method} == {zipfile.ZIP_DEFLATED}
    assert not first.flags & HAS_DESCRIPTOR


def test_members_are_in_the_order_of_their_place_not_of_the_directory(tmp_path: Path) -> None:
    data = zipped(("b/1.jpg", b"1"), ("a/1.jpg", b"2"), ("c/1.jpg", b"3"))
    start, end = data.index(b"PK\1\2"), data.index(b"PK\5\6")
    records = [b"PK\1\2" + record for record in data[start:end].split(b"PK\1\2")[1:]]
    found = opened(tmp_path, data[:start] + b"".join(reversed(records)) + data[end:])
    assert names(found) == ["b/1.jpg", "a/1.jpg", "c/1.jpg"]
    assert [member.limit for member in found.members] == [38, 76, 114]


def test_an_archive_is_known_by_its_directory(tmp_path: Path) -> None:
    first = opened(tmp_path, zipped(("cat/1.jpg", b"abc"), ("cat/2.jpg", b"x"))).directory_sha256()
    assert (
        first == opened(tmp_path, b"before it" + zipped(("cat/1.jpg", b"abc"), ("cat/2.jpg", b"x"))).directory_sha256()
    )
    assert first != opened(tmp_path, zipped(("cat/1.jpg", b"abd"), ("cat/2.jpg", b"x"))).directory_sha256()
    assert first != opened(tmp_path, zipped(("cat/1.jpg", b"abc"), ("cat/3.jpg", b"x"))).directory_sha256()


class Pipe(io.RawIOBase):
    """Cannot seek: zipfile then writes sizes and CRC behind the data."""

    def __init__(self) -> None:
        self.written = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:
        self.written += data
        return len(data)


def streamed(force_zip64: bool = False) -> bytes:
    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as writing:
        for name in ("cat/1.jpg", "dog/日.jpg"):
            with writing.open(name, "w", force_zip64=force_zip64) as member:
                member.write(b"abc")
    return bytes(pipe.written)


@pytest.mark.parametrize("force_zip64", [False, True])
def test_a_streamed_archive_says_that_sums_stand_behind_the_data(tmp_path: Path, force_zip64: bool) -> None:
    found = opened(tmp_path, streamed(force_zip64))
    assert names(found) == ["cat/1.jpg", "dog/日.jpg"]
    assert all(member.flags & HAS_DESCRIPTOR and member.size == 3 for member in found.members)


@pytest.mark.parametrize(("name", "raw"), [("日.jpg", "日.jpg".encode()), ("plain.jpg", b"plain.jpg")])
def test_a_name_is_known_by_the_bytes_that_the_archive_has(tmp_path: Path, name: str, raw: bytes) -> None:
    (member,) = opened(tmp_path, zipped((name, b"x"))).members
    assert (member.name, raw_bytes(member.name, member.flags)) == (name, raw)


def test_a_name_without_the_mark_for_utf8_is_read_as_dos_wrote_it(tmp_path: Path) -> None:
    data = zipped(("cat/caf+.jpg", b"x")).replace(b"caf+", b"caf\x82")
    (member,) = opened(tmp_path, data).members
    assert member.name == "cat/caf\u00e9.jpg"
    assert raw_bytes(member.name, member.flags) == b"cat/caf\x82.jpg"


def test_a_name_that_is_marked_as_utf8_and_is_not_is_no_whole_zip(tmp_path: Path) -> None:
    data = zipped(("cat/caf\u00e9.jpg", b"x")).replace("caf\u00e9".encode(), b"caf\xff\xff")
    assert "codec can't decode" in incomplete(tmp_path, data)


@pytest.mark.parametrize("comment", [b"", b"x", b"made by a server" * 100, bytes(0xFFFF)])
def test_a_comment_harms_nothing(tmp_path: Path, comment: bytes) -> None:
    assert names(opened(tmp_path, zipped(("cat/1.jpg", b"x"), ("dog/1.jpg", b"y"), comment=comment))) == [
        "cat/1.jpg",
        "dog/1.jpg",
    ]


def test_bytes_before_the_archive_move_its_members(tmp_path: Path) -> None:
    first, _ = opened(tmp_path, b"#!/bin/sh\n" + zipped(("cat/1.jpg", b"x"), ("dog/1.jpg", b"y"))).members
    assert first.offset == 10


def test_bytes_behind_the_archive_harm_nothing(tmp_path: Path) -> None:
    assert names(opened(tmp_path, zipped(("cat/1.jpg", b"x")) + bytes(500))) == ["cat/1.jpg"]


def test_an_empty_archive_is_opened(tmp_path: Path) -> None:
    found = opened(tmp_path, zipped())
    assert (list(found.members), found.folders) == ([], [])


def many(count: int, comment: bytes = b"") -> bytes:
    """Make an archive of so many empty members, with the records for large archives where they are needed."""
    names = [b"%07d" % number for number in range(count)]
    members = b"".join(b"PK\3\4" + bytes(22) + b"\7\0\0\0" + name for name in names)
    directory = b"".join(
        b"PK\1\2" + bytes(24) + b"\7" + bytes(13) + struct.pack("<L", 37 * number) + name
        for number, name in enumerate(names)
    )
    end = b""
    if count > 0xFFFF:
        start = len(members) + len(directory)
        end = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, len(directory), len(members))
        end += struct.pack("<4sLQL", b"PK\6\7", 0, start, 1)
    short = min(count, 0xFFFF)
    end += struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, short, short, len(directory), len(members), len(comment))
    return members + directory + end + comment


@pytest.mark.parametrize("comment", [b"", b"PK\6\6".ljust(0xFFFF, b"\0")])
@pytest.mark.parametrize("count", [0xFFFF - 1, 0xFFFF, 0xFFFF + 2])
def test_as_many_members_as_the_short_count_holds_and_one_more(tmp_path: Path, count: int, comment: bytes) -> None:
    assert len(opened(tmp_path, many(count, comment)).members) == count


def test_a_large_archive_with_the_mark_of_its_end_in_a_name(tmp_path: Path) -> None:
    data = many(0xFFFF + 2).replace(b"%07d" % 0xFFFF, b"PK\6\6xyz")
    assert offenders(tmp_path, data) == ("PK\6\6xyz: has a control character",)


def test_an_archive_within_the_archive_is_a_member_like_any_other(tmp_path: Path) -> None:
    assert names(opened(tmp_path, zipped(("inner.zip", zipped(("a", b""), ("b", b"")))))) == ["inner.zip"]


def test_odd_disk_numbers_do_not_hide_the_end(tmp_path: Path) -> None:
    assert len(opened(tmp_path, WHOLE[:-17] + b"PK\5\6" + WHOLE[-13:]).members) == 6


def test_an_archive_whose_numbers_look_like_the_mark_of_its_end(tmp_path: Path) -> None:
    mark = int.from_bytes(b"PK\5\6", "little")
    path = tmp_path / "export.zip"
    with path.open("wb") as stream:  # a hole of 101 MB: the directory begins at the offset that spells the mark
        stream.seek(mark - len("cat/1.jpg") - 30)
        with zipfile.ZipFile(stream, "w") as writing:
            writing.writestr("cat/1.jpg", b"")
            assert stream.tell() == mark
    with open_archive(path) as found:
        assert names(found) == ["cat/1.jpg"]


def test_folders_are_known_from_members_and_from_entries_of_their_own(tmp_path: Path) -> None:
    found = opened(tmp_path, zipped(("a/b/1.jpg", b"x"), ("c/", b""), ("2.jpg", b"y"), ("d.e/f/", b"")))
    assert found.all_folders() == {"a/b", "", "c", "d.e/f"}


# --- What is no archive -------------------------------------------------------------------------------------------


def test_what_is_not_there_or_no_file_is_wrong_usage(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    for path, message in (
        (tmp_path / "none.zip", "does not exist"),
        (tmp_path / "file" / "none.zip", "does not exist"),
        (tmp_path, "is a folder"),
        (Path("/dev/null"), "is not a regular file"),
    ):
        with pytest.raises(UsageError) as caught, open_archive(path):
            pass
        assert caught.value.message == f"{path} {message}: name the exported zip (--base-file)"


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"PK", id="two bytes"),
        pytest.param(b"\xff\xd8\xff\xe0 an image" * 10, id="an image"),
        pytest.param(WHOLE[:-1], id="last byte missing"),
        pytest.param(WHOLE[: len(WHOLE) // 2], id="half"),
        pytest.param(WHOLE[:-22], id="no end"),
        pytest.param(WHOLE.replace(b"PK\1\2", b"PK\1\3", 1), id="a record without its mark"),
        pytest.param(WHOLE + bytes(70_000), id="too much behind it"),
    ],
)
def test_what_is_no_whole_zip_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    assert incomplete(tmp_path, content)
    assert refusal(tmp_path, content).details == ()


def swallowing(content: bytes, name: str) -> bytes:
    """Make one record's comment as long as the record behind it, so that it disappears."""
    following = content.index(b"PK\1\2", content.rindex(name.encode()))
    return changed(content, name, comment_length=content.index(b"PK\1\2", following + 4) - following)


@pytest.mark.parametrize("comment", [b"", bytes(3000)])
def test_a_directory_that_has_lost_an_entry_is_noticed(tmp_path: Path, comment: bytes) -> None:
    data = swallowing(zipped(*((f"cat/{n}.jpg", b"abc") for n in range(6)), comment=comment), "cat/2.jpg")
    with zipfile.ZipFile(io.BytesIO(data)) as swallowed:
        assert len(swallowed.namelist()) == 5
    assert incomplete(tmp_path, data) == "its directory has lost entries"


def test_a_large_directory_that_has_lost_an_entry_is_noticed(tmp_path: Path) -> None:
    assert incomplete(tmp_path, swallowing(many(0xFFFF + 2), "0001234")) == "its directory has lost entries"


def test_the_front_cut_off_is_told_by_member(tmp_path: Path) -> None:
    assert offenders(tmp_path, WHOLE[1:]) == ("cat/0.jpg: lies outside the archive",)


def test_an_archive_in_several_parts_is_refused(tmp_path: Path) -> None:
    data = bytearray(many(0xFFFF + 1))
    struct.pack_into("<L", data, data.rindex(b"PK\6\7") + 16, 2)
    assert "span multiple disks" in incomplete(tmp_path, bytes(data))


def test_a_format_of_a_later_time_is_refused(tmp_path: Path) -> None:
    data = bytearray(WHOLE)
    data[data.index(b"PK\1\2") + 6] = 200
    assert incomplete(tmp_path, bytes(data)) == "zip file version 20.0"


# --- Members that are refused -------------------------------------------------------------------------------------


def of_kind(name: str, mode: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.external_attr = mode << 16
    return entry


@pytest.mark.parametrize(
    ("name", "mode", "reason"),
    [
        ("cat/1.jpg", 0o120777, "is a symbolic link"),
        ("cat/1.jpg", 0o020644, "is a device, a pipe or a socket"),
        ("cat/1.jpg", 0o060644, "is a device, a pipe or a socket"),
        ("cat/1.jpg", 0o010644, "is a device, a pipe or a socket"),
        ("cat/1.jpg", 0o140644, "is a device, a pipe or a socket"),
        ("cat/1.jpg", 0o040755, "is a folder by its attributes, but a file by its name"),
        ("cat/1.jpg/", 0o120777, "is a symbolic link"),
    ],
)
def test_what_is_neither_file_nor_folder_is_refused(tmp_path: Path, name: str, mode: int, reason: str) -> None:
    assert offenders(tmp_path, zipped((of_kind(name, mode), b""))) == (f"{name}: {reason}",)


@pytest.mark.parametrize("mode", [0, 0o644, 0o100644, 0o107777])
def test_files_are_taken_whatever_their_permissions(tmp_path: Path, mode: int) -> None:
    assert names(opened(tmp_path, zipped((of_kind("cat/1.jpg", mode), b"x")))) == ["cat/1.jpg"]


@pytest.mark.parametrize("mode", [0, 0o040755, 0o100644])
def test_folders_are_known_by_their_name(tmp_path: Path, mode: int) -> None:
    assert opened(tmp_path, zipped((of_kind("cat/", mode), b""))).folders == ["cat"]


def test_a_folder_with_content_is_refused(tmp_path: Path) -> None:
    assert offenders(tmp_path, zipped(("cat/", b""), ("dog/", b"x"))) == ("dog/: is a folder, but has content",)


@pytest.mark.parametrize("flags", [0x1, 0x40, 0x2000, 0x1 | 0x8])
def test_encrypted_members_are_refused(tmp_path: Path, flags: int) -> None:
    assert offenders(tmp_path, changed(WHOLE, "cat/2.jpg", flags=flags)) == ("cat/2.jpg: is encrypted",)


@pytest.mark.parametrize(
    ("fields", "method"),
    [
        ({"flags": 0x20}, 0),
        ({"flags": 0x20, "method": 8}, 8),
        *(({"method": method}, method) for method in (1, 9, 12, 14, 93)),
    ],
)
def test_unusual_methods_are_refused(tmp_path: Path, fields: dict[str, int], method: int) -> None:
    reason = f"is packed by a method that exports do not use ({method})"
    assert offenders(tmp_path, changed(WHOLE, "cat/2.jpg", **fields)) == (f"cat/2.jpg: {reason}",)


def test_a_stored_member_of_two_sizes_is_refused(tmp_path: Path) -> None:
    for fields in ({"size": 2}, {"packed": 4}):
        assert offenders(tmp_path, changed(WHOLE, "cat/2.jpg", **fields)) == (
            "cat/2.jpg: is stored, but its two sizes differ",
        )


def test_a_zip_bomb_is_refused_and_what_packs_well_is_not(tmp_path: Path) -> None:
    def packed_as(size: int, packed: int) -> bytes:
        return changed(WHOLE, "cat/2.jpg", method=zipfile.ZIP_DEFLATED, size=size, packed=packed)

    assert (BOMB_SIZE, BOMB_RATIO) == (10 * 1024**2, 200)  # what the documentation promises
    assert not is_bomb(BOMB_SIZE, 1)
    assert offenders(tmp_path, packed_as(BOMB_SIZE + 1, 1)) == (
        "cat/2.jpg: unpacks to 10485761 bytes from 1, as a zip bomb does",
    )
    assert not is_bomb(BOMB_RATIO * 100_000, 100_000)
    assert offenders(tmp_path, packed_as(BOMB_RATIO * 100_000 + 1, 100_000)) == (
        "cat/2.jpg: unpacks to 20000001 bytes from 100000, as a zip bomb does",
    )


def test_many_small_members_that_are_a_bomb_together_are_refused(tmp_path: Path) -> None:
    entries = [(f"cat/{number}.jpg", bytes(1024**2)) for number in range(40)]
    error = refusal(tmp_path, zipped(*entries, method=zipfile.ZIP_DEFLATED))
    assert "would unpack to 40.0 MiB from " in error.message
    assert "as a zip bomb does" in error.message
    assert len(opened(tmp_path, zipped(*entries)).members) == 40  # stored, they are what they say


def test_names_that_some_file_systems_tell_apart_are_told_on_request(tmp_path: Path) -> None:
    found = opened(tmp_path, zipped(("Cat/1.jpg", b"1"), ("cat/1.jpg", b"2"), ("dog/x.jpg", b"3"), ("dog/X.jpg", b"4")))
    assert found.lookalikes == [("cat/1.jpg", "Cat"), ("dog/X.jpg", "dog/x.jpg")]
    assert names(found) == ["Cat/1.jpg", "cat/1.jpg", "dog/x.jpg", "dog/X.jpg"]
    assert list(unsafe_names(["a/x", "A/y", "A/y", "b", "B", "b"], [])) == ["A/y: is there twice", "b: is there twice"]
    assert list(unsafe_names(["A", "a", "a/1"], [])) == ["a/1: is in a folder that is also a file (A)"]
    assert list(unsafe_names(["A/1", "a/1", "a"], [])) == ["a: is a file and also a folder (a)"]


def test_a_member_without_a_name_is_refused(tmp_path: Path) -> None:
    assert offenders(tmp_path, changed(zipped(("x", b"")), "x", name_length=0, extra_length=1)) == (": has no name",)


def test_a_name_is_shown_beyond_its_nul(tmp_path: Path) -> None:
    data = zipped(("cat/aXb.jpg", b"x")).replace(b"aXb", b"a\0b")
    assert offenders(tmp_path, data) == ("cat/a\0b.jpg: has a control character",)


def test_members_that_claim_one_place_have_no_room(tmp_path: Path) -> None:
    found = opened(tmp_path, changed(WHOLE, "cat/3.jpg", offset=WHOLE.index(b"cat/2.jpg") - 30))
    two, three = sorted(member for member in found.members if member.name in ("cat/2.jpg", "cat/3.jpg"))
    assert two.offset == three.offset
    assert min(two.limit, three.limit) == two.offset  # so that unpacking finds that it overlaps


def test_all_offenders_are_listed_and_a_hundred_at_most(tmp_path: Path) -> None:
    assert archive.SHOWN == 100
    data = zipped(("../a", b""), (of_kind("l", 0o120777), b""), ("b/c", b""), ("b\\c", b""))
    assert offenders(tmp_path, data) == (
        "l: is a symbolic link",
        "../a: leads out of the folder (..)",
        "b\\c: has a backslash, which is a folder separator elsewhere",
    )
    hundred = refusal(tmp_path, zipped(*((f"/{number}", b"") for number in range(100))))
    assert "has 100 members" in hundred.message
    assert hundred.details == tuple(f"/{number}: is an absolute path" for number in range(100))
    more = refusal(tmp_path, zipped(*((f"/{number}", b"") for number in range(103))))
    assert "has 103 members" in more.message
    assert more.details[:100] == hundred.details
    assert more.details[100:] == ("… and 3 more",)


# --- Names --------------------------------------------------------------------------------------------------------

ABSOLUTE = "is an absolute path"
BACKSLASH = "has a backslash, which is a folder separator elsewhere"
LEADS_OUT = "leads out of the folder (..)"
CONTROL = "has a control character"
EMPTY_PART = "has an empty part or a lone dot between its slashes"
LONG_PART = "has a part of more than 255 bytes"
LONG_NAME = "is longer than 3800 bytes"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("/", EMPTY_PART),
        ("/cat/1.jpg", ABSOLUTE),
        ("//server/share", ABSOLUTE),
        ("C:/cat/1.jpg", ABSOLUTE),
        ("c:", ABSOLUTE),
        ("z:/", ABSOLUTE),
        ("cat\\1.jpg", BACKSLASH),
        ("..\\1.jpg", BACKSLASH),
        ("..", LEADS_OUT),
        ("../", LEADS_OUT),
        ("../1.jpg", LEADS_OUT),
        ("cat/..", LEADS_OUT),
        ("cat/../", LEADS_OUT),
        ("cat/../../1.jpg", LEADS_OUT),
        ("cat/a\nb.jpg", CONTROL),
        ("cat/a\x1f.jpg", CONTROL),
        ("cat/a\x7f.jpg", CONTROL),
        ("cat/a\x85.jpg", CONTROL),
        ("cat/a\x9f.jpg", CONTROL),
        (".", EMPTY_PART),
        ("./1.jpg", EMPTY_PART),
        ("cat/./1.jpg", EMPTY_PART),
        ("cat/.", EMPTY_PART),
        ("cat//1.jpg", EMPTY_PART),
        ("cat//", EMPTY_PART),
        ("x" * 256, LONG_PART),
        ("cat/" + "x" * 256 + "/1.jpg", LONG_PART),
        ("cat/" + "日" * 86, LONG_PART),
        ("\U0001f600" * 64, LONG_PART),
        ("a/" * 200 + "1.jpg", None),
        ("a/" * 201 + "1.jpg", "lies more than 200 folders deep"),
        ("a/" * 1800 + "1.jpg", "lies more than 200 folders deep"),
        ("x" + "/".join(["x" * 99] * 38), None),
        ("xx" + "/".join(["x" * 99] * 38), LONG_NAME),
        ("../" + "x" * 256, LEADS_OUT),
        ("/".join(["x" * 99] * 38) + "/", None),
        ("/".join(["x" * 99] * 38) + "/x", LONG_NAME),
        ("/".join(["日" * 33] * 38) + "/x", LONG_NAME),
        ("x" * 255, None),
        ("日" * 85, None),
        ("\U0001f600" * 63, None),
        ("a:b/1.jpg", None),
        ("ab:/1.jpg", None),
        ("cat/C:/1.jpg", None),
        ("...", None),
        ("cat/.hidden", None),
        ("cat/..hidden", None),
        ("cat./1.jpg", None),
        ("cat../1.jpg", None),
        ("cat/a b.jpg", None),
        ("cat/\u202eevil.jpg", None),
        ("cat/\ud800.jpg", None),
        ("~", None),
    ],
)
def test_names_that_cannot_be_unpacked_on_every_system(name: str, reason: str | None) -> None:
    assert list(unsafe_names([name])) == ([] if reason is None else [f"{name}: {reason}"])


def test_a_folder_may_be_as_long_as_a_file() -> None:
    assert list(unsafe_names(["x" * 255 + "/"])) == []
    assert list(unsafe_names(["/".join(["\ud800" * 85] * 15)])) == [f"{'/'.join([chr(0xD800) * 85] * 15)}: {LONG_NAME}"]


ELSEWHERE = "where case or Unicode form does not count"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["cat/1.jpg", "cat/1.jpg"], ["cat/1.jpg: is there twice"]),
        (["x", "x"], ["x: is there twice"]),
        (["é", "é"], ["é: is there twice"]),
        (["x/", "x/"], ["x/: is there twice"]),
        (["cat/", "cat/1.jpg", "cat/2.jpg", "cat/"], ["cat/: is there twice"]),
        (["cat/1.jpg", "cat/"], []),
        (["a/b/", "a/", "a/b/c/"], []),
        (["cat/1.jpg", "cat/1.JPG"], [f"cat/1.JPG: collides with cat/1.jpg {ELSEWHERE}"]),
        (["cat/1.jpg", "Cat/2.jpg", "Cat/3.jpg"], [f"Cat/2.jpg: collides with cat {ELSEWHERE}"]),
        (["cat/", "CAT/"], [f"CAT/: collides with cat {ELSEWHERE}"]),
        (["a/b/c/1.jpg", "a/B/c/2.jpg"], [f"a/B/c/2.jpg: collides with a/b {ELSEWHERE}"]),
        (["caf\u00e9", "cafe\u0301"], [f"cafe\u0301: collides with caf\u00e9 {ELSEWHERE}"]),
        (["\u212b", "\u00c5"], [f"\u00c5: collides with \u212b {ELSEWHERE}"]),
        (["\u212a", "k"], [f"k: collides with \u212a {ELSEWHERE}"]),
        (["stra\u00dfe", "STRASSE"], [f"STRASSE: collides with stra\u00dfe {ELSEWHERE}"]),
        (["\u1e9e", "SS"], [f"SS: collides with \u1e9e {ELSEWHERE}"]),
        (["\uac00", "\u1100\u1161"], [f"\u1100\u1161: collides with \uac00 {ELSEWHERE}"]),
        (["\u1fb3", "\u1f80\u0313", "\u03b1\u03b9"], [f"\u03b1\u03b9: collides with \u1fb3 {ELSEWHERE}"]),
        (["\u0345\u0301", "\u0301\u0345"], [f"\u0301\u0345: collides with \u0345\u0301 {ELSEWHERE}"]),
        (["cat", "cat/1.jpg"], ["cat/1.jpg: is in a folder that is also a file (cat)"]),
        (["cat", "cat/"], ["cat/: is in a folder that is also a file (cat)"]),
        (["cat", "CAT/b/1.jpg"], ["CAT/b/1.jpg: is in a folder that is also a file (cat)"]),
        (["cat/1.jpg", "cat"], ["cat: is a file and also a folder (cat)"]),
        (["Cat/1.jpg", "cat"], ["cat: is a file and also a folder (Cat)"]),
        (["cat/", "cat"], ["cat: is a file and also a folder (cat)"]),
        (["a", "b", "c/a", "c/b", "d/a"], []),
        (["/x", "/x"], ["/x: is an absolute path"] * 2),
    ],
)
def test_names_that_meet_on_some_file_system(given: list[str], expected: list[str]) -> None:
    assert list(unsafe_names(given)) == expected


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", ["x", "cat/1.jpg"])
def test_an_archive_with_a_name_twice_is_refused(tmp_path: Path, name: str) -> None:
    assert offenders(tmp_path, zipped((name, b"1"), (name, b"2"))) == (f"{name}: is there twice",)


PARTS = st.sampled_from(["a", "A", "b", "é", "É", "e\u0301", "ß", "ss"])


@settings(deadline=None)  # the machine may be busy
@given(st.lists(st.tuples(st.lists(PARTS, min_size=1, max_size=3), st.booleans()), max_size=6))
def test_what_is_not_refused_can_be_unpacked_where_case_does_not_count(paths: list[tuple[list[str], bool]]) -> None:
    def plain(text: str) -> str:
        return unicodedata.normalize("NFD", unicodedata.normalize("NFD", text).casefold())

    given = ["/".join(parts) + "/" * is_folder for parts, is_folder in paths]
    disk: dict[str, tuple[str, bool]] = {}  # a file system that ignores case and form: folded path, true path, kind
    fits = len(set(given)) == len(given)
    for parts, is_folder in paths:
        for depth in range(1, len(parts) + 1):
            true = "/".join(parts[:depth])
            kind = is_folder or depth < len(parts)
            fits = fits and disk.setdefault(plain(true), (true, kind)) == (true, kind)
    assert (list(unsafe_names(given)) == []) == fits


@pytest.mark.parametrize("lost", [1, 10_000])
def test_a_cut_anywhere_is_refused_or_leaves_members_within_the_file(tmp_path: Path, lost: int) -> None:
    """A byte missing, or everything from there on."""
    whole = zipped(("cat/1.jpg", b"abc"), ("cat/b/", b""), ("dog/1.jpg", b"abcd"))
    for at in range(len(whole)):
        data = whole[:at] + whole[at + lost :]
        with contextlib.suppress(ToolkitError), open_archive(put(tmp_path, data)) as found:
            assert lost == 1
            assert all(0 <= member.offset <= member.limit <= len(data) for member in found.members)


@settings(deadline=None)
@given(st.lists(st.tuples(st.lists(PARTS, min_size=1, max_size=3), st.booleans()), max_size=6))
def test_names_are_judged_the_same_beside_one_that_is_unsafe(paths: list[tuple[list[str], bool]]) -> None:
    given = ["/".join(parts) + "/" * is_folder for parts, is_folder in paths]
    assert list(unsafe_names(given)) == list(unsafe_names([*given, "bad\\name"]))[:-1]
