"""Fixtures that all tests share."""

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.support.sweeps import FULL

# Neither the token nor the settings of the person who runs the tests have a say in them.
os.environ["CVAT_TOKEN_FILE"] = os.environ["CVAT_SETTINGS_FILE"] = os.devnull + ".none"

# Some machines tell Python to keep no compiled code; every script that a test starts would be compiled anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# A shell that starts the tests in the background makes them, and all that they start, deaf to Ctrl-C; nohup to SIGHUP.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

from standin.process import StandinProcess

# The same examples in every run, so that one fails for what has changed; test-sweeps and fuzz look for new ones.
settings.register_profile("steady", derandomize=True, deadline=None)
if not FULL and not os.environ.get("FUZZ"):
    settings.load_profile("steady")


def pytest_configure() -> None:
    """Keep the options that `make test` was given from the make targets that the tests run."""
    for inherited in ("ARGS", "MAKEFLAGS", "MFLAGS", "MAKELEVEL"):
        os.environ.pop(inherited, None)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Make the contract tests touch the user's CVAT only when they are told to, whatever the environment says."""
    parser.addoption(
        "--against-real-cvat",
        action="store_true",
        help="run tests/contract against CVAT_URL with CVAT_USERNAME and CVAT_PASSWORD, or CVAT_ACCESS_TOKEN "
        "(make test-contract CVAT_URL=…)",
    )


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
