"""What a person types behind a target is text: nothing of it is expanded, run or passed over."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.script_runs import ROOT, run_program

MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
LISTED = MAKEFILE.partition("VARIABLES := ")[2].partition("\nUNKNOWN")[0].replace("\\\n", " ").split()
TYPED = [name for name in LISTED if "%" not in name and name not in ("SHELL", "VENV", "PYTHON")]
HOSTILE = """$(shell touch pwned) `touch pwned` $$(touch pwned) '; touch pwned; ' "$(touch pwned)" #x"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Makefile beside an environment that is set up, with a script that tells what reaches it."""
    tree = tmp_path_factory.mktemp("tree")
    shutil.copy(ROOT / "Makefile", tree)
    shutil.copytree(ROOT / "scripts/toolkit", tree / "scripts/toolkit", ignore=shutil.ignore_patterns("__pycache__"))
    (tree / "scripts/run_demo.py").write_text(
        "import json\nimport os\nimport sys\n"
        "from toolkit.cli import script\n"
        "words = script._with_words_of_make(sys.argv[1:])\n"
        "print(json.dumps([dict(os.environ), words]))\n"
    )
    (tree / "requirements.txt").touch()
    (tree / ".venv/bin").mkdir(parents=True)
    (tree / ".venv/bin/python").symlink_to(sys.executable)
    (tree / ".venv/.runtime").touch()
    return tree


def run(tree: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    inherited = {"PATH": os.environ["PATH"], "HOME": str(tree)}
    return run_program(["make", *words], cwd=tree, environment=inherited | variables)


def test_every_variable_that_the_scripts_read_is_known() -> None:
    sources = [*ROOT.glob("scripts/*.py"), *ROOT.glob("scripts/toolkit/**/*.py"), *ROOT.glob("compose/*.yml")]
    text = "\n".join(path.read_text("utf-8") for path in sources)
    read = set(re.findall(r"[\"`{]((?:CVAT|COMPOSE)_[A-Z_]+[A-Z])\b", text)) | set(
        re.findall(r'envvar="([A-Z_]+)"', text)
    )
    read = {name for name in read if not name.endswith("_DIGEST")}  # the scripts set these from config/cvat.lock
    assert read - set(LISTED) - {"CVAT_TESTED_VERSIONS"} == set()  # that one is a fact in compose/versions.env alone


def test_every_variable_that_texts_tell_to_type_is_known() -> None:
    """In a message about a skipped test too: whoever follows it may not be refused."""
    texts = [
        path
        for folder in ("docs", "tutorials", "compose", "config", "scripts", "tests")
        for path in (ROOT / folder).rglob("*")
    ]
    texts = [
        path for path in [*texts, *ROOT.glob("*.md")] if path.suffix in (".md", ".py", ".yml", ".ipynb", ".example")
    ]
    told: set[str] = set()
    for path in texts:
        for command in re.findall(r"\bmake [a-z]+[a-z-]*((?: [A-Z_]+=[^\s`]+)+)", path.read_text("utf-8")):
            told |= set(re.findall(r" ([A-Z_]+)=", command))
    assert {"ARGS", "CVAT_UPGRADE_TO"} <= told
    assert told - set(LISTED) == set()


def test_every_variable_that_the_tests_of_a_real_cvat_read_is_known() -> None:
    text = "".join(path.read_text("utf-8") for path in (ROOT / "tests/real_cvat").glob("*.py"))
    assert set(re.findall(r"environ\.get\(\"([A-Z_]+)\"", text)) - set(LISTED) == set()


@pytest.mark.parametrize("name", TYPED)
def test_a_value_on_the_command_line_is_text(tree: Path, name: str) -> None:
    answer = run(tree, "demo", f"{name}={HOSTILE}")
    assert not (tree / "pwned").exists()
    if name == "ARGS":
        assert answer.returncode != 0 or json.loads(answer.stdout)[1]
        return
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)[0][name] == HOSTILE


@pytest.mark.parametrize("name", [*TYPED, "VENV", "PYTHON"])
def test_a_value_in_the_environment_is_text(tree: Path, name: str) -> None:
    run(tree, "demo", **{name: HOSTILE})
    assert not (tree / "pwned").exists()


@pytest.mark.parametrize("name", ["VENV", "PYTHON"])
def test_a_program_on_the_command_line_is_a_name(tree: Path, name: str) -> None:
    run(tree, "demo", f"{name}=$(shell touch pwned)`touch${{IFS}}pwned`$$(touch${{IFS}}pwned)")
    assert not (tree / "pwned").exists()


def test_the_words_of_args(tree: Path) -> None:
    answer = run(tree, "demo", """ARGS=--format 'COCO 1.0' ~/photos "$HOME" *.zip $(ls)""")
    assert json.loads(answer.stdout)[1] == ["--format", "COCO 1.0", f"{tree}/photos", "$HOME", "*.zip", "$(ls)"]


@pytest.mark.parametrize(
    ("typed", "meant"), [("DATSET=x", "DATASET"), ("config=other.json", "CONFIG"), ("CVAT_PROT=1", "CVAT_PORT")]
)
def test_a_mistyped_variable_is_an_error(tree: Path, typed: str, meant: str) -> None:
    answer = run(tree, "demo", typed)
    assert answer.returncode == 2
    assert answer.stdout == ""
    assert f"{typed.partition('=')[0]} is no variable of these targets (did you mean {meant}?)" in answer.stderr
    assert len(answer.stderr.splitlines()) == 1
