"""Shards and object storage, with the libraries that are installed on demand."""

from importlib.util import find_spec
from pathlib import Path

import pytest

NEEDED = ("moto", "pyarrow", "s3fs", "webdataset")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = [name for name in NEEDED if find_spec(name) is None]
    for item in items:
        if missing and Path(item.fspath).is_relative_to(Path(__file__).parent):
            reason = f"{', '.join(missing)} not installed here: run with make test-storage"
            item.add_marker(pytest.mark.skip(reason=reason))
