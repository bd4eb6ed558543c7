"""The commands of CVAT's manage.py that the toolkit uses, on the stand-in's store."""

import argparse
import os
import sys
import time
from pathlib import Path

import mirror

from standin.data.accounts import Accounts, UsernameTakenError
from standin.data.store import Store

DATA = Path("/home/django/data")


def main(command, *arguments):
    if command == "createsuperuser":
        assert arguments == ("--noinput",)
        create()
    elif command == "shell":
        assert arguments[0] == "-c"
        exec(arguments[1], {})
    elif command == "workerprobe":
        probe(arguments)
    else:
        sys.exit(f"Unknown command: '{command}'")


def probe(arguments):
    """Tell whether as many workers as wanted serve each queue; an option says how many since 2.69, NUMPROCS before."""
    wants_option = tuple(map(int, os.environ["FAKE_VERSION"].lstrip("v").split("."))) >= (2, 69)
    parser = argparse.ArgumentParser(prog="manage.py workerprobe")
    parser.add_argument("queue_names", nargs="+")
    if wants_option:
        parser.add_argument("--expected-num-workers", type=int, required=True)
    options = parser.parse_args(arguments)
    wanted = options.expected_num_workers if wants_option else int(os.environ["NUMPROCS"])
    served = Path("/tmp/queues").read_text().split()
    there = int(Path("/tmp/workers").read_text()) if time.time() - float(Path("/tmp/alive").read_text()) < 10 else 0
    for queue in options.queue_names:
        found = there if queue in served else 0
        if found < wanted:
            sys.exit(f"CommandError: Queue {queue}: expected at least {wanted} live worker(s), found {found}")


def create():
    name, password = os.environ["DJANGO_SUPERUSER_USERNAME"], os.environ["DJANGO_SUPERUSER_PASSWORD"]
    try:
        Accounts(Store(DATA)).add(name, password, os.environ["DJANGO_SUPERUSER_EMAIL"])
    except UsernameTakenError:
        print("Error: That username is already taken.", file=sys.stderr)
        sys.exit(1)
    mirror.Mirror().catch_up()
    print("Superuser created successfully.")


main(*sys.argv[1:])
