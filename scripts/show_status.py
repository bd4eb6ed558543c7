"""Show how the CVAT is: services, health, versions, response times, disk and memory."""

from toolkit.cli.script import run_script

from typing import TYPE_CHECKING, Annotated, Any

import typer

from toolkit.cli import console
from toolkit.core.text import printable

if TYPE_CHECKING:
    from toolkit.stack.checks import Status


FIRST_ANSWER = "(the server's first answer; a person waits longer, for the scripts and images that a browser loads)"


def main(
    url: Annotated[str | None, typer.Option(envvar="CVAT_URL", help="Address of a CVAT that runs elsewhere.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the status as JSON.")] = False,
    debug: console.Debug = False,
) -> None:
    """Show how the CVAT is: services, health, versions, response times, disk and memory.

    Exit code 3 when it cannot be used.

    Example: `CVAT_URL=https://cvat.example.com python scripts/show_status.py --json`
    """
    import json
    from dataclasses import asdict

    from toolkit.config.local_cvat import find_stack
    from toolkit.core.errors import ProblemsFound
    from toolkit.cvat.connection import check_url
    from toolkit.stack import checks, engine, kubernetes

    stack = find_stack()
    if stack.namespace:
        found = kubernetes.cluster_status(kubernetes.find_cluster(stack.namespace))
    elif url and check_url(url) != stack.url:
        found = checks.server_status(check_url(url))
    else:
        with engine.engine() as client:
            found = checks.stack_status(client, stack)
    console.result(json.dumps(asdict(found), indent=2) if as_json else _text(found))
    if found.problem:
        raise ProblemsFound(f"CVAT at {found.url} cannot be used: {found.problem}")


def _text(found: "Status") -> str:
    lines = [f"{service:<18} {words}" for service, words in found.services.items()]
    rows: list[tuple[str, Any]] = [
        ("address", found.url),
        ("health", found.problem or "healthy"),
        ("versions", found.versions),
        ("UI answers in", _against_limit(found.ui_seconds, found.limit_seconds)),
        ("API answers in", _against_limit(found.api_seconds, found.limit_seconds)),
        ("", "" if found.ui_seconds is None else FIRST_ANSWER),
        ("disk", found.disk),
        ("memory", found.memory),
        ("replaced volumes", _named(found.replaced_volumes)),
    ]
    lines += [f"{name:<18} {value}" for name, value in rows if value]
    return "\n".join(printable(line) for line in lines)


def _named(volumes: list[str]) -> str:
    return f"{', '.join(volumes)} (make prune removes what restores have replaced)" if volumes else ""


def _against_limit(seconds: float | None, limit: float) -> str:
    if seconds is None:
        return ""
    return f"{seconds:.2f} s ({'within' if seconds <= limit else 'over'} the limit of {limit} s)"


if __name__ == "__main__":
    run_script(main)
