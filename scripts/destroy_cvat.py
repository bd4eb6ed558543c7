"""Remove the local CVAT with all its data."""

from toolkit.cli.script import run_script

from typing import Annotated

import typer

from toolkit.cli import console


def main(
    confirm: Annotated[
        str | None, typer.Option(envvar="CONFIRM", help="The project's name, where nobody can be asked.")
    ] = None,
    debug: console.Debug = False,
) -> None:
    """Remove the local CVAT: containers, network and every volume with projects, images, labels and users.

    Example: `python scripts/destroy_cvat.py --confirm cvat`
    """
    from toolkit.cli.console import ask
    from toolkit.config.local_cvat import find_stack
    from toolkit.core.errors import UsageError
    from toolkit.stack import removal
    from toolkit.stack.engine import engine

    stack = find_stack()
    with engine() as client:
        doomed = removal.what_goes(client, stack)
        if not doomed:
            console.say(f"There is nothing to remove (project {stack.project})")
            return
        for line in doomed:
            console.say(f"  {line}")
        confirm = confirm or ask(
            f"All of this is lost. The project's name ({stack.project})", f"CONFIRM={stack.project}"
        )
        if confirm != stack.project:
            raise UsageError(f"nothing was removed: the project's name is {stack.project}, the answer was {confirm}")
        removal.destroy(client, stack)
    console.say(f"Project {stack.project} is gone with all its data. `make up` starts anew")


if __name__ == "__main__":
    run_script(main)
