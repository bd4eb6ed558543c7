"""The benchmark runs on a small scale and tells all that it measured."""

import json
import subprocess
from pathlib import Path

from tests.support.script_runs import run_module


def bench(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    size = ["--images", "100", "--size", "500", "--rounds", "2", "--work-dir", str(folder)]
    return run_module("dev.bench_convert", *size, *arguments)


def test_measures_every_round_and_cleans_up(tmp_path: Path) -> None:
    table = tmp_path / "docs" / "benchmark.md"
    done = bench(tmp_path / "data", "--only", "reference,cp -r,cp of the zip", "--json", "--write", table)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert set(facts["seconds"]) == {"convert_dataset", "reference", "cp -r", "cp of the zip"}
    assert facts["seconds_again"].keys() == facts["seconds"].keys()
    assert {len(runs) for key in ("seconds", "seconds_again") for runs in facts[key].values()} == {2}
    assert table.read_text(encoding="utf-8").count("| reference |") == 2
    assert not (tmp_path / "data" / "results").exists()


def test_tells_how_near_ours_is_to_the_least_that_is_possible(tmp_path: Path) -> None:
    done = bench(tmp_path, "--only", "files alone,SHA-256 of the zip", "--json", "--write", tmp_path / "table.md")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    median = {name: sum(seconds) / 2 for name, seconds in facts["seconds"].items()}  # of two runs
    limit = median["files alone"] + median["SHA-256 of the zip"]
    least = limit - median["SHA-256 of the zip"] / 2
    text = (tmp_path / "table.md").read_text(encoding="utf-8")
    assert f"make {limit:.2f} s, the limit" in text
    assert f"ours takes {median['convert_dataset'] / limit:.2f} of it" in text
    assert f"{least:.2f} s, of which ours takes {median['convert_dataset'] / least:.2f}." in text


def test_measures_boxes_as_well(tmp_path: Path) -> None:
    done = bench(tmp_path, "--boxes", "--only", "cp -r")
    assert done.returncode == 0, done.stderr
    assert "## Boxes: one zip, beside other tools" in done.stdout
    assert "| cp -r |" in done.stdout


def test_measures_many_zips(tmp_path: Path) -> None:
    size = ("--images", 400, "--size", 300, "--zips", 20, "--work-dir", tmp_path / "data")
    done = run_module("dev.bench_scale", *size, "--no-shards", "--json")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert {run["what"]: run["images"] for run in facts["runs"]} == {
        "one zip, convert --dry-run": 400,
        "one zip, convert": 400,
        "one zip, verify": 400,
        "one zip, report": 400,
        "20 zips, --workers 1": 400,
        "20 zips, --workers 2": 400,
        "2 zips, --workers 2": 40,
    }
    assert all(run["seconds"] > 0 and run["memory"] > 1e6 for run in facts["runs"])
    assert [path.suffix for path in (tmp_path / "data").iterdir()] == [".zip"] * 21


def test_says_what_cannot_run(tmp_path: Path) -> None:
    done = bench(tmp_path / "data", "--only", "unzip+split-folders", "--environment", tmp_path / "none")
    assert done.returncode == 0
    assert "unzip+split-folders is left out" in done.stderr
    assert bench(tmp_path / "data", "--only", "nothing").returncode == 2
