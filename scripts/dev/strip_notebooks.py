"""Take outputs and all else that changes by itself out of the tutorials' notebooks."""

from toolkit.cli.script import run_script

from pathlib import Path
from typing import Annotated

import typer

from toolkit.cli import console

TUTORIALS = Path(__file__).resolve().parents[2] / "tutorials"


def main(
    folder: Annotated[Path, typer.Option(help="Folder to look in.")] = TUTORIALS,
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit code 3 if something would change.")
    ] = False,
    debug: console.Debug = False,
) -> None:
    """Take outputs, execution counts and editors' additions out of the notebooks, before they are kept in git.

    Example: `make strip-notebooks`
    """
    from toolkit.core.errors import ProblemsFound
    from toolkit.core.files import write_atomically
    from toolkit.notebook.files import find_notebooks, stripped

    changed = []
    for path in find_notebooks(folder):
        text = path.read_text("utf-8")
        if (kept := stripped(text, path.stem)) == text:
            continue
        changed.append(str(path))
        if not check:
            write_atomically(path, kept)
    if check and changed:
        raise ProblemsFound("notebooks that are not as git should keep them: make strip-notebooks", changed)
    for name in changed:
        console.result(f"stripped {name}")


if __name__ == "__main__":
    run_script(main)
