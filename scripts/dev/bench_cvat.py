"""Measure import and export against cvat-cli alone, side by side on a running CVAT."""

from toolkit.cli.script import run_script

import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from toolkit.cli import console

if TYPE_CHECKING:
    from toolkit.cvat.connection import Connection

SCRIPTS = Path(__file__).resolve().parents[1]
LABELS = ("cat", "dog")


def main(
    images: Annotated[int, typer.Option(min=2, help="How many images are sent.")] = 1000,
    side: Annotated[int, typer.Option(min=16, help="Pixels of an image's side; 340 makes about 114 kB.")] = 340,
    rounds: Annotated[int, typer.Option(min=1, help="How often each way is measured.")] = 3,
    url: console.Url = None,
    username: console.Username = None,
    debug: console.Debug = False,
) -> None:
    """Measure import and export against cvat-cli alone; medians in seconds. It makes a project and deletes it again.

    Example: `make bench-cvat CVAT_URL=http://localhost:8080 ARGS="--images 500"`
    """
    from toolkit.core.formats import TaskType
    from toolkit.cvat.api import session
    from toolkit.cvat.connection import resolve_connection
    from toolkit.cvat.project import create_project

    connection = resolve_connection(None, url, username)
    project = create_project(connection, "bench", list(LABELS), TaskType.CLASSIFICATION, console.warn)
    try:
        with tempfile.TemporaryDirectory() as place:
            ways = _ways(connection, project, _write_images(Path(place), images, side))
            seconds: dict[str, list[float]] = {name: [] for name in ways}
            for number in range(rounds):
                for name, work in ways.items():
                    _prepare(connection, project, name)
                    started = time.monotonic()
                    work()
                    seconds[name].append(time.monotonic() - started)
                    console.say(f"round {number + 1}: {name} {seconds[name][-1]:.1f} s")
    finally:
        with session(connection) as api:
            api.delete_project(project)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    console.result("| way | seconds | of cvat-cli |\n|---|---|---|")
    for name, median in medians.items():
        base = medians["export, cvat-cli" if name.startswith("export") else "import, cvat-cli, one zip"]
        console.result(f"| {name} | {median:.1f} | {median / base:.2f} |")


def _prepare(connection: "Connection", project: int, way: str) -> None:
    """Empty the project before an import; before an export add a tag, or the server gives the zip that it has made."""
    from toolkit.cvat.api import session

    with session(connection) as api:
        for task in api.tasks(project):
            if way.startswith("import"):
                api.delete_task(task.id)
            else:
                api.set_tags(task.id, [(0, api.labels(project)[0].id)])


def _write_images(place: Path, count: int, side: int) -> Path:
    from PIL import Image

    chance = random.Random(1)
    folder = place / "images"
    for number in range(count):
        path = folder / LABELS[number % 2] / f"{number:06}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.frombytes("RGB", (side, side), chance.randbytes(3 * side * side)).save(path, quality=85)
    with zipfile.ZipFile(place / "images.zip", "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(folder.rglob("*.jpg")):
            archive.write(path, str(path.relative_to(folder)))
    return folder


def _ways(connection: "Connection", project: int, folder: Path) -> dict[str, Callable[[], None]]:
    """Return each way to be measured; exports are of what the import before them has made."""
    single = [str(path) for path in sorted(folder.rglob("*.jpg"))]
    archive, raw, ours = str(folder.parent / "images.zip"), folder.parent / "raw.zip", folder.parent / "ours"
    create = ["task", "create", f"--project_id={project}", "--completion_verification_period=0.5", "raw", "local"]
    take_in = [f"--project-id={project}", f"--import-dir={folder}", "--extension=jpg", "--task-name=ours"]
    take_out = [f"--project-id={project}", f"--export-dir={ours}", "--format=ImageNet 1.0", "--overwrite"]

    def export_raw() -> None:
        raw.unlink(missing_ok=True)
        options = ["--format=ImageNet 1.0", "--with-images=yes", "--completion_verification_period=0.5"]
        _cvat_cli(connection, "project", "export-dataset", str(project), str(raw), *options)

    return {
        "import, cvat-cli, single files": lambda: _cvat_cli(connection, *create, *single),
        "import, cvat-cli, one zip": lambda: _cvat_cli(connection, *create, archive),
        "import, make import": lambda: _script(connection, "import_images", *take_in),
        "import, with --tags-from-folders": lambda: _script(
            connection, "import_images", *take_in, "--tags-from-folders"
        ),
        "export, cvat-cli": export_raw,
        "export, make export": lambda: _script(connection, "export_dataset", *take_out),
    }


def _environment(connection: "Connection") -> dict[str, str]:
    secret = {"CVAT_ACCESS_TOKEN": connection.token} if connection.token else {"PASS": connection.password}
    ours = {"CVAT_URL": connection.url, "CVAT_USERNAME": connection.username, "CVAT_PASSWORD": connection.password}
    return {**os.environ, **{name: value for name, value in {**ours, **secret}.items() if value}}


def _cvat_cli(connection: "Connection", *arguments: str) -> None:
    who = [f"--auth={connection.username}"] if connection.username else []
    command = [sys.executable, "-m", "cvat_cli", f"--server-host={connection.url}", *who, *arguments]
    subprocess.run(command, check=True, capture_output=True, env=_environment(connection))


def _script(connection: "Connection", name: str, *arguments: str) -> None:
    command = [sys.executable, str(SCRIPTS / f"{name}.py"), *arguments]
    subprocess.run(command, check=True, capture_output=True, env=_environment(connection))


if __name__ == "__main__":
    run_script(main)
