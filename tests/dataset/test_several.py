"""Several exports become one dataset, as if they had been one."""

import json
import os
import random
import re
import signal
import subprocess
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.dataset.test_boxes import box, coco_boxes, cvat_zip, many, yolo_boxes
from tests.support.conversions import command, converted, is_whole, make_zip, names_in, run, side, tree, two_classes
from tests.support.waiting import GUARD, found, wait_until
from toolkit.core.errors import ToolkitError
from toolkit.core.workers import InProcesses, InTurn
from toolkit.dataset import unpack
from toolkit.dataset.exports import read_exports, unpack_exports

NAMES = [
    f"{label}/{folder}{number:03}.jpg" for label in ("cat", "dog") for folder in ("", "a/") for number in range(20)
]


def task_zips(folder: Path, count: int = 4) -> list[Path]:
    """Write exports that differ in their images; sorted by name, task-10 comes before task-8."""
    shuffled = random.Random(7).sample(NAMES, len(NAMES))
    return [make_zip(folder / f"task-{8 + number}.zip", shuffled[number::count]) for number in range(count)]


def all_of(*archives: Path | str) -> list[object]:
    return [word for archive in archives for word in ("--base-file", archive)]


def convert_all(target: Path, *arguments: object, **options: Any) -> dict[str, Any]:
    done = run("convert_dataset", "--output-dir", target, "--json", *arguments, **options)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def refused_all(target: Path, *arguments: object, code: int = 1, **options: Any) -> str:
    before = tree(target.parent)
    done = run("convert_dataset", "--output-dir", target, *arguments, **options)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    assert tree(target.parent) == before
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.parametrize("method", ["reference", "stratified", "stable"])
def test_the_splits_are_those_of_one_zip(tmp_path: Path, method: str) -> None:
    whole = make_zip(tmp_path / "project_id_1.zip", NAMES)
    task_zips(tmp_path)
    rules = ("--split-method", method, "--validation-split", 0.3, "--test-split", 0.1)
    converted(whole, tmp_path / "one", *rules)
    answer = convert_all(tmp_path / "several", "--base-file", "task-*.zip", *rules, cwd=tmp_path)
    for name in ("training", "validation", "test", "labels.json", "classes.txt"):
        one, several = tmp_path / "one" / name, tmp_path / "several" / name
        assert (tree(one) == tree(several)) if one.is_dir() else one.read_bytes() == several.read_bytes()
    assert answer["images"] == len(NAMES)
    assert is_whole(tmp_path / "several")


def test_the_order_and_the_way_of_naming_do_not_matter(tmp_path: Path) -> None:
    zips = task_zips(tmp_path)
    convert_all(tmp_path / "one", *all_of(*reversed(zips)), "--base-file", zips[0])  # one of them twice
    convert_all(tmp_path / "other", *all_of(zips[0], "task-[19]*.zip"), cwd=tmp_path)
    keys = {"dataset_conversion_base_file": ["task-8.zip", "./task-9.zip", "task-1*.zip"]}
    keys |= {
        "dataset_conversion_dir": "third",
        "dataset_conversion_validation_split": 0.2,
        "dataset_conversion_seed": 123,
    }
    (tmp_path / "configuration.json").write_text(json.dumps(keys))
    assert run("convert_dataset", "--config", tmp_path / "configuration.json").returncode == 0
    assert tree(tmp_path / "one") == tree(tmp_path / "other") == tree(tmp_path / "third")


def test_the_manifest_names_every_zip_and_that_of_each_image(tmp_path: Path) -> None:
    answer = convert_all(tmp_path / "dataset", *all_of(*task_zips(tmp_path)))
    manifest = json.loads((tmp_path / "dataset/manifest.json").read_text())
    assert [source["name"] for source in manifest["sources"]] == [f"task-{n}.zip" for n in (8, 9, 10, 11)]
    assert answer["sources"] == manifest["sources"]
    assert manifest["version"] == 3
    assert "source" not in manifest
    for image in manifest["images"]:
        assert image["exported"].startswith(f"{image['source']}/{image['class']}/")
        assert (tmp_path / "dataset/cvat_exported" / image["exported"]).is_file()
    page = run("report_dataset", tmp_path / "dataset", cwd=tmp_path)
    assert "manifest" not in page.stderr
    assert "task-11.zip" in (tmp_path / "report.html").read_text()


def test_one_zip_is_recorded_as_ever(tmp_path: Path) -> None:
    converted(make_zip(tmp_path / "export.zip", two_classes()), tmp_path / "dataset")
    lines = (tmp_path / "dataset/manifest.json").read_text().splitlines()
    assert lines[2] == '"version": 2,'
    assert lines[5].startswith('"source": {"name": "export.zip", "size": ')
    assert lines[5].count('": ') == 4
    (first,) = (line for line in lines if '"cat/000.jpg"' in line)
    assert list(json.loads(first.rstrip(","))) == ["path", "side", "class", "exported", "frame", "size", "sha256"]


@pytest.mark.parametrize("layout", ["flat", "nested"])
def test_equal_names_of_different_tasks_are_kept_apart(tmp_path: Path, layout: str) -> None:
    images = {"cat/1.jpg": b"first", "cat/a/2.jpg": b"second", "cat/only-8.jpg": b"x", "dog/1.jpg": b"third"}
    make_zip(tmp_path / "task-8.zip", images)
    make_zip(tmp_path / "task-9.zip", {name.replace("8", "9"): content + b"!" for name, content in images.items()})
    (tmp_path / "b").mkdir()
    make_zip(tmp_path / "b/task-8.zip", {"cat/1.JPG": b"of another folder"})
    archives = all_of(tmp_path / "task-8.zip", tmp_path / "task-9.zip", tmp_path / "b/task-8.zip")
    answer = convert_all(tmp_path / "dataset", *archives, "--layout", layout, "--validation-split", 0.4)
    assert answer["images"] == 9
    found = side(tmp_path / "dataset", "training") | side(tmp_path / "dataset", "validation")
    assert len(found) == 9
    assert is_whole(tmp_path / "dataset")
    if layout == "flat":
        assert {"cat/task-8-2__1.jpg", "cat/task-9__1.jpg", "cat/task-8__1.JPG", "cat/only-8.jpg"} <= found
        assert {"cat/task-8-2__a__2.jpg", "cat/task-9__a__2.jpg"} <= found
    assert names_in(tmp_path / "dataset/cvat_exported") == {"task-8", "task-8-2", "task-9"}


def test_duplicates_are_found_across_zips(tmp_path: Path) -> None:
    make_zip(tmp_path / "a.zip", {f"cat/{number}.jpg": b"%d" % number for number in range(20)})
    make_zip(tmp_path / "b.zip", {f"cat/copy-{number}.jpg": b"%d" % number for number in range(20)})
    archives = all_of(tmp_path / "a.zip", tmp_path / "b.zip")
    answer = convert_all(tmp_path / "dataset", *archives)
    assert answer["leaks"]
    assert any("a/cat/" in line and "b/cat/" in line for line in answer["warnings"] if "leakage" in line)
    refused_all(tmp_path / "stopped", *archives, "--on-leak", "error", code=3)
    assert not convert_all(tmp_path / "fixed", *archives, "--on-leak", "fix")["leaks"]


def test_zip_by_zip_is_as_all_at_once_with_stable(tmp_path: Path) -> None:
    zips = task_zips(tmp_path, 3)
    rules = ("--split-method", "stable", "--validation-split", 0.4)
    convert_all(tmp_path / "all", *all_of(*zips), *rules)

    def membership(dataset: Path) -> dict[str, str]:
        images = json.loads((dataset / "manifest.json").read_text())["images"]
        return {image["sha256"]: image["side"] for image in images}

    single: dict[str, str] = {}
    for path in zips:
        converted(path, tmp_path / path.stem, *rules)
        single |= membership(tmp_path / path.stem)
    assert single == membership(tmp_path / "all")


def test_labels_are_those_of_all_and_a_task_without_any_is_no_fault(tmp_path: Path) -> None:
    make_zip(tmp_path / "a.zip", [f"dog/{number}.jpg" for number in range(10)])
    make_zip(tmp_path / "b.zip", [f"cat/{number}.jpg" for number in range(10, 20)])
    make_zip(tmp_path / "c.zip", ["no_label/30.jpg"])
    archives = all_of(*(tmp_path / f"{name}.zip" for name in "abc"))
    answer = convert_all(tmp_path / "dataset", *archives)
    assert answer["labels"] == {"cat": 0, "dog": 1}
    assert answer["left_out"] == {"no label": 1}
    message = refused_all(tmp_path / "stopped", *archives, "--unlabelled", "error", code=3)
    assert "3 exports (a.zip, b.zip, c.zip) holds 1 images without a label" in message
    assert "c/no_label/30.jpg" in message


def test_a_wrong_zip_among_several_is_named(tmp_path: Path) -> None:
    good = make_zip(tmp_path / "good.zip", two_classes())
    broken = tmp_path / "broken.zip"
    broken.write_bytes(good.read_bytes()[:-30])
    damaged = tmp_path / "damaged.zip"
    damaged.write_bytes(good.read_bytes().replace(b"content of cat/003", b"content of cat/0O3"))
    boxes = cvat_zip(tmp_path / "boxes.zip", many())
    backup = make_zip(tmp_path / "backup.zip", ["task.json", "data/raw/1.jpg"])
    target = tmp_path / "dataset"
    for archive, words in (
        (broken, f"{broken} is not a complete zip"),
        (damaged, f"{damaged} has 1 member that cannot be unpacked safely"),
        (backup, f"{backup} is a backup"),
        (boxes, f"{boxes} one of boxes (CVAT for images 1.1): one dataset is made of one kind"),
    ):
        message = refused_all(target, *all_of(good, archive))
        assert words in message
        assert message.count("error") == 1
    message = refused_all(target, *all_of(good, broken, tmp_path / "none.zip"))
    assert "2 of 3 exports cannot be used" in message
    assert "broken.zip is not a complete zip" in message
    assert "none.zip does not exist" in message


def test_a_pattern_without_a_file_is_wrong_usage(tmp_path: Path) -> None:
    message = refused_all(tmp_path / "dataset", "--base-file", "task-*.zip", code=2, cwd=tmp_path)
    assert f"there is no file {tmp_path}/task-*.zip" in message
    odd = make_zip(tmp_path / "a[1].zip", two_classes())
    assert converted(odd, tmp_path / "dataset")["images"] == 20
    refused_all(tmp_path / "other", "--base-file", "", code=2)


def test_a_zip_that_changes_meanwhile_is_refused(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "export.zip", two_classes())
    exports = read_exports([archive], False, InTurn())
    make_zip(archive, two_classes(11))
    with pytest.raises(ToolkitError, match="was changed while it was converted"):
        unpack_exports(exports, tmp_path / "tree", tmp_path / "spare", InTurn(), lambda: None, lambda: None)


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core alone unpacks without processes: run it on two")
def test_a_process_that_is_killed_while_it_unpacks_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tested = os.getpid()

    def killed(*_: object) -> None:
        assert os.getpid() != tested
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(unpack, "_write", killed)
    exports = read_exports([make_zip(tmp_path / "export.zip", two_classes(600))], False, InTurn())
    with pytest.raises(ToolkitError, match="a process of this run ended before its work was done"):
        unpack_exports(exports, tmp_path / "tree", tmp_path / "spare", InTurn(), lambda: None, lambda: None)


# --- Several at a time --------------------------------------------------------------------------------------------


def test_workers_make_the_same_dataset(tmp_path: Path) -> None:
    archives = all_of(*task_zips(tmp_path))
    for method in ("reference", "stable"):
        convert_all(tmp_path / "one", *archives, "--split-method", method, "--overwrite")
        convert_all(tmp_path / "two", *archives, "--split-method", method, "--overwrite", "--workers", 3)
        assert tree(tmp_path / "one") == tree(tmp_path / "two")
    looks = ("--near-duplicates", "--dry-run", "--json")
    answers = [convert_all(tmp_path / "no", *archives, *looks, *more) for more in ((), ("--workers", 2))]
    assert all(answer.pop("seconds") >= 0 for answer in answers)
    assert answers[0] == answers[1]
    assert not (tmp_path / "no").exists()


def children_of(process: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds processes as Linux lists them")
def test_a_killed_worker_costs_only_time(tmp_path: Path) -> None:
    for number in range(4):
        content = {name: bytes(400_000) + name.encode() for name in NAMES[number::4]}
        make_zip(tmp_path / f"task-{number}.zip", content)
    words = ("--base-file", tmp_path / "task-*.zip", "--output-dir")
    convert_all(tmp_path / "here", *words[:2])
    converting = subprocess.Popen(
        command("convert_dataset", *words, tmp_path / "there", "--workers", 2),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: found(tmp_path, ".there.converting-*/spare/*/task-*/*/*.jpg"))
    os.kill(children_of(converting.pid)[0], signal.SIGKILL)
    _, errors = converting.communicate(timeout=GUARD)
    assert converting.returncode == 0, errors
    assert tree(tmp_path / "here") == tree(tmp_path / "there")
    assert not list(tmp_path.glob(".there*"))


def test_workers_that_die_again_and_again_end_it(tmp_path: Path) -> None:
    class Deadly(NamedTuple):
        weight: int = 1

    def die(_job: Deadly, _on_done: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(ToolkitError, match="a process of this run ended before its work was done"):
        InProcesses(2).run(die, [Deadly(), Deadly()])


def test_a_damaged_zip_among_those_of_workers_is_named(tmp_path: Path) -> None:
    good = make_zip(tmp_path / "good.zip", two_classes())
    damaged = tmp_path / "damaged.zip"
    damaged.write_bytes(good.read_bytes().replace(b"content of cat/003", b"content of cat/0O3"))
    message = refused_all(tmp_path / "dataset", *all_of(good, damaged), "--workers", 2)
    assert f"{damaged} has 1 member that cannot be unpacked safely" in message


# --- Boxes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["reference", "stratified", "stable"])
def test_boxes_of_several_exports(tmp_path: Path, method: str) -> None:
    images = many(40)
    names = list(images)
    whole = cvat_zip(tmp_path / "whole.zip", images)
    for number in range(3):
        split_zip(whole, tmp_path / f"task-{number}.zip", names[number * 10 : number * 10 + 10])
    split_zip(whole, tmp_path / "task-3.zip", names[30:])
    rules = ("--split-method", method, "--validation-split", 0.3)
    converted(whole, tmp_path / "one", *rules)
    answer = convert_all(tmp_path / "several", *all_of(*(tmp_path / f"task-{n}.zip" for n in range(4))), *rules)
    for name in ("images", "labels", "annotations"):
        assert tree(tmp_path / "one" / name) == tree(tmp_path / "several" / name)
    assert (tmp_path / "one/data.yaml").read_bytes() == (tmp_path / "several/data.yaml").read_bytes()
    assert {source["folder"] for source in answer["sources"]} == {f"task-{number}" for number in range(4)}
    manifest = json.loads((tmp_path / "several/manifest.json").read_text())
    assert {image["frame"]: image["source"] for image in manifest["images"]} == {
        name: f"task-{number // 10}" for number, name in enumerate(names)
    }
    assert is_whole(tmp_path / "several")


def split_zip(whole: Path, path: Path, names: list[str]) -> None:
    """Write the export of some images of a larger one."""
    with zipfile.ZipFile(whole) as archive:
        text = archive.read("annotations.xml").decode()
        found = re.findall(r"<image .*?</image>", text)
        kept = "".join(one for one in found if any(f'name="{name}"' in one for name in names))
        members = {f"images/default/{name}": archive.read(f"images/default/{name}") for name in names}
    start, end = text.index(found[0]), text.index("</annotations>")
    make_zip(path, {"annotations.xml": (text[:start] + kept + text[end:]).encode(), **members})


def test_equal_names_of_boxes_are_kept_apart(tmp_path: Path) -> None:
    cvat_zip(tmp_path / "task-1.zip", {**many(6), "more.png": box("cat", "1 1 9 9")})
    cvat_zip(tmp_path / "task-2.zip", {**many(6), "more.jpg": box("owl", "2 2 9 9")}, labels="dog owl cat")
    answer = convert_all(tmp_path / "dataset", *all_of(tmp_path / "task-1.zip", tmp_path / "task-2.zip"))
    assert answer["images"] == 14
    assert answer["labels"] == {"cat": 0, "dog": 1, "owl": 2}
    boxes = coco_boxes(tmp_path / "dataset")
    assert {"task-1__00.jpg", "task-2__00.jpg", "task-1__more.png", "task-2__more.jpg"} <= boxes.keys()
    assert boxes["task-2__more.jpg"] == {("owl", 2, 2, 9, 9)}
    assert set(yolo_boxes(tmp_path / "dataset")) == set(boxes)
    assert is_whole(tmp_path / "dataset")


def test_a_box_export_without_images_among_several_is_named(tmp_path: Path) -> None:
    good = cvat_zip(tmp_path / "good.zip", many())
    empty = cvat_zip(tmp_path / "empty.zip", many())
    with zipfile.ZipFile(empty) as archive:
        labels = archive.read("annotations.xml")
    make_zip(empty, {"annotations.xml": labels})
    message = refused_all(tmp_path / "dataset", *all_of(good, empty))
    assert f"{empty} was exported without images" in message
