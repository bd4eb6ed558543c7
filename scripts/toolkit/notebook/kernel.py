"""The first thing a notebook does: check its kernel, and arrange that an error is one message; where notebooks are.

This module is read by whatever Python a person has chosen, so it keeps to what Python 3.6 understands, and imports the
rest of the toolkit only after the check.
"""

import importlib.util
import sys
from pathlib import Path

NEEDED = ("cvat_sdk", "jinja2", "PIL", "pydantic")


class WrongKernel(Exception):
    """The notebook runs on a Python that cannot run the toolkit."""

    def _render_traceback_(self):  # type: ignore[no-untyped-def]
        """Return what IPython shows in place of the traceback."""
        return ["error: {}".format(self)]  # noqa: UP032 - see above


def prepare():  # type: ignore[no-untyped-def]
    """Check the kernel; from then on an error is shown as one message, not as a traceback.

    Raises WrongKernel where it is too old, or lacks what the toolkit needs.
    """
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if sys.version_info < (3, 11) or missing:
        version = "Python {}.{}".format(*sys.version_info[:2])
        lack = " without {}".format(", ".join(missing)) if missing else ""
        raise WrongKernel(
            "this kernel is {}{} ({}), not the toolkit's: run `make notebooks` in the top folder, "  # noqa: UP032
            'then choose the kernel ".venv" and run again'.format(version, lack, sys.executable)
        )
    from toolkit.notebook.display import show_errors_briefly

    show_errors_briefly()


ORDER = ("import_api", "export_api", "convert_dataset")
"""The order in which a person runs the notebooks of a folder."""


def find_notebooks(folder: Path) -> "list[Path]":
    """Find the notebooks at any depth below a folder: folder by folder, in the order in which they are run."""
    found = [path for path in folder.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts]
    return sorted(found, key=lambda path: (path.parent, ORDER.index(path.stem) if path.stem in ORDER else len(ORDER)))
