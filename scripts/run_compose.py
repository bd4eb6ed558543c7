"""Run docker compose on the local CVAT, with the toolkit's file and settings."""

from toolkit.cli.script import run_script

from typing import Annotated

import typer

from toolkit.cli import console


def main(
    arguments: Annotated[list[str], typer.Argument(help="The command and its options, after --.")],
    debug: console.Debug = False,
) -> None:
    """Run any docker compose command on the local CVAT.

    Example: `python scripts/run_compose.py -- logs --follow cvat_server`
    """
    import subprocess

    from toolkit.config.local_cvat import PASSWORD_KEY, find_stack
    from toolkit.core.errors import ToolkitError
    from toolkit.stack import startup
    from toolkit.stack.compose import compose_command, compose_environment, compose_version
    from toolkit.stack.engine import engine

    compose_version()
    stack = find_stack()
    with engine() as client:
        if arguments[:1] == ["start"] and startup.are_strays(client, stack):
            raise ToolkitError("a restore or an upgrade was killed: make up takes the data from before it again")
        if arguments[:1] == ["start"]:
            startup.end_crash_loops(client, stack)
    # Nothing that starts a database goes through here without one: `make up` has made it.
    stack = stack if PASSWORD_KEY in stack.settings else stack.with_settings(**{PASSWORD_KEY: "not-made-yet"})
    code = subprocess.run(compose_command(stack, *arguments), env=compose_environment(stack), check=False).returncode
    raise typer.Exit(code)


if __name__ == "__main__":
    run_script(main)
