"""A copy of the tutorials to work in, with a project on the stand-in server."""

import json
import secrets
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests

from standin.process import StandinProcess
from standin.sample_images import write_sample_images
from tests.support.notebook_runs import Run, kernel_environment, run_notebook
from tests.support.script_runs import ROOT as TOP
from tests.support.script_runs import outside, run_script

CLASSIFICATION = "image_classification"
DETECTION = "object_detection"


@dataclass
class Tutorial:
    """A tutorial's folder in a copy of the tree, configured for a project of its own.

    Attributes:
        folder: The folder of the notebooks.
        server: The server.
        project_id: The project.
        home: A folder for what the kernel keeps.
    """

    folder: Path
    server: StandinProcess
    project_id: int
    home: Path
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def dataset(self) -> Path:
        """The folder that exports and datasets go to by default."""
        return self.folder.parents[2] / "_common/dataset"

    def configure(self, **changes: Any) -> None:
        """Fill in the sample as a person does; None takes a key out."""
        values = json.loads((self.folder / "configuration.example.json").read_text("utf-8"))
        values |= {
            "cvat_username": self.server.username,
            "cvat_password": self.server.password,
            "cvat_project_id": self.project_id,
            "import_task_name": "first",
        }
        if "dataset_conversion_base_file" in values:
            values["dataset_conversion_base_file"] = f"../../../_common/dataset/project_id_{self.project_id}.zip"
        values = {key: value for key, value in (values | changes).items() if value is not None}
        path = self.folder / "configuration.json"
        path.write_text(json.dumps(values), "utf-8")
        path.chmod(0o600)

    def run(
        self,
        name: str,
        interrupt_at: Callable[[str], bool] | None = None,
        replace: Mapping[str, str] | None = None,
        python: str = sys.executable,
    ) -> Run:
        """Run a notebook; what it needs of the server comes from the configuration, but for the address."""
        environment = kernel_environment(self.home, {"CVAT_URL": self.server.url, **self.variables})
        return run_notebook(self.folder / f"{name}.ipynb", environment, interrupt_at, replace, python)

    def tasks(self) -> list[dict[str, Any]]:
        answer = self.ask(f"/api/tasks?project_id={self.project_id}&page_size=100")
        return answer["results"]

    def ask(self, path: str) -> Any:
        answer = requests.get(
            f"{self.server.url}{path}", auth=(self.server.username, self.server.password), timeout=120
        )
        answer.raise_for_status()
        return answer.json()

    def leftovers(self) -> list[str]:
        """Return what a run has left besides its results: temporary files and hidden folders."""
        tree = self.folder.parents[2].parent
        hidden = [path for path in tree.rglob(".*") if path.name not in (".gitkeep",)]
        return sorted(str(path.relative_to(tree)) for path in hidden)


def copy_tutorials(target: Path) -> None:
    """Copy the tutorials, as a clone has them, beside a link to the scripts."""
    own = shutil.ignore_patterns("configuration.json", "images", "project_id_*", ".ipynb_checkpoints", ".cvat-*")
    shutil.copytree(TOP / "tutorials", target / "tutorials", ignore=own)
    for path in (target / "tutorials/_common/dataset").iterdir():
        if path.name != ".gitkeep":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    (target / "scripts").symlink_to(TOP / "scripts")


def make_project(server: StandinProcess, labels: list[str], kind: str) -> int:
    answer = requests.post(
        f"{server.url}/api/projects",
        json={
            "name": f"tutorial-{secrets.token_hex(4)}",
            "labels": [{"name": name, "type": "tag" if kind == CLASSIFICATION else "rectangle"} for name in labels],
        },
        auth=(server.username, server.password),
        timeout=120,
    )
    answer.raise_for_status()
    return int(answer.json()["id"])


@pytest.fixture
def tutorial(tmp_path: Path) -> Callable[..., Tutorial]:
    """Make a tutorial's folder with 60 pictures of flowers and a configuration that fits."""

    def make(server: StandinProcess, kind: str = CLASSIFICATION) -> Tutorial:
        tree = tmp_path / "tree with space"
        tree.mkdir()
        copy_tutorials(tree)
        folder = tree / "tutorials/2_prepare_dataset/annotate_images" / kind
        write_sample_images(folder / "images")
        (tmp_path / "home").mkdir()
        made = Tutorial(folder, server, make_project(server, ["daisy", "rose", "tulip"], kind), tmp_path / "home")
        made.configure()
        return made

    return make


def output_of(script: str, *arguments: str, environment: Mapping[str, str], folder: Path) -> str:
    """Run a script that must succeed."""
    answer = run_script(script, *arguments, cwd=folder, environment=environment)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def signed_in(server: StandinProcess) -> dict[str, str]:
    """Return an environment in which the scripts talk to a server and know no other CVAT."""
    return outside(**server.environment())
