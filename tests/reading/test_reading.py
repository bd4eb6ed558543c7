"""docs/reading.md holds what it promises: each snippet, as it stands there, has every image with its own id."""

import shutil
import sys
from pathlib import Path

import pytest

from dev.compare_readers import table, try_readers
from dev.reader_data import LAYOUTS, make_dataset
from dev.readers import LIGHT, PAGE, SHARDS, Outcome, Snippet, compare, expected, read, snippets
from tests.support.conversions import converted, is_whole
from tests.support.script_runs import ROOT, run_script

SNIPPETS = [snippet for snippet in snippets() if snippet.task != SHARDS]  # those are in tests/storage
HEAVY = [snippet for snippet in SNIPPETS if snippet[:2] not in LIGHT]
EXPORTS = ROOT / "tests/data/recordings/exports/detection"


def check_rows(snippet: Snippet, environment: Path, datasets: Path) -> None:
    """Compare every cell with the page's table; those of the default layouts have to be right."""
    rows = try_readers([snippet], environment, datasets)
    for layout in LAYOUTS:
        if layout.task == snippet.task and layout.is_default:
            outcome = rows[snippet[:2]][layout.name]
            assert outcome.is_right, f"{layout.name}: {outcome}"
    assert table(snippet.task, rows).splitlines()[-1] in PAGE.read_text("utf-8")
    for layout in LAYOUTS:
        if layout.task == snippet.task:
            assert is_whole(make_dataset(layout, datasets))  # what a tool leaves behind is no difference


@pytest.mark.parametrize("snippet", HEAVY, ids=lambda snippet: f"{snippet.task}-{snippet.tool}")
def test_a_framework_reads_every_image_right(snippet: Snippet, frameworks: Path, datasets: Path) -> None:
    check_rows(snippet, frameworks, datasets)


@pytest.mark.parametrize("snippet", [s for s in SNIPPETS if s not in HEAVY], ids=lambda snippet: snippet.tool)
def test_a_light_tool_reads_every_image_right(snippet: Snippet, datasets: Path) -> None:
    check_rows(snippet, Path("none"), datasets)


def snippet_of(task: str, tool: str) -> Snippet:
    return next(snippet for snippet in SNIPPETS if snippet[:2] == (task, tool))


def weights(dataset: Path) -> list[Path]:
    return list(dataset.glob("runs/**/last.pt"))


def test_ultralytics_trains_on_what_the_demo_makes(frameworks: Path, tmp_path: Path) -> None:
    assert run_script("run_demo", "--output", tmp_path).returncode == 0
    snippet = snippet_of("Classification", "ultralytics")
    (outcome,) = read(frameworks / "bin/python", snippet, [tmp_path / "dataset"], tmp_path / "home")
    assert str(outcome) == "right (60)"
    assert len(weights(tmp_path / "dataset")) == 1


@pytest.mark.parametrize("export", ["coco_1.0", "cvat_for_images_1.1"])
def test_ultralytics_trains_on_recorded_boxes(export: str, frameworks: Path, tmp_path: Path) -> None:
    dataset = tmp_path / "dataset"
    converted(EXPORTS / f"{export}.zip", dataset, "--unlabelled", "keep", "--validation-split", 0.4)
    snippet = snippet_of("Detection", "ultralytics")
    (outcome,) = read(frameworks / "bin/python", snippet, [dataset], tmp_path / "home")
    assert str(outcome) == "right (7)"
    assert len(weights(dataset)) == 1
    assert is_whole(dataset)


# --- The comparison itself ----------------------------------------------------------------------------------------


def test_each_way_to_read_wrong_is_counted() -> None:
    wanted = {"a": 0, "b": 1, "c": 2, "d": 3}
    assert compare(wanted, list(wanted.items())) == Outcome(right=4)
    assert compare(wanted, [("a", 0), ("b", 2), ("c", 2), ("c", 2), ("e", 0)]) == Outcome(2, 1, 1, 2)
    assert compare(wanted, [(path, None) for path in wanted]).is_right  # a tool without ids
    assert not compare(wanted, []).is_right


@pytest.mark.parametrize(
    ("boxes", "is_right"),
    [
        ([[1, 5.4, 5, 9, 9], [0, 1, 2, 3, 4]], True),
        ([[1, 5, 5, 9, 9], [0, 1, 2, 3, 9]], False),
        ([[0, 5, 5, 9, 9], [0, 1, 2, 3, 4]], False),
        ([[0, 1, 2, 3, 4]], False),
    ],
)
def test_boxes_are_compared_with_their_ids(boxes: list[list[float]], is_right: bool) -> None:
    assert compare({"a": [[0, 1, 2, 3, 4], [1, 5, 5, 9, 9]]}, [("a", boxes)]).is_right is is_right


def test_an_image_in_a_wrong_folder_is_seen(datasets: Path, tmp_path: Path) -> None:
    """Move an image behind the manifest's back."""
    shutil.copytree(make_dataset(LAYOUTS[0], datasets), tmp_path / "dataset", symlinks=True)
    images = expected(tmp_path / "dataset")
    moved = next(path for path in images if path.startswith("training/daisy/"))
    other = Path(moved.replace("daisy", "tulip")).with_name("moved.jpg")
    (tmp_path / "dataset" / moved).rename(tmp_path / "dataset" / other)
    snippet = snippet_of("Classification", "scikit-learn")
    (outcome,) = read(Path(sys.executable), snippet, [tmp_path / "dataset"], tmp_path)
    assert (outcome.lost, outcome.surplus, outcome.is_right) == (1, 1, False)
