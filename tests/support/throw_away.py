"""A throw-away CVAT: a copy of the repository, a Compose project of its own, a free port."""

import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from docker.errors import DockerException

from tests.support.script_runs import ROOT

COPIED = ("Makefile", "pyproject.toml", "requirements.txt", "requirements-dev.txt", "compose", "config", "scripts")
VENV = Path(sys.prefix)
OF_THIS_MACHINE = ("cvat.env", "cvat.lock", "access-token", "__pycache__")
USERNAME, PASSWORD = "ana", "Tulip-9-lamp-River"
PROJECT_LABEL = "com.docker.compose.project"


@dataclass
class Cvat:
    """One throw-away CVAT, driven by the Makefile as a person does.

    Attributes:
        root: The copy of the repository.
        project: The Compose project.
        port: Where it is published.
        engine: The Docker engine.
        settings: Environment for every call.
        ready_seconds: How long a start may take.
    """

    root: Path
    project: str
    port: int
    engine: Any
    settings: dict[str, str] = field(repr=False)
    ready_seconds: int = 90

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    def environment(self, **more: str) -> dict[str, str]:
        outside = {
            name: value for name, value in os.environ.items() if not name.startswith(("CVAT_", "COMPOSE_", "MAKE"))
        }
        return {**outside, **self.settings, **more}

    def make(self, *words: str, code: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        call = subprocess.run(
            ["make", "--silent", f"VENV={VENV}", f"--assume-old={VENV}/.runtime", *words],
            cwd=self.root,
            env=self.environment(**environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=200 + 2 * self.ready_seconds,
            check=False,
        )
        # make itself ends with 2 whatever the script ended with, and says the script's own code.
        assert (call.returncode == 0) == (code == 0), call.stdout + call.stderr
        if code:
            assert f"Error {code}" in call.stderr, call.stderr
        assert not re.search(r"^Traceback", call.stderr, re.MULTILINE), call.stderr
        return call

    def up(self, *words: str, code: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        return self.make("up", f"ARGS=--timeout {self.ready_seconds}", *words, code=code, **environment)

    def container(self, service: str) -> Any:
        labels = [f"{PROJECT_LABEL}={self.project}", f"com.docker.compose.service={service}"]
        found = self.engine.containers.list(all=True, filters={"label": labels})
        return found[0] if found else None

    def containers(self) -> list[Any]:
        label = f"{PROJECT_LABEL}={self.project}"
        return list(self.engine.containers.list(all=True, filters={"label": label}))

    def volumes(self) -> list[str]:
        label = f"{PROJECT_LABEL}={self.project}"
        return sorted(volume.name for volume in self.engine.volumes.list(filters={"label": label}))

    def signed_in(self) -> dict[str, str]:
        return {"CVAT_URL": self.url, "CVAT_USERNAME": USERNAME, "CVAT_PASSWORD": PASSWORD}

    def make_superuser(self) -> None:
        self.make("superuser", CVAT_SUPERUSER_USERNAME=USERNAME, CVAT_SUPERUSER_PASSWORD=PASSWORD)

    def fill(self) -> None:
        """Make a superuser, a project and a task of six tagged images."""
        from PIL import Image

        self.make_superuser()
        self.make("project", "NAME=animals", "LABELS=cat dog", **self.signed_in())
        for label in ("cat", "dog"):
            folder = self.root / "images" / label / "deep dir"
            folder.mkdir(parents=True)
            for number in range(3):
                colour = (40 * number, 90 if label == "cat" else 10, 50)
                Image.new("RGB", (48, 32), colour).save(folder / f"{number}.jpg")
        options = "--project-id 1 --import-dir images --extension jpg --task-name first --tags-from-folders"
        self.make("import", f"ARGS={options}", **self.signed_in())

    def exported(self) -> dict[str, bytes]:
        """Export project 1 and return the members of its zip."""
        folder = self.root / f"export-{secrets.token_hex(3)}"
        options = f"--project-id 1 --export-dir {folder} --format 'ImageNet 1.0'"
        self.make("export", f"ARGS={options}", **self.signed_in())
        (file,) = folder.glob("*.zip")
        with zipfile.ZipFile(file) as archive:
            return {name: archive.read(name) for name in archive.namelist()}

    def status(self, code: int = 0) -> dict[str, Any]:
        status: dict[str, Any] = json.loads(self.make("status", "ARGS=--json", code=code).stdout)
        return status


def hear_ctrl_c() -> None:
    """Undo, in a child before it runs, that a shell in the background has its children ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def throw_away_cvat(folder: Path, engine: Any, settings: dict[str, str]) -> Cvat:
    """Copy the repository and name a project and a port that nobody uses; nothing is started."""
    root = folder / "repository"
    root.mkdir()
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, root / name, ignore=shutil.ignore_patterns(*OF_THIS_MACHINE))
        else:
            shutil.copy2(source, root / name)
    port = free_port()
    project = f"cvat-test-{secrets.token_hex(4)}"
    return Cvat(root, project, port, engine, {**settings, "COMPOSE_PROJECT_NAME": project, "CVAT_PORT": str(port)})


def remove(cvat: Cvat) -> None:
    """Remove all that a project has made, also what a call that was interrupted is still making."""
    down = [
        "docker",
        "compose",
        "--project-name",
        cvat.project,
        "down",
        "--volumes",
        "--remove-orphans",
        "--timeout",
        "1",
    ]
    for _ in range(3):
        subprocess.run(down, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        for name in cvat.volumes():
            with contextlib.suppress(DockerException):
                cvat.engine.volumes.get(name).remove(force=True)
        networks = cvat.engine.networks.list(filters={"label": f"{PROJECT_LABEL}={cvat.project}"})
        if not (networks or cvat.containers() or cvat.volumes()):
            return
        time.sleep(1)
    raise AssertionError(f"something of project {cvat.project} is left on the engine")
