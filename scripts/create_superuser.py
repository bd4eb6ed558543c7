"""Make the administrator of the local CVAT, or of one on Kubernetes."""

from toolkit.cli.script import run_script

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from toolkit.cli import console

if TYPE_CHECKING:
    from toolkit.stack.superuser import Execute

PASSWORD_VARIABLE = "CVAT_SUPERUSER_PASSWORD"


def main(
    username: Annotated[
        str | None, typer.Option(envvar="CVAT_SUPERUSER_USERNAME", help="User name; asked for when not given.")
    ] = None,
    email: Annotated[str | None, typer.Option(envvar="CVAT_SUPERUSER_EMAIL", help="E-mail address.")] = None,
    reset: Annotated[
        bool, typer.Option("--reset", envvar="RESET", help="Set the password of a user that exists already.")
    ] = False,
    wait: console.Wait = False,
    debug: console.Debug = False,
) -> None:
    """Make the administrator of the local CVAT, or of the one in CVAT_KUBERNETES; one that exists is left as it is.

    The password is asked for, or taken from the environment variable CVAT_SUPERUSER_PASSWORD.

    Example: `CVAT_SUPERUSER_PASSWORD=… python scripts/create_superuser.py --username ana`
    """
    import os

    from toolkit.cli.console import ask
    from toolkit.cvat.connection import browser_url
    from toolkit.stack import superuser

    with _server(wait) as (execute, address):
        username = username or ask("User name", "--username or CVAT_SUPERUSER_USERNAME")
        password = os.environ.get(PASSWORD_VARIABLE) or ask("Password", PASSWORD_VARIABLE, secret=True, confirm=True)
        email = email or superuser.email_of(username)
        outcome = superuser.create_superuser(execute, username, password, email, reset)
    if outcome == "exists":
        console.say(f"User {username} exists already and was left as it is (RESET=1 sets the password)")
    else:
        done = "has a new password" if outcome == "reset" else "was created"
        console.say(f"Superuser {username} {done}. Sign in at {browser_url(address)}/auth/login")
    console.say("next: make token, so that the other commands need no password")


@contextmanager
def _server(wait: bool) -> "Iterator[tuple[Execute, str]]":
    """Give what runs commands in the server's container, and the address of the server."""
    from functools import partial

    from toolkit.config.local_cvat import find_stack
    from toolkit.stack.engine import engine, execute, running_container
    from toolkit.stack.kubernetes import find_cluster, public_url
    from toolkit.stack.lock import locked_stack

    stack = find_stack()
    if stack.namespace:
        cluster = find_cluster(stack.namespace)
        cluster.server_pod()
        yield cluster.execute, public_url(cluster) or stack.url
        return
    with locked_stack("make superuser", wait, console.say) as stack, engine() as client:
        running_container(client, stack, "cvat_server")
        yield partial(execute, client, stack, "cvat_server"), stack.url


if __name__ == "__main__":
    run_script(main)
