"""Messages about equal images stay short, however many there are."""

import json
from pathlib import Path

from tests.support.conversions import convert, converted, make_zip, run

COPIES = 400
LONGEST_LINE = 500


def test_hundreds_of_equal_images_make_no_line_of_hundreds_of_names(tmp_path: Path) -> None:
    same = {f"cat/{number:03}.jpg": b"blank" for number in range(COPIES)}
    others = {f"dog/{number:03}.jpg": f"{number}".encode() for number in range(20)}
    archive = make_zip(tmp_path / "export.zip", same | others)
    done = convert(archive, tmp_path / "dataset")
    assert done.returncode == 0, done.stderr
    assert f"cat/000.jpg = cat/001.jpg = cat/002.jpg = … = cat/399.jpg ({COPIES} in all)" in done.stderr
    assert max(map(len, done.stderr.splitlines())) < LONGEST_LINE

    stopped = convert(archive, tmp_path / "other", "--on-leak", "error")
    assert stopped.returncode == 3
    assert max(map(len, stopped.stderr.splitlines())) < LONGEST_LINE

    report = run("report_dataset", "--dataset-dir", tmp_path / "dataset", "--output", tmp_path / "report.html")
    assert report.returncode == 0, report.stderr
    assert max(map(len, report.stderr.splitlines())) < LONGEST_LINE
    assert "training/" in report.stderr
    assert "validation/" in report.stderr

    # For a program every name is there.
    leaks = converted(archive, tmp_path / "dataset", "--overwrite")["leaks"]
    assert json.dumps(leaks).count("cat/") == COPIES
