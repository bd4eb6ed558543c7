"""cvat-cli in a process of its own, with limits that it has not itself; :mod:`toolkit.cvat.cli` starts it.

It is run as a script, its arguments those of cvat-cli behind the address of the server. It ends when the process that
started it does, however that one ends: standard input is a pipe that nobody writes to.
"""

import os
import runpy
import sys
import threading
from pathlib import Path
from typing import Any

NOTICE = "toolkit: "
"""What a line begins with that tells of another attempt."""


def _end_with_parent() -> None:
    while os.read(0, 1024):
        pass
    os._exit(1)


def _be_careful(url: str) -> None:
    from cvat_sdk.api_client.rest import RESTClientObject

    from toolkit.core.retry import read_retry_policy
    from toolkit.cvat.http import harden

    plain = RESTClientObject.__init__

    def careful(self: Any, *args: Any, **options: Any) -> None:
        plain(self, *args, **options)
        harden(
            self.pool_manager, url, read_retry_policy(), lambda line: print(NOTICE + line, file=sys.stderr, flush=True)
        )

    RESTClientObject.__init__ = careful


def main() -> None:
    """Run cvat-cli."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.path.append(str(Path(__file__).resolve().parents[2]))
    url = sys.argv.pop(1)
    _be_careful(url)
    runpy.run_module("cvat_cli", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
