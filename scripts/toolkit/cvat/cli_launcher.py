"""cvat-cli in a process of its own, with limits that it has not itself; :mod:`toolkit.cvat.cli` starts it.

It is run as a script with two addresses: of the server, and of the object that gets a download, if any. Once cvat-cli
is loaded it waits for the arguments, a list in JSON on a line of standard input. It ends when the process that started
it does, however that one ends: nothing but this line comes through that pipe, and its end.
"""

import json
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

NOTICE = "toolkit: "
"""What a line begins with that tells of another attempt."""
FAILURE = "toolkit failed: "
"""What a line begins with that holds a :class:`toolkit.cvat.errors.Failure` as JSON."""


def _arguments() -> list[str]:
    line = b""
    while not line.endswith(b"\n"):
        piece = os.read(0, 1 << 16)
        if not piece:
            os._exit(1)
        line += piece
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


def _cvat_cli() -> Callable[[], int]:
    """Load cvat-cli's main function; what it would print of a failure we hand on as data instead."""
    from cvat_cli import __main__ as program  # type: ignore[import-untyped]

    program.logger.critical = _tell_failure
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
        run = _cvat_cli()
        sys.argv[1:] = _arguments()
        threading.Thread(target=_end_with_parent, daemon=True).start()
        return run()
    except Exception as error:
        _tell_failure(error)
        return 1


if __name__ == "__main__":
    sys.exit(main())
