"""cvat-cli in a process of its own, with limits that it has not itself; :mod:`toolkit.cvat.cli` starts it.

It is run as a script that loads all it needs, and then reads two lines of JSON from standard input, each of which may
be long in coming: the first says where and as whom to sign in, the second what to do. It ends when the process that
started it does, however that one ends: nothing but these lines comes through that pipe, and its end.
"""

import argparse
import gc
import json
import os
import select
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

NOTICE = "toolkit: "
"""What a line begins with that tells of another attempt."""
FAILURE = "toolkit failed: "
"""What a line begins with that holds a :class:`toolkit.cvat.errors.Failure` as JSON."""


def _message(stream: IO[bytes]) -> dict[str, Any]:
    line = stream.readline()
    if not line.endswith(b"\n"):
        os._exit(1)
    message: dict[str, Any] = json.loads(line)
    return message


def _end_with_parent() -> None:
    parent = select.poll()
    parent.register(0, 0)  # tells of the other end alone
    parent.poll()
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


def _share_session(cookies: dict[str, str]) -> None:
    """Take part in a session in place of signing in, which costs the server a quarter of a second."""
    from cvat_sdk.core.client import Client

    def take_part(self: Any, _credentials: object) -> None:
        for name, value in cookies.items():
            self.api_client.cookies.load(f"{name}={value}")
        self.api_client.configuration.api_key["csrfHeaderAuth"] = cookies["csrftoken"]

    Client.login = take_part
    os.environ["PASS"] = "none"  # without one it would ask for it


def _store_downloads(address: str) -> None:
    """Have what is downloaded written to object storage; cvat-sdk knows files alone."""
    from cvat_sdk.core import downloading

    from toolkit.core.storage import Address

    downloading.atomic_writer = lambda path, mode: Address.parse(address).create()


def _signed_in(program: Any, arguments: list[str]) -> Callable[[], int]:
    """Sign in; what cvat-cli would print of a failure we hand on as data instead."""
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
    gc.set_threshold(100_000)  # loading makes many objects, none of them to be thrown away
    sys.path.append(str(Path(__file__).resolve().parents[2]))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        from cvat_cli import __main__ as program  # type: ignore[import-untyped]
    except ImportError as error:
        _tell(f"cvat-cli cannot be loaded ({error}): make setup installs it")
        return 1
    try:
        import toolkit.cvat.http  # noqa: F401

        with open(0, "rb", closefd=False) as lines:  # sys.stdin must not be locked by a thread when Python ends
            sign_in = _message(lines)
            os.environ.update(sign_in["credentials"])
            _set_limits(sign_in["url"])
            if sign_in["store"]:
                _store_downloads(sign_in["store"])
            if sign_in["cookies"]:
                _share_session(sign_in["cookies"])
            run = _signed_in(program, sign_in["arguments"])
            sys.argv[1:] = [*sign_in["arguments"], *_message(lines)["arguments"]]
        return run()
    except Exception as error:
        _tell_failure(error)
        return 1
    finally:
        gc.freeze()  # nor at the end


if __name__ == "__main__":
    sys.exit(main())
