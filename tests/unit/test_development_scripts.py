"""What keeps the tree current: locks, licences, the schema. In a copy of the tree, and without a network."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dev.vulnerabilities import audit

ROOT = Path(__file__).resolve().parents[2]


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
    return subprocess.run(
        [sys.executable, "-m", f"dev.{script}", *arguments],
        cwd=tree,
        env={**own, **cut_off, "PYTHONPATH": str(tree / "scripts"), "UV_CACHE_DIR": str(tree.parent / "cache")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
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
notebook = []
bench = []
"""


def test_every_lock_is_written(tree: Path) -> None:
    (tree / "pyproject.toml").write_text(NOTHING_NEEDED.format(""), "utf-8")
    answer = run(tree, "lock_requirements", "--upgrade")
    assert answer.returncode == 0, answer.stderr
    names = ["requirements.txt", "requirements-dev.txt", "requirements-notebooks.txt", "requirements-bench.txt"]
    assert answer.stderr.splitlines() == [f"locked {name}" for name in names]
    assert all((tree / name).exists() for name in names)


def test_a_lock_that_cannot_be_made_is_named(tree: Path) -> None:
    (tree / "pyproject.toml").write_text(NOTHING_NEEDED.format('"a-package-that-nobody-has"'), "utf-8")
    answer = run(tree, "lock_requirements")
    assert answer.returncode == 1
    assert answer.stderr.splitlines()[-1] == "error: requirements.txt could not be locked; uv said why above"


# --- Licences and vulnerabilities ---------------------------------------------------------------------------------


def test_licences_are_written_and_what_needs_a_network_is_skipped_and_said(tree: Path) -> None:
    answer = run(tree, "audit_dependencies")
    assert answer.returncode == 0, answer.stderr
    written, committed = ((root / "docs/licences.md").read_text("utf-8").splitlines() for root in (tree, ROOT))
    assert [line.split("|")[1:3] for line in written if "|" in line] == [
        line.split("|")[1:3] for line in committed if "|" in line
    ]
    assert "packages with their licences in docs/licences.md" in answer.stdout
    assert "no known vulnerabilities" not in answer.stdout
    assert "warning: not looked for vulnerabilities: " in answer.stderr


def test_licences_alone_ask_nothing(tree: Path) -> None:
    answer = run(tree, "audit_dependencies", "--licences-only")
    assert (answer.returncode, answer.stderr) == (0, "")


def answering(folder: Path, script: str) -> None:
    """Put a program that answers as pip-audit does in the place of uv, which would have to fetch it."""
    program = folder / "uv"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


@pytest.mark.parametrize(
    ("script", "skipped", "findings"),
    [
        ("echo 'No known vulnerabilities found' >&2", None, []),
        ("printf 'Name  ID\\n\\nx  CVE-1\\n'; exit 1", None, ["Name  ID", "x  CVE-1"]),
        ("printf 'a\\nb\\nc\\nd\\n' >&2; exit 1", None, ["b", "c", "d"]),
        (
            "echo '  error sending request for url' >&2; exit 2",
            "the package index or the database cannot be reached (error sending request for url)",
            [],
        ),
        ("exec sleep 30", "no answer within 0.5 s", []),
    ],
)
def test_what_an_audit_says(
    script: str, skipped: str | None, findings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(tmp_path, script)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))  # uv is looked for beside it
    found = audit(tmp_path / "requirements.txt", timeout=0.5 if "sleep" in script else 30)
    assert (found.skipped, list(found.findings)) == (skipped, findings)


def test_without_uv_an_audit_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert audit(tmp_path / "requirements.txt").skipped == "uv is not installed, which make lint brings"
