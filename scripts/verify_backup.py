"""Prove that a backup can be restored."""

from toolkit.cli.script import run_script

from pathlib import Path
from typing import Annotated

import typer

from toolkit.cli import console


def main(
    file: Annotated[Path, typer.Option("--file", envvar="FILE", help="The file that make backup wrote.")],
    timeout: Annotated[float, typer.Option(help="Seconds to wait until the restored CVAT is ready.")] = 300,
    debug: console.Debug = False,
) -> None:
    """Prove that a backup can be restored: into a throw-away CVAT beside yours, which is compared and removed again.

    Exit code 3 when the backup does not hold what it should.

    Example: `python scripts/verify_backup.py --file backups/cvat-v2.73.0-20260102T030405Z.cvat-backup.zip`
    """
    from toolkit.config.local_cvat import find_stack
    from toolkit.core.errors import ProblemsFound, ToolkitError
    from toolkit.stack import backup_file, readiness, restore, startup
    from toolkit.stack.compose import DockerUnavailable
    from toolkit.stack.engine import engine

    try:
        console.say(f"Checking {file} …")
        manifest = backup_file.check(file)
        with (
            engine() as client,
            restore.throw_away_stack(client, find_stack(), manifest.cvat_version, console.say) as beside,
        ):
            pulled, _ = startup.pull_missing(client, beside, show=console.is_interactive())
            restore.verify(
                client,
                pulled,
                file,
                manifest,
                console.say,
                lambda stack: console.show_wait(readiness.wait_for_stack(client, stack, timeout)),
            )
    except DockerUnavailable:
        raise
    except ToolkitError as error:
        raise ProblemsFound(error.message, error.details) from error
    held = ", ".join(f"{count} {name}" for name, count in manifest.summary.items())
    console.result(f"{file} restores to a healthy CVAT {manifest.cvat_version} with {held}")


if __name__ == "__main__":
    run_script(main)
