"""The frameworks that read the datasets live in an environment of their own, of some GB."""

import sys
from pathlib import Path

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    wanted = "frameworks" in (config.getoption("markexpr") or "")
    for item in items:
        if "frameworks" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.frameworks)
            item.add_marker(pytest.mark.timeout(1800))
            if not wanted:
                item.add_marker(pytest.mark.skip(reason="needs torch and others: run with make test-frameworks"))


@pytest.fixture(scope="session")
def frameworks() -> Path:
    """The environment that `make test-frameworks` makes beside that of the tests."""
    environment = Path(f"{sys.prefix}-frameworks")
    if not environment.is_dir():
        pytest.fail(f"{environment} is not there: run make test-frameworks")
    return environment


@pytest.fixture(scope="session")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the datasets that all tests of a process read."""
    return tmp_path_factory.mktemp("datasets")
