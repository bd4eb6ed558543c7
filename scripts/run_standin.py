"""Run the stand-in server: a small CVAT-compatible server for dry runs and tests."""

from toolkit.cli.script import run_script

import contextlib
import json
import os
import signal
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from standin import NEWEST, CvatVersion
from toolkit.cli import console
from toolkit.cli.console import can_ask
from toolkit.core.errors import ToolkitError, UsageError

if TYPE_CHECKING:
    from standin.data.state import Bucket


def main(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 takes any free one.")] = 8080,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder that keeps everything over restarts; by default nothing outlives the server."),
    ] = None,
    username: Annotated[
        str, typer.Option(envvar="CVAT_USERNAME", help="The user to begin with (password: CVAT_PASSWORD).")
    ] = "django",
    password_from_env: Annotated[
        str, typer.Option(metavar="NAME", help="The environment variable that holds the user's password.")
    ] = "CVAT_PASSWORD",
    faults: Annotated[bool, typer.Option("--faults", help="Let tests order faults under /standin/faults.")] = False,
    merge_label_folder: Annotated[
        bool,
        typer.Option(
            "--merge-label-folder",
            help="In ImageNet exports leave out a frame's first folder where it is its label's name.",
        ),
    ] = False,
    cvat_version: Annotated[CvatVersion, typer.Option(help="The CVAT whose answers are imitated.")] = NEWEST,
    bucket: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=FOLDER[::PREFIX]",
            help="A folder in a bucket's place, as a cloud storage; repeat it for more.",
        ),
    ] = None,
    ready_file: Annotated[
        Path | None, typer.Option(help="Write the URL to this file when requests are answered.")
    ] = None,
    while_stdin_open: Annotated[
        bool, typer.Option("--while-stdin-open", help="Stop when standard input ends, so with the process behind it.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the ready line as JSON.")] = False,
    debug: console.Debug = False,
) -> None:
    """Run a small CVAT-compatible stand-in server until Ctrl-C.

    It is not CVAT: it lets cvat-cli, cvat-sdk and the toolkit's scripts work without Docker; it has no annotation tool.

    Example: CVAT_PASSWORD=… python scripts/run_standin.py --port 8080 --data standin-data
    """
    from standin import manage, server
    from standin.data.state import ServerOptions

    password = _password(username, password_from_env)
    with contextlib.ExitStack() as stack:
        folder = data or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cvat-standin-")))
        try:
            listener = stack.enter_context(server.listen(host, port))
        except OSError as error:
            raise ToolkitError(
                f"cannot listen on {host}:{port}: {error.strerror}; choose another with --port"
            ) from error
        if password is not None:
            manage.ensure_user(folder, username, password)
        url = server.url_of(listener, host)

        def announce() -> None:
            console.say(f"CVAT stand-in server (not CVAT) for dry runs and tests; user {username}; Ctrl-C stops it")
            console.result(json.dumps({"url": url, "username": username}) if as_json else url)
            if ready_file is not None:
                part = ready_file.with_name(ready_file.name + ".part")
                part.write_text(url + "\n", encoding="utf-8")
                part.rename(ready_file)
            if while_stdin_open:
                threading.Thread(target=_stop_at_end_of_input, daemon=True).start()

        options = ServerOptions(faults, merge_label_folder, cvat_version, tuple(map(_bucket, bucket or ())))
        # A server is meant to be stopped: Ctrl-C and SIGTERM are its ordinary end.
        with contextlib.suppress(KeyboardInterrupt):
            server.serve(folder, options, listener, announce)
        console.say("stopped")


def _bucket(text: str) -> "Bucket":
    from standin.data.state import Bucket

    name, equals, place = text.partition("=")
    folder, _, prefix = place.partition("::")
    if not name or not equals or not Path(folder).is_dir():
        raise UsageError(f"--bucket must be NAME=FOLDER with a folder that exists, found {text}")
    return Bucket(name, Path(folder).absolute(), prefix)


def _password(username: str, variable: str) -> str | None:
    password = os.environ.get(variable)
    if password is None and can_ask():
        password = typer.prompt(f"Password for {username}", hide_input=True, err=True)
    if password == "":
        raise UsageError(f"{variable} is empty: give the user a password")
    if password is None:
        console.say(f"no {variable} in the environment: the server begins without a user")
    return password


def _stop_at_end_of_input() -> None:
    while os.read(0, 65536):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    run_script(main)
