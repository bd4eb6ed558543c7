"""Make a personal access token and keep it for the other scripts."""

from toolkit.cli.script import run_script

from typing import Annotated

import typer

from toolkit.cli import console


def main(
    url: Annotated[str | None, typer.Option(envvar="CVAT_URL", help="The server; the local CVAT by default.")] = None,
    username: Annotated[
        str | None, typer.Option(envvar="CVAT_USERNAME", help="User name; asked for when not given.")
    ] = None,
    days: Annotated[int, typer.Option(min=1, max=365, help="Days until the token expires.")] = 90,
    read_only: Annotated[bool, typer.Option("--read-only", help="For export, status and doctor alone.")] = False,
    debug: console.Debug = False,
) -> None:
    """Make a personal access token and keep it in config/access-token for the other scripts.

    The password is asked for, or taken from the environment variable CVAT_PASSWORD; it is not kept. A token that was
    kept for the same server before is revoked. With CVAT_KUBERNETES the server is asked from inside its pod.

    Example: `CVAT_PASSWORD=… python scripts/create_token.py --username ana --days 30`
    """
    import os
    from dataclasses import replace

    from toolkit.cli.console import ask
    from toolkit.config.local_cvat import ROOT, find_stack
    from toolkit.core.errors import ToolkitError
    from toolkit.cvat import probes as server
    from toolkit.cvat.connection import check_url, read_token, save_token, token_file
    from toolkit.stack.kubernetes import find_cluster, public_url

    stack = find_stack()
    address = asked = check_url(url) if url else stack.url
    if stack.namespace:
        cluster = find_cluster(stack.namespace)
        address, asked = public_url(cluster, url) or stack.url, cluster.inside
    username = username or os.environ.get("CVAT_SUPERUSER_USERNAME") or ask("User name", "CVAT_USERNAME")
    password = (
        os.environ.get("CVAT_PASSWORD")
        or os.environ.get("CVAT_SUPERUSER_PASSWORD")
        or ask("Password", "CVAT_PASSWORD", secret=True)
    )
    before = read_token()
    authorization = server.sign_in(asked, username, password, console.warn)
    token = server.create_token(asked, username, authorization, days, read_only, console.warn)
    place = token_file()
    try:
        save_token(replace(token, url=address))
    except (OSError, KeyboardInterrupt) as error:
        server.revoke_token(token, authorization)
        if isinstance(error, KeyboardInterrupt):
            raise
        raise ToolkitError(f"{place} cannot be written: {error.strerror}; the new token was revoked again") from error
    if before and before.url == address and not before.has_expired:
        server.revoke_token(replace(before, url=asked), authorization)
    shown = place.relative_to(ROOT) if place.is_relative_to(ROOT) else place
    console.say(f"Token of {username} for {address}, valid until {token.expires[:10]}, kept in {shown}")


if __name__ == "__main__":
    run_script(main)
