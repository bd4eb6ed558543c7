"""Write everything the local CVAT holds into one file."""

from toolkit.cli.script import run_script

from pathlib import Path
from typing import Annotated

import typer

from toolkit.cli import console


def main(
    file: Annotated[
        Path | None, typer.Option("--file", envvar="FILE", help="The file; by default one in backups/, named by time.")
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait until CVAT is ready again.")] = 300,
    wait: console.Wait = False,
    debug: console.Debug = False,
) -> None:
    """Write everything the local CVAT holds into one file: database, images, keys.

    CVAT is stopped while it is copied and started again whatever happens. The file is read back before it gets its
    name; it holds users and secrets, so only you can read it.

    Example: `python scripts/backup_cvat.py --file /media/disk/cvat.zip`
    """
    from toolkit.config.local_cvat import ROOT
    from toolkit.core.text import format_size
    from toolkit.stack import backup, readiness
    from toolkit.stack.engine import engine, service_states
    from toolkit.stack.lock import locked_stack

    with locked_stack("make backup", wait, console.say) as stack, engine() as client:
        target = file or backup.default_target(stack, ROOT / "backups")
        ran = all(state.runs for state in service_states(client, stack))
        manifest = backup.make_backup(client, stack, target, console.say)
        held = ", ".join(f"{count} {name}" for name, count in manifest.summary.items())
        console.say(
            f"Backup of CVAT {manifest.cvat_version}: {held}; {format_size(target.stat().st_size)}, read back and whole"
        )
        console.result(str(target))
        if ran:
            console.show_wait(readiness.wait_for_stack(client, stack, timeout))


if __name__ == "__main__":
    run_script(main)
