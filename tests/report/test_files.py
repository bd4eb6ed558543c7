"""What a report writes, and what it leaves alone."""

import json
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.reports import DETECTION, SCRIPT, environment, run, write_dataset
from tests.support.script_runs import run_script
from tests.support.sweeps import some

SIGNALLED = Path(__file__).resolve().parents[1] / "faults" / "signalled.py"


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "flowers", {"rose": (12, 3), "tulip | <x>": (12, 3)})


def files(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()}


def test_an_older_report_is_replaced(dataset: Path, tmp_path: Path) -> None:
    assert run(dataset, "--title", "first", cwd=tmp_path).returncode == 0
    assert "first" in (tmp_path / "report.html").read_text("utf-8")
    done = run(dataset, "--title", "second", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "30 images, 2 classes" in done.stdout
    assert "second" in (tmp_path / "report.html").read_text("utf-8")
    assert files(tmp_path) == {"flowers", "report.html"}


@pytest.mark.parametrize("option", ["--output", "--markdown"])
def test_any_other_file_stays(dataset: Path, tmp_path: Path, option: str) -> None:
    mine = tmp_path / "mine.txt"
    mine.write_text("<html>mine</html>")
    done = run(dataset, option, mine, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "not a report of this toolkit" in done.stderr
    assert mine.read_text() == "<html>mine</html>"
    assert files(tmp_path) == {"flowers", "mine.txt"}


def test_markdown_and_the_summary_of_a_job(dataset: Path, tmp_path: Path) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("# before\n")
    done = run(dataset, "--markdown", "facts.md", cwd=tmp_path, GITHUB_STEP_SUMMARY=str(summary))
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "facts.md").read_text("utf-8")
    assert summary.read_text("utf-8") == "# before\n" + text
    assert "| rose | 12 | 3 | 15 |" in text
    assert "| tulip \\| &lt;x\\> | 12 | 3 | 15 |" in text
    assert "| **all** | **24** | **6** | **30** |" in text
    assert run(dataset, "--markdown", "facts.md", cwd=tmp_path).returncode == 0, "our own Markdown is replaced"
    done = run(dataset, "--json", cwd=tmp_path, GITHUB_STEP_SUMMARY=str(tmp_path / "none" / "summary.md"))
    assert done.returncode == 0
    assert "was not added to: No such file or directory" in done.stderr
    assert json.loads(done.stdout)["images"] == 30


def test_names_do_not_become_links_in_markdown(tmp_path: Path) -> None:
    linked = ("www.evil.example", "a@b.example", "@team", "#1", ":tada:", "deadbeef")
    dataset = write_dataset(tmp_path / "d", dict.fromkeys((*linked, "*bold*", "`x` @y"), (1, 1)))
    assert run(dataset, "--markdown", "facts.md", cwd=tmp_path).returncode == 0
    text = (tmp_path / "facts.md").read_text("utf-8")
    for name in linked:
        assert f"| `{name}` |" in text, "in code nothing is a link, a mention or an emoji"
    assert "| \\*bold\\* |" in text
    assert "| `` `x` @y `` |" in text


def test_the_configuration_says_where_the_dataset_is(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "configuration.json").write_text(json.dumps({"dataset_conversion_dir": "flowers"}))
    done = run("--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["source"] == str(dataset)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = run("--json", "--config", "../configuration.json", cwd=elsewhere)
    assert json.loads(done.stdout)["report"] == str(elsewhere / "report.html")
    done = run("--json", "--dataset-conversion-dir", "../flowers", cwd=elsewhere)
    assert json.loads(done.stdout)["images"] == 30


def test_the_configuration_of_a_detection_project_says_where_its_export_is(tmp_path: Path) -> None:
    keys = {"cvat_project_id": 7, "export_format": "COCO 1.0", "export_dir": "exports"}
    (tmp_path / "configuration.json").write_text(json.dumps(keys))
    (tmp_path / "exports").mkdir()
    shutil.copy(DETECTION / "coco_1.0.zip", tmp_path / "exports" / "project_id_7.zip")
    done = run("--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["boxes"] == 4
    (tmp_path / "configuration.json").write_text(json.dumps(keys | {"dataset_conversion_dir": "street"}))
    assert json.loads(run("--json", cwd=tmp_path).stdout)["source"] == str(tmp_path / "exports" / "project_id_7.zip")
    made = run_script(
        "convert_dataset",
        f"--base-file={tmp_path / 'exports' / 'project_id_7.zip'}",
        f"--output-dir={tmp_path / 'street'}",
        "--validation-split=0.5",
    )
    assert made.returncode == 0, made.stderr
    assert json.loads(run("--json", cwd=tmp_path).stdout)["source"] == str(tmp_path / "street")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ((), "no configuration.json"),
        (("nowhere",), "does not exist"),
        ((".",), "neither training nor validation"),
        (("flowers", "--dataset-dir", "flowers"), "once"),
        (("flowers", "--output", "no/such/folder.html"), "does not exist"),
        (("flowers", "--output", "flowers"), "is a folder"),
        (("flowers", "--thumbnails", "-1"), "thumbnails"),
    ],
)
def test_wrong_usage(dataset: Path, tmp_path: Path, arguments: tuple[str, ...], word: str) -> None:
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert word in done.stderr
    assert done.stderr.count("\n") == 1
    assert files(tmp_path) == {"flowers"}


def test_damaged_labels_are_named(dataset: Path, tmp_path: Path) -> None:
    for content in ("{", "[1]", '{"rose": "0"}'):
        (dataset / "labels.json").write_text(content)
        done = run(dataset, cwd=tmp_path)
        assert done.returncode == 1
        assert "labels.json" in done.stderr


def test_a_full_disk_leaves_the_older_report(dataset: Path, tmp_path: Path) -> None:
    assert run(dataset, "--title", "older", cwd=tmp_path).returncode == 0
    before = (tmp_path / "report.html").read_bytes()

    def small_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    command = [sys.executable, SCRIPT, dataset, "--title", "newer"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=240, preexec_fn=small_disk
    )
    assert done.returncode == 1
    assert f"error: File too large: {tmp_path / 'report.html'} was not written" in done.stderr
    assert (tmp_path / "report.html").read_bytes() == before
    assert files(tmp_path) == {"flowers", "report.html"}


def test_a_killed_run_leaves_an_older_report_or_the_new_one(dataset: Path, tmp_path: Path) -> None:
    assert run(dataset, "--title", "older", cwd=tmp_path).returncode == 0
    older = (tmp_path / "report.html").read_bytes()
    started = time.monotonic()
    assert run(dataset, "--title", "newer", "--output", "newer.html", cwd=tmp_path).returncode == 0
    duration = time.monotonic() - started
    newer = (tmp_path / "newer.html").read_bytes()
    moments = random.Random(4)
    for _ in some(range(12), 4):
        (tmp_path / "report.html").write_bytes(older)
        process = subprocess.Popen(
            [sys.executable, SCRIPT, dataset, "--title", "newer"],
            cwd=tmp_path,
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(moments.uniform(0, duration))
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=240)
        assert (tmp_path / "report.html").read_bytes() in (older, newer)
    assert run(dataset, "--title", "newer", cwd=tmp_path).returncode == 0
    assert (tmp_path / "report.html").read_bytes() == newer


def test_parts_of_killed_runs_go_with_the_next(dataset: Path, tmp_path: Path) -> None:
    left = tmp_path / ".report.html-left"
    left.mkdir()
    (left / "report.html").write_text("half")
    assert run(dataset, cwd=tmp_path).returncode == 0
    assert files(tmp_path) == {"flowers", "report.html"}


def test_an_interrupt_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "many", {"cat": (100, 0)})
    command = [sys.executable, SIGNALLED, "work:50", "SIGINT", SCRIPT, dataset, "--thumbnails", "500"]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=240)
    assert done.returncode == 130, done.stderr
    assert "interrupted" in done.stderr
    assert files(tmp_path) == {"many"}


def test_help_has_an_example(tmp_path: Path) -> None:
    done = run("--help", cwd=tmp_path)
    assert done.returncode == 0
    assert 'make report DATASET=dataset ARGS="--output report.html"' in " ".join(done.stdout.split())
