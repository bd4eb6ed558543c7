"""Check everything that CVAT and this toolkit need, and say what to do about what is missing."""

from toolkit.cli.script import run_script

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from toolkit.cli import console
from toolkit.core.text import printable

if TYPE_CHECKING:
    from toolkit.config.local_cvat import Stack
    from toolkit.core.errors import Check
    from toolkit.cvat.connection import Connection


def main(
    config: console.Config = None,
    url: Annotated[str | None, typer.Option(envvar="CVAT_URL", help="Address of a CVAT that runs elsewhere.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the checks as JSON.")] = False,
    debug: console.Debug = False,
) -> None:
    """Check everything that CVAT and this toolkit need: before the start, and while it runs.

    Exit code 3 when a check fails. With CVAT_URL that server is checked, and not this machine's Docker; with
    CVAT_KUBERNETES the pods in that namespace.

    Example: `python scripts/doctor.py --json`
    """
    import json
    from dataclasses import asdict

    from toolkit.core.errors import FAILED, ProblemsFound

    checks = _all_checks(config, url)
    if as_json:
        console.result(json.dumps([asdict(one) for one in checks], indent=2))
    else:
        for one in checks:
            console.result(_line(one))
    failed = [one.name for one in checks if one.state == FAILED]
    if failed:
        raise ProblemsFound(f"{len(failed)} of {len(checks)} checks failed: {', '.join(failed)}")


def _all_checks(config: Path | None, url: str | None) -> "list[Check]":
    from toolkit.config.file import DEFAULT_FILE
    from toolkit.config.local_cvat import find_stack
    from toolkit.cvat.connection import check_url
    from toolkit.cvat.probes import server_checks
    from toolkit.stack import checks
    from toolkit.stack.engine import connect, service_states

    stack = find_stack()
    found = [checks.python_check()]
    if config or os.path.lexists(DEFAULT_FILE):
        found.append(checks.configuration_check(config or Path(DEFAULT_FILE)))
    if stack.namespace:
        return [*found, *_cluster_checks(stack, config)]
    if url and check_url(url) != stack.url:
        return [*found, *server_checks(check_url(url), _connection(config, url))]
    docker, client = checks.docker_checks(connect)
    found += docker
    if client is not None:
        found += [*checks.engine_checks(client, stack), checks.port_check(client, stack)]
        found += checks.settings_checks(client, stack)
        if any(state.state != "absent" for state in service_states(client, stack)):
            found += [*checks.running_checks(client, stack), *server_checks(stack.url, _connection(config, stack.url))]
        client.close()
    return found


def _cluster_checks(stack: "Stack", config: Path | None) -> "Iterator[Check]":
    from toolkit.cvat.probes import server_checks
    from toolkit.stack import kubernetes

    checks, cluster = kubernetes.kubectl_checks(stack.namespace or "")
    yield from checks
    if cluster is not None:
        yield from kubernetes.cluster_checks(cluster)
        if address := kubernetes.public_url(cluster):
            yield from server_checks(address, _connection(config, address))


def _connection(config: Path | None, url: str) -> "Connection | None":
    """Return the server with the credentials that the other scripts would use, if there are any."""
    from toolkit.config.load import find_configuration
    from toolkit.core.errors import ToolkitError
    from toolkit.cvat.connection import resolve_connection

    try:
        return resolve_connection(find_configuration(config).file, url)
    except ToolkitError:  # told by the check of the configuration or of the token; or nobody has signed in yet
        return None


def _line(check: "Check") -> str:
    sign = {"ok": "ok  ", "warning": "WARN", "failed": "FAIL", "skipped": "skip"}[check.state]
    line = f"{sign}  {check.name:<20} {check.found} (required: {check.required})"
    return printable(line + (f": {check.advice}" if check.advice else ""))


if __name__ == "__main__":
    run_script(main)
