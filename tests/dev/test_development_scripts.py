"""What keeps the tree current: locks, licences, the schema. In a copy of the tree, and without a network."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.script_runs import ROOT, run_program

LICENCES = ROOT / "docs" / "licences.md"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of what these scripts read and write."""
    copy = tmp_path / "tree"
    shutil.copytree(ROOT / "scripts", copy / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "docs").mkdir()
    (copy / "config").mkdir()
    for name in ("README.md", "requirements.txt", "config/configuration.schema.json"):
        shutil.copy(ROOT / name, copy / name)
    return copy


def run(tree: Path, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    nowhere = "http://127.0.0.1:9/simple"
    cut_off = {
        "UV_DEFAULT_INDEX": nowhere,
        "UV_INDEX_URL": nowhere,
        "UV_HTTP_TIMEOUT": "2",
        "UV_HTTP_RETRIES": "0",
        "UV_NO_CONFIG": "1",
    }
    own = {name: value for name, value in os.environ.items() if not name.startswith(("UV_", "PIP_"))}
    return run_program(
        [sys.executable, "-m", f"dev.{script}", *arguments],
        cwd=tree,
        environment={**own, **cut_off, "PYTHONPATH": str(tree / "scripts"), "UV_CACHE_DIR": str(tree.parent / "cache")},
    )


# --- The schema and the table of keys -----------------------------------------------------------------------------


def test_a_schema_that_is_not_current_is_named_and_renewed(tree: Path) -> None:
    schema, readme = tree / "config/configuration.schema.json", tree / "README.md"
    current = schema.read_text("utf-8"), readme.read_text("utf-8")
    schema.unlink()
    readme.write_text(current[1].replace("| `cvat_project_id` |", "| `project` |"), "utf-8")
    asked = run(tree, "describe_configuration", "--check")
    assert asked.returncode == 3
    assert asked.stderr.splitlines() == [
        "error: not current, run make schema",
        "  - config/configuration.schema.json",
        "  - README.md",
    ]
    assert not schema.exists()
    renewed = run(tree, "describe_configuration")
    assert renewed.returncode == 0, renewed.stderr
    assert (schema.read_text("utf-8"), readme.read_text("utf-8")) == current
    assert run(tree, "describe_configuration", "--check").returncode == 0


def test_a_readme_without_the_marks_of_the_table_is_left_alone(tree: Path) -> None:
    (tree / "README.md").write_text("# Nothing\n", "utf-8")
    answer = run(tree, "describe_configuration")
    assert answer.returncode == 1
    assert "has lost the markers of its table of keys" in answer.stderr
    assert (tree / "README.md").read_text("utf-8") == "# Nothing\n"


# --- Locks --------------------------------------------------------------------------------------------------------

NOTHING_NEEDED = """[project]
name = "x"
version = "1"
requires-python = ">=3.11"
dependencies = [{}]

[dependency-groups]
test = []
lint = []
audit = []
notebook = []
bench = []
frameworks = []
distributed = []
storage = []
storage-test = []
"""


def test_every_lock_is_written(tree: Path) -> None:
    (tree / "pyproject.toml").write_text(NOTHING_NEEDED.format(""), "utf-8")
    answer = run(tree, "lock_requirements", "--upgrade")
    assert answer.returncode == 0, answer.stderr
    kinds = ("", "-dev", "-notebooks", "-distributed", "-storage", "-storage-test", "-bench", "-frameworks")
    names = [f"requirements{kind}.txt" for kind in kinds]
    assert answer.stderr.splitlines() == [f"locked {name}" for name in names]
    assert all((tree / name).exists() for name in names)


def test_a_lock_that_cannot_be_made_is_named(tree: Path) -> None:
    (tree / "pyproject.toml").write_text(NOTHING_NEEDED.format('"a-package-that-nobody-has"'), "utf-8")
    answer = run(tree, "lock_requirements")
    assert answer.returncode == 1
    assert answer.stderr.splitlines()[-1] == "error: requirements.txt could not be locked; uv said why above"


# --- Licences -----------------------------------------------------------------------------------------------------


def test_the_list_of_licences_names_what_is_locked_and_no_other() -> None:
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in LICENCES.read_text("utf-8").splitlines()]
    listed = {canonicalize_name(name): version for name, version, _ in rows[2:]}
    lines = re.findall(r"^([A-Za-z0-9].*?) \\$", (ROOT / "requirements.txt").read_text("utf-8"), re.MULTILINE)
    locked = [Requirement(line) for line in lines]
    oldest = {"python_version": "3.11", "python_full_version": "3.11.0", "sys_platform": "linux"}  # as it was written
    here = [one for one in locked if one.marker is None or one.marker.evaluate(oldest)]
    assert listed == {canonicalize_name(one.name): str(one.specifier).removeprefix("==") for one in here}
    assert [name for name, _, licence in rows if licence == "UNKNOWN"] == []
