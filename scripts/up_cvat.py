"""Start CVAT on this machine and wait until it can be used."""

from toolkit.cli.script import run_script

from enum import StrEnum
from typing import Annotated

import typer

from toolkit.cli import console


class Discard(StrEnum):
    """What can be started over."""

    QUEUE = "queue"
    CACHE = "cache"


def main(
    timeout: Annotated[float, typer.Option(help="Seconds to wait until CVAT is ready.")] = 300,
    discard: Annotated[
        Discard | None, typer.Option(help="Begin with an empty queue or cache; neither holds labels or images.")
    ] = None,
    wait: console.Wait = False,
    debug: console.Debug = False,
) -> None:
    """Start CVAT on this machine and wait until it can be used.

    Settings come from the environment, else from config/cvat.env, which is made at the first start.

    Example: `CVAT_PORT=8081 python scripts/up_cvat.py --timeout 600`
    """
    import time

    from toolkit.config.local_cvat import tested_version
    from toolkit.core.errors import FAILED, WARNING, ToolkitError
    from toolkit.cvat.connection import browser_url
    from toolkit.cvat.probes import numbers
    from toolkit.stack import engine, readiness, startup
    from toolkit.stack.checks import engine_checks, port_check, settings_checks
    from toolkit.stack.compose import compose_version
    from toolkit.stack.lock import locked_stack

    with locked_stack("make up", wait, console.say) as stack, engine.engine() as client:
        compose_version()
        stack = startup.prepare(client, stack)
        if startup.remove_stale_containers(client, stack):
            console.say("A restore or an upgrade was killed: the data from before it are taken again")
        checks = [port_check(client, stack), *engine_checks(client, stack), *settings_checks(client, stack)]
        failed = [
            f"{one.name}: {one.found}, required {one.required}; {one.advice}" for one in checks if one.state == FAILED
        ]
        if failed:
            raise ToolkitError(f"CVAT cannot start here: {failed[0]}", failed[1:])
        for one in checks:
            if one.state == WARNING:
                console.warn(f"{one.name}: {one.found} (required: {one.required}): {one.advice}")
        start = time.monotonic()
        stack, pulled = startup.pull_missing(client, stack, show=console.is_interactive())
        if pulled:
            console.say(f"Pulled {len(pulled)} images in {time.monotonic() - start:.0f} s")
        if discard:
            console.say(f"Removed volume {startup.discard(client, stack, discard)}")
        while True:
            startup.end_crash_loops(client, stack)
            start = time.monotonic()
            console.say(f"Starting CVAT {stack.version} (project {stack.project}) …")
            startup.start_containers(stack)
            try:
                console.show_wait(readiness.wait_for_stack(client, stack, timeout))
                break
            except readiness.ContainerFailed as error:
                if not (error.discardable and console.can_ask()):
                    raise
                console.warn(f"{error.message}; {error.details[0]}")
                if not typer.confirm(f"Empty the {error.discardable} and go on?", err=True):
                    raise
                startup.discard(client, stack, error.discardable)
    console.say(f"CVAT is ready after {time.monotonic() - start:.0f} s. Next: make superuser (once), then make import")
    if numbers(stack.version) < numbers(tested_version()):
        console.say(
            f"This toolkit was tested with CVAT {tested_version()}: make upgrade CVAT_VERSION={tested_version()}"
        )
    console.result(browser_url(stack.url))


if __name__ == "__main__":
    run_script(main)
