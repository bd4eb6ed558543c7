"""The commands of CVAT's manage.py that the toolkit uses, on the stand-in's store."""

import os
import sys
import time
from pathlib import Path

from standin.accounts import Accounts, UsernameTakenError
from standin.store import Store

DATA = Path("/home/django/data")


def main(command, *arguments):
    if command == "createsuperuser":
        assert arguments == ("--noinput",)
        create()
    elif command == "shell":
        assert arguments[0] == "-c"
        exec(arguments[1], {})
    elif command == "workerprobe":
        served = Path("/tmp/queues").read_text().split()
        fresh = time.time() - float(Path("/tmp/alive").read_text()) < 10
        sys.exit(0 if fresh and set(arguments) <= set(served) else 1)
    else:
        sys.exit(f"Unknown command: '{command}'")


def create():
    name, password = os.environ["DJANGO_SUPERUSER_USERNAME"], os.environ["DJANGO_SUPERUSER_PASSWORD"]
    try:
        Accounts(Store(DATA)).add(name, password, os.environ["DJANGO_SUPERUSER_EMAIL"])
    except UsernameTakenError:
        print("Error: That username is already taken.", file=sys.stderr)
        sys.exit(1)
    print("Superuser created successfully.")


main(*sys.argv[1:])
