"""The likely cause of what a container or the engine said, with what to do about it."""

import re
from typing import NamedTuple


class _Sign(NamedTuple):
    pattern: str
    cause: str


DAMAGED_QUEUE = "the queue's file is damaged, by a crash or a full disk; the queue holds no labels and no images"
DAMAGED_CACHE = (
    "the cache's volume has lost its configuration file, or is damaged; the cache holds no labels and no images"
)

_ENGINE_SIGNS = (
    _Sign(
        r"toomanyrequests|rate limit",
        "the registry allows no more pulls for now: `docker login`, or wait, then `make pull`",
    ),
    _Sign(
        r"manifest unknown|not found: manifest|repository does not exist|pull access denied",
        "there is no such image: check CVAT_VERSION and the image names in compose/versions.env and config/cvat.env",
    ),
    _Sign(
        r"dial tcp|i/o timeout|tls handshake|no such host|lookup .* on|failed to resolve|connection refused.*registry",
        "the image registry cannot be reached: check the network or proxy of the Docker engine, then `make pull`",
    ),
)
"""What the engine says about a registry. Programs in containers use the same words about each other."""

_SIGNS = (
    _Sign(
        r"password authentication failed",
        "the database was made with another password than config/cvat.env holds: put the file of that time back, "
        "or restore a backup, or `make destroy` for a new beginning",
    ),
    _Sign(
        r"no space left on device|disk quota exceeded|database or disk is full",
        "the disk is full: free some space, then `make up`",
    ),
    _Sign(
        r"format string .* contains names \(.*'env_.* which cannot be expanded",
        "a variable that the image's supervisord needs is not set at all: the image is newer than compose/compose.yml "
        "knows, so update this toolkit, or use a version that `make status` calls tested",
    ),
    _Sign(
        r"bad file format reading the append only file|short read or oom loading db|wrong signature trying to load db",
        DAMAGED_QUEUE,
    ),
    _Sign(r"failed to load config.*failed to open file|failed to open: .*corruption", DAMAGED_CACHE),
    _Sign(
        r"exec format error|does not match the specified platform|no matching manifest for",
        "the image is made for another processor: CVAT's images are for x86-64 alone",
    ),
    _Sign(
        r"port is already allocated|address already in use",
        "the port is taken: `make doctor` says by whom; another one: `make up CVAT_PORT=8081`",
    ),
    _Sign(
        r"database files are incompatible with server",
        "the data are of another PostgreSQL major version: set CVAT_DB_IMAGE back, or restore a backup",
    ),
    _Sign(
        r"duplicate column|relation .* already exists|inconsistentmigrationhistory",
        "the data are of another version of CVAT: use the version they were made with, or `make upgrade`",
    ),
    _Sign(
        r"\bout of memory\b|cannot allocate memory|\boom\b|oomkilled",
        "memory ran out: give the Docker engine more, 4 GB at least",
    ),
    _Sign(r"permission denied", "the program may not read or write its files"),
)

OUT_OF_MEMORY = "killed for want of memory: give the Docker engine 4 GB or more, or raise the container's limit"
KILLED = 137
"""The exit code of a program that was killed: 128 and SIGKILL."""

_EXIT_CODES = {
    126: "its command cannot be run",
    127: "its command is not in the image: the image is not the one that is expected",
    KILLED: "killed from outside, mostly for want of memory: give the Docker engine 4 GB or more",
    139: "it crashed (segmentation fault)",
    143: "stopped from outside",
}


def likely_cause(lines: list[str], exit_code: int | None = None, out_of_memory: bool = False) -> str | None:
    """Guess why a container failed.

    Args:
        lines: What it said last.
        exit_code: Its exit code, where there is one.
        out_of_memory: Whether the engine says that memory ran out.

    Returns:
        The cause and what to do about it, None when nothing is recognised.
    """
    if out_of_memory:
        return OUT_OF_MEMORY
    return _recognised(lines, _SIGNS) or _EXIT_CODES.get(exit_code or 0)


def cause_of_refusal(lines: list[str]) -> str | None:
    """Guess why the engine refused to pull or to start, from what it said last; None when nothing is recognised."""
    return _recognised(lines, _ENGINE_SIGNS + _SIGNS)


def _recognised(lines: list[str], signs: tuple[_Sign, ...]) -> str | None:
    text = "\n".join(lines).lower()
    return next((sign.cause for sign in signs if re.search(sign.pattern, text)), None)
