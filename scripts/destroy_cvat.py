"""Remove the local CVAT with all its data."""

from toolkit.cli.script import run_script

from typing import Annotated

import typer

from toolkit.cli import console


def main(
    confirm: Annotated[
        str | None, typer.Option(envvar="CONFIRM", help="The project's name, where nobody can be asked.")
    ] = None,
    wait: console.Wait = False,
    debug: console.Debug = False,
) -> None:
    """Remove the local CVAT: containers, network and every volume with projects, images, labels and users.

    Example: `python scripts/destroy_cvat.py --confirm cvat`
    """
    from toolkit.stack import startup
    from toolkit.stack.engine import engine
    from toolkit.stack.lock import locked_stack

    with locked_stack("make destroy", wait, console.say) as stack, engine() as client:
        resources = startup.list_resources(client, stack)
        if not resources:
            console.say(f"There is nothing to remove (project {stack.project})")
            return
        for line in resources:
            console.say(f"  {line}")
        console.confirm_project(stack.project, confirm, "removed", "All of this is lost. ")
        startup.destroy(client, stack)
    console.say(f"Project {stack.project} is gone with all its data. `make up` starts a new one")


if __name__ == "__main__":
    run_script(main)
