"""An https:// address of a server that speaks plain HTTP."""

import os

from standin.process import StandinProcess
from tests.support.script_runs import run_script


def test_is_called_so_and_not_a_matter_of_certificates(standin: StandinProcess) -> None:
    call = run_script(
        "create_project.py",
        "--name=plain",
        "--labels=cat",
        environment={**os.environ, **standin.environment(), "CVAT_URL": standin.url.replace("http:", "https:")},
    )
    assert call.returncode == 1
    assert "does not speak TLS" in call.stderr
    assert "http://" in call.stderr
    assert "certificate" not in call.stderr
