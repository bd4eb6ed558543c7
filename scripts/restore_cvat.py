"""Bring a backup back into the local CVAT."""

from toolkit.cli.script import run_script

from pathlib import Path
from typing import Annotated

import typer

from toolkit.cli import console


def main(
    file: Annotated[Path, typer.Option("--file", envvar="FILE", help="The file that make backup wrote.")],
    other_version: Annotated[
        bool, typer.Option("--other-version", envvar="OTHER_VERSION", help="Take over data of another CVAT version.")
    ] = False,
    confirm: Annotated[
        str | None, typer.Option(envvar="CONFIRM", help="The project's name, where nobody can be asked.")
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait until CVAT is ready.")] = 300,
    wait: console.Wait = False,
    debug: console.Debug = False,
) -> None:
    """Bring a backup back into the local CVAT, in the place of what it holds.

    What would be replaced is shown, and the project's name asked for. If the restored CVAT does not come up and hold
    what the backup says, the old data run again; else their volumes stay until `make prune` or the next backup.

    Example: `python scripts/restore_cvat.py --file backups/cvat-v2.73.0-20260102T030405Z.cvat-backup.zip`
    """
    from toolkit.config.local_cvat import find_stack
    from toolkit.core.text import some_names
    from toolkit.cvat.connection import browser_url
    from toolkit.stack import backup_file, readiness, startup
    from toolkit.stack import restore as restoring
    from toolkit.stack.engine import engine, unused_volumes
    from toolkit.stack.kubernetes import refuse_on_cluster
    from toolkit.stack.lock import locked_stack

    refuse_on_cluster(find_stack(), "make restore")  # before a file of any size is read
    console.say(f"Checking {file} …")
    manifest = backup_file.check(file)
    with locked_stack("make restore", wait, console.say) as stack, engine() as client:
        restoring.check_version(manifest, stack, other_version)
        if startup.remove_stale_containers(client, stack):
            console.say("A restore or an upgrade was killed: the data from before it are looked at")
        lost = restoring.describe_loss(client, stack)
        if lost:
            console.say(f"Replaced is {lost}")
            console.confirm_project(stack.project, confirm, "restored")
        stack, _ = startup.pull_missing(client, stack, show=console.is_interactive())
        now = restoring.replace_contents(
            client,
            stack,
            stack,
            file,
            manifest,
            console.say,
            lambda new: console.show_wait(readiness.wait_for_stack(client, new, timeout)),
        )
        replaced = unused_volumes(client, now)
    if replaced:
        console.say(f"What was there before stays in {some_names(replaced)} until make prune or the next backup")
    held = ", ".join(f"{count} {name}" for name, count in manifest.summary.items())
    console.say(f"Restored CVAT {now.version} of {manifest.created[:16].replace('T', ' ')} UTC: {held}")
    console.result(browser_url(now.url))


if __name__ == "__main__":
    run_script(main)
