"""Move the local CVAT to another version, with a way back."""

from toolkit.cli.script import run_script

from pathlib import Path
from typing import Annotated

import typer

from toolkit.cli import console


def main(
    version: Annotated[str, typer.Option("--version", envvar="CVAT_VERSION", help="The version to go to.")],
    backups: Annotated[Path | None, typer.Option(help="Folder for the backup; backups/ by default.")] = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait until CVAT is ready.")] = 600,
    wait: console.Wait = False,
    debug: console.Debug = False,
) -> None:
    """Move the local CVAT to another version: backup, pull, start on a copy of the data, count.

    The old data stay untouched until the new version is up and holds everything; if it does not come up, the old
    version runs again.

    Example: `python scripts/upgrade_cvat.py --version v2.55.0`
    """
    from toolkit.config.local_cvat import ROOT, Stack
    from toolkit.core.errors import ToolkitError
    from toolkit.cvat.connection import browser_url
    from toolkit.stack import backup, readiness, startup
    from toolkit.stack import restore as restoring
    from toolkit.stack.engine import engine
    from toolkit.stack.lock import locked_stack

    def wait_until_ready(stack: Stack) -> None:
        console.show_wait(readiness.wait_for_stack(client, stack, timeout))

    with locked_stack("make upgrade", wait, console.say), engine() as client:
        old, new = startup.from_to(version)
        old = startup.with_running_images(client, old)
        new, _ = startup.pull_missing(client, new, show=console.is_interactive())
        target = backup.default_target(old, backups or ROOT / "backups")
        console.say(f"Upgrading CVAT {old.version} to {new.version}; first a backup")
        try:
            # Nobody saves anything between the backup and the new version.
            with backup.writers_stopped(client, old, console.say):
                manifest = backup.write_backup(client, old, target, console.say)
                now = restoring.replace_contents(
                    client, old, new, target, manifest, console.say, wait_until_ready, keep_old=False
                )
        except restoring.RolledBack as error:
            wait_until_ready(old)
            raise ToolkitError(
                f"CVAT {new.version} does not come up: {error.message}; CVAT {old.version} runs again with its data "
                f"(backup: {target})",
                error.details,
            ) from error
    console.say(f"CVAT {now.version} holds all that {old.version} held; the backup stays at {target}")
    console.result(browser_url(now.url))


if __name__ == "__main__":
    run_script(main)
