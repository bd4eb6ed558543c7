"""The stand-in in a process of its own, for the demo and the tests."""

import json
import secrets
import select
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any, Self

from toolkit.core.secrets import without_secrets

SCRIPT = Path(__file__).resolve().parent.parent / "run_standin.py"
START_SECONDS = 120
STOP_SECONDS = 15


class StandinProcess:
    """A running stand-in server; leave the ``with`` block and it is gone, with its data unless those have a folder.

    It ends with the process that started it, however that one ends.

    Args:
        data: The data directory; by default one that goes with the server.
        options: Further options of ``run_standin.py``.
        username: The user to begin with.
        password: The user's password; by default a random one.

    Raises:
        RuntimeError: It did not start; with what it said.
    """

    def __init__(
        self,
        data: Path | None = None,
        options: tuple[str, ...] = (),
        username: str = "django",
        password: str | None = None,
    ) -> None:
        self.username = username
        self.password = password or secrets.token_urlsafe(12)
        command = [sys.executable, str(SCRIPT), "--json", "--port", "0", "--while-stdin-open", *options]
        if data is not None:
            command += ["--data", str(data)]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**without_secrets(), "CVAT_USERNAME": self.username, "CVAT_PASSWORD": self.password},
            text=True,
            start_new_session=True,  # Ctrl-C is for the process that started it, which may need it a moment longer
        )
        self.url = self._wait_until_ready()

    def _wait_until_ready(self) -> str:
        output = self.process.stdout
        assert output is not None
        ready, _, _ = select.select([output], [], [], START_SECONDS)
        line = output.readline() if ready else ""
        if not line:
            self.stop()
            raise RuntimeError(f"the stand-in server did not start (exit code {self.process.returncode})")
        return str(json.loads(line)["url"])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop the server and wait for its end."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()

    def environment(self) -> dict[str, str]:
        """Return the variables that point the toolkit's scripts at this server."""
        return {"CVAT_URL": self.url, "CVAT_USERNAME": self.username, "CVAT_PASSWORD": self.password}

    def order_fault(self, action: str, **rule: Any) -> None:
        """Order a fault (needs the option ``--faults``); :mod:`standin.faults.rules` says what a rule is made of."""
        self._ask("POST", "faults", {"action": action, **rule})

    def faults(self) -> list[dict[str, Any]]:
        """Return the rules in force with how often each was hit."""
        rules: list[dict[str, Any]] = self._ask("GET", "faults")
        return rules

    def clear_faults(self) -> None:
        """Drop all rules."""
        self._ask("DELETE", "faults")

    def requests(self) -> list[dict[str, Any]]:
        """Return what was asked so far: ``method``, ``path``, ``status`` (nothing where the connection broke)."""
        entries: list[dict[str, Any]] = self._ask("GET", "log")
        return entries

    def clear_requests(self) -> None:
        """Forget what was asked so far."""
        self._ask("DELETE", "log")

    def _ask(self, method: str, name: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/standin/{name}", data, method=method)
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.load(response)
