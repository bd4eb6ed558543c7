"""Labels that could not become class folders of a dataset are refused before the server is asked."""

import os
import subprocess

import pytest

from standin.process import StandinProcess
from tests.support.script_runs import run_script


def create(standin: StandinProcess, labels: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_script(
        "create_project",
        "--name=names",
        f"--labels={labels}",
        *arguments,
        environment={**os.environ, **standin.environment()},
    )


@pytest.mark.parametrize(
    ("labels", "offender"),
    [
        ("cat Cat", "Cat"),
        ("cat/black dog", "cat/black"),
        ("no_label cat", "no_label"),
        (".. cat", ".."),
        ("é,e\u0301", "e\u0301"),
    ],
)
def test_of_a_classification_project(standin: StandinProcess, labels: str, offender: str) -> None:
    call = create(standin, labels)
    assert call.returncode == 2
    assert "these labels cannot be class folders" in call.stderr
    assert f"  - {offender}" in call.stderr


def test_a_detection_project_may_have_them(standin: StandinProcess) -> None:
    call = create(standin, "cat/black,Cat", "--type=detection")
    assert call.returncode == 0, call.stderr


def test_a_name_of_two_lines_is_printed_on_one(standin: StandinProcess) -> None:
    call = create(standin, "cat", "--name=two\nlines")
    assert call.returncode == 0, call.stderr
    assert r"two\nlines" in call.stdout
