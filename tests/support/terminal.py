"""A script at a terminal, and a person who answers it."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import pexpect

from tests.support.script_runs import SCRIPTS

SECONDS = 240
CTRL_C, CTRL_D = "\x03", "\x04"


class Terminal:
    """Runs a script on a pseudo-terminal of its own.

    Args:
        script: Its name.
        arguments: Its options.
        environment: All of its environment.
        folder: Where it runs.
        redirected: What the shell is to do with its input and output.

    Attributes:
        shown: All that stood on the terminal, the echo of what was typed included.
    """

    def __init__(
        self, script: str, *arguments: str, environment: Mapping[str, str], folder: Path, redirected: str = ""
    ) -> None:
        self.shown = ""
        self._child = pexpect.spawn(
            "/bin/sh",
            ["-c", f'exec "$0" "$@" {redirected}', sys.executable, str(SCRIPTS / f"{script}.py"), *arguments],
            env={**environment, "TERM": "dumb", "COLUMNS": "500"},
            cwd=str(folder),
            timeout=SECONDS,
            encoding="utf-8",
            codec_errors="replace",
            dimensions=(24, 500),
        )
        self._child.delaybeforesend = None

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        self._child.close(force=True)

    def asked(self, question: str) -> "Terminal":
        """Wait for a question."""
        self._child.expect_exact(question)
        self.shown += self._child.before + self._child.after
        return self

    def type(self, text: str) -> "Terminal":
        """Type a line."""
        self._child.send(text + "\r")
        return self

    def hidden(self) -> "Terminal":
        """Wait until the terminal no longer shows what is typed; what was typed before is thrown away then."""
        assert self._child.waitnoecho(SECONDS), "the terminal shows what is typed"
        return self

    def type_secretly(self, text: str) -> "Terminal":
        return self.hidden().type(text)

    def press(self, key: str) -> "Terminal":
        self._child.send(key)
        return self

    def end(self) -> int:
        """Wait for the script's end and return its exit code, 128 + N for signal N."""
        try:
            self._child.expect(pexpect.EOF)
        except pexpect.TIMEOUT:
            raise AssertionError(f"still running; on the terminal: {self.shown + self._child.before!r}") from None
        self.shown += self._child.before
        self._child.close()
        status = self._child.exitstatus
        return status if status is not None else 128 + self._child.signalstatus


def without_cvat(**variables: str) -> dict[str, str]:
    """Return the environment of this process without anybody's CVAT."""
    return {name: value for name, value in os.environ.items() if not name.startswith("CVAT_")} | variables
