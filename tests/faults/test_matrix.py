"""Every step with every fault: what the person sees, and that nothing is left behind."""

import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests

from standin.process import StandinProcess
from tests.support.script_runs import ROOT, run_program
from tests.support.sweeps import FULL
from tests.transfer.conftest import Shell, new_shell

from .conftest import WRITES_TABLE
from .matrix import CASES, FEW, RACES, UNREACHABLE, Fault, Step
from .table import TABLE, cell, read, render
from .vanishing import VanishingServer

SETTINGS = {"CVAT_RETRY_WAIT": "0.05"}
SLOW = ("hang", "trickle")
"""Faults that meet the limit for an answer; with the others no busy machine is to meet it."""
TRIED = CASES if FULL or WRITES_TABLE else FEW


@pytest.fixture(scope="module")
def server() -> Iterator[StandinProcess]:
    with StandinProcess(options=("--faults",)) as running:
        yield running


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """A copy of the scripts for those that write into their own folder."""
    folder = tmp_path_factory.mktemp("toolkit")
    for name in ("scripts", "compose", "config"):
        ignored = shutil.ignore_patterns("__pycache__", "access-token", "cvat.env")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    return folder


@dataclass
class Run:
    """One script with what it needs, and what must be true afterwards."""

    shell: Shell
    copy: Path
    images: int = 3
    timeout: int = 240
    settings: dict[str, str] = field(default_factory=lambda: dict(SETTINGS))
    known: set[int] = field(default_factory=set)
    known_tokens: int = 0

    def ask(self, method: str, path: str, **options) -> dict:
        server = self.shell.server
        answer = requests.request(
            method, server.url + path, auth=(server.username, server.password), timeout=120, **options
        )
        answer.raise_for_status()
        return answer.json() if answer.content else {}

    def prepare(self, script: str) -> None:
        labels = [{"name": "cat", "type": "tag"}]
        self.project = self.ask("POST", "/api/projects", json={"name": str(self.shell.folder), "labels": labels})["id"]
        self.shell.images(*(f"cat/{number}.jpg" for number in range(self.images)))
        if script == "export":
            task = self.ask("POST", "/api/tasks", json={"name": "t", "project_id": self.project})["id"]
            pictures = sorted((self.shell.folder / "images/cat").iterdir())
            files = {f"client_files[{number}]": path.open("rb") for number, path in enumerate(pictures)}
            self.ask("POST", f"/api/tasks/{task}/data", data={"image_quality": 70}, files=files)
            while not self.ask("GET", f"/api/tasks/{task}").get("size"):
                pass
        self.known = {project["id"] for project in self.projects()}
        self.known_tokens = self.tokens()

    def projects(self) -> list[dict]:
        return self.ask("GET", "/api/projects?page_size=500")["results"]

    def tasks(self) -> list[dict]:
        return self.ask("GET", f"/api/tasks?project_id={self.project}&page_size=100")["results"]

    def tokens(self) -> int:
        return self.ask("GET", "/api/auth/access_tokens")["count"]

    def start(self, script: str, *further: str) -> subprocess.CompletedProcess[str]:
        shell, settings = self.shell, self.settings
        if script == "import":
            return shell.run(
                "import_images",
                f"--project-id={self.project}",
                "--import-dir=images",
                "--extension=jpg",
                "--task-name=t",
                f"--timeout={self.timeout}",
                *further,
                **settings,
            )
        if script == "export":
            options = [
                f"--project-id={self.project}",
                "--export-dir=out",
                "--format=ImageNet 1.0",
                f"--timeout={self.timeout}",
            ]
            return shell.run("export_dataset", *options, **settings)
        if script == "project":
            return shell.run("create_project", f"--name={shell.folder}", "--labels=a b", **settings)
        name = {"token": "create_token", "status": "show_status"}[script]
        return run_program(
            [sys.executable, self.copy / "scripts" / f"{name}.py"],
            cwd=shell.folder,
            environment=shell.environment(**settings),
        )

    def check_done(self, script: str) -> None:
        if script == "import":
            assert [task["size"] for task in self.tasks()] == [self.images]
        elif script == "export":
            with zipfile.ZipFile(self.shell.folder / f"out/project_id_{self.project}.zip") as archive:
                assert (archive.testzip(), len([n for n in archive.namelist() if "/" in n])) == (None, self.images)
        elif script == "project":
            assert len({project["id"] for project in self.projects()} - self.known) == 1

    def check_untouched(self, script: str) -> None:
        if script == "import":
            assert self.tasks() == []
        elif script == "export":
            assert not (self.shell.folder / "out").exists()
        elif script == "project":
            assert {project["id"] for project in self.projects()} == self.known
        elif script == "token":
            assert self.tokens() == self.known_tokens


def outcome(answer: subprocess.CompletedProcess[str], url: str) -> str:
    errors = [line for line in answer.stderr.splitlines() if line.startswith("error: ")]
    assert "Traceback" not in answer.stderr
    assert len(errors) == (answer.returncode != 0), answer.stderr
    if answer.returncode == 0:
        return "tries again" if "attempt " in answer.stderr or "the answer was lost" in answer.stderr else "goes on"
    message = errors[0].removeprefix("error: ").replace(url, "CVAT_URL").split(": ")[0]
    message = re.sub(r"(task|project) [0-9]+", r"\1 N", message)
    return f"exit {answer.returncode}: {message}"


@pytest.mark.parametrize(("step", "fault"), TRIED, ids=[cell(*case) for case in TRIED])
def test_fault(step: Step, fault: Fault, server, copy, tmp_path, outcomes):
    if fault in UNREACHABLE:
        vanishing(step, fault, server, copy, tmp_path, outcomes)
        return
    meets_deadline = fault.name == "stays queued" or (step.name, fault.name) == ("download", "trickle")
    run = Run(new_shell(tmp_path, server), copy, timeout=8 if meets_deadline else 240)
    if fault.name in SLOW:
        run.settings["CVAT_ANSWER_TIMEOUT"] = "3"
    run.prepare(step.script)
    place = {"path": step.work} if step.work else {"method": step.method, "path": step.path}
    server.order_fault(**{"skip": step.skip, **place, **fault.rule})
    try:
        answer = run.start(step.script)
        hits = server.faults()[0]["hit"]
    finally:
        server.clear_faults()
    assert hits, "the fault did not come to pass"
    seen = outcome(answer, server.url)
    if (step.name, fault.name) in RACES and answer.returncode == 0:
        seen = "either"
    (outcomes / f"{cell(step, fault)}.txt").write_text(seen, "utf-8")
    assert run.shell.leftovers() == [], answer.stderr
    if answer.returncode == 0:
        run.check_done(step.script)
    else:
        run.check_untouched(step.script)
        again = run.start(step.script)
        assert again.returncode == 0, again.stderr
        run.check_done(step.script)
        assert run.shell.leftovers() == []
    if not WRITES_TABLE:
        assert seen == read()[cell(step, fault)], answer.stderr


def vanishing(step: Step, fault: Fault, server: StandinProcess, copy: Path, folder: Path, outcomes: Path) -> None:
    """Let the server go away; what can't be taken back while it is away, the next run knows of."""
    with VanishingServer(server.url) as front:
        # Enough attempts to outlast a moment, as the defaults outlast a restart of some seconds.
        run = Run(new_shell(folder, server), copy, settings=SETTINGS | {"CVAT_URL": front.url, "CVAT_RETRY_WAIT": "1"})
        run.prepare(step.script)
        front.vanish_at(step.method, step.path, step.skip, fault.rule["seconds"])
        answer = run.start(step.script)
        assert front.hits, "the server did not go away"
        seen = outcome(answer, front.url)
        (outcomes / f"{cell(step, fault)}.txt").write_text(seen, "utf-8")
        left = [task["id"] for task in run.tasks()] if step.script == "import" and answer.returncode else []
        if left:
            assert "could not be deleted" in answer.stderr or "may have been left" in answer.stderr, answer.stderr
        front.come_back()
        if answer.returncode:
            again = run.start(step.script, *(["--resume"] if step.script == "import" else []))
            assert again.returncode == 0, again.stderr
            told = again.stderr + answer.stderr
            assert all(f"/tasks/{number}" in told for number in left), told
            stay = {int(number) for number in re.findall(r"perhaps left by it.*/tasks/(\d+)", told)}
            for task in run.tasks():
                if task["id"] in stay:
                    run.ask("DELETE", f"/api/tasks/{task['id']}")
        run.check_done(step.script)
        assert run.shell.leftovers() == [], answer.stderr
    if not WRITES_TABLE:
        assert seen == read()[cell(step, fault)], answer.stderr


def test_the_table_names_every_case_and_no_other():
    assert TABLE.read_text("utf-8") == render(read())
    assert set(read()) == {cell(*case) for case in CASES}
    assert "not seen" not in read().values()
