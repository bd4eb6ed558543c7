"""Split methods, groups, leaks and pinned labels through the script."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.conversions import converted, is_whole, make_zip, refused, side, two_classes
from toolkit.dataset.labels import as_lines


def record(target: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((target / "manifest.json").read_text(encoding="utf-8"))
    return content


def leaky(tmp_path: Path) -> Path:
    """Make an export with a renamed twin, an equal image under another name, and an image with two tags."""
    data = {name: name.encode() for name in two_classes(20)}
    data.update({f"cat/{number:03}_1.jpg": f"cat/{number:03}.jpg".encode() for number in range(10)})
    data.update({f"dog/copy {number}.jpg": f"dog/{number:03}.jpg".encode() for number in range(10)})
    data.update(
        {f"{name}/both {number}.jpg": f"both {number}".encode() for name in ("cat", "dog") for number in range(5)}
    )
    return make_zip(tmp_path / "export.zip", data)


def test_leaks_are_reported_by_name_and_change_nothing(tmp_path: Path) -> None:
    answer = converted(leaky(tmp_path), tmp_path / "dataset")
    assert {leak["kind"] for leak in answer["leaks"]} >= {"renamed copy", "identical"}
    for leak in answer["leaks"]:
        assert leak["sides"] == ["training", "validation"]
        assert len({(tmp_path / "dataset" / path).read_bytes() for path in leak["paths"]}) == 1
    assert "--on-leak fix" in " ".join(answer["warnings"])
    assert "--multi-label drop" in " ".join(answer["warnings"])
    assert len(record(tmp_path / "dataset")["duplicates"]) == 25


@pytest.mark.parametrize("method", ["reference", "stratified", "stable"])
def test_fix_puts_equal_content_on_one_side(method: str, tmp_path: Path) -> None:
    answer = converted(leaky(tmp_path), tmp_path / "dataset", "--on-leak", "fix", "--split-method", method)
    assert answer["leaks"] == []
    content = [
        {(tmp_path / "dataset" / name / path).read_bytes() for path in side(tmp_path / "dataset", name)}
        for name in ("training", "validation")
    ]
    assert not content[0] & content[1]
    assert answer["images"] == 70


def test_error_refuses_leaks_by_name(tmp_path: Path) -> None:
    archive = leaky(tmp_path)
    (tmp_path / "here").mkdir()
    text = refused(archive, tmp_path / "here" / "dataset", "--on-leak", "error", code=3)
    assert "renamed copy: cat/" in text


def test_fix_and_error_change_nothing_without_a_leak(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "export.zip", two_classes(20))
    for mode in ("warn", "fix", "error"):
        converted(archive, tmp_path / mode, "--on-leak", mode)
    assert side(tmp_path / "warn", "validation") == side(tmp_path / "fix", "validation")
    assert side(tmp_path / "warn", "validation") == side(tmp_path / "error", "validation")


def test_images_with_two_labels_are_kept_dropped_or_an_error(tmp_path: Path) -> None:
    archive = leaky(tmp_path)
    dropped = converted(archive, tmp_path / "dropped", "--multi-label", "drop")
    assert dropped["images"] == 60
    assert dropped["left_out"] == {"more than one label": 10}
    (tmp_path / "here").mkdir()
    text = refused(archive, tmp_path / "here" / "dataset", "--multi-label", "error", code=3)
    assert "cat/both 0.jpg = dog/both 0.jpg" in text


def test_stable_survives_additions_twins_and_corrected_tags(tmp_path: Path) -> None:
    old = {name: name.encode() for name in two_classes(40)}
    converted(make_zip(tmp_path / "old.zip", old), tmp_path / "old", "--split-method", "stable")
    new = {**old, **{f"bird/{number}.jpg": f"bird {number}".encode() for number in range(30)}}
    new["cat/001_1.jpg"] = new["cat/001.jpg"]
    new["dog/retagged.jpg"] = new.pop("cat/002.jpg")
    converted(make_zip(tmp_path / "new.zip", new), tmp_path / "new", "--split-method", "stable")
    before = {image["sha256"]: image["side"] for image in record(tmp_path / "old")["images"]}
    after: dict[str, set[str]] = {}
    for image in record(tmp_path / "new")["images"]:
        after.setdefault(image["sha256"], set()).add(image["side"])
    assert all(after[digest] == {where} for digest, where in before.items())
    assert record(tmp_path / "new")["labels"] == {"bird": 0, "cat": 1, "dog": 2}


@pytest.mark.parametrize("method", ["reference", "stratified", "stable"])
@pytest.mark.parametrize("rule", ["1", r"^patient\d+"])
def test_groups_stay_together_across_classes(method: str, rule: str, tmp_path: Path) -> None:
    names = [f"{name}/patient{n % 12}/{n}.jpg" for n in range(120) for name in ("ill", "well")]
    target = tmp_path / "dataset"
    converted(make_zip(tmp_path / "export.zip", names), target, "--group-by", rule, "--split-method", method)
    patients = [{path.split("/")[1] for path in side(target, name)} for name in ("training", "validation")]
    assert not patients[0] & patients[1]
    assert patients[0]
    assert patients[1]


def test_pinned_labels_keep_their_ids(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "export.zip", two_classes())
    (tmp_path / "labels.json").write_text('{"dog": 0, "cat": 1, "later": 2}')
    answer = converted(archive, tmp_path / "dataset", "--labels", tmp_path / "labels.json")
    assert (tmp_path / "dataset" / "labels.json").read_text() == '{"dog": 0, "cat": 1, "later": 2}'
    assert (tmp_path / "dataset" / "training" / "later").is_dir()
    assert (tmp_path / "dataset" / "validation" / "later").is_dir()
    assert any("sorted class folders" in warning for warning in answer["warnings"])
    (tmp_path / "labels.txt").write_text("bird\n\ncat\r\ndog\n")
    answer = converted(archive, tmp_path / "second", "--labels", tmp_path / "labels.txt")
    assert answer["labels"] == {"bird": 0, "cat": 1, "dog": 2}


def test_the_number_of_a_line_of_the_classes_is_its_id(tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_text('{"dog": 1, "cat": 3}')
    target = tmp_path / "dataset"
    answer = converted(make_zip(tmp_path / "export.zip", two_classes()), target, "--labels", tmp_path / "labels.json")
    assert (target / "classes.txt").read_text() == "unused_0\ndog\nunused_2\ncat\n"
    assert "the ids have gaps; classes.txt fills them with classes named unused_…" in answer["warnings"]
    assert is_whole(target)


def test_what_fills_a_gap_is_no_name_of_a_class() -> None:
    assert as_lines({"cat": 0, "unused_1": 3}).split() == ["cat", "unused_1_", "unused_2", "unused_1"]


def test_a_class_that_is_not_pinned_is_an_error_naming_both_lists(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "export.zip", [*two_classes(), "emu/1.jpg"])
    (tmp_path / "labels.txt").write_text("cat\ndog\nfox")
    (tmp_path / "here").mkdir()
    text = refused(archive, tmp_path / "here" / "dataset", "--labels", tmp_path / "labels.txt")
    assert "emu" in text
    assert "cat, dog, fox" in text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "cat\ncat",
        "../cat",
        "a/b",
        '{"cat": "0"}',
        '{"cat": 0, "cat": 1}',
        '{"cat": 0, "dog": 0}',
        "{",
        '{"cat": true}',
        '["cat", "dog"]',
    ],
)
def test_bad_label_files_are_wrong_use(text: str, tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "export.zip", two_classes())
    (tmp_path / "labels").write_text(text)
    (tmp_path / "here").mkdir()
    assert "--labels" in refused(archive, tmp_path / "here" / "d", "--labels", tmp_path / "labels", code=2)
