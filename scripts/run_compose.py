"""Run docker compose on the local CVAT, with the toolkit's file and settings."""

from toolkit.cli.script import run_script

from typing import TYPE_CHECKING, Annotated

import typer

from toolkit.cli import console

if TYPE_CHECKING:
    from toolkit.config.local_cvat import Stack


READING = (
    "config",
    "events",
    "exec",
    "images",
    "logs",
    "ls",
    "port",
    "ps",
    "pull",
    "stats",
    "top",
    "version",
    "volumes",
)
"""The commands that run beside one that changes something."""


def main(
    arguments: Annotated[list[str], typer.Argument(help="The command and its options, after --.")],
    wait: console.Wait = False,
    debug: console.Debug = False,
) -> None:
    """Run any docker compose command on the local CVAT.

    Of a command that changes something only one at a time is at work on a project; `--wait` waits for another one.

    Example: `python scripts/run_compose.py -- logs --follow cvat_server`
    """
    from contextlib import nullcontext

    from toolkit.config.local_cvat import find_stack
    from toolkit.stack.compose import compose_version
    from toolkit.stack.engine import engine
    from toolkit.stack.kubernetes import refuse_on_cluster
    from toolkit.stack.lock import locked_stack
    from toolkit.stack.startup import by_tags, update_image_lock

    command = arguments[0]
    refuse_on_cluster(find_stack(), f"make {command}")
    compose_version()
    if command not in READING and "--wait" in arguments:  # from ARGS
        wait, arguments = True, [argument for argument in arguments if argument != "--wait"]
    reads = command in READING
    with nullcontext(find_stack()) if reads else locked_stack(f"make {command}", wait, console.say) as stack:
        # Stop and start are one command here, for nothing may come between them.
        for step in (("stop",), ("start",)) if command == "restart" and not arguments[1:] else (tuple(arguments),):
            code = _run(by_tags(stack) if command == "pull" else stack, step)
            if code:
                raise typer.Exit(code)
    if command == "pull":
        with engine() as client:
            console.warn_all(update_image_lock(client, by_tags(stack))[1])


def _run(stack: "Stack", arguments: tuple[str, ...]) -> int:
    import subprocess

    from toolkit.config.local_cvat import PASSWORD_KEY
    from toolkit.core.errors import ToolkitError
    from toolkit.stack import startup
    from toolkit.stack.compose import compose_command, shared_descriptors
    from toolkit.stack.engine import engine

    with engine() as client:
        if arguments[0] == "start" and startup.has_stale_containers(client, stack):
            raise ToolkitError(f"{startup.KILLED_RESTORE}: make up takes the data from before it again")
        if arguments[0] == "start":
            startup.end_crash_loops(client, stack)
    # Nothing that starts a database goes through here without one: `make up` has made it.
    stack = stack if PASSWORD_KEY in stack.settings else stack.with_settings(**{PASSWORD_KEY: "not-made-yet"})
    return subprocess.run(
        compose_command(stack, *arguments),
        env=stack.environment(),
        pass_fds=shared_descriptors,
        check=False,
    ).returncode


if __name__ == "__main__":
    run_script(main)
