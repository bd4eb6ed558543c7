"""Checks of a CVAT server from outside, wherever it runs."""

import time
from collections.abc import Iterator
from importlib.metadata import version as installed_version

from toolkit.config.local_cvat import oldest_tested_version, tested_version
from toolkit.core.check import FAILED, OK, SKIPPED, WARNING, Check, clock_check, numbers
from toolkit.core.errors import ToolkitError
from toolkit.cvat import probes as server
from toolkit.cvat.token_file import read_token


def server_checks(url: str) -> Iterator[Check]:
    """Check a CVAT server from outside: health, clock, version, and the token kept for it."""
    problem = server.health_problem(url)
    advice = "" if problem is None else "wait if it just started; the address comes from CVAT_URL or CVAT_PORT"
    yield Check("server", FAILED if problem else OK, f"healthy at {url}", problem or "healthy", advice)
    if problem:
        return
    answer = server.ask(url, server.ABOUT_PATH)
    if answer.date is not None:
        yield clock_check("clock of the server", abs(answer.date - time.time()))
    yield version_check(url)
    yield from _token_check(url)


def version_check(url: str) -> Check:
    """Check that the server's version is one of those that were tested with this client."""
    client, found = installed_version("cvat-cli"), server.server_version(url)
    oldest, newest = oldest_tested_version().lstrip("v"), tested_version().lstrip("v")
    required = f"CVAT {oldest} to {newest}, which were tested"
    shown = f"server {found}, cvat-cli {client}"
    if numbers(found)[:2] < numbers(oldest)[:2]:
        return Check(
            "versions", WARNING, required, shown, f"older than {oldest}, the oldest that was tested: upgrade it"
        )
    if numbers(found)[:2] > numbers(newest)[:2]:
        advice = f"newer than {newest}, the newest that was tested"
        if numbers(found)[:2] > numbers(client)[:2]:
            advice += ", and the server is newer than the client"
        return Check("versions", WARNING, required, shown, f"{advice}: update this toolkit")
    return Check("versions", OK, required, f"{shown}: tested together")


def _token_check(url: str) -> Iterator[Check]:
    required = "valid for this server"
    try:
        token = read_token()
    except ToolkitError as error:
        yield Check("access token", FAILED, required, "damaged", error.message)
        return
    if token is None:
        return
    if token.url != url:
        yield Check("access token", SKIPPED, required, f"for {token.url}", "not sent to this server")
        return
    known = (
        not token.has_expired
        and server.ask(url, "/api/users/self", authorization=f"Bearer {token.value}").status == 200
    )
    found = f"until {token.expires[:10]}" if known else "expired or revoked"
    yield Check("access token", OK if known else FAILED, required, found, "" if known else "make token")
