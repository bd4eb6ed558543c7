"""The real CVAT in throw-away containers, brought up by testcontainers from the repository's own compose file."""

import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from docker.errors import DockerException
from dotenv import dotenv_values

from tests.support.throw_away import ROOT, Cvat, remove, throw_away_cvat

SKIPPED = "needs the images of the real CVAT: run with make test-cvat"
READY_SECONDS = 600


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    wanted = "cvat" in (config.getoption("markexpr") or "")
    for item in items:
        if Path(item.fspath).is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.cvat)
            item.add_marker(pytest.mark.timeout(1800))
            if not wanted:
                item.add_marker(pytest.mark.skip(reason=SKIPPED))


def without(what: str) -> NoReturn:
    """Skip all for want of something; fail where TEST_CVAT_REQUIRED says that skipped is not tested."""
    if os.environ.get("TEST_CVAT_REQUIRED"):
        pytest.fail(what)
    pytest.skip(what)


@pytest.fixture(scope="session")
def engine() -> Iterator[Any]:
    import docker

    try:
        client = docker.from_env(timeout=600)
        client.ping()
    except DockerException as error:
        without(f"no Docker engine answers here ({error}); with one: make test-cvat")
    yield client
    client.close()


@pytest.fixture(scope="session")
def versions(engine: Any) -> dict[str, str]:
    """The versions under test, with all their images on the engine."""
    names = dotenv_values(ROOT / "compose" / "versions.env")
    settings = {
        name: os.environ.get(name) or value or "" for name, value in names.items() if name != "CVAT_CLI_VERSION"
    }
    images = [value for name, value in settings.items() if name.endswith("_IMAGE") and ":" in value.rpartition("/")[2]]
    images += [f"{settings[name]}:{settings['CVAT_VERSION']}" for name in ("CVAT_SERVER_IMAGE", "CVAT_UI_IMAGE")]
    for image in images:
        if not engine.images.list(name=image):
            try:
                engine.images.pull(image)
            except DockerException:
                without(f"{image} is not on this engine and cannot be pulled; where it can: make test-cvat")
    return settings


@pytest.fixture(scope="session")
def cvat(engine: Any, versions: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cvat]:
    """A real CVAT that can be used, with a superuser, whose token is kept for the scripts."""
    from testcontainers.compose import DockerCompose

    one = throw_away_cvat(tmp_path_factory.mktemp("cvat"), engine, versions)
    one.ready_seconds = READY_SECONDS
    settings = one.root / "config" / "cvat.env"
    settings.touch(mode=0o600)
    settings.write_text(
        f"CVAT_POSTGRES_PASSWORD={secrets.token_urlsafe(24)}\nCVAT_VERSION={versions['CVAT_VERSION']}\n"
    )
    compose_folder = one.root / "compose"
    with pytest.MonkeyPatch.context() as environment:
        # DockerCompose.stop() is `down --volumes`: it must never meet another project's name.
        for name, value in one.settings.items():
            environment.setenv(name, value)
        assert os.environ["COMPOSE_PROJECT_NAME"].startswith("cvat-test-")
        containers = DockerCompose(
            str(compose_folder),
            compose_file_name="compose.yml",
            env_file=[str(compose_folder / "versions.env"), str(settings)],
            wait=False,
            pull=False,
        )
        try:
            containers.start()
            one.make("start", f"ARGS=--timeout {READY_SECONDS}")
            one.make_superuser()
            one.make("token", **one.signed_in())
            yield one
        finally:
            try:
                containers.stop()
            finally:
                remove(one)
