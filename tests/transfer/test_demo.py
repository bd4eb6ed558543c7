"""The demo: the whole way in one command, and again over what the last one left."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts/run_demo.py"


def demo(folder: Path) -> subprocess.CompletedProcess[str]:
    outside = {name: value for name, value in os.environ.items() if not name.startswith("CVAT_")}
    return subprocess.run(
        [sys.executable, SCRIPT, "--output=out"],
        cwd=folder, env=outside, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=240,
    )  # fmt: skip


@pytest.mark.slow
def test_the_demo_goes_the_whole_way_and_can_be_run_again(tmp_path: Path) -> None:
    (tmp_path / "out/images").mkdir(parents=True)
    (tmp_path / "out/images/of the last run.txt").touch()
    (tmp_path / "out/mine.txt").touch()
    done = demo(tmp_path)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "images", "dataset", "project_id_1.zip", "report.html", "mine.txt",
    }  # fmt: skip
    assert not (tmp_path / "out/images/of the last run.txt").exists()
    labels = json.loads((tmp_path / "out/dataset/labels.json").read_text("utf-8"))
    assert sorted(labels) == ["daisy", "rose", "tulip"]
    steps = ("draw sample images", "create a project", "import the images", "export the dataset", "convert it")
    assert [done.stdout.index(step) for step in steps] == sorted(done.stdout.index(step) for step in steps)
    assert "Next, the same with a real CVAT" in done.stdout
