"""Datasets of shards: what readers find in them, that they are the same each time, verify and report."""

import hashlib
import io
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.support.conversions import convert, converted, is_whole, make_zip, names_in, refused, run, tree

SHARDS = ("--format", "webdataset")
BOXES = Path(__file__).parents[1] / "data/recordings/exports/detection/cvat_for_images_1.1.zip"


def picture(number: int, kind: str = "JPEG") -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (16, 12), (number % 256, number // 256, 90)).save(stream, kind)
    return stream.getvalue()


def export(path: Path, each: int = 20) -> Path:
    """Two classes, one with a dot in its name; every frame in a folder with one, in many spellings of the extension."""
    endings = ("jpg", "JPG", "jpeg", "JPEG")
    members = {
        f"{name}/day.1/{number:03}.v2.{endings[number % 4]}": picture(number + 100 * index)
        for index, name in enumerate(("cat", "dog.small"))
        for number in range(each)
    }
    return make_zip(path, {**members, "cat/drawn.jpg": picture(999, "PNG"), "cat/notes.txt": b"none"})


def read(dataset: Path, side: str) -> list[dict[str, Any]]:
    """Read a side as the page on shards says."""
    import webdataset

    shards = sorted(map(str, dataset.glob(f"{side}-*.tar")))
    samples: Any = webdataset.WebDataset(shards, shardshuffle=False, empty_check=False)
    return [dict(sample) for sample in samples]


def image_of(sample: dict[str, Any]) -> bytes:
    (content,) = (value for key, value in sample.items() if not key.startswith("__") and key != "json")
    return bytes(content)


def images(dataset: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((dataset / "manifest.json").read_text("utf-8"))["images"]
    return found


def test_every_image_comes_back_with_its_id_and_its_path(tmp_path: Path) -> None:
    archive = export(tmp_path / "export.zip")
    converted(archive, tmp_path / "folders", "--no-exported")
    converted(archive, tmp_path / "shards", *SHARDS, "--shard-size", "30KB")
    labels = json.loads((tmp_path / "shards/labels.json").read_text())
    found = {
        (side, facts["path"], facts["class"], facts["class_id"], hashlib.sha256(image_of(sample)).hexdigest())
        for side in ("training", "validation")
        for sample in read(tmp_path / "shards", side)
        if (facts := json.loads(sample["json"]))
    }
    expected = {
        (image["side"], image["frame"], image["class"], labels[image["class"]], image["sha256"])
        for image in images(tmp_path / "folders")
    }
    assert found == expected
    assert len(found) == 41
    for name in ("labels.json", "classes.txt"):
        assert (tmp_path / "shards" / name).read_bytes() == (tmp_path / "folders" / name).read_bytes()


def test_keys_are_unique_and_extensions_of_one_spelling(tmp_path: Path) -> None:
    converted(export(tmp_path / "export.zip"), tmp_path / "dataset", *SHARDS, "--shard-size", "30KB")
    samples = [sample for side in ("training", "validation") for sample in read(tmp_path / "dataset", side)]
    keys = [sample["__key__"] for sample in samples]
    assert len(set(keys)) == len(keys) == 41
    assert not any("." in key for key in keys)
    kinds = [{key for key in sample if not key.startswith("__")} for sample in samples]
    assert kinds.count({"json", "jpg"}) == 40
    assert kinds.count({"json", "png"}) == 1  # by its content


def test_shards_keep_to_their_size_and_mix_the_classes(tmp_path: Path) -> None:
    converted(export(tmp_path / "export.zip"), tmp_path / "dataset", *SHARDS, "--shard-size", "40KB")
    shards = sorted((tmp_path / "dataset").glob("training-*.tar"))
    assert [shard.name for shard in shards] == [f"training-{number:06}.tar" for number in range(len(shards))]
    assert len(shards) > 1
    assert all(shard.stat().st_size <= 40_000 for shard in shards)
    of_first = {image["class"] for image in images(tmp_path / "dataset") if image["path"].startswith(shards[0].name)}
    assert of_first == {"cat", "dog.small"}


def test_the_same_export_gives_the_same_bytes(tmp_path: Path) -> None:
    archive = export(tmp_path / "export.zip")
    for name in ("one", "other"):
        converted(archive, tmp_path / name, *SHARDS, "--shard-size", "30KB")
    assert tree(tmp_path / "one") == tree(tmp_path / "other")
    with tarfile.open(tmp_path / "one/training-000000.tar") as shard:
        for member in shard:
            assert (member.mtime, member.uid, member.gid, member.uname, member.gname) == (0, 0, 0, "", "")


def test_the_index_says_where_the_bytes_are(tmp_path: Path) -> None:
    from pyarrow import parquet

    dataset = tmp_path / "dataset"
    converted(export(tmp_path / "export.zip"), dataset, *SHARDS, "--shard-size", "30KB")
    rows = parquet.read_table(dataset / "index.parquet").to_pylist()
    assert len(rows) == 41
    for row in rows:
        content = (dataset / row["shard"]).read_bytes()[row["offset"] : row["offset"] + row["size"]]
        assert hashlib.sha256(content).hexdigest() == row["sha256"]
        assert row["shard"].startswith(row["side"])
    recorded = {(image["frame"], image["class"], image["side"]) for image in images(dataset)}
    assert {(row["path"], row["class"], row["side"]) for row in rows} == recorded


def test_boxes_are_in_the_samples(tmp_path: Path) -> None:
    dataset = tmp_path / "dataset"
    converted(BOXES, dataset, *SHARDS, "--validation-split", "0.4")
    assert names_in(dataset) >= {"training-000000.tar", "validation-000000.tar", "index.parquet", "labels.json"}
    facts = {
        sample["path"]: sample
        for side in ("training", "validation")
        for sample in (json.loads(one["json"]) for one in read(dataset, side))
    }
    assert facts["a/2.jpg"] == {
        "path": "a/2.jpg",
        "width": 320,
        "height": 240,
        "boxes": [
            {
                "class": "car",
                "class_id": 0,
                "bbox": [5.0, 5.0, 45.0, 55.0],
                "bbox_normalized": [0.085938, 0.135417, 0.140625, 0.229167],
            }
        ],
    }
    assert is_whole(dataset)
    done = run("report_dataset", dataset, "--output", tmp_path / "report.html", "--json")
    answer = json.loads(done.stdout)
    assert (answer["kind"], answer["images"], answer["broken"]) == ("detection", 3, [])
    assert {one["name"]: sum(one["boxes"].values()) for one in answer["classes"]} == {"car": 2, "person": 2}


def test_report_shows_the_images_of_shards(tmp_path: Path) -> None:
    converted(export(tmp_path / "export.zip"), tmp_path / "dataset", *SHARDS, "--shard-size", "30KB")
    done = run("report_dataset", tmp_path / "dataset", "--output", tmp_path / "report.html", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["kind"], answer["images"], answer["broken"]) == ("classification", 41, [])
    assert answer["sizes"]["smallest"] == answer["sizes"]["largest"] == [16, 12]


def test_verify_names_what_differs(tmp_path: Path) -> None:
    dataset = tmp_path / "dataset"
    converted(export(tmp_path / "export.zip"), dataset, *SHARDS, "--shard-size", "30KB")
    assert is_whole(dataset)
    changed, missing = images(dataset)[3], dataset / "validation-000000.tar"
    with (dataset / changed["path"].partition("/")[0]).open("r+b") as shard:
        shard.seek(changed["offset"] + changed["size"] - 1)
        shard.write(b"\xff")
    missing.rename(dataset / "validation-000099.tar")
    (dataset / "index.parquet").write_bytes(b"PAR1")
    done = run("verify_dataset", dataset, "--json")
    assert done.returncode == 3
    problems = {(problem["kind"], problem["path"]) for problem in json.loads(done.stdout)["problems"]}
    assert problems == {
        ("changed", "training-000000.tar"),
        ("changed", changed["path"]),
        ("changed", "index.parquet"),
        ("missing", "validation-000000.tar"),
        ("extra", "validation-000099.tar"),
    }


def test_a_dry_run_says_the_same_and_writes_nothing(tmp_path: Path) -> None:
    archive = export(tmp_path / "export.zip")
    would = converted(archive, tmp_path / "dataset", *SHARDS, "--dry-run")
    assert names_in(tmp_path) == {"export.zip"}
    made = converted(archive, tmp_path / "dataset", *SHARDS)
    same = ("classes", "images", "labels", "warnings", "leaks", "bytes_needed")
    assert {key: would[key] for key in same} == {key: made[key] for key in same}


def test_overwrite_replaces_folders_by_shards_and_back(tmp_path: Path) -> None:
    archive, dataset = export(tmp_path / "export.zip"), tmp_path / "dataset"
    converted(archive, dataset, *SHARDS, "--shard-size", "20KB")
    (dataset / "mine.txt").write_text("mine")
    assert "already contains a dataset" in refused(archive, dataset, *SHARDS)
    converted(archive, dataset, "--overwrite")
    assert not list(dataset.glob("*.tar"))
    converted(archive, dataset, *SHARDS, "--overwrite")
    assert is_whole(dataset)
    parts = {"training-000000.tar", "validation-000000.tar", "index.parquet"}
    assert names_in(dataset) == {*parts, "labels.json", "classes.txt", "manifest.json", "mine.txt"}


def test_a_shard_that_is_no_part_of_a_dataset_is_not_replaced(tmp_path: Path) -> None:
    archive, dataset = export(tmp_path / "export.zip"), tmp_path / "dataset"
    dataset.mkdir()
    (dataset / "training-000000.tar").write_text("mine")
    assert "training-000000.tar is in the way" in refused(archive, dataset, *SHARDS, "--overwrite")


def test_a_damaged_export_leaves_nothing(tmp_path: Path) -> None:
    archive = export(tmp_path / "export.zip")
    content = bytearray(archive.read_bytes())
    content[content.index(b"\xff\xd8\xff") + 40] ^= 1
    archive.write_bytes(content)
    assert "CRC" in refused(archive, tmp_path / "dataset", *SHARDS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--shard-size", "0"), "--shard-size must be a size"),
        (("--shard-size", "many"), "--shard-size must be a size"),
        (("--layout", "nested"), "--layout nested is for folders"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, options: tuple[str, ...], message: str) -> None:
    assert message in refused(export(tmp_path / "export.zip"), tmp_path / "dataset", *SHARDS, *options, code=2)


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    if shutil.which("prlimit") is None:
        pytest.skip("prlimit of util-linux is not installed")
    archive = export(tmp_path / "export.zip")
    before = tree(tmp_path)
    from tests.support.script_runs import run_program, script_command

    command = script_command("convert_dataset", "--base-file", archive, "--output-dir", tmp_path / "dataset", *SHARDS)
    done = run_program(["prlimit", "--fsize=8000", *command])
    assert (done.returncode, done.stderr.splitlines()[-1][:6]) == (1, "error:")
    assert tree(tmp_path) == before


def test_without_the_library_one_line_says_how_to_get_it(tmp_path: Path) -> None:
    (tmp_path / "without/pyarrow").mkdir(parents=True)
    (tmp_path / "without/pyarrow/__init__.py").write_text("raise ModuleNotFoundError('none', name='pyarrow')")
    archive = export(tmp_path / "export.zip")
    from tests.support.script_runs import outside

    environment = outside(PYTHONPATH=str(tmp_path / "without"))
    done = convert(archive, tmp_path / "dataset", *SHARDS, env=environment)
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error")]
    assert "make storage" in line
    assert "pyarrow" in line
