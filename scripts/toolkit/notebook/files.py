"""Notebooks as files."""

from pathlib import Path

ORDER = ("import_api", "export_api", "convert_dataset")
"""The order in which a person runs the notebooks of a folder."""


def find_notebooks(folder: Path) -> list[Path]:
    """Find the notebooks at any depth below a folder: folder by folder, in the order in which they are run."""
    found = [path for path in folder.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts]
    return sorted(found, key=lambda path: (path.parent, ORDER.index(path.stem) if path.stem in ORDER else len(ORDER)))
