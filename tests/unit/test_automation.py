"""The dev container and the workflow call targets that exist, with what they need."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DEVCONTAINER = ROOT / ".devcontainer" / "devcontainer.json"
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))


def called_targets(command: str) -> set[str]:
    return {
        word for words in re.findall(r"\bmake((?: [a-z][a-z-]*)+)", command) for word in words.split() if word != "make"
    }


@pytest.fixture(scope="module")
def devcontainer() -> dict[str, Any]:
    without_comments = re.sub(r"^\s*//.*$", "", DEVCONTAINER.read_text(), flags=re.MULTILINE)
    configuration: dict[str, Any] = json.loads(without_comments)
    return configuration


def test_hooks_of_the_dev_container_call_make(devcontainer: dict[str, Any]) -> None:
    hooks = {name: command for name, command in devcontainer.items() if name.endswith("Command")}
    assert hooks.keys() == {"updateContentCommand", "postStartCommand"}
    assert called_targets(hooks["updateContentCommand"]) == {"setup", "pull"}
    assert called_targets(hooks["postStartCommand"]) == {"status"}
    assert called_targets("; ".join(hooks.values())) <= make_targets()


def test_dev_container_has_an_engine_a_port_and_the_schema(devcontainer: dict[str, Any]) -> None:
    assert any("docker-in-docker" in feature for feature in devcontainer["features"])
    assert devcontainer["forwardPorts"] == [8080]
    assert devcontainer["portsAttributes"]["8080"]["label"] == "CVAT"
    assert devcontainer["hostRequirements"]["cpus"] >= 2
    (schema,) = devcontainer["customizations"]["vscode"]["settings"]["json.schemas"]
    assert "configuration.json" in schema["fileMatch"]
    assert (ROOT / schema["url"]).is_file()
    python = re.search(r"python:3\.(\d+)", devcontainer["image"])
    assert python
    assert int(python.group(1)) >= 11


def test_the_official_reader_takes_the_dev_container() -> None:
    if not (cli := shutil.which("devcontainer")):
        pytest.skip("needs the Dev Containers CLI (npm install --global @devcontainers/cli), then: make test")
    call = subprocess.run(
        [cli, "read-configuration", "--workspace-folder", str(ROOT)], capture_output=True, text=True, check=False
    )
    assert call.returncode == 0, call.stderr
    assert json.loads(call.stdout)["configuration"]["forwardPorts"] == [8080]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_are_pinned_and_may_only_read(workflow: Path) -> None:
    text = workflow.read_text()
    content = yaml.safe_load(text)
    assert content["permissions"] == {"contents": "read"}
    for job in content["jobs"].values():
        assert job["timeout-minutes"] <= 60
        assert job.get("permissions", {"contents": "read"}) == {"contents": "read"}
        for step in job["steps"]:
            if "uses" in step:
                assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", step["uses"]), step["uses"]
            if "checkout" in step.get("uses", ""):
                assert step["with"]["persist-credentials"] is False
            assert called_targets(step.get("run", "")) <= make_targets()
            assert "${{" not in step.get("run", "")  # nothing from outside becomes part of a script


def test_the_workflow_runs_all_suites_on_all_pythons() -> None:
    (workflow,) = WORKFLOWS
    content = yaml.safe_load(workflow.read_text())
    steps = " ".join(step.get("run", "") + "; " for job in content["jobs"].values() for step in job["steps"])
    assert {"test", "lint", "test-sweeps", "fuzz", "test-stack", "test-cvat"} <= called_targets(steps)
    assert "schedule" in content["jobs"]["sweeps"]["if"]
    assert content[True]["schedule"]  # what YAML makes of `on`
    assert content["jobs"]["test"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]
