"""Imports run one way only, as docs/architecture.md draws them; pyproject.toml holds the order."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.script_runs import ROOT, run_program


def lint_imports(tree: Path) -> subprocess.CompletedProcess[str]:
    return run_program(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=tree,
        environment={**os.environ, "PYTHONPATH": str(tree / "scripts"), "COLUMNS": "200"},
    )


def test_the_order_of_the_packages_holds() -> None:
    answer = lint_imports(ROOT)
    assert answer.returncode == 0, answer.stdout


@pytest.mark.parametrize(
    ("module", "line", "broken"),
    [
        ("toolkit/core/text.py", "from toolkit.config import model", "Imports go downwards BROKEN"),
        ("toolkit/dataset/split.py", "import pydantic", "A dataset is made without a validation library BROKEN"),
        ("toolkit/transfer/images.py", "import urllib3", "Only cvat talks to servers BROKEN"),
        ("toolkit/notebook/display.py", "import docker", "Only stack talks to Docker BROKEN"),
        ("toolkit/cli/console.py", "from toolkit.cvat import api", "cli stands on core alone BROKEN"),
        ("standin/api/frames.py", "from standin.exports import dataset", "The stand-in's imports go downwards BROKEN"),
    ],
)
def test_an_import_against_the_order_is_named(tmp_path: Path, module: str, line: str, broken: str) -> None:
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts", ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    file = tmp_path / "scripts" / module
    file.write_text(f"{file.read_text('utf-8')}\n{line}\n", "utf-8")
    answer = lint_imports(tmp_path)
    assert answer.returncode == 1
    assert broken in answer.stdout
