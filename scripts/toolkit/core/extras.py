"""Libraries that few need, which are installed on demand."""

import importlib
from types import ModuleType

from toolkit.core.errors import ToolkitError

STORAGE = "requirements-storage.txt"


def import_extra(name: str, needed_by: str) -> ModuleType:
    """Import a library of :data:`STORAGE`.

    Args:
        name: The module.
        needed_by: What cannot be done without it, such as an option.

    Raises:
        ToolkitError: It is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ToolkitError(
            f"{needed_by} needs {error.name or name}, which is not installed: run make storage "
            f"(pip install --no-deps --require-hashes -r {STORAGE})"
        ) from None
