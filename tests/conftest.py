"""Fixtures that all tests share."""

from collections.abc import Iterator

import pytest

from standin.process import StandinProcess


@pytest.fixture(scope="session")
def standin() -> Iterator[StandinProcess]:
    """A running stand-in server: ``url``, ``username``, ``password``, ``environment()``.

    One serves all tests of a pytest process; use unique names and leave no assumption about what else is in it.
    """
    with StandinProcess() as server:
        yield server


@pytest.fixture
def faulty_standin() -> Iterator[StandinProcess]:
    """A stand-in server of the test's own that takes orders for faults: ``order_fault()``, ``requests()``."""
    with StandinProcess(options=("--faults",)) as server:
        yield server
