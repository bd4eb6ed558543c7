"""Wait until a CVAT can be used: the local one, or the one at CVAT_URL."""

from toolkit.cli.script import run_script

from typing import Annotated

import typer

from toolkit.cli import console


def main(
    url: Annotated[str | None, typer.Option(envvar="CVAT_URL", help="Address of a CVAT that runs elsewhere.")] = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait.")] = 300,
    wait: console.Wait = False,
    debug: console.Debug = False,
) -> None:
    """Wait until CVAT is healthy, serves its login page and answers to signing in.

    Example: `python scripts/wait_ready.py --timeout 600`
    """
    from toolkit.config.local_cvat import find_stack
    from toolkit.cvat.connection import browser_url, check_url
    from toolkit.stack import engine, readiness
    from toolkit.stack.kubernetes import refuse_on_cluster
    from toolkit.stack.lock import locked_stack

    stack = find_stack()
    refuse_on_cluster(stack, "make start")
    if url and check_url(url) != stack.url:
        console.show_wait(readiness.wait_for_server(check_url(url), timeout))
        console.result(check_url(url))
        return
    if wait:
        with locked_stack("make start", wait, console.say):
            pass  # what another command was changing is done
    with engine.engine() as client:
        console.show_wait(readiness.wait_for_stack(client, stack, timeout))
    console.result(browser_url(stack.url))


if __name__ == "__main__":
    run_script(main)
