"""Renew the locked, hashed requirements from pyproject.toml."""

from toolkit.cli.script import run_script

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from toolkit.cli import console
from toolkit.core.errors import ToolkitError
from toolkit.core.secrets import without_secrets

ROOT = Path(__file__).resolve().parents[2]

# The benchmark's competitors pin what our own requirements have newer, so they live in an environment of their own.
LOCKS = {
    "requirements.txt": ["pyproject.toml"],
    "requirements-dev.txt": [
        "pyproject.toml",
        "--group=test",
        "--group=lint",
        "--group=audit",
        "--constraints=requirements.txt",
    ],
    # In the same environment as the tests' requirements, so in the same versions.
    "requirements-notebooks.txt": ["--group=notebook", "--constraints=requirements-dev.txt"],
    "requirements-distributed.txt": ["--group=distributed", "--constraints=requirements-dev.txt"],
    # Beside the others in an environment, as well.
    "requirements-storage.txt": ["--group=storage", "--constraints=requirements-dev.txt"],
    "requirements-storage-test.txt": [
        "--group=storage-test",
        "--constraints=requirements-dev.txt",
        "--constraints=requirements-storage.txt",
    ],
    "requirements-bench.txt": ["--group=bench"],
    # OpenCV is packed twice under one name of import; this one needs no screen, and its twin would overwrite it.
    "requirements-frameworks.txt": ["--group=frameworks", "--no-emit-package=opencv-python"],
}


def main(
    upgrade: Annotated[bool, typer.Option(help="Take the newest versions instead of keeping the locked ones.")] = False,
    debug: console.Debug = False,
) -> None:
    """Renew requirements*.txt from pyproject.toml, for every platform and Python from 3.11 on.

    Example: `make lock ARGS=--upgrade`
    """
    for output, sources in LOCKS.items():
        command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--universal", "--python-version=3.11"]
        command += ["--generate-hashes", "--no-strip-extras", "--no-emit-index-url", "--no-header"]
        command += ["--no-emit-package=pip"]  # an environment keeps the pip that it was made with
        command += [f"--output-file={output}", *sources]
        if subprocess.run(command + ["--upgrade"] * upgrade, cwd=ROOT, env=without_secrets()).returncode:
            raise ToolkitError(f"{output} could not be locked; uv said why above")
        console.say(f"locked {output}")


if __name__ == "__main__":
    run_script(main)
