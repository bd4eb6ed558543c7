"""The CVAT that the contract tests are about: the stand-in, or with ``--against-real-cvat`` the one of CVAT_URL."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest
import urllib3

from standin import CvatVersion
from standin.process import StandinProcess
from tests.support.cvat_under_test import CvatUnderTest, write_zip
from tests.support.images import jpeg


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what differs by version on a stand-in of each; a real CVAT has the one that it has."""
    if "each_cvat" in metafunc.fixturenames:
        real = metafunc.config.getoption("--against-real-cvat")
        metafunc.parametrize("each_cvat", [None] if real else list(CvatVersion), indirect=True)


@pytest.fixture(scope="session")
def _cvat(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CvatUnderTest]:
    home = tmp_path_factory.mktemp("home")
    if not request.config.getoption("--against-real-cvat"):
        standin = request.getfixturevalue("standin")
        yield CvatUnderTest(standin.url, standin.username, standin.password, None, home)
        return
    given = {name: os.environ.get(f"CVAT_{name}") or None for name in ("USERNAME", "PASSWORD", "ACCESS_TOKEN")}
    url = os.environ.get("CVAT_URL", "").rstrip("/")
    if not url.startswith(("http://", "https://")) or not (given["PASSWORD"] or given["ACCESS_TOKEN"]):
        pytest.exit("set CVAT_URL=http(s)://… and CVAT_USERNAME with CVAT_PASSWORD, or CVAT_ACCESS_TOKEN", 2)
    one = CvatUnderTest(url, given["USERNAME"] or "django", given["PASSWORD"], given["ACCESS_TOKEN"], home)
    if one.token:
        yield one
        return
    # More sign-ins by password than the front door takes in a minute would be refused.
    owner = urllib3.make_headers(basic_auth=f"{one.username}:{one.password}")
    wanted = {"name": one.unique("token"), "read_only": False}
    made = one.http("POST", "/api/auth/access_tokens", json=wanted, headers=owner)
    if made.status != 201:
        pytest.exit(f"{url} gives {one.username} no access token (HTTP {made.status}): check the credentials", 2)
    one.token = made.json()["value"]
    yield one
    one.http("DELETE", f"/api/auth/access_tokens/{made.json()['id']}", headers=owner)


@pytest.fixture(scope="session")
def _cvat_of_version(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[CvatVersion], CvatUnderTest]]:
    with ExitStack() as stack:

        @cache
        def start(version: CvatVersion) -> CvatUnderTest:
            server = stack.enter_context(StandinProcess(options=("--cvat-version", version)))
            return CvatUnderTest(server.url, server.username, server.password, None, tmp_path_factory.mktemp("home"))

        yield start


@pytest.fixture
def each_cvat(request: pytest.FixtureRequest) -> Iterator[CvatUnderTest]:
    """Each CVAT in turn, where ``each_cvat.version`` decides what is right; cleaned up as ``cvat`` is."""
    version = request.param
    one: CvatUnderTest = (
        request.getfixturevalue("_cvat_of_version")(version) if version else request.getfixturevalue("_cvat")
    )
    yield one
    one.clean_up()


@pytest.fixture
def cvat(_cvat: CvatUnderTest) -> Iterator[CvatUnderTest]:
    """A CVAT; what the test makes in it with ``new_project`` and ``delete_later`` is deleted afterwards."""
    yield _cvat
    _cvat.clean_up()


@pytest.fixture
def password(_cvat: CvatUnderTest) -> str:
    """The user's password; tests that need one skip where only a token was given."""
    if _cvat.password is None:
        pytest.skip("needs CVAT_USERNAME and CVAT_PASSWORD, only CVAT_ACCESS_TOKEN was given")
    return _cvat.password


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A zip of images in nested folders with equal base names."""
    names = ("a/1.jpg", "a/2.jpg", "b/1.jpg", "b/2.jpg", "b/deep dir/1.jpg", "b/deep dir/2.jpg", "日本 語.jpg")
    return write_zip(tmp_path / "tree.zip", {name: jpeg() for name in names})
