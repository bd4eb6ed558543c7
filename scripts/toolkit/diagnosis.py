"""The likely cause of what a container or the engine said, with what to do about it."""

import re
from typing import NamedTuple


class _Sign(NamedTuple):
    pattern: str
    cause: str


_SIGNS = (
    _Sign(
        r"password authentication failed",
        "the database was made with another password than config/cvat.env holds: put the file of that time back, "
        "or restore a backup, or `make destroy` for a new beginning",
    ),
    _Sign(r"no space left on device|disk quota exceeded", "the disk is full: free some space, then `make up`"),
    _Sign(
        r"exec format error|does not match the specified platform|no matching manifest for",
        "the image is made for another processor: CVAT's images are for x86-64 alone",
    ),
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
    _Sign(r"out of memory|cannot allocate memory|oom", "memory ran out: give the Docker engine more, 4 GB at least"),
    _Sign(r"permission denied", "the program may not read or write its files"),
)

OUT_OF_MEMORY = "killed for want of memory: give the Docker engine 4 GB or more, or raise the container's limit"

_EXIT_CODES = {
    126: "its command cannot be run",
    127: "its command is not in the image: the image is not the one that is expected",
    137: "killed from outside, mostly for want of memory: give the Docker engine 4 GB or more",
    139: "it crashed (segmentation fault)",
    143: "stopped from outside",
}


def likely_cause(lines: list[str], exit_code: int | None = None, out_of_memory: bool = False) -> str | None:
    """Guess why something failed.

    Args:
        lines: What it said last.
        exit_code: Its exit code, where there is one.
        out_of_memory: Whether the engine says that memory ran out.

    Returns:
        The cause and what to do about it, None when nothing is recognised.
    """
    if out_of_memory:
        return OUT_OF_MEMORY
    text = "\n".join(lines).lower()
    for sign in _SIGNS:
        if re.search(sign.pattern, text):
            return sign.cause
    return _EXIT_CODES.get(exit_code or 0)
