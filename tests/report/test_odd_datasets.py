"""Datasets with what convert would not have put there, and with very many classes or sizes."""

import re
from pathlib import Path

from tests.support.reports import jpeg, report, run, write_dataset


def test_a_folder_without_sides_is_no_dataset(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    done = run(tmp_path / "photos", cwd=tmp_path)
    assert done.returncode == 2
    assert "holds no dataset: neither training nor validation is in it (make convert makes them)" in done.stderr


def test_without_labels_the_folders_are_the_classes(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "d", {"cat": (2, 1), "dog": (1, 1)}, labels=False)
    facts, page = report(dataset, tmp_path)
    assert [row["name"] for row in facts["classes"]] == ["cat", "dog"]
    assert "there is no labels.json, so the classes are the folders by name" in page.findings["no_labels"]


def test_what_does_not_belong_there_is_named(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "d", {"cat": (2, 1), "dog": (1, 1)})
    for extra in ("bird/1.jpg", "no_label/1.jpg", "cat/deep/2.jpg"):
        path = dataset / "training" / extra
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(len(extra) * 1000))
    (dataset / "training/cat/notes.txt").write_text("x")
    (dataset / "training/dog/link.jpg").symlink_to("t0000.jpg")
    facts, page = report(dataset, tmp_path)
    assert [row["name"] for row in facts["classes"]] == ["cat", "dog", "bird", "no_label"]
    assert facts["images"] == 8
    assert "2 folders are not in labels.json" in page.findings["unknown_class"]
    assert "2 files of classes are no images" in page.findings["other_files"]
    assert "training/cat/notes.txt" in page.findings["other_files"]
    assert "tag them in CVAT, or remove this folder" in page.findings["unlabelled_class"]


def test_many_sizes_are_drawn_as_dots(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "d", {"cat": (1, 1), "dog": (1, 1)})
    for number in range(12):
        for copy in range(1 + 9 * (number == 11)):
            name = f"training/cat/{number}-{copy}.jpg"
            (dataset / name).write_bytes(jpeg(number * 100 + copy, (40 * (number + 1), 30 * (12 - number))))
    (dataset / "training/dog/nearly.jpg").write_bytes(jpeg(9999, (480, 31)))
    _, page = report(dataset, tmp_path)
    dots = re.findall(r'<circle class="dot" [^>]*r="([\d.]+)"', (tmp_path / "report.html").read_text("utf-8"))
    assert len(dots) == 13  # one for each size, but none for what is nearly as large as another
    assert dots[0] == max(dots, key=float) == "5.1"  # eleven pictures, the most
    assert "Most frequent sizes" in page.text


def test_of_very_many_classes_the_largest_are_drawn(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "d", {f"class {number:02}": (1 + number % 2, 1) for number in range(70)})
    facts, page = report(dataset, tmp_path)
    assert len(facts["classes"]) == 70
    assert len(page.table) == 72  # the table has all
    assert "The 60 largest of 70." in page.text
