"""Users of a data directory from outside the server, in the words of Django's ``manage.py``.

``python -m standin.manage createsuperuser --noinput`` stands in for the command of that name in CVAT's server image.
"""

import argparse
import os
import sys
from pathlib import Path

from standin.data.accounts import Accounts, UsernameTakenError
from standin.data.store import Store

DATA_VARIABLE = "STANDIN_DATA"


def create_superuser(folder: Path, username: str, password: str, email: str = "") -> None:
    """Add a user to a data directory, also while a server runs on it.

    Raises:
        UsernameTakenError: There is one of this name.
    """
    store = Store(folder)
    try:
        Accounts(store).add(username, password, email)
    finally:
        store.close()


def ensure_user(folder: Path, username: str, password: str) -> None:
    """Add a user unless there is one of this name, who keeps the password."""
    try:
        create_superuser(folder, username, password, f"{username}@example.com")
    except UsernameTakenError:
        return


def reset_password(folder: Path, username: str, password: str) -> bool:
    """Give a user another password; tell whether there is such a user."""
    store = Store(folder)
    try:
        return Accounts(store).set_password(username, password)
    finally:
        store.close()


def _create_from_environment(folder: Path) -> int:
    username = os.environ.get("DJANGO_SUPERUSER_USERNAME")
    password = os.environ.get("DJANGO_SUPERUSER_PASSWORD")
    if not username:
        return _fail("You must use --username with --noinput.")
    if not password:
        return _fail("You must use --password with --noinput.")
    try:
        create_superuser(folder, username, password, os.environ.get("DJANGO_SUPERUSER_EMAIL", ""))
    except UsernameTakenError:
        return _fail("That username is already taken.")
    print("Superuser created successfully.")
    return 0


def _fail(sentence: str) -> int:
    print(f"Error: {sentence}", file=sys.stderr)
    return 1


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parser = argparse.ArgumentParser(prog="manage.py", description="Manage the users of a stand-in server.")
    parser.add_argument("--data", type=Path, default=os.environ.get(DATA_VARIABLE), help=f"default: ${DATA_VARIABLE}")
    commands = parser.add_subparsers(dest="command", required=True)
    create = commands.add_parser("createsuperuser", help="add the user of DJANGO_SUPERUSER_USERNAME and _PASSWORD")
    create.add_argument("--noinput", action="store_true", required=True)
    options = parser.parse_args(arguments)
    if options.data is None:
        parser.error(f"name the data directory with --data or {DATA_VARIABLE}")
    return _create_from_environment(options.data)


if __name__ == "__main__":
    sys.exit(main())
