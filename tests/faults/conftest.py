"""The matrix of faults: how it is run, and how the table in the documentation comes of it."""

import os
from pathlib import Path

import pytest

from tests.transfer.conftest import faulty_shell, shell

from .table import TABLE, render

__all__ = ["faulty_shell", "shell"]  # fixtures

FOLDER = "fault-outcomes"
WRITES_TABLE = bool(os.environ.get("WRITE_FAULT_TABLE"))
"""Whether the test run writes the table that it otherwise holds itself to (`make fault-table`)."""


@pytest.fixture(scope="session")
def outcomes(request: pytest.FixtureRequest) -> Path:
    """A folder for the observed outcomes, one file a cell."""
    return Path(request.config.cache.mkdir(FOLDER))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the table once all cells are known."""
    config = session.config
    if WRITES_TABLE and not hasattr(config, "workerinput"):
        folder = Path(config.cache.mkdir(FOLDER))
        TABLE.write_text(render({path.stem: path.read_text("utf-8") for path in folder.glob("*.txt")}), "utf-8")
