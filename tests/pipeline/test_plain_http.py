"""An https:// address of a server that speaks plain HTTP."""

import os
import subprocess
import sys
from pathlib import Path

from standin.process import StandinProcess

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


def test_is_called_so_and_not_a_matter_of_certificates(standin: StandinProcess) -> None:
    call = subprocess.run(
        [sys.executable, str(SCRIPTS / "create_project.py"), "--name=plain", "--labels=cat"],
        env={**os.environ, **standin.environment(), "CVAT_URL": standin.url.replace("http:", "https:")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert call.returncode == 1
    assert "does not speak TLS" in call.stderr
    assert "http://" in call.stderr
    assert "certificate" not in call.stderr
