"""Where images lie in the sides, and under which names tools find them."""

import json
import os
from pathlib import Path

import pytest

from tests.support.conversions import (
    OWN,
    converted,
    is_whole,
    make_zip,
    names_in,
    refused,
    run,
    side,
    tree,
    two_classes,
)
from tests.support.script_runs import ROOT
from toolkit.dataset.summary import PASSED_OVER_BY


def images(target: Path) -> dict[str, str]:
    """Give the place below its side of each member of the export, by the manifest."""
    record = json.loads((target / "manifest.json").read_text())
    return {image["exported"]: image["path"].partition("/")[2] for image in record["images"]}


def test_frames_in_folders_lie_flat_in_their_class(tmp_path: Path) -> None:
    names = [f"{name}/garden/north/{number}.jpg" for name in ("cat", "dog") for number in range(6)]
    converted(make_zip(tmp_path / "export.zip", names), tmp_path / "dataset")
    flat = {f"{name}/garden__north__{number}.jpg" for name in ("cat", "dog") for number in range(6)}
    assert side(tmp_path / "dataset", "training") | side(tmp_path / "dataset", "validation") == flat
    record = json.loads((tmp_path / "dataset" / "manifest.json").read_text())
    assert {image["frame"] for image in record["images"]} == {f"garden/north/{number}.jpg" for number in range(6)}
    assert is_whole(tmp_path / "dataset")


@pytest.mark.parametrize("layout", ["flat", "nested"])
def test_a_server_that_repeats_the_class_gives_the_same_members(layout: str, tmp_path: Path) -> None:
    frames = [f"{kind}/{number}.jpg" for kind in ("cat", "v1/a", "dog") for number in range(8)] + ["z.jpg"]
    for name, repeats in (("old", False), ("new", True)):
        data = {f"cat/{frame if repeats else frame.removeprefix('cat/')}": frame.encode() for frame in frames} | {
            f"dog/{frame}": b"dog " + frame.encode() for frame in frames if not frame.startswith("dog/")
        }
        converted(make_zip(tmp_path / f"{name}.zip", data), tmp_path / name, "--layout", layout)
    sides = [
        {content for path, content in tree(tmp_path / name / "validation").items() if content is not None}
        for name in ("old", "new")
    ]
    assert sides[0] == sides[1]
    if layout == "flat":
        assert tree(tmp_path / "old" / "training") == tree(tmp_path / "new" / "training")


def test_names_never_collide(tmp_path: Path) -> None:
    long = "x" * 200
    names = ["a/b.jpg", "a__b.jpg", "a/b__c.jpg", "a__b/c.jpg", "a/b/c.jpg", "A/B.jpg", "1.jpg", "cat/1.jpg"]
    names += [
        f"{long}/{long}1.jpg",
        f"{long}/{long}2.jpg",
        f"日本{'日' * 80}/{'本' * 80}.JPEG",
        "a_/_b.jpg",
        "a/__b.jpg",
    ]
    target = tmp_path / "dataset"
    converted(make_zip(tmp_path / "export.zip", [f"cat/{name}" for name in names]), target)
    places = images(target)
    assert len({place.lower() for place in places.values()}) == len(names)
    assert all(len(place.encode()) <= 4 + 255 and place.count("/") == 1 for place in places.values())
    assert (places["cat/a__b.jpg"], places["cat/1.jpg"]) == ("cat/a__b.jpg", "cat/1.jpg")
    for name in names:
        assert places[f"cat/{name}"].endswith(name[name.rindex(".") :])
        assert (target / "cat").exists() is False
    assert is_whole(target)


def test_no_image_becomes_hidden_and_those_that_are_get_named(tmp_path: Path) -> None:
    names = [*two_classes(), "cat/.garden/1.jpg", "cat/north/.2.jpg"]
    answer = converted(make_zip(tmp_path / "export.zip", names), tmp_path / "flat")
    assert not any("begin with a dot" in warning for warning in answer["warnings"])
    assert {"cat/_.garden__1.jpg", "cat/north__.2.jpg"} <= {*images(tmp_path / "flat").values()}
    answer = converted(make_zip(tmp_path / "hidden.zip", [*names, "cat/.3.jpg"]), tmp_path / "hidden")
    assert [warning for warning in answer["warnings"] if "begin with a dot" in warning] == [
        "images whose names begin with a dot: 1: fastai, Hugging Face datasets and supervision pass over them: "
        "rename them before they are imported: cat/.3.jpg"
    ]
    answer = converted(tmp_path / "export.zip", tmp_path / "nested", "--layout", "nested")
    assert any("images whose names begin with a dot: 2" in warning for warning in answer["warnings"])


def test_names_with_two_underscores_are_named_where_a_tool_skips_them(tmp_path: Path) -> None:
    names = [f"{name}/{number}.jpg" for name in ("__cat", "_dog", "emu__") for number in range(6)]
    names += ["_dog/__1.jpg", "_dog/__garden/2.jpg"]
    archive = make_zip(tmp_path / "export.zip", names)
    of_class = (
        "classes whose names begin with two underscores: __cat: Hugging Face datasets skips such folders: "
        "rename the label in CVAT"
    )
    of_folder = (
        "images in folders whose names begin with two underscores: 1: Hugging Face datasets passes over them: "
        "leave --layout nested out: _dog/__garden/2.jpg"
    )
    for options, wanted in (((), [of_class]), (("--layout", "nested"), [of_class, of_folder])):
        answer = converted(archive, tmp_path / f"dataset{len(options)}", *options)
        assert [warning for warning in answer["warnings"] if "two underscores" in warning] == wanted


def test_classes_of_one_letter_are_named(tmp_path: Path) -> None:
    names = [f"{name}/{number}.jpg" for name in ("a", "B", "é", "1", "cd") for number in range(6)]
    answer = converted(make_zip(tmp_path / "export.zip", names), tmp_path / "dataset")
    assert [warning for warning in answer["warnings"] if "one letter" in warning] == [
        "classes whose names are one letter: B, a: datumaro takes it for that of a drive, and stops: "
        "rename the label in CVAT"
    ]


def test_images_that_tools_pass_over_by_their_extension_are_counted(tmp_path: Path) -> None:
    names = two_classes()
    others = ["cat/a.gif", "cat/b.GIF", "dog/c.bmp"]
    answer = converted(make_zip(tmp_path / "export.zip", [*names, *others]), tmp_path / "dataset")
    assert [warning for warning in answer["warnings"] if "by their extension" in warning] == [
        "images that some tools pass over, or stop at, by their extension: 2 .gif (torchvision, timm, ultralytics, "
        "supervision, datumaro); 1 .bmp (timm, cleanvision): save them as PNG before they are imported"
    ]
    answer = converted(make_zip(tmp_path / "all.zip", names), tmp_path / "all")
    assert not any("by their extension" in warning for warning in answer["warnings"])


def test_the_tools_that_are_named_are_those_of_the_table() -> None:
    table = snippet_table((ROOT / "docs/reading.md").read_text("utf-8"))
    assert {tool for tools in PASSED_OVER_BY.values() for tool in tools} == {
        tool for tool, outcome in table.items() if not outcome.startswith("right")
    }


def snippet_table(page: str) -> dict[str, str]:
    """Read the last column of the first table: what became of GIF and BMP."""
    rows = [line.split(" | ") for line in page.split("## Detection")[0].splitlines() if line.startswith("| ")]
    return {row[0][2:]: row[-1] for row in rows[1:]}


def test_other_names_of_the_sides_are_relative_links(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "export.zip", two_classes())
    target = tmp_path / "dataset"
    converted(archive, target)
    assert (str((target / "train").readlink()), str((target / "val").readlink())) == ("training", "validation")
    assert (target / "classes.txt").read_text() == "cat\ndog\n"
    (target / "val").unlink()
    done = run("verify_dataset", target, "--json")
    assert [(p["kind"], p["path"]) for p in json.loads(done.stdout)["problems"]] == [("missing", "val")]
    converted(archive, target, "--overwrite", "--aliases", "off")
    assert names_in(target) == OWN - {"train", "val"}


def test_what_a_person_has_under_such_a_name_is_spared(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "export.zip", two_classes())
    target = tmp_path / "here" / "dataset"
    for name, options in (("train", []), ("classes.txt", []), ("test", ["--test-split", "0.2"])):
        (target / name).mkdir(parents=True)
        assert f"{target / name} is in the way" in refused(archive, target, "--overwrite", *options)
        (target / name).rmdir()
    (target / "test").mkdir()
    converted(archive, target)
    converted(archive, target, "--overwrite")
    assert names_in(target) == OWN | {"test"}
    assert is_whole(target)


def test_the_export_can_be_left_out(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "export.zip", [*two_classes(), "no_label/1.jpg", "cat/notes.txt", "empty/"])
    converted(archive, tmp_path / "with")
    answer = converted(archive, tmp_path / "without", "--no-exported")
    assert names_in(tmp_path / "without") == OWN - {"cvat_exported"}
    for name in ("training", "validation"):
        assert tree(tmp_path / "with" / name) == tree(tmp_path / "without" / name)
    assert all(path.stat().st_nlink == 1 for path in (tmp_path / "without" / "training").glob("*/*"))
    assert answer["left_out"] == {"no label": 1, "not an image by its extension": 1}
    assert is_whole(tmp_path / "without")
    converted(archive, tmp_path / "with", "--no-exported", "--overwrite")
    assert names_in(tmp_path / "with") == OWN - {"cvat_exported"}


@pytest.mark.parametrize("method", ["reference", "stratified", "stable"])
@pytest.mark.parametrize("options", [[], ["--group-by", "1"], ["--on-leak", "fix"]])
def test_a_third_split(method: str, options: list[str], tmp_path: Path) -> None:
    data = {f"{name}/v{n % 15}/{n}.jpg": f"{name}{n}".encode() for name in ("cat", "dog") for n in range(60)}
    data |= {f"cat/v{n % 15}/{n}_1.jpg": f"cat{n}".encode() for n in range(10)}
    archive = make_zip(tmp_path / "export.zip", data)
    common = ["--split-method", method, *options]
    answer = converted(archive, tmp_path / "three", "--test-split", "0.2", *common)
    parts = [set(tree(tmp_path / "three" / name).values()) - {None} for name in ("training", "validation", "test")]
    assert names_in(tmp_path / "three") == OWN | {"test"}
    assert sum(counts["test"] for counts in answer["classes"].values()) == len(side(tmp_path / "three", "test")) > 0
    if options == ["--on-leak", "fix"]:
        assert not parts[0] & parts[1] | parts[1] & parts[2] | parts[0] & parts[2]
    if options == ["--group-by", "1"]:
        groups = [
            {path.split("/")[1].split("__")[0] for path in side(tmp_path / "three", name)}
            for name in ("training", "validation", "test")
        ]
        assert not groups[0] & groups[1] | groups[1] & groups[2] | groups[0] & groups[2]
    if not options:
        converted(archive, tmp_path / "two", *common)
        assert side(tmp_path / "two", "validation") == side(tmp_path / "three", "validation")
    assert is_whole(tmp_path / "three")
    report = run("report_dataset", "--dataset-dir", tmp_path / "three", "--json", "--output", tmp_path / "report.html")
    assert "not both in the folder and in its manifest" not in report.stdout + report.stderr


@pytest.mark.parametrize("value", ["-0.1", "1", "0.8", "nan"])
def test_a_test_split_leaves_something_for_training(value: str, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    archive = make_zip(tmp_path / "export.zip", two_classes())
    assert "--test-split" in refused(archive, tmp_path / "here" / "dataset", "--test-split", value, code=2)


def test_a_folder_keeps_what_it_is_when_its_dataset_is_replaced(tmp_path: Path) -> None:
    """As a bind mount and a shell in it need it."""
    archive = make_zip(tmp_path / "export.zip", two_classes())
    target = tmp_path / "dataset"
    converted(archive, target)
    before, descriptor = target.stat(), os.open(target, os.O_RDONLY)
    converted(make_zip(tmp_path / "other.zip", two_classes(7)), target, "--overwrite")
    assert (target.stat().st_ino, target.stat().st_mode) == (before.st_ino, before.st_mode)
    assert {*os.listdir(descriptor)} == OWN  # noqa: PTH208 - the open folder, not its name
    os.close(descriptor)
    assert is_whole(target)
