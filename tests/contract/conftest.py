"""The CVAT that the contract tests are about: the stand-in, or with ``--against-real-cvat`` the one of CVAT_URL."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from cvat_under_test import CvatUnderTest, jpeg, write_zip


@pytest.fixture(scope="session")
def _cvat(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> CvatUnderTest:
    home = tmp_path_factory.mktemp("home")
    if not request.config.getoption("--against-real-cvat"):
        standin = request.getfixturevalue("standin")
        return CvatUnderTest(standin.url, standin.username, standin.password, None, home)
    given = {name: os.environ.get(f"CVAT_{name}") or None for name in ("USERNAME", "PASSWORD", "ACCESS_TOKEN")}
    url = os.environ.get("CVAT_URL", "").rstrip("/")
    if not url.startswith(("http://", "https://")) or not (given["PASSWORD"] or given["ACCESS_TOKEN"]):
        pytest.exit("set CVAT_URL=http(s)://… and CVAT_USERNAME with CVAT_PASSWORD, or CVAT_ACCESS_TOKEN", 2)
    return CvatUnderTest(url, given["USERNAME"] or "django", given["PASSWORD"], given["ACCESS_TOKEN"], home)


@pytest.fixture
def cvat(_cvat: CvatUnderTest) -> Iterator[CvatUnderTest]:
    """A CVAT; what the test makes in it with ``new_project`` and ``delete_later`` is deleted afterwards."""
    yield _cvat
    _cvat.clean_up()


@pytest.fixture
def password(cvat: CvatUnderTest) -> str:
    """The user's password; tests that need one skip where only a token was given."""
    if cvat.password is None:
        pytest.skip("needs CVAT_USERNAME and CVAT_PASSWORD, only CVAT_ACCESS_TOKEN was given")
    return cvat.password


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A zip of images in nested folders with equal base names."""
    names = ("a/1.jpg", "a/2.jpg", "b/1.jpg", "b/2.jpg", "b/deep dir/1.jpg", "b/deep dir/2.jpg", "日本 語.jpg")
    return write_zip(tmp_path / "tree.zip", {name: jpeg() for name in names})
