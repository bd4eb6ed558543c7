"""`--format index`: addresses, classes and splits of images that stay where they are."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.conversions import convert, converted, make_zip, refused, run, tree

ROOT = Path(__file__).resolve().parents[2]
RECORDED = ROOT / "tests/data/recordings/exports/classification_imagenet_1.0_without_images.zip"
BUCKET = ("--format", "index", "--base-url", "s3://pictures/flowers/")


def without_images(path: Path, frames: dict[str, str], classes: str = "cat\ndog\nempty\n") -> Path:
    """Write an export without images: frames with the numbers of their labels."""
    lines = "".join(f"{name} {numbers}\n" for name, numbers in frames.items())
    return make_zip(path, {"synsets.txt": classes.encode(), "default.txt": lines.encode()})


def many(path: Path) -> Path:
    return without_images(
        path, {f"{name}/{n:02}.jpg": str(c) for c, name in enumerate(("cat", "dog")) for n in range(20)}
    )


def rows(target: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (target / "index.jsonl").read_text("utf-8").splitlines()]


def sides(target: Path) -> dict[str, str]:
    return {row["frame"]: row["side"] for row in rows(target)}


def test_a_recorded_export_becomes_an_index(tmp_path: Path) -> None:
    done = convert(RECORDED, tmp_path / "index", *BUCKET, "--validation-split", "0.4")
    assert done.returncode == 0, done.stderr
    assert rows(tmp_path / "index")[:1] == [
        {"url": "s3://pictures/flowers/a/1.jpg", "class": "cat", "class_id": 0, "side": "training", "frame": "a/1.jpg"}
    ]
    found = {
        (row["url"].removeprefix("s3://pictures/flowers/"), row["class"], row["class_id"])
        for row in rows(tmp_path / "index")
    }
    assert found == {
        ("a/1.jpg", "cat", 0), ("a/2.jpg", "cat", 0), ("b/1.jpg", "cat", 0), ("b/1.jpg", "dog", 1),
        ("b/deep dir/1.jpg", "dog", 1), ("b/deep dir/2.jpg", "dog", 1), ("日本 語.jpg", "日本", 2),
    }  # fmt: skip
    assert json.loads((tmp_path / "index/labels.json").read_text()) == {"cat": 0, "dog": 1, "日本": 2}
    assert "left out: 3 frames, no label" in done.stdout
    assert "日本 語_1.jpg" in done.stderr  # renamed by the server, and there is no such file


@pytest.mark.parametrize("method", ["reference", "stratified"])
def test_the_sides_are_those_of_a_dataset_of_the_same_frames(tmp_path: Path, method: str) -> None:
    convert(many(tmp_path / "without.zip"), tmp_path / "index", *BUCKET, "--split-method", method)
    names = [f"{name}/{name}/{number:02}.jpg" for name in ("cat", "dog") for number in range(20)]
    convert(make_zip(tmp_path / "with.zip", names), tmp_path / "dataset", "--split-method", method)
    manifest = json.loads((tmp_path / "dataset/manifest.json").read_text())
    assert sides(tmp_path / "index") == {
        f"{image['class']}/{image['frame']}": image["side"] for image in manifest["images"]
    }


def test_a_stable_side_stays_when_frames_are_added(tmp_path: Path) -> None:
    frames = {f"{number}.jpg": str(number % 2) for number in range(40)}
    convert(without_images(tmp_path / "a.zip", frames), tmp_path / "a", *BUCKET, "--split-method", "stable")
    more = frames | {f"new-{number}.jpg": "0" for number in range(40)}
    convert(without_images(tmp_path / "b.zip", more), tmp_path / "b", *BUCKET, "--split-method", "stable")
    assert sides(tmp_path / "a").items() < sides(tmp_path / "b").items()


def test_a_frame_with_two_labels_may_not_be_on_two_sides(tmp_path: Path) -> None:
    export = without_images(tmp_path / "e.zip", {f"{number}.jpg": "0 1" for number in range(20)})
    done = convert(export, tmp_path / "index", *BUCKET, "--on-leak", "fix")
    assert done.returncode == 0, done.stderr
    assert len({(row["frame"], row["side"]) for row in rows(tmp_path / "index")}) == 20
    assert "data leakage" in refused(export, tmp_path / "other", *BUCKET, "--on-leak", "error", code=3)


def test_addresses_are_spelled_as_their_place_wants_them(tmp_path: Path) -> None:
    frames = {'"a b/ü#1".jpg': "0"} | {f"{number}.jpg": "1" for number in range(9)}
    export = without_images(tmp_path / "e.zip", frames)
    for base, address in (
        ("https://example.com/p", "https://example.com/p/a%20b/%C3%BC%231.jpg"),
        ("gs://bucket/", "gs://bucket/a b/ü#1.jpg"),
    ):
        target = tmp_path / base[:2]
        assert convert(export, target, "--format", "index", "--base-url", base).returncode == 0
        assert address in {row["url"] for row in rows(target)}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--format", "index"), "needs --base-url"),
        (("--base-url", "s3://bucket/"), "--base-url is for --format index"),
        (("--format", "index", "--base-url", "bucket/x"), "--base-url must be such as s3://bucket/folder/"),
        (("--format", "index", "--base-url", "https://ana:S3cret@example.com/"), "without user name"),
        ((*BUCKET, "--near-duplicates"), "--near-duplicates compares pictures"),
        ((*BUCKET, "--layout", "nested"), "are for folders"),
        ((*BUCKET, "--split-method", "subsets"), "subsets is for exports of boxes"),
    ],
)
def test_what_cannot_be_meant_is_one_line(tmp_path: Path, options: tuple[str, ...], told: str) -> None:
    said = refused(RECORDED, tmp_path / "index", *options, code=2)
    assert told in said
    assert said.count("\n") == 1
    assert "S3cret" not in said


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ({"cat/1.jpg": b"x"}, "without images"),
        ({"annotations.xml": b"<annotations/>"}, "without images"),
        ({"synsets.txt": b"cat\n", "default.txt": b"a.jpg 7\n"}, "'a.jpg 7' is none of a frame and its labels"),
        ({"synsets.txt": b"cat\n", "default.txt": b"a b.jpg 0\n"}, "is none of a frame and its labels"),
        ({"synsets.txt": b"cat\n", "default.txt": b"a 0\n"}, "has no extension of an image"),
        ({"synsets.txt": b"cat\n", "default.txt": b"\xff.jpg 0\n"}, "export it again"),
        ({"synsets.txt": b"cat\n", "default.txt": b"a.jpg \n"}, "holds no image with a tag"),
        ({"synsets.txt": b"cat\n", "default.txt": b"a.jpg 0\n"}, "would be empty"),
    ],
)
def test_what_is_no_such_export_is_refused(tmp_path: Path, members: dict[str, bytes], told: str) -> None:
    assert told in refused(make_zip(tmp_path / "e.zip", members), tmp_path / "index", *BUCKET)


def test_an_index_is_replaced_only_when_asked_and_is_no_dataset_to_verify(tmp_path: Path) -> None:
    target = tmp_path / "index"
    assert convert(many(tmp_path / "e.zip"), target, *BUCKET).returncode == 0
    before = tree(target)
    again = convert(RECORDED, target, *BUCKET, "--validation-split", "0.4")
    assert (again.returncode, tree(target)) == (1, before)
    assert converted(many(tmp_path / "e.zip"), target, *BUCKET, "--dry-run")["index"] is None
    assert tree(target) == before
    assert convert(RECORDED, target, *BUCKET, "--validation-split", "0.4", "--overwrite").returncode == 0
    assert len(rows(target)) == 7
    verified = run("verify_dataset", target)
    assert (verified.returncode, "is of an index" in verified.stderr) == (1, True)
    dataset = make_zip(tmp_path / "with.zip", [f"{name}/{n}.jpg" for name in "ab" for n in range(9)])
    assert convert(dataset, target, "--overwrite").returncode == 0
    assert not (target / "index.jsonl").exists()


def test_with_pyarrow_there_is_a_table_of_the_same_rows(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed: requirements-storage.txt has it")
    assert convert(many(tmp_path / "e.zip"), tmp_path / "index", *BUCKET).returncode == 0
    assert parquet.read_table(tmp_path / "index/index.parquet").to_pylist() == rows(tmp_path / "index")
