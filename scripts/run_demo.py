"""Go the whole way once, from a folder of images to a dataset, with a stand-in for CVAT."""

from toolkit.cli.script import run_script

import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from toolkit.cli import console
from toolkit.core.errors import ToolkitError

SCRIPTS = Path(__file__).resolve().parent
EXPORT = "project_id_1.zip"
MADE = ("images", "dataset", EXPORT, "report.html")

NEXT = """\
Next, the same with a real CVAT (needs Docker):

  make up                                        start CVAT and wait until it is ready
  make superuser                                 make the first user
  make token                                     sign in once for all the other commands
  make project NAME=flowers LABELS="daisy rose tulip"
  cp config/classification.example.json configuration.json
                                                 then fill in project number and folders
  make import                                    put your images in (ARGS=--tags-from-folders tags them
                                                 with the names of their folders)
                                                 … tag in the browser: http://localhost:8080
  make export                                    take the labelled dataset out
  make convert                                   training/, validation/ and labels.json
"""


def main(
    output: Annotated[
        Path, typer.Option(help="Folder for what the demo makes; its parts from an earlier run are replaced.")
    ] = Path("demo-output"),
    debug: console.Debug = False,
) -> None:
    """Go the whole way once, from a folder of images to a dataset, with a stand-in server in place of CVAT.

    Example: `make demo`
    """
    from standin.sample_images import FLOWERS, write_sample_images

    started = time.monotonic()
    _clear(output)
    console.result("From a folder of images to a dataset, with a stand-in server in place of CVAT (no Docker needed)\n")
    with _step("draw sample images") as done:
        count = write_sample_images(output / "images")
        done(f"{count} in {output / 'images'}: nested folders, equal file names")
    with _stand_in(output) as run:
        with _step("create a project") as done:
            labels = " ".join(FLOWERS)
            project = json.loads(run("create_project.py", "--name=flowers", f"--labels={labels}", "--json"))
            done(f"flowers, with the labels {labels}")
        number = f"--project-id={project['project_id']}"
        with _step("import the images") as done:
            options = ["--import-dir=images", "--extension=jpg", "--task-name=first", "--tags-from-folders"]
            task = json.loads(run("import_images.py", number, *options, "--json"))
            done(f"{task['frames']} frames, tagged with the names of their folders")
        with _step("export the dataset") as done:
            run("export_dataset.py", number, "--format=ImageNet 1.0", "--export-dir=.", "--json")
            done(f"{output / EXPORT}")
    with _step("convert it") as done:
        _run(
            _without_settings(), output, "convert_dataset.py", f"--base-file={EXPORT}", "--output-dir=dataset", "--json"
        )
        done(f"{output / 'dataset'}: needs no server any more")
    with _step("report on it") as done:
        _run(_without_settings(), output, "report_dataset.py", "dataset", "--output=report.html")
        done(f"{output / 'report.html'}: open it in a browser")
    console.result("")
    _show(output / "dataset")
    console.result(f"\nDone in {time.monotonic() - started:.1f} s.\n\n{NEXT}")


def _clear(output: Path) -> None:
    """Remove what an earlier demo made, and nothing else."""
    for name in MADE:
        if (output / name).is_dir():
            shutil.rmtree(output / name)
        else:
            (output / name).unlink(missing_ok=True)
    output.mkdir(parents=True, exist_ok=True)


@contextmanager
def _step(title: str) -> Iterator[Callable[[str], None]]:
    told: list[str] = []
    started = time.monotonic()
    yield told.append
    console.result(f"  {title:<20} {time.monotonic() - started:>5.1f} s   {' '.join(told)}".rstrip())


@contextmanager
def _stand_in(output: Path) -> Iterator[Callable[..., str]]:
    """Run the stand-in server on a free port; yield a function that runs a script against it."""
    from standin.process import StandinProcess

    with _step("start the server") as done:
        try:
            server = StandinProcess()
        except RuntimeError as error:
            raise ToolkitError(str(error)) from None
        done(server.url)
    try:
        yield functools.partial(_run, _without_settings() | server.environment(), output)
    finally:
        with _step("stop the server"):
            server.stop()


def _without_settings() -> dict[str, str]:
    """Return the environment without the person's own CVAT, which the demo must not touch."""
    return {name: value for name, value in os.environ.items() if not name.startswith("CVAT_")}


def _run(environment: Mapping[str, str], folder: Path, script: str, *arguments: str) -> str:
    """Run a script in a folder where it meets no configuration.json of the person; return what it printed."""
    with subprocess.Popen(
        [sys.executable, SCRIPTS / script, *arguments],
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is for us: we pass it on, and wait until what was begun is rolled back
    ) as process:
        try:
            output, errors = process.communicate()
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            process.communicate()
            raise
    if process.returncode:
        raise ToolkitError(f"{script} ended with {process.returncode}", errors.splitlines()[-10:])
    return output


def _show(dataset: Path) -> None:
    """Print the tree of the dataset and its images per class and split."""
    sides = ("training", "validation")
    labels = json.loads((dataset / "labels.json").read_text("utf-8"))
    counts = {side: {label: _count(dataset / side / label) for label in labels} for side in sides}
    console.result(f"{dataset}/")
    entries = sorted(dataset.iterdir())
    for number, entry in enumerate(entries):
        last = number == len(entries) - 1
        note = f"/  {sum(counts[entry.name].values())} images" if entry.name in sides else "/" * entry.is_dir()
        if entry.is_symlink():
            note = f" -> {entry.readlink()}"
        console.result(f"{'└── ' if last else '├── '}{entry.name}{note}")
        for position, label in enumerate(labels if entry.name in sides else ()):
            branch = "└── " if position == len(labels) - 1 else "├── "
            console.result(f"{'    ' if last else '│   '}{branch}{label}/  {counts[entry.name][label]}")
    console.result(f"\n{'class':<10} {'id':>4} {'training':>10} {'validation':>12}")
    for label, number in labels.items():
        console.result(f"{label:<10} {number:>4} {counts['training'][label]:>10} {counts['validation'][label]:>12}")


def _count(folder: Path) -> int:
    return sum(path.is_file() for path in folder.rglob("*"))


if __name__ == "__main__":
    run_script(main)
