"""Every command that a README shows: its target or script exists, its options too, and what can run does run.

Each command is run in a workspace of its own, prepared for it (with a project, images, and an export or a dataset where
it needs one), against the stand-in server. What needs Docker is only parsed.
"""

import json
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from standin.process import StandinProcess
from standin.sample_images import write_sample_images
from tests.support.images import jpeg
from tests.support.markdown_pages import TOP, Command, code_spans, commands, name_of, pages
from tests.support.script_runs import run_module, run_program
from toolkit.core.formats import FORMATS, TaskType

from .conftest import CLASSIFICATION, DETECTION, copy_tutorials, make_project, output_of, signed_in

FOLDERS = "tutorials/2_prepare_dataset/annotate_images"
STATES = {
    "project": "images",
    "import": "images",
    "open": "images",
    "export": "images",
    "convert": "exported",
    "report": "converted",
    "verify": "converted",
    "help": "images",
}
"""What can run without Docker, and the state of the workspace that it needs."""
SCRIPTS = {
    "create_project": "project",
    "import_images": "import",
    "open_task": "open",
    "export_dataset": "export",
    "convert_dataset": "convert",
    "report_dataset": "report",
    "verify_dataset": "verify",
}
DEVELOPERS = ("bench_convert", "compare_readers", "describe_configuration", "lock_requirements")
FOREIGN = ("docker", "kubectl", "helm", "git", "cvat-cli", "pip", "apt-get", "gh", "ssh", "jupyter", "-m ipykernel")
"""Whoever has one of these words before it has options of its own."""
ELSEWHERE = re.compile(r"s3://|--from-storage|--format webdataset|/task-\*|--scheduler")
"""What a command has that needs a bucket, a cluster, more packages or several exports."""
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")

ALL = [command for page in pages() for command in commands(page)]
SPANS = sorted({(name_of(page), span) for page in pages() for span in code_spans(page)})


@cache
def makefile() -> dict[str, str]:
    """Return the recipe of each target."""
    recipes: dict[str, str] = {}
    target = ""
    for line in (TOP / "Makefile").read_text("utf-8").splitlines():
        if found := re.match(r"([a-z][a-z-]*):(?!=)", line):
            target = found[1]
            recipes[target] = ""
        elif line.startswith("\t") and target:
            recipes[target] += line + "\n"
        else:
            target = ""
    return recipes


@cache
def options_of(script: str) -> set[str]:
    path = TOP / f"scripts/{script}.py"
    assert path.is_file(), f"there is no scripts/{script}.py"
    answer = run_program([sys.executable, path, "--help"])
    assert answer.returncode == 0, answer.stderr
    return set(OPTION.findall(answer.stdout))


@cache
def every_option() -> set[str]:
    own = {option for path in (TOP / "scripts").glob("*.py") for option in options_of(path.stem)}
    return own.union(*(OPTION.findall(run_module(f"dev.{name}", "--help").stdout) for name in DEVELOPERS))


def make_parts(words: list[str]) -> tuple[list[str], dict[str, str]]:
    """Split the words of a make command into targets and variables."""
    variables = dict(word.split("=", 1) for word in words[1:] if re.match(r"\w+=", word))
    return [word for word in words[1:] if not re.match(r"\w+=|-", word)], variables


def check(words: list[str]) -> None:
    """Check that what a command names exists."""
    if words[0] == "make":
        targets, variables = make_parts(words)
        for target in targets:
            assert target in makefile(), f"the Makefile has no target {target}"
            scripts = re.findall(r"\$\(RUN\)/(\w+)\.py", makefile()[target])
            if scripts:
                known = set().union(*(options_of(script) for script in scripts))
                wanted = set(OPTION.findall(variables.get("ARGS", "")))
                assert wanted <= known, f"make {target} has no {wanted - known}"
    for position, word in enumerate(words):
        if found := re.search(r"scripts/(\w+)\.py$", word):
            wanted = {given.partition("=")[0] for given in words[position + 1 :] if OPTION.match(given)}
            assert wanted <= options_of(found[1]), f"{word} has no {wanted - options_of(found[1])}"


@pytest.mark.parametrize("command", ALL, ids=lambda command: f"{name_of(command.page)}: {command.line}"[:90])
def test_commands_exist(command: Command):
    words = command.words
    while words and re.match(r"\w+=", words[0]):
        words = words[1:]
    if words:
        check(words)


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_code_in_sentences_exists(page):
    wrong = []
    for name, span in SPANS:
        if name != name_of(page):
            continue
        for target in re.findall(r"^make ([a-z][a-z-]*)", span):
            if target not in makefile():
                wrong.append(f"`{span}`: no such target")
        for script in re.findall(r"scripts/(\w+)\.py", span):
            if not (TOP / f"scripts/{script}.py").is_file():
                wrong.append(f"`{span}`: no such script")
        for option in OPTION.findall(span):
            before = span.partition(option)[0]
            if not any(word in before for word in FOREIGN) and option not in every_option():
                wrong.append(f"`{span}`: no script has the option {option}")
    assert wrong == []


def can_run(command: Command) -> str | None:
    """Tell which state of the workspace a command needs; None if it is not for running here."""
    if not command.is_run or re.search(r"…|<\w|\.\.\.", command.line) or ELSEWHERE.search(command.line):
        return None
    words = [word for word in command.words if not re.match(r"\w+=", word)]
    if words[:1] == ["make"]:
        targets, _ = make_parts(words)
        return STATES.get(targets[0]) if len(targets) == 1 else None
    scripts = [found[1] for word in words if (found := re.search(r"scripts/(\w+)\.py$", word))]
    return STATES[SCRIPTS[scripts[0]]] if len(scripts) == 1 and scripts[0] in SCRIPTS else None


def unique(only: bool) -> list[Command]:
    seen: dict[tuple[str, object], Command] = {}
    for command in ALL:
        if (can_run(command) is not None) == only and command.is_run:
            seen.setdefault((command.line, command.exported), command)
    return list(seen.values())


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[StandinProcess, Path]]:
    """A server with project 1 for classification and 2 for detection, and workspaces in three states."""
    home = tmp_path_factory.mktemp("workspaces")
    with StandinProcess() as server:
        kinds = {make_project(server, ["daisy", "rose", "tulip"], kind): kind for kind in (CLASSIFICATION, DETECTION)}
        assert list(kinds) == [1, 2]
        images = home / "images"
        first = copy_repository(home / "is_images")
        places = {first: 1, first / FOLDERS / CLASSIFICATION: 1, first / FOLDERS / DETECTION: 2}
        write_sample_images(first / "demo-output/images", seed=1)
        write_sample_images(images, seed=2)
        (first / "photos").mkdir()
        shutil.copy(images / "rose/garden/1.jpg", first / "photos/1.JPG")
        for place, number in places.items():
            shutil.copytree(first / "demo-output/images", place / "images", dirs_exist_ok=True)
            shutil.copytree(images, place / "images_2", dirs_exist_ok=True)
            sample = place / "configuration.example.json" if number == 2 or place != first else None
            values = json.loads((sample or first / "config/classification.example.json").read_text())
            values |= {"cvat_username": server.username, "cvat_password": server.password, "cvat_project_id": number}
            (place / "configuration.json").write_text(json.dumps(values))
            (place / "configuration.json").chmod(0o600)
        environment = signed_in(server)
        for number in (1, 2):
            options = [f"--project-id={number}", "--import-dir=images", "--extension=jpg", "--task-name=first"]
            options += ["--tags-from-folders"] * (number == 1)
            output_of("import_images", *options, environment=environment, folder=first)
        second = copy_workspace(first, home / "is_exported")
        (second / "dataset").mkdir()
        for folder in (second, second / "dataset", second / "tutorials/_common/dataset"):
            with zipfile.ZipFile(folder / "project_id_1.zip", "w") as archive:
                for number, path in enumerate(sorted((second / "images").rglob("*.jpg"))):
                    label = path.relative_to(second / "images").parts[0]
                    archive.write(path, f"{label}/series-{number % 12}/{number}.jpg")  # groups, for --group-by
        for folder in (second, second / "tutorials/_common/dataset"):
            write_coco(folder / "project_id_2.zip", images=12)
        third = copy_workspace(second, home / "is_converted")
        for place in (".", f"{FOLDERS}/{CLASSIFICATION}"):
            output_of("convert_dataset", f"--config={place}/configuration.json", environment=environment, folder=third)
        yield server, home


def write_coco(path: Path, images: int) -> None:
    """Write an export in COCO 1.0 with a box in each image."""
    numbers = range(1, images + 1)
    record = {
        "categories": [{"id": 1, "name": "car"}],
        "images": [{"id": number, "width": 40, "height": 30, "file_name": f"{number}.jpg"} for number in numbers],
        "annotations": [
            {"id": number, "image_id": number, "category_id": 1, "bbox": [2, 3, 20, 10], "area": 200, "iscrowd": 0}
            for number in numbers
        ],
    }
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("annotations/instances_default.json", json.dumps(record))
        for number in numbers:
            archive.writestr(f"images/default/{number}.jpg", jpeg(number))


def copy_repository(target: Path) -> Path:
    target.mkdir()
    copy_tutorials(target)
    shutil.copytree(TOP / "config", target / "config", ignore=shutil.ignore_patterns("cvat.env", "access-token"))
    for name in ("Makefile", "compose", *(path.name for path in TOP.glob("requirements*.txt"))):
        (target / name).symlink_to(TOP / name)
    (target / "README.md").write_bytes((TOP / "README.md").read_bytes())
    (target / ".venv").symlink_to(sys.prefix)
    return target


def copy_workspace(source: Path, target: Path) -> Path:
    shutil.copytree(source, target, symlinks=True)
    return target


def shell(command: Command, folder: Path, server: StandinProcess, line: str) -> subprocess.CompletedProcess[str]:
    """Run a line as a person of the page does, at home in the workspace, with a project that fits the format."""
    exported = {key: value for key, value in command.exported if not key.startswith(("CVAT_URL", "CVAT_PASS"))}
    if "CONFIG" not in exported and any(name in line for name in FORMATS[TaskType.DETECTION]):
        exported["CVAT_PROJECT_ID"] = "2"
    return run_program(
        ["bash", "-c", line],
        cwd=folder,
        environment=signed_in(server) | exported | {"HOME": str(folder), "BROWSER": "", "DISPLAY": "", "MAKEFLAGS": ""},
    )


# The workspace's .venv is the one that runs the tests: make must not bring it up to date.
KEEP = "-o .venv/.runtime -o .venv/.dev -o .venv/.notebooks"


@pytest.mark.parametrize("command", unique(only=True), ids=lambda command: command.line[:90])
def test_commands_run(command: Command, prepared, tmp_path):
    server, home = prepared
    workspace = copy_workspace(home / f"is_{can_run(command)}", tmp_path / "repository")
    line = re.sub(r"(^|\s)make ", rf"\1make {KEEP} ", command.line, count=1)
    answer = shell(command, workspace, server, line)
    assert answer.returncode == 0, answer.stderr
    assert server.password not in answer.stdout + answer.stderr


@pytest.mark.parametrize("command", unique(only=False), ids=lambda command: command.line[:90])
def test_the_others_at_least_parse(command: Command, prepared, tmp_path):
    server, home = prepared
    line = command.line.replace("…", "x")
    if re.search(r"<\w+>", line):
        line = re.sub(r"<(\w+)>", r"\1", line)
    if not re.search(r"(^|\s)make(\s|$)", line):
        answer = run_program(["bash", "-n", "-c", line])
    else:
        line = re.sub(r"(^|\s)make(?=\s|$)", rf"\1make -n {KEEP}", line, count=1)
        answer = shell(command, home / "is_images", server, line)
    assert answer.returncode == 0, answer.stderr


def test_the_checks_can_fail():
    """Guard the guard: a wrong target, option or script is found."""
    for words in (["make", "exprot"], ["make", "import", "ARGS=--no-such-option"], ["scripts/import_image.py"]):
        with pytest.raises(AssertionError):
            check(words)
    assert len(unique(only=True)) >= 10
