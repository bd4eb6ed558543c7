"""Small images in the place of CVAT's, and a throw-away CVAT that runs them."""

import fcntl
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from docker.errors import DockerException

from tests.support import image_builder
from tests.support.throw_away import Cvat, remove, throw_away_cvat


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    wanted = "stack" in (config.getoption("markexpr") or "")
    for item in items:
        if Path(item.fspath).is_relative_to(Path(__file__).parent) and "engine" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.stack)
            item.add_marker(pytest.mark.timeout(600))
            if not wanted:
                item.add_marker(pytest.mark.skip(reason="needs a Docker engine: run with make test-stack"))


@pytest.fixture(scope="session")
def engine() -> Iterator[Any]:
    import docker

    try:
        client = docker.from_env(timeout=300)
        client.ping()
    except DockerException as error:
        pytest.skip(f"no Docker engine answers here ({error}); with one: make test-stack")
    yield client
    client.close()


@pytest.fixture(scope="session")
def images(engine: Any) -> dict[str, str]:
    """The settings that make the stack use the small images."""
    with (Path(tempfile.gettempdir()) / "cvat-toolkit-test-images.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            return image_builder.build(engine)
        except image_builder.CannotBuildError as error:
            pytest.skip(f"the images for these tests cannot be built here: {error}")


@pytest.fixture
def cvat(tmp_path: Path, engine: Any, images: dict[str, str]) -> Iterator[Cvat]:
    """A CVAT that is not started yet; nothing of it is left afterwards."""
    one = throw_away_cvat(tmp_path, engine, images)
    try:
        yield one
    finally:
        remove(one)
