"""Programs that write down what they were given, to be put first on the PATH."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_RECORD = """#!/bin/sh
here={folder}
record=$(mktemp "$here/records/XXXXXXXX")
{{ printf '%s\\0' "$0" "$@"; printf '\\0'; /usr/bin/env -0; }} > "$record"
mv "$record" "$record.done"
{rest}
"""


@dataclass(frozen=True)
class Call:
    """One call of a program: its arguments, itself first, and its environment."""

    arguments: Sequence[str]
    environment: dict[str, str]

    @property
    def program(self) -> str:
        return Path(self.arguments[0]).name

    def holds(self, secret: str) -> bool:
        return secret in " ".join([*self.arguments, *self.environment.values()])


class Recorder:
    """A folder of programs; use :attr:`path` as the PATH of the process under test."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.bin = folder / "bin"
        self.bin.mkdir(parents=True)
        (folder / "records").mkdir()

    def add(self, name: str, then: str = "exit 0") -> Path:
        """Make a program.

        Args:
            name: Its name.
            then: What it does after it has written down its call, as lines of ``sh``.
        """
        program = self.bin / name
        program.write_text(_RECORD.format(folder=self._folder, rest=then))
        program.chmod(0o755)
        return program

    def calls(self) -> list[Call]:
        """Return all calls so far."""
        calls = []
        for record in (self._folder / "records").glob("*.done"):
            arguments, _, environment = record.read_bytes().decode(errors="replace").partition("\0\0")
            pairs = dict(line.partition("=")[::2] for line in environment.split("\0") if line)
            calls.append(Call(arguments.split("\0"), pairs))
        return calls
