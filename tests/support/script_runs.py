"""Running programs as a person does: as processes, in a folder and an environment to order, nobody there to answer."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.waiting import GUARD

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "scripts"


def outside(**more: str) -> dict[str, str]:
    """Our environment, without what speaks of a CVAT or of a job in CI."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("CVAT_", "CODESPACE", "GITHUB_"))}
    return own | more


def script_command(script: str, *arguments: object) -> list[str]:
    """Give the command line of a script, named with or without its extension."""
    return [sys.executable, str((SCRIPTS / script).with_suffix(".py")), *map(str, arguments)]


def run_program(
    command: Sequence[object], *, cwd: Path | None = None, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; both of its outputs are text. Without an environment it gets ours."""
    return subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=GUARD,
        check=False,
    )


def run_script(
    script: str, *arguments: object, cwd: Path | None = None, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run one of the scripts to its end."""
    return run_program(script_command(script, *arguments), cwd=cwd, environment=environment)


def run_module(
    module: str, *arguments: object, cwd: Path | None = None, scripts: Path = SCRIPTS, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a module below scripts/ as a program, in our environment and further variables."""
    environment = {**os.environ, "PYTHONPATH": str(scripts), **variables}
    return run_program([sys.executable, "-m", module, *arguments], cwd=cwd, environment=environment)


def start_script(
    script: str, *arguments: object, cwd: Path | None = None, environment: Mapping[str, str] | None = None
) -> "subprocess.Popen[str]":
    """Start one of the scripts in a session of its own."""
    return subprocess.Popen(
        script_command(script, *arguments),
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
