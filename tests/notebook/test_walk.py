"""The pages as a reader goes through them: command after command, in their order, in one fresh copy."""

import os
import re
from pathlib import Path

import pytest

from standin.process import StandinProcess
from standin.sample_images import write_sample_images
from tests.support.markdown_pages import TOP, commands
from tests.support.script_runs import run_program

from .test_commands import copy_repository

FOLDER = "tutorials/2_prepare_dataset/annotate_images"
NEEDS_DOCKER = {"up", "superuser", "status", "doctor", "logs", "stop", "start", "down", "destroy", "backup", "test"}
TAKES_LONG = {"demo", "notebooks"}
WALKS = [
    ("README.md", "make report"),
    (f"{FOLDER}/image_classification/README.md", "make verify"),
    (f"{FOLDER}/object_detection/README.md", "make report"),
]


@pytest.mark.parametrize(("page", "last"), WALKS, ids=[page for page, _ in WALKS])
def test_each_command_finds_what_it_needs_made_by_those_before(page: str, last: str, tmp_path: Path) -> None:
    home = copy_repository(tmp_path / "repository")
    write_sample_images(home / "demo-output/images", seed=1)
    if page == "README.md":
        write_sample_images(home / "images", seed=1)
    with StandinProcess() as server:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("CVAT_")},
            "CVAT_URL": server.url,
            "CVAT_TOKEN_FILE": str(tmp_path / "access-token"),
            "CVAT_SETTINGS_FILE": str(tmp_path / "cvat.env"),
            "BROWSER": "true",
        }
        done = []
        # The token is the one thing that a person is asked for; on the pages it comes before all that needs it.
        answers = {"CVAT_USERNAME": server.username, "CVAT_PASSWORD": server.password}
        run("make token", home, environment | answers)
        for command in commands(TOP / page):
            target = command.words[1] if command.words[:1] == ["make"] and len(command.words) > 1 else ""
            if command.words[:1] not in (["make"], ["cp"], ["chmod"]) or target in NEEDS_DOCKER | TAKES_LONG | {
                "token"
            }:
                continue
            run(command.line, home, environment | dict(command.exported))
            done.append(command.line)
            if command.line.startswith(last):
                break
    assert [line for line in done if line.startswith("make import")]
    assert done[-1].startswith(last), done


def run(line: str, folder: Path, environment: dict[str, str]) -> None:
    answer = run_program(
        ["bash", "-c", re.sub(r"^make ", "make --assume-old=.venv/.runtime ", line)],
        cwd=folder,
        environment=environment,
    )
    assert answer.returncode == 0, f"{line}\n{answer.stdout}{answer.stderr}"


@pytest.mark.parametrize("page", ["README.md", f"{FOLDER}/README.md"])
def test_the_token_comes_before_what_needs_it(page: str) -> None:
    targets = [
        command.words[1] for command in commands(TOP / page) if command.words[:1] == ["make"] and len(command.words) > 1
    ]
    assert targets.index("superuser") < targets.index("token")
    needing = [targets.index(target) for target in ("project", "import", "export") if target in targets]
    assert all(targets.index("token") < position for position in needing)
