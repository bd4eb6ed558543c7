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
    timeout: Annotated[float, typer.Option(help="Seconds to wait until CVAT is ready.")] = 300,
    debug: console.Debug = False,
) -> None:
    """Bring a backup back into the local CVAT, in the place of what it holds.

    What it holds now is kept until the restored CVAT is up and holds what the backup says; if it does not come up, the
    old data run again.

    Example: `python scripts/restore_cvat.py --file backups/cvat-v2.73.0-20260102T030405Z.cvat-backup.zip`
    """
    from toolkit.config.local_cvat import find_stack
    from toolkit.cvat.connection import browser_url
    from toolkit.stack import backup_file, readiness, startup
    from toolkit.stack import restore as restoring
    from toolkit.stack.engine import engine

    stack = find_stack()
    console.say(f"Checking {file} …")
    manifest = backup_file.check(file)
    restoring.check_version(manifest, stack, other_version)
    with engine() as client:
        startup.pull_missing(client, stack, show=console.is_interactive())
        now = restoring.replace_contents(
            client,
            stack,
            stack,
            file,
            manifest,
            console.say,
            lambda new: console.show_wait(readiness.wait_for_stack(client, new, timeout)),
        )
    held = ", ".join(f"{count} {name}" for name, count in manifest.summary.items())
    console.say(f"Restored CVAT {now.version} of {manifest.created[:16].replace('T', ' ')} UTC: {held}")
    console.result(browser_url(now.url))


if __name__ == "__main__":
    run_script(main)
