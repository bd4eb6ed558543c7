"""The demo: the whole way in one command, and again over what the last one left."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.support.script_runs import outside, run_script


def demo(folder: Path) -> subprocess.CompletedProcess[str]:
    return run_script("run_demo", "--output=out", cwd=folder, environment=outside())


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
