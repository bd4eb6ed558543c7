"""The report of a converted dataset: its numbers are those of the tree, whatever is in there."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.reports import ROOT, environment, jpeg, report, run, write_dataset


def test_numbers_are_those_of_the_tree(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "flowers", {"rose": (12, 3), "daisy": (20, 5), "tulip": (9, 0)})
    facts, page = report(dataset, tmp_path)
    counts = {
        side: {entry.name: len(list(entry.iterdir())) for entry in (dataset / side).iterdir()}
        for side in ("training", "validation")
    }
    assert page.table[1:] == [
        [label, str(counts["training"][label]), str(counts["validation"][label]), str(train + valid)]
        for label, train, valid in (("daisy", 20, 5), ("rose", 12, 3), ("tulip", 9, 0))
    ] + [["All", "41", "8", "49"]]
    assert page.numbers == {"images": 49, "classes": 3, "broken": 0}
    assert facts["images"] == 49
    assert facts["sides"] == {"training": 41, "validation": 8}
    assert facts["bytes"] == sum(path.stat().st_size for path in dataset.rglob("*.jpg"))
    assert facts["sizes"]["counts"] == [{"width": 40, "height": 30, "images": 49}]
    assert set(page.findings) == {"small_class", "missing_class"}
    assert "1 class has fewer than 10 images" in page.findings["small_class"]
    assert "no image in validation" in page.findings["missing_class"]
    assert "tulip" in page.findings["missing_class"]


def test_classes_stand_in_the_order_of_their_ids(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "d", {"a": (1, 1), "b": (1, 1), "c": (1, 1)})
    (dataset / "labels.json").write_text('{"c": 0, "a": 1, "b": 2, "unseen": 3}')
    facts, _ = report(dataset, tmp_path)
    assert [row["name"] for row in facts["classes"]] == ["c", "a", "b", "unseen"]
    assert facts["classes"][3]["images"] == {"training": 0, "validation": 0}


def test_conversion_and_report_agree(tmp_path: Path) -> None:
    archive = tmp_path / "project_id_1.zip"
    with zipfile.ZipFile(archive, "w") as export:
        for number in range(40):
            export.writestr(f"{('cat', 'dog')[number % 2]}/f/{number:03d}.jpg", jpeg(number))
        export.writestr("cat/twin.jpg", jpeg(1))  # equal to an image of dog
    convert = [sys.executable, ROOT / "scripts" / "convert_dataset.py"]
    command = [*convert, "--base-file", archive, "--output-dir", tmp_path / "dataset", "--seed", "7", "--json"]
    converted = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=240)
    assert converted.returncode == 0, converted.stderr
    manifest = json.loads((tmp_path / "dataset" / "manifest.json").read_text())
    facts, page = report(tmp_path / "dataset", tmp_path)
    assert facts["images"] == len(manifest["images"]) == 41
    for side in ("training", "validation"):
        assert facts["sides"][side] == sum(image["side"] == side for image in manifest["images"])
    provenance = {item["term"]: item["value"] for item in facts["provenance"]}
    assert provenance["Source"] == "project_id_1.zip"
    assert provenance["SHA-256 of the source's directory"] == manifest["source"]["directory_sha256"]
    assert provenance["Seed"] == "7"
    assert manifest["source"]["directory_sha256"] in page.text
    assert "several_classes" in page.findings
    recorded = manifest["duplicates"][0]
    assert ("leak" in page.findings) == (len(recorded["sides"]) == 2)
    without = json.loads(json.dumps(facts["warnings"]))
    (tmp_path / "dataset" / "manifest.json").unlink()
    assert report(tmp_path / "dataset", tmp_path)[0]["warnings"] == without, "looking finds what was recorded"


def test_a_tree_that_differs_from_its_manifest_is_named(tmp_path: Path) -> None:
    archive = tmp_path / "x.zip"
    with zipfile.ZipFile(archive, "w") as export:
        for number in range(20):
            export.writestr(f"cat/{number}.jpg", jpeg(number))
    convert = [sys.executable, ROOT / "scripts" / "convert_dataset.py", "--base-file", archive, "--output-dir"]
    subprocess.run([*convert, tmp_path / "d"], env=environment(), check=True, capture_output=True, timeout=240)
    gone = next((tmp_path / "d" / "training" / "cat").iterdir())
    gone.unlink()
    facts, page = report(tmp_path / "d", tmp_path)
    assert facts["images"] == 19
    assert gone.name in page.findings["manifest_differs"]


def test_leaks_are_found_without_a_manifest(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "d", {"cat": (12, 4), "dog": (12, 4)})
    twin = jpeg(5000)
    (dataset / "training" / "cat" / "x.jpg").write_bytes(twin)
    (dataset / "validation" / "dog" / "x_1.jpg").write_bytes(twin)
    facts, page = report(dataset, tmp_path)
    (leak,) = [warning for warning in facts["warnings"] if warning["kind"] == "leak"]
    assert leak["names"] == ["training/cat/x.jpg = validation/dog/x_1.jpg"]
    assert "1 image is in training and in validation" in page.findings["leak"]
    assert "1 image is in several classes" in page.findings["several_classes"]


def test_broken_images_are_counted_and_shown(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "d", {"cat": (10, 2)})
    place = dataset / "training" / "cat"
    (place / "empty.jpg").write_bytes(b"")
    (place / "text.jpg").write_text("this is no picture")
    (place / "cut.jpg").write_bytes(jpeg(99, (400, 300))[:2000])
    facts, page = report(dataset, tmp_path)
    assert page.numbers["images"] == 15
    assert page.numbers["broken"] == 3
    assert {Path(item["image"]).name for item in facts["broken"]} == {"empty.jpg", "text.jpg", "cut.jpg"}
    assert page.text.count("broken image") >= 3
    assert page.pictures == 12


def test_thumbnails_are_bounded_and_most_of_them_wait(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "d", {"cat": (90, 30), "dog": (5, 1)})
    _, page = report(dataset, tmp_path, "--thumbnails", 20)
    assert (page.pictures, page.waiting_pictures) == (20 + 6, 8)
    _, page = report(dataset, tmp_path, "--thumbnails", 0)
    assert page.pictures == 0
    assert page.numbers["images"] == 126


@pytest.mark.parametrize("counts", [{}, {"cat": (0, 0)}, {"cat": (1, 0)}])
def test_hardly_any_image(tmp_path: Path, counts: dict[str, tuple[int, int]]) -> None:
    (tmp_path / "d" / "training").mkdir(parents=True)
    dataset = write_dataset(tmp_path / "d", counts)
    facts, page = report(dataset, tmp_path)
    assert page.numbers["images"] == facts["images"] == sum(map(sum, counts.values()))


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    names = [
        "<script>alert(1)</script>",
        "\"'><img src=x onerror=alert(2)>",
        "{{ 7*7 }}{% raw %}",
        "a\u202egpj.exe",
        "line\nbreak\x1b[31m",
        "</title></style><h1>",
        os.fsdecode(b"undecodable\xff"),
        "日本 語 🌼",
    ]
    dataset = tmp_path / "d"
    for number, name in enumerate(names):
        for side in ("training", "validation"):
            place = dataset / side / name.replace("/", "∕")
            place.mkdir(parents=True)
            (place / f"{name.replace('/', '∕')}.jpg").write_bytes(jpeg(number * 2 + (side == "training")))
    done = run(dataset, "--output", tmp_path / "r.html", "--markdown", tmp_path / "r.md", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stderr
    assert "\u202e" not in done.stderr
    facts, page = report(dataset, tmp_path, "--title", names[0])
    assert facts["images"] == 16
    assert not page.tags & {"img", "iframe", "object", "embed"}
    html = (tmp_path / "report.html").read_text("utf-8")
    assert html.count("<script") == 2, "the names for the search, and the page's own"
    assert html.count("<h1") == 1
    assert not {"\u202e", "\x1b"} & set(html)
    assert "<script>alert(1)<∕script>" in page.text
    assert "日本 語 🌼" in page.text
    markdown = (tmp_path / "r.md").read_text("utf-8")
    assert "<script" not in markdown
    assert "<img" not in markdown
    assert not {"\u202e", "\x1b"} & set(markdown)


def test_the_page_refers_to_nothing_outside(tmp_path: Path) -> None:
    _, page = report(write_dataset(tmp_path / "d", {"cat": (12, 3)}), tmp_path)
    assert page.references
    assert all(reference.startswith(("data:", "#")) for reference in page.references)
    assert page.policy.startswith("default-src 'none'; img-src data:; ")
    assert "unsafe" not in page.policy


def test_the_same_dataset_gives_the_same_page(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "d", {"cat": (30, 8), "dog": (30, 8)})
    report(dataset, tmp_path)
    first = (tmp_path / "report.html").read_bytes()
    report(dataset, tmp_path)
    assert (tmp_path / "report.html").read_bytes() == first


def test_nothing_of_cvat_docker_or_globox_is_loaded_for_a_dataset(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "d", {"cat": (3, 1)})
    script = (
        "import runpy, sys; sys.argv[:] = sys.argv[1:]\n"
        "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "except SystemExit as stop: code = stop.code\n"
        "heavy = {'globox', 'numpy', 'docker', 'cvat_sdk', 'cvat_cli', 'rich'} & set(sys.modules)\n"
        "sys.exit(code or ' '.join(heavy) or 0)"
    )
    path = ROOT / "scripts" / "report_dataset.py"
    done = subprocess.run(
        [sys.executable, "-c", script, path, dataset, "--output", tmp_path / "r.html"],
        env=environment(PYTHONPATH=str(ROOT / "scripts")),
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
