"""The dev container and the workflows call targets that exist, with what they need."""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from dotenv import dotenv_values

from tests.support.script_runs import ROOT, run_program
from toolkit.config import local_cvat
from toolkit.cvat.probes import numbers

DEVCONTAINER = ROOT / ".devcontainer" / "devcontainer.json"
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
READS = {"contents": "read"}
OPENS_PULL_REQUESTS = {"contents": "write", "pull-requests": "write"}
PERMISSIONS = {
    ("follow-cvat.yml", "find"): READS | {"pull-requests": "read"},
    ("follow-cvat.yml", "propose"): OPENS_PULL_REQUESTS,
}


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))


def workflow_named(name: str) -> Any:
    return yaml.safe_load((ROOT / ".github" / "workflows" / name).read_text())


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
    call = run_program([cli, "read-configuration", "--workspace-folder", str(ROOT)])
    assert call.returncode == 0, call.stderr
    assert json.loads(call.stdout)["configuration"]["forwardPorts"] == [8080]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_are_pinned_and_may_only_read(workflow: Path) -> None:
    text = workflow.read_text()
    content = yaml.safe_load(text)
    assert content["permissions"] == {"contents": "read"}
    for name, job in content["jobs"].items():
        assert job["timeout-minutes"] <= 60
        permissions = job.get("permissions", content["permissions"])
        assert permissions == PERMISSIONS.get((workflow.name, name), READS)
        if (
            "write" in permissions.values()
        ):  # and then runs nothing that a test, an image or a package could have changed
            assert [step["uses"].partition("@")[0] for step in job["steps"] if "uses" in step] == ["actions/checkout"]
            assert not re.search(
                r"\b(make|python|pip|docker|curl)\b", "".join(step.get("run", "") for step in job["steps"])
            )
        for step in job["steps"]:
            if "uses" in step:
                assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", step["uses"]), step["uses"]
            if "checkout" in step.get("uses", ""):
                assert step["with"]["persist-credentials"] is False
            assert called_targets(step.get("run", "")) <= make_targets()
            assert "${{" not in step.get("run", "")  # nothing from outside becomes part of a script


def test_the_workflow_runs_all_suites_on_all_pythons() -> None:
    content = workflow_named("test.yml")
    steps = " ".join(step.get("run", "") + "; " for job in content["jobs"].values() for step in job["steps"])
    suites = {"test", "lint", "test-sweeps", "fuzz", "test-stack", "test-cvat", "test-frameworks", "test-storage"}
    assert suites <= called_targets(steps)
    for scheduled in ("sweeps", "frameworks"):
        assert "schedule" in content["jobs"][scheduled]["if"]
    assert content[True]["schedule"]  # what YAML makes of `on`
    assert content["jobs"]["test"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]


def test_continuous_integration_gets_itself_what_it_cannot_do_without(tmp_path: Path) -> None:
    (tmp_path / "dirname").symlink_to(shutil.which("dirname") or "")
    for name, does in {"id": "echo 0", "apt-get": f'echo "$*" >>{tmp_path}/calls; [ "$1" = update ]'}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / name).chmod(0o755)
    bare = run_program([shutil.which("bash"), ROOT / ".ci/run"], environment={"PATH": str(tmp_path)})
    assert bare.returncode == 1  # what is missing could not be installed
    assert (tmp_path / "calls").read_text().splitlines() == [
        "update -qq",
        "install -y -qq --no-install-recommends python3 python3-venv make git",
    ]


CURRENT = local_cvat.tested_version()
MAJOR, MINOR, _ = numbers(CURRENT)
NEWER = f"v{MAJOR}.{MINOR + 1}.0"
BRANCH = f"cvat-{NEWER}"

GH = f"""#!{sys.executable}
import sys
from pathlib import Path

folder, words = Path(__file__).parents[1], sys.argv[1:]
branches, requests = folder / "branches", folder / "requests"
fields = dict(word.split("=", 1) for word in words if "=" in word)
with (folder / "told").open("a") as told:
    print(*words, sep="\\0", file=told)

def add(file, name):
    file.write_text(file.read_text() + name + "\\n")

if words[:2] == ["pr", "create"]:
    if (folder / "forbidden").exists():
        sys.exit("GitHub Actions is not permitted to create or approve pull requests")
    add(requests, "own:" + words[words.index("--head") + 1])
elif words[1] == "repos/cvat-ai/cvat/releases/latest":
    print((folder / "newest").read_text(), end="")
elif words[1].startswith("repos/own/tree/pulls?state=all&head="):
    print(requests.read_text().splitlines().count(words[1].rpartition("=")[2]))
elif words[1] == "repos/own/tree/git/refs":
    name = fields["ref"].removeprefix("refs/heads/")
    if name in branches.read_text().splitlines():
        sys.exit("Reference already exists (HTTP 422)")
    add(branches, name)
elif words[1].startswith("repos/own/tree/git/refs/heads/"):
    if words[1].rpartition("/")[2] not in branches.read_text().splitlines():
        sys.exit("Reference does not exist (HTTP 422)")
"""
"""GitHub's command: it makes no branch twice, moves none that is not there, and opens a request where it may."""


class Follower:
    """Runs the steps of follow-cvat.yml as GitHub does; its ``gh`` answers from a folder and notes what it was told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tree = folder / "tree"
        self.versions = self.tree / "compose/versions.env"
        self.values = self.tree / "deploy/kubernetes/values.yaml"
        for file in (self.versions, self.values):
            file.parent.mkdir(parents=True)
            shutil.copy(ROOT / file.relative_to(self.tree), file)
        for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message=x"]):
            who = ["-c", "user.name=x", "-c", "user.email=x@example.com", "-c", "commit.gpgsign=false"]
            subprocess.run(["git", *who, *command], cwd=self.tree, check=True)
        gh = folder / "bin" / "gh"
        gh.parent.mkdir()
        gh.write_text(GH)
        gh.chmod(0o755)
        for listed in ("branches", "requests"):
            (folder / listed).touch()

    def run(self, job: str, **variables: str) -> subprocess.CompletedProcess[str]:
        (step,) = (step for step in workflow_named("follow-cvat.yml")["jobs"][job]["steps"] if "run" in step)
        github = {
            "GITHUB_REPOSITORY": "own/tree",
            "GITHUB_SHA": "0" * 40,
            "GITHUB_REF_NAME": "main",
            "GITHUB_RUN_ID": "7",
        }
        github |= {"GITHUB_OUTPUT": str(self.folder / "output"), "GITHUB_SERVER_URL": "https://github.com"}
        return run_program(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            cwd=self.tree,
            environment={"PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}", **github, **variables},
        )

    def find(self, newest: str) -> tuple[int, str]:
        """Let CVAT's newest release have a tag; return the exit code and what the later jobs get."""
        (self.folder / "newest").write_text(newest)
        (self.folder / "output").write_text("")
        code = self.run("find").returncode
        return code, (self.folder / "output").read_text()

    def told(self) -> list[list[str]]:
        return [line.split("\0") for line in (self.folder / "told").read_text().splitlines()]


@pytest.fixture
def follower(tmp_path: Path) -> Follower:
    return Follower(tmp_path)


def test_a_newer_release_is_tried(follower: Follower) -> None:
    for newest in (NEWER, f"v{MAJOR}.{MINOR + 100}.0"):
        assert follower.find(f"{newest}\n") == (0, f"current={CURRENT}\nnewer={newest}\n")


@pytest.mark.parametrize("newest", [CURRENT, "v2.9.0", f"v{MAJOR - 1}.{MINOR + 1}.0"])
def test_an_older_one_is_not(follower: Follower, newest: str) -> None:
    assert follower.find(f"{newest}\n") == (0, "")


def test_nor_one_that_was_proposed_before(follower: Follower) -> None:
    requests = follower.folder / "requests"
    requests.write_text(f"fork:{BRANCH}\n")
    assert follower.find(f"{NEWER}\n") == (0, f"current={CURRENT}\nnewer={NEWER}\n")
    requests.write_text(f"own:{BRANCH}\n")
    assert follower.find(f"{NEWER}\n") == (0, "")


def test_when_nobody_can_say_what_was_proposed_the_run_fails(follower: Follower) -> None:
    (follower.folder / "requests").unlink()
    assert follower.find(f"{NEWER}\n") == (1, "")


@pytest.mark.parametrize(
    "tag", ["", "null", "v2.74", "nightly", "v2.74.0-rc1", "v2.74.0; touch owned", "$(touch owned)", "v2.74.0\nevil=1"]
)
def test_a_tag_that_is_no_version_goes_no_further(follower: Follower, tag: str) -> None:
    assert follower.find(f"{tag}\n") == (1, "")
    assert not (follower.tree / "owned").exists()


def test_what_passed_is_proposed(follower: Follower) -> None:
    jobs = workflow_named("follow-cvat.yml")["jobs"]
    assert jobs["try"]["if"] == "needs.find.outputs.newer != ''"
    assert jobs["try"]["env"] == {"TEST_CVAT_REQUIRED": "1"}
    assert set(jobs["propose"]["needs"]) == {"find", "try"}
    assert "if" not in jobs["propose"]  # a job whose needs failed or were skipped does not run

    versions, values = dotenv_values(follower.versions), follower.values.read_text()
    done = follower.run("propose", NEWER=NEWER)
    assert done.returncode == 0, done.stderr
    branch, *changes, request = follower.told()
    assert branch[1] == "repos/own/tree/git/refs"
    assert {f"ref=refs/heads/{BRANCH}", f"sha={'0' * 40}"} <= set(branch)
    for change, file in zip(changes, (follower.versions, follower.values), strict=True):
        assert change[1] == f"repos/own/tree/contents/{file.relative_to(follower.tree)}"
        fields = dict(field.split("=", 1) for field in change if "=" in field)
        blob = subprocess.run(
            ["git", "hash-object", file], cwd=follower.tree, capture_output=True, text=True, check=True
        )
        assert (fields["branch"], fields["sha"]) == (BRANCH, blob.stdout.strip())
        file.write_bytes(base64.b64decode(fields["content"]))
    tested = f"{versions['CVAT_TESTED_VERSIONS']},{NEWER}"
    assert dotenv_values(follower.versions) == versions | {"CVAT_VERSION": NEWER, "CVAT_TESTED_VERSIONS": tested}
    assert CURRENT in values
    assert follower.values.read_text() == values.replace(CURRENT, NEWER)
    assert request[:2] == ["pr", "create"]
    assert request[request.index("--head") + 1 : request.index("--head") + 4] == [BRANCH, "--base", "main"]
    assert follower.find(f"{NEWER}\n") == (0, "")


def test_what_could_not_be_proposed_is_proposed_by_the_next_run(follower: Follower) -> None:
    (follower.folder / "forbidden").touch()
    assert follower.run("propose", NEWER=NEWER).returncode == 1
    assert follower.find(f"{NEWER}\n") == (0, f"current={CURRENT}\nnewer={NEWER}\n")
    (follower.folder / "forbidden").unlink()
    done = follower.run("propose", NEWER=NEWER)
    assert done.returncode == 0, done.stderr
    *_, moved, _, _, request = follower.told()
    assert moved[1] == f"repos/own/tree/git/refs/heads/{BRANCH}"
    assert {"PATCH", f"sha={'0' * 40}", "force=true"} <= set(moved)
    assert request[:2] == ["pr", "create"]
    assert follower.find(f"{NEWER}\n") == (0, "")


def test_images_that_cannot_be_had_are_a_failure_where_they_are_required(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-m",
        "cvat",
        "tests/real_cvat",
        "-k",
        "superuser",
    ]
    environment = {**os.environ, "DOCKER_HOST": f"unix://{tmp_path}/no.sock"}
    environment.pop("TEST_CVAT_REQUIRED", None)
    for required, code in (({}, 0), ({"TEST_CVAT_REQUIRED": "1"}, 1)):
        call = run_program(command, cwd=ROOT, environment=environment | required)
        assert call.returncode == code, call.stdout
        assert "no Docker engine answers here" in call.stdout
