"""List the tutorials' notebooks and say how to open them."""

from toolkit.cli.script import run_script

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from toolkit.cli import console

TUTORIALS = Path(__file__).resolve().parent.parent / "tutorials"

HOW = """
VS Code and Codespaces: open one of them, choose "Select Kernel" at the top right, "Python Environments", ".venv".
Jupyter: make the environment known to it once, then choose the kernel "CVAT toolkit":
  .venv/bin/python -m ipykernel install --user --name cvat-toolkit --display-name "CVAT toolkit"\
"""


def main(
    folder: Annotated[Path, typer.Option(help="Folder to look in.")] = TUTORIALS,
    as_json: console.Json = False,
    debug: console.Debug = False,
) -> None:
    """List the notebooks of the tutorials in the order of the walk, and say how to open them.

    Example: `make notebooks`
    """
    from toolkit.notebook.kernel import find_notebooks

    notebooks = [_from_here(path) for path in find_notebooks(folder)]
    if as_json:
        console.result(json.dumps({"notebooks": notebooks, "python": sys.executable}, ensure_ascii=False))
        return
    for notebook in notebooks:
        console.result(notebook)
    console.result(HOW)


def _from_here(path: Path) -> str:
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


if __name__ == "__main__":
    run_script(main)
