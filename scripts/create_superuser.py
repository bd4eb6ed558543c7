"""Make the administrator of the local CVAT."""

from toolkit.cli.script import run_script

from typing import Annotated

import typer

from toolkit.cli import console

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
    """Make the administrator of the local CVAT; one that exists already is left as it is.

    The password is asked for, or taken from the environment variable CVAT_SUPERUSER_PASSWORD.

    Example: `CVAT_SUPERUSER_PASSWORD=… python scripts/create_superuser.py --username ana`
    """
    import os

    from toolkit.cli.console import ask
    from toolkit.cvat.connection import browser_url
    from toolkit.stack import superuser
    from toolkit.stack.engine import engine, running_container
    from toolkit.stack.lock import locked_stack

    with locked_stack("make superuser", wait, console.say) as stack, engine() as client:
        running_container(client, stack, "cvat_server")
        username = username or ask("User name", "--username or CVAT_SUPERUSER_USERNAME")
        password = os.environ.get(PASSWORD_VARIABLE) or ask("Password", PASSWORD_VARIABLE, secret=True, confirm=True)
        email = email or superuser.email_of(username)
        outcome = superuser.create_superuser(client, stack, username, password, email, reset)
    if outcome == "exists":
        console.say(f"User {username} exists already and was left as it is (RESET=1 sets the password)")
    else:
        done = "has a new password" if outcome == "reset" else "was created"
        console.say(f"Superuser {username} {done}. Sign in at {browser_url(stack.url)}/auth/login")
    console.say("next: make token, so that the other commands need no password")


if __name__ == "__main__":
    run_script(main)
