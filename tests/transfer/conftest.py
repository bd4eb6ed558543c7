"""The scripts as a person runs them: as processes, against a running server."""

import secrets
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from standin.process import StandinProcess
from tests.support.images import jpeg
from tests.support.script_runs import outside, run_script, start_script
from tests.support.standin_api import Api


@dataclass
class Shell:
    """Runs scripts in a folder of the test's own, signed in to a server."""

    folder: Path
    server: StandinProcess

    def environment(self, **variables: str) -> dict[str, str]:
        places = {"TMPDIR": str(self.folder / "tmp"), "XDG_STATE_HOME": str(self.folder / "state")}
        return outside() | self.server.environment() | places | variables

    def run(self, script: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return run_script(script, *arguments, cwd=self.folder, environment=self.environment(**variables))

    def start(self, script: str, *arguments: str, **variables: str) -> "subprocess.Popen[str]":
        return start_script(script, *arguments, cwd=self.folder, environment=self.environment(**variables))

    def project(self, *labels: str, kind: str = "classification") -> int:
        """Make a project with a name of its own and return its number."""
        label_type = {"classification": "tag", "detection": "rectangle"}[kind]
        return Api(self.server).project(*labels, name=f"project-{secrets.token_hex(4)}", label_type=label_type)

    def labelled_project(self, *names: str) -> int:
        """Make a project with one task of images, as :meth:`images` writes them, tagged by their first folders."""
        api, folder = Api(self.server), self.images(*names)
        project = self.project(*sorted({name.split("/")[0] for name in names}), "empty")
        task = api.images(project, {name: (folder / name).read_bytes() for name in sorted(names)})
        frames = api.json("GET", f"tasks/{task}/data/meta")["frames"]
        api.tag(task, *((number, frame["name"].split("/")[0]) for number, frame in enumerate(frames)))
        return project

    def images(self, *names: str, folder: str = "images") -> Path:
        """Write small images that all differ."""
        for name in names:
            path = self.folder / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(jpeg())
        return self.folder / folder

    def leftovers(self) -> list[str]:
        """Return the temporary files, hidden folders and journals that a run has left."""
        hidden = [path for path in self.folder.rglob("*") if path.name.startswith(".")]
        kept = [*(self.folder / "tmp").iterdir(), *(path for path in self.state().iterdir())]
        return sorted(str(path.relative_to(self.folder)) for path in [*hidden, *kept])

    def state(self) -> Path:
        """Return the folder where imports write down what they begin."""
        folder = self.folder / "state/cvat-toolkit/imports"
        folder.mkdir(parents=True, exist_ok=True)
        return folder


@pytest.fixture
def shell(tmp_path: Path, standin: StandinProcess) -> Shell:
    return new_shell(tmp_path, standin)


@pytest.fixture(scope="session")
def one_faulty_standin() -> Iterator[StandinProcess]:
    with StandinProcess(options=("--faults",)) as server:
        yield server


@pytest.fixture
def faulty_standin(one_faulty_standin: StandinProcess) -> Iterator[StandinProcess]:
    """One server for all these tests, which look at projects of their own; faults and log are of one test."""
    one_faulty_standin.clear_requests()
    yield one_faulty_standin
    one_faulty_standin.clear_faults()


@pytest.fixture
def faulty_shell(tmp_path: Path, faulty_standin: StandinProcess) -> Shell:
    return new_shell(tmp_path, faulty_standin)


def new_shell(folder: Path, server: StandinProcess) -> Shell:
    """Make a shell with places of its own for temporary files and journals."""
    (folder / "tmp").mkdir()
    shell = Shell(folder, server)
    shell.state()
    return shell


@pytest.fixture
def tasks_of() -> Callable[[StandinProcess, int], list[dict]]:
    """Ask the server for the tasks of a project."""

    def ask(server: StandinProcess, project_id: int) -> list[dict]:
        import requests

        answer = requests.get(
            f"{server.url}/api/tasks",
            params={"project_id": project_id, "page_size": 100},
            auth=(server.username, server.password),
            timeout=120,
        )
        answer.raise_for_status()
        return answer.json()["results"]

    return ask
