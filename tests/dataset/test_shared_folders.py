"""What strangers leave in a folder is not trusted; damaged records are told in one line."""

import copy
import errno
import io
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Picture
from PIL import ImageDraw

from tests.support.conversions import (
    OWN,
    SCRIPTS,
    convert,
    converted,
    is_whole,
    make_zip,
    names_in,
    run,
    tree,
    two_classes,
)
from toolkit.core.errors import ToolkitError
from toolkit.dataset import duplicates
from toolkit.dataset.manifest_reading import read
from toolkit.dataset.verify import verify

STRANGER = 65534


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """A dataset of ours in a folder where a stranger has planted a finished publishing of another."""
    if os.geteuid() != 0:
        pytest.skip("giving files to another user needs root: run the tests with sudo")
    target = tmp_path / "shared" / "dataset"
    converted(make_zip(tmp_path / "export.zip", two_classes()), target)
    return target


def plant(work: Path, target: Path) -> None:
    (work / "new" / "training").mkdir(parents=True)
    (work / "new" / "training" / "evil.jpg").write_text("evil")
    (work / "new" / "labels.json").write_text('{"evil": 0}')
    plan = {"folder": target.stat().st_ino, "made": ["training", "labels.json"], "gone": ["validation"]}
    (work / "publishing").write_text(json.dumps(plan))
    (work / "journal.json").write_text('{"way": "rename"}')


def give_away(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        os.chown(path, STRANGER, STRANGER, follow_symlinks=False)


@pytest.mark.parametrize("command", ["convert", "overwrite", "verify"])
def test_a_planted_working_folder_changes_nothing(command: str, planted: Path, tmp_path: Path) -> None:
    work = planted / ".converting"
    plant(work, planted)
    give_away(work)
    before = tree(planted)
    archive = tmp_path / "export.zip"
    if command == "verify":
        done = run("verify_dataset", planted)
    else:
        done = convert(archive, planted, *(["--overwrite"] if command == "overwrite" else []))
    assert done.returncode == 1
    assert f"{work} belongs to another user" in done.stderr
    assert tree(planted) == before


def test_a_planted_folder_beside_is_left_alone(planted: Path, tmp_path: Path) -> None:
    for name in (".dataset.converting", ".dataset.converting-abc"):
        plant(planted.parent / name, planted)
        give_away(planted.parent / name)
    before = tree(planted)
    assert convert(tmp_path / "export.zip", planted).returncode == 1
    assert tree(planted) == before
    converted(tmp_path / "export.zip", planted, "--overwrite")
    assert is_whole(planted)
    assert (planted.parent / ".dataset.converting" / "new" / "labels.json").exists()


@pytest.mark.parametrize("kind", ["link", "file", "pipe", "open to others"])
def test_what_is_no_working_folder_of_ours_is_not_followed(kind: str, tmp_path: Path) -> None:
    target = tmp_path / "dataset"
    archive = make_zip(tmp_path / "export.zip", two_classes())
    converted(archive, target)
    secret = tmp_path / "secret"
    plant(secret, target)
    before = tree(secret)
    work = target / ".converting"
    if kind == "link":
        work.symlink_to(secret)
    elif kind == "file":
        work.write_text("x")
    elif kind == "pipe":
        os.mkfifo(work)
    else:
        plant(work, target)
        work.chmod(0o777)
    done = convert(archive, target, "--overwrite")
    assert done.returncode == 1
    assert str(work) in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert tree(secret) == before
    assert (target / "labels.json").read_text() == '{"cat": 0, "dog": 1}'


def test_a_note_of_another_folder_says_nothing_of_this_one(tmp_path: Path) -> None:
    target = tmp_path / "dataset"
    archive = make_zip(tmp_path / "export.zip", two_classes())
    converted(archive, target)
    plant(target / ".converting", tmp_path)
    (target / ".converting").chmod(0o700)
    assert run("verify_dataset", target).returncode == 0
    assert names_in(target) == OWN


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOENT], ids=["of Linux", "by FUSE"])
def test_a_name_that_the_file_system_does_not_take_is_named(tmp_path: Path, number: int) -> None:
    """As `a:b.jpg` on exFAT: here the system call is made to fail as it does there."""
    archive = make_zip(tmp_path / "export.zip", [*two_classes(), "cat/a:b.jpg"])
    program = (
        "import os, runpy, sys\n"
        "real = os.open\n"
        "def refusing(path, *rest, **options):\n"
        "    if ':' in str(path):\n"
        f"        raise OSError({number}, os.strerror({number}), path)\n"
        "    return real(path, *rest, **options)\n"
        "os.open = refusing\n"
        f"sys.argv = ['convert', '--base-file', {str(archive)!r}, '--output-dir', {str(tmp_path / 'd')!r}]\n"
        f"sys.path.insert(0, {str(SCRIPTS)!r})\n"
        f"runpy.run_path({str(SCRIPTS / 'convert_dataset.py')!r}, run_name='__main__')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "cat/a:b.jpg: " in done.stderr
    assert "does not take this name" in done.stderr
    assert names_in(tmp_path) == {"export.zip"}


# --- Damaged manifests --------------------------------------------------------------------------------------------

WRONG: list[Any] = [None, True, -1, 10**30, 1.5, "x", "\ud800", [], [None], [[]], {}, {"x": 1}]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], (*path, key))
    elif isinstance(value, list):
        for number in range(len(value)):
            yield from places(value[number], (*path, number))


def changed(value: Any, path: tuple[Any, ...], new: Any, remove: bool = False) -> Any:
    value = copy.deepcopy(value)
    if not path:
        return new
    inner = value
    for step in path[:-1]:
        inner = inner[step]
    if remove:
        del inner[path[-1]]
    else:
        inner[path[-1]] = new
    return value


def refusal(function: Callable[[], object]) -> ToolkitError | None:
    try:
        function()
    except ToolkitError as error:
        return error
    return None


def test_every_type_at_every_place_of_a_manifest_ends_in_words(tmp_path: Path) -> None:
    data = {name: name.encode() for name in two_classes(3)} | {"cat/000_1.jpg": b"cat/000.jpg", "no_label/1.jpg": b"u"}
    target = tmp_path / "dataset"
    converted(make_zip(tmp_path / "export.zip", [*data, "empty/"]), target, "--unlabelled", "drop")
    path = target / "manifest.json"
    record = json.loads(path.read_text())
    record["duplicates"] = [{"kind": "identical", "sides": ["training"], "paths": ["training/cat/000.jpg"]}]
    record["images"] = record["images"][:1]
    refused = 0
    for place in places(record):
        for new in (*WRONG, ...):
            path.write_text(json.dumps(changed(record, place, new, remove=new is ...) if place or new != ... else {}))
            error = refusal(lambda: verify(target))
            assert error is None or (str(path) in error.message and "\n" not in error.message)
            refused += error is not None
    assert refused > 500


@pytest.mark.parametrize("script", ["verify_dataset", "report_dataset"])
def test_a_damaged_manifest_is_one_line(script: str, tmp_path: Path) -> None:
    target = tmp_path / "dataset"
    converted(make_zip(tmp_path / "export.zip", two_classes()), target)
    record = json.loads((target / "manifest.json").read_text())
    options = ["--output", tmp_path / "report.html"] if script == "report_dataset" else []
    for place in (("images", 3, "size"), ("labels", "cat"), ("duplicates",), ("options",), ("warnings",)):
        text = json.dumps({**{"format": record["format"]}, **changed(record, place, [[1]])}, ensure_ascii=False)
        (target / "manifest.json").write_text(text.replace('{"format"', '{\n"format"', 1).replace(', "', ',\n"'))
        done = run(script, "--dataset-dir", target, *options)
        if script == "report_dataset" and done.returncode == 0:  # it shows the rest
            assert (tmp_path / "report.html").stat().st_size
            (tmp_path / "report.html").unlink()
            continue
        assert done.returncode == 1, (place, done.stderr)
        assert len(done.stderr.splitlines()) == 1
        assert "is damaged" in done.stderr


def test_a_manifest_that_is_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "manifest.json")
    with pytest.raises(ToolkitError, match="is no regular file"):
        read(tmp_path / "manifest.json")


# --- Duplicates ---------------------------------------------------------------------------------------------------


def jpeg(number: int, quality: int, size: tuple[int, int] = (160, 120)) -> bytes:
    picture = Picture.new("RGB", (160, 120), (40, 90, 140))
    draw = ImageDraw.Draw(picture)
    for shape in range(6):
        x, y = (37 * (number * 7 + shape * 3)) % 130, (53 * (number * 5 + shape * 11)) % 90
        draw.ellipse((x, y, x + 15 + 9 * shape, y + 50 - 6 * shape), fill=(x * 2 % 255, (number * 83) % 255, y * 2))
    stream = io.BytesIO()
    picture.resize(size).save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def test_pictures_that_look_the_same_count_as_duplicates_if_asked_for(tmp_path: Path) -> None:
    data = {f"cat/{number}.jpg": jpeg(number, 95) for number in range(40)}
    data |= {f"dog/{number}.jpg": jpeg(number, 70, (120, 90)) for number in range(10)}
    data |= {f"dog/{number}.jpg": jpeg(number, 95) for number in range(40, 60)}
    archive = make_zip(tmp_path / "export.zip", data)
    (tmp_path / "here").mkdir()
    converted(archive, tmp_path / "plain", "--on-leak", "error")
    done = convert(archive, tmp_path / "here" / "dataset", "--near-duplicates", "--on-leak", "error")
    assert done.returncode == 3
    assert "near-duplicate: cat/" in done.stderr
    answer = converted(archive, tmp_path / "fixed", "--near-duplicates", "--on-leak", "fix")
    assert answer["leaks"] == []
    found = json.loads((tmp_path / "fixed" / "manifest.json").read_text())["duplicates"]
    pairs = {tuple(sorted(path.partition("/")[2] for path in record["paths"])) for record in found}
    assert pairs == {(f"cat/{number}.jpg", f"dog/{number}.jpg") for number in range(10)}
    assert {record["kind"] for record in found} == {"near-duplicate"}


@pytest.mark.parametrize("many", [0, 10**9])
@pytest.mark.parametrize("share", [0.5, 0.08])
def test_looks_are_put_together_as_if_each_was_compared_with_each(
    share: float, many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duplicates, "_MANY_PAIRS", many)
    chance = random.Random(3)

    def changed(bits: int, count: int) -> int:
        return bits ^ sum(1 << place for place in chance.sample(range(64), count))

    looks = []
    for _ in range(60):
        look = tuple(sum((chance.random() < share) << place for place in range(64)) for _ in range(2))
        looks += [look, (changed(look[0], chance.randrange(7)), changed(look[1], chance.randrange(7)))]
    alike = {number: {number} for number in range(len(looks))}
    for (one, first), (other, second) in combinations(enumerate(looks), 2):
        if all((a ^ b).bit_count() <= 4 for a, b in zip(first, second, strict=True)) and alike[one] is not alike[other]:
            joined = alike[one] | alike[other]
            alike.update(dict.fromkeys(joined, joined))
    expected = sorted(sorted(group) for group in {id(group): group for group in alike.values()}.values())
    assert duplicates.alike(looks) == ([group for group in expected if len(group) > 1], False)


def test_pictures_with_much_in_common_are_compared_with_their_neighbours_and_that_is_told() -> None:
    chance = random.Random(3)
    looks = [(chance.getrandbits(6) << 20, chance.getrandbits(20)) for _ in range(4000)]
    looks += [(rows, columns ^ 1) for rows, columns in looks[:100]]
    groups, is_limited = duplicates.alike(looks)
    assert is_limited
    group_of = {number: at for at, group in enumerate(groups) for number in group}
    assert all(group_of[number] == group_of[4000 + number] for number in range(100))


def test_copies_within_one_split_are_counted_and_named(tmp_path: Path) -> None:
    data = {name: name.encode() for name in two_classes(20)}
    data |= {f"cat/copy {number}.jpg": b"cat/000.jpg" for number in range(3)}
    answer = converted(make_zip(tmp_path / "export.zip", data), tmp_path / "dataset", "--on-leak", "fix")
    (told,) = (warning for warning in answer["warnings"] if "duplicates within one split" in warning)
    assert "3 images are copies of 1 other: cat/000.jpg = cat/copy 0.jpg" in told
