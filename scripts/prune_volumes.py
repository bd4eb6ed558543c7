"""Remove the volumes that restores have replaced."""

from toolkit.cli.script import run_script

from toolkit.cli import console


def main(
    wait: console.Wait = False,
    debug: console.Debug = False,
) -> None:
    """Remove the volumes that restores have replaced; what CVAT holds now stays.

    The next backup does the same. `make status` names them.

    Example: `python scripts/prune_volumes.py`
    """
    from toolkit.stack import startup
    from toolkit.stack.engine import engine
    from toolkit.stack.lock import locked_stack

    with locked_stack("make prune", wait, console.say) as stack, engine() as client:
        removed = startup.prune(client, stack)
    for name in removed:
        console.say(f"Removed volume {name}")
    if not removed:
        console.say(f"There is nothing to remove (project {stack.project})")


if __name__ == "__main__":
    run_script(main)
