"""Notebooks as files: found, and brought into the form in which they are kept in git."""

import json
from pathlib import Path
from typing import Any

from toolkit.core.errors import ToolkitError

ORDER = ("import_api", "export_api", "convert_dataset")
"""The order in which a person runs the notebooks of a folder."""
_KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


def find_notebooks(folder: Path) -> list[Path]:
    """Find the notebooks at any depth below a folder.

    Args:
        folder: The folder.

    Returns:
        Their paths, folder by folder, in the order in which they are run.
    """
    found = [path for path in folder.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts]
    return sorted(found, key=lambda path: (path.parent, ORDER.index(path.stem) if path.stem in ORDER else len(ORDER)))


def stripped(text: str, name: str) -> str:
    """Bring a notebook into the form that is kept in git.

    Without outputs, execution counts and what an editor adds, with the same cell ids every time and one way to write
    the JSON, so that a difference in git is a difference in the text.

    Args:
        text: The notebook.
        name: Its file name without the extension; the cells' ids are made of it.

    Returns:
        The notebook as it should be kept.

    Raises:
        ToolkitError: It is no notebook.
    """
    try:
        notebook = json.loads(text)
        cells = [
            _stripped_cell(cell, f"{name.replace('_', '-')}-{number}") for number, cell in enumerate(notebook["cells"])
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise ToolkitError(f"{name} is no notebook ({error})") from None
    kept = {
        "cells": cells,
        "metadata": {"kernelspec": _KERNEL, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(kept, ensure_ascii=False, indent=1) + "\n"


def _stripped_cell(cell: dict[str, Any], identity: str) -> dict[str, Any]:
    source = "".join(cell["source"]).rstrip()
    kept = {"cell_type": cell["cell_type"], "id": identity, "metadata": {}, "source": source.splitlines(keepends=True)}
    if cell["cell_type"] == "code":
        kept |= {"execution_count": None, "outputs": []}
    return kept
