"""The benchmark runs on a small scale and tells all that it measured."""

import json
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).parents[2] / "scripts" / "bench_convert.py"


def bench(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    size = ["--images", "100", "--size", "500", "--rounds", "2", "--work-dir", str(folder)]
    return subprocess.run(
        [sys.executable, str(BENCH), *size, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_measures_every_round_and_cleans_up(tmp_path: Path) -> None:
    table = tmp_path / "docs" / "benchmark.md"
    done = bench(tmp_path / "data", "--only", "reference,cp -r,cp of the zip", "--json", "--write", table)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert set(facts["seconds"]) == {"convert_dataset", "reference", "cp -r", "cp of the zip"}
    assert {len(seconds) for seconds in facts["seconds"].values()} == {2}
    assert "| reference |" in table.read_text(encoding="utf-8")
    assert not (tmp_path / "data" / "results").exists()


def test_says_what_cannot_run(tmp_path: Path) -> None:
    done = bench(tmp_path / "data", "--only", "unzip+split-folders", "--environment", tmp_path / "none")
    assert done.returncode == 0
    assert "unzip+split-folders is left out" in done.stderr
    assert bench(tmp_path / "data", "--only", "nothing").returncode == 2
