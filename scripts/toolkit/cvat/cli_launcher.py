"""cvat-cli in a process of its own, with limits that it has not itself; :mod:`toolkit.cvat.cli` starts it.

It is run as a script with two addresses: of the server, and of the object that gets a download, if any. Two lines come
through standard input, each a list of arguments in JSON: with the first it signs in, with both it does what cvat-cli
does; the second may be long in coming. It ends when the process that started it does, however that one ends: nothing
but these lines comes through that pipe, and its end.
"""

import argparse
import json
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

NOTICE = "toolkit: "
"""What a line begins with that tells of another attempt."""
FAILURE = "toolkit failed: "
"""What a line begins with that holds a :class:`toolkit.cvat.errors.Failure` as JSON."""


def _arguments(stream: IO[bytes]) -> list[str]:
    line = stream.readline()
    if not line.endswith(b"\n"):
        os._exit(1)
    arguments: list[str] = json.loads(line)
    return arguments


def _end_with_parent() -> None:
    while os.read(0, 1024):
        pass
    os._exit(1)


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _tell_failure(error: BaseException) -> None:
    from toolkit.cvat.errors import classify

    _tell(f"\n{FAILURE}{classify(error).to_json()}")  # a progress bar may stand on the line


def _set_limits(url: str) -> None:
    from cvat_sdk.api_client.rest import RESTClientObject
    from cvat_sdk.core.client import Client

    from toolkit.core.retry import read_retry_policy
    from toolkit.cvat.http import harden, sign_in_or_explain

    plain = RESTClientObject.__init__

    def limited(self: Any, *args: Any, **options: Any) -> None:
        plain(self, *args, **options)
        harden(self.pool_manager, url, read_retry_policy(), lambda line: _tell(NOTICE + line))

    RESTClientObject.__init__ = limited
    Client.login = sign_in_or_explain(Client.login)


def _store_downloads(address: str) -> None:
    """Have what is downloaded written to object storage; cvat-sdk knows files alone."""
    from cvat_sdk.core import downloading

    from toolkit.core.storage import Address

    downloading.atomic_writer = lambda path, mode: Address.parse(address).create()


def _signed_in(arguments: list[str]) -> Callable[[], int]:
    """Load cvat-cli and sign in; what it would print of a failure we hand on as data instead."""
    from cvat_cli import __main__ as program  # type: ignore[import-untyped]

    program.logger.critical = _tell_failure
    parser = argparse.ArgumentParser()
    program.configure_common_arguments(parser)
    options = parser.parse_args(arguments)
    names = list(vars(options))
    client = program.build_client(options, logger=program.logger)

    def take_client(options: argparse.Namespace, logger: object) -> object:
        for name in names:
            vars(options).pop(name, None)
        return client

    program.build_client = take_client
    run: Callable[[], int] = program.main
    return run


def main() -> int:
    """Run cvat-cli and return its exit code."""
    sys.path.append(str(Path(__file__).resolve().parents[2]))
    _, url, store = sys.argv
    try:
        _set_limits(url)
        if store:
            _store_downloads(store)
        with open(0, "rb", closefd=False) as lines:  # sys.stdin must not be locked by a thread when Python ends
            sign_in = _arguments(lines)
            run = _signed_in(sign_in)
            sys.argv[1:] = [*sign_in, *_arguments(lines)]
        threading.Thread(target=_end_with_parent, daemon=True).start()
        return run()
    except Exception as error:
        _tell_failure(error)
        return 1


if __name__ == "__main__":
    sys.exit(main())
