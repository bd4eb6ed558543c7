"""Known vulnerabilities of the locked packages, asked of pip-audit in an environment that is thrown away."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from toolkit.core.secrets import without_secrets

_UNREACHABLE = (
    "Failed to fetch",
    "error sending request",
    "Could not connect",
    "Connection refused",
    "dns error",
    "Max retries exceeded",
    "ConnectionError",
    "timed out",
    "Temporary failure in name resolution",
    "ServiceError",
)


@dataclass(frozen=True)
class Audit:
    """What came of an audit.

    Attributes:
        skipped: Why there was none; None if there was.
        findings: A line each.
    """

    skipped: str | None
    findings: Sequence[str] = ()


def audit(requirements: Path, timeout: float = 300.0) -> Audit:
    """Look for known vulnerabilities.

    Args:
        requirements: The locked requirements.
        timeout: Seconds that it may take.

    Returns:
        What was found, or why nothing could be asked.
    """
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if uv is None:
        return Audit("uv is not installed, which make lint brings")
    command = [uv, "tool", "run", "--isolated", "pip-audit", "--progress-spinner=off", "--disable-pip"]
    command += ["--require-hashes", "--requirement", str(requirements)]
    try:
        answer = subprocess.run(command, env=without_secrets(), capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        return Audit(f"no answer within {timeout:g} s")
    if answer.returncode == 0:
        return Audit(None)
    for line in answer.stderr.splitlines():
        if any(sign in line for sign in _UNREACHABLE):
            return Audit(f"the package index or the database cannot be reached ({line.strip()[:150]})")
    lines = [line for line in answer.stdout.splitlines() if line.strip()]
    return Audit(None, lines or answer.stderr.strip().splitlines()[-3:])
