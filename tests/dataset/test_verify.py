"""A dataset against its manifest."""

import json
from pathlib import Path

import pytest

from tests.support.conversions import converted, make_zip, run, side, two_classes


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    archive = make_zip(tmp_path / "export.zip", [*two_classes(), "no_label/u.jpg", "empty/"])
    converted(archive, tmp_path / "dataset")
    return tmp_path / "dataset"


def problems(dataset: Path) -> list[tuple[str, str]]:
    done = run("verify_dataset", "--dataset-dir", dataset, "--json")
    answer = json.loads(done.stdout)
    assert done.returncode == (3 if answer["problems"] else 0)
    assert answer["ok"] == (not answer["problems"])
    return [(problem["kind"], problem["path"]) for problem in answer["problems"]]


def test_a_fresh_dataset_is_whole_whatever_lies_beside_it(dataset: Path) -> None:
    (dataset / "report.html").write_text("")
    assert problems(dataset) == []


def test_names_what_is_missing_extra_and_changed(dataset: Path) -> None:
    one, two, *_ = sorted(side(dataset, "training"))
    (dataset / "training" / one).unlink()
    other = (dataset / "training" / two).read_bytes().swapcase()
    (dataset / "training" / two).write_bytes(other)  # a hard link: the unpacked export changes, too
    (dataset / "validation" / "cat" / "new.jpg").write_bytes(b"new")
    (dataset / "validation" / "empty").rmdir()
    (dataset / "training" / "zebra").mkdir()
    (dataset / "cvat_exported" / "no_label" / "u.jpg").write_bytes(b"")
    (dataset / "labels.json").write_text('{"cat": 1, "dog": 0, "empty": 2}')
    assert sorted(problems(dataset)) == sorted(
        [
            ("missing", f"training/{one}"),
            ("changed", f"training/{two}"),
            ("changed", f"cvat_exported/{two}"),
            ("extra", "validation/cat/new.jpg"),
            ("missing", "validation/empty/"),
            ("extra", "training/zebra/"),
            ("changed", "cvat_exported/no_label/u.jpg"),
            ("changed", "labels.json"),
        ]
    )


def test_links_are_not_followed(dataset: Path) -> None:
    name = min(side(dataset, "validation"))
    image = dataset / "validation" / name
    image.unlink()
    image.symlink_to(dataset / "cvat_exported" / name)
    assert problems(dataset) == [("changed", f"validation/{name}")]


def test_a_side_that_is_gone_is_told(dataset: Path) -> None:
    count = len(side(dataset, "validation"))
    (dataset / "validation").rename(dataset / "elsewhere")
    assert len([kind for kind, path in problems(dataset) if kind == "missing" and path[-1] != "/"]) == count


@pytest.mark.parametrize("text", ["", "{}", '{"format": "cvat-toolkit dataset manifest", "version": 9}', "[1", "\xff"])
def test_a_bad_manifest_is_one_line(text: str, dataset: Path) -> None:
    (dataset / "manifest.json").write_bytes(text.encode("latin-1"))
    done = run("verify_dataset", dataset)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1


def test_wrong_use_exits_with_2(tmp_path: Path) -> None:
    assert run("verify_dataset", tmp_path / "none").returncode == 2
    assert run("verify_dataset", cwd=tmp_path).returncode == 2
    assert run("verify_dataset", tmp_path, "--dataset-dir", tmp_path).returncode == 2
