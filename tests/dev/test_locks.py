"""The lock files: pip need not, and may not, look for anything that they do not name."""

import os
import re
import tomllib
from collections import Counter
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.script_runs import ROOT, run_program

LOCKS = sorted(path.name for path in ROOT.glob("requirements*.txt"))
INSTALLED = ["requirements.txt", "requirements-dev.txt", "requirements-notebooks.txt"]
"""The locks of the environment that runs the tests; .ci/run looks at all."""


def pins_of(lock: str) -> list[Requirement]:
    """Return the requirements of a lock that are for this machine and this Python."""
    entries = (ROOT / lock).read_text("utf-8").replace("\\\n", " ")
    lines = [line.split(" --hash=")[0] for line in entries.splitlines() if line and not line.lstrip().startswith("#")]
    found = [Requirement(line) for line in lines]
    return [pin for pin in found if pin.marker is None or pin.marker.evaluate()]


def roots_of(lock: str) -> list[Requirement]:
    """Return what pyproject.toml asks of a lock."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    groups = {
        name: [item for item in group if isinstance(item, str)] for name, group in project["dependency-groups"].items()
    }
    wanted = {
        "requirements.txt": project["project"]["dependencies"],
        "requirements-dev.txt": [
            *project["project"]["dependencies"],
            *groups["test"],
            *groups["lint"],
            *groups["notebook"],
        ],
        "requirements-notebooks.txt": groups["notebook"],
        "requirements-distributed.txt": groups["distributed"],
        "requirements-bench.txt": groups["bench"],
        "requirements-frameworks.txt": groups["frameworks"],
        "requirements-storage.txt": groups["storage"],
        "requirements-storage-test.txt": [*groups["storage"], *groups["storage-test"]],
    }
    return [Requirement(line) for line in wanted[lock]]


def needs_of(pin: Requirement) -> list[Requirement]:
    """Return what a pinned package needs here, with the extras that it is pinned with."""
    found = [Requirement(line) for line in distribution(pin.name).requires or []]
    extras = ["", *pin.extras]
    return [need for need in found if need.marker is None or any(need.marker.evaluate({"extra": e}) for e in extras)]


def lacks(pins: dict[str, Requirement], need: Requirement) -> str | None:
    pin = pins.get(canonicalize_name(need.name))
    if need.name == "pip":
        return None  # every environment has one
    if pin is None:
        return f"{need.name} is not there"
    (version,) = (specifier.version for specifier in pin.specifier)
    if not need.specifier.contains(version, prereleases=True):
        return f"{need} is not met by {pin}"
    if not need.extras <= pin.extras:
        return f"{need} asks for an extra that {pin} lacks"
    return None


def by_name(lock: str) -> dict[str, Requirement]:
    return {canonicalize_name(pin.name): pin for pin in pins_of(lock)}


@pytest.mark.parametrize("lock", LOCKS)
def test_every_entry_is_one_version_with_its_hashes(lock: str) -> None:
    for entry in re.split(r"\n(?=\S)", (ROOT / lock).read_text("utf-8").strip()):
        if not entry.startswith("#"):
            assert re.match(
                r"[A-Za-z0-9._-]+(\[[\w, -]+\])?==[^\s*]+ (; .+ )?\\\n    --hash=sha256:[0-9a-f]{64}", entry
            ), entry


@pytest.mark.parametrize("lock", LOCKS)
def test_what_the_project_asks_for_is_locked(lock: str) -> None:
    pins = by_name(lock)
    assert [message for root in roots_of(lock) if (message := lacks(pins, root))] == []


@pytest.mark.parametrize("lock", INSTALLED)
def test_a_lock_holds_all_that_its_packages_need_with_the_extras(lock: str) -> None:
    """pip installs it without looking at the needs of anything (`--no-deps`)."""
    pins = by_name(lock)
    for pin in pins.values():
        assert pin.specifier.contains(distribution(pin.name).version), (
            "the environment is not the lock's: make .venv/.dev"
        )
    assert [f"{pin}: {m}" for pin in pins.values() for need in needs_of(pin) if (m := lacks(pins, need))] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_does_not_exchange_the_pip_of_its_environment(lock: str) -> None:
    assert "pip" not in by_name(lock)


def test_one_environment_gets_one_version_of_each_package() -> None:
    dev = by_name("requirements-dev.txt")
    for lock in set(LOCKS) - {"requirements-dev.txt", "requirements-bench.txt", "requirements-frameworks.txt"}:
        for name, pin in by_name(lock).items():
            assert dev.setdefault(name, pin).specifier == pin.specifier


# --- What make does with them -------------------------------------------------------------------------------------

FLAGS = {"--no-deps", "--require-hashes", "-r"}


def make(*words: str, **variables: str) -> str:
    answer = run_program(["make", "-C", ROOT, *words], environment={**os.environ, **variables})
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def test_make_lets_pip_look_for_nothing(tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    own = [f"{venv}/.{name}" for name in ("dev", "notebooks", "distributed", "storage")]
    others = [f"{venv}-{name}/.done" for name in ("bench", "frameworks", "storage")]
    commands = make("-n", f"VENV={venv}", *own, *others).splitlines()
    installs = [command.split() for command in commands if re.search(r"\bpip3? (install|download|wheel)\b", command)]
    assert sorted(words[-1] for words in installs) == LOCKS
    for words in installs:
        assert set(words) >= FLAGS, " ".join(words)


def test_nothing_else_of_the_tree_installs_packages_for_the_tools() -> None:
    """But a pip itself, in the environments that prove the locks with several."""
    files = [ROOT / "Makefile", *ROOT.glob(".ci/*"), *ROOT.glob(".github/workflows/*"), *ROOT.glob(".devcontainer/*")]
    lines = [line for path in files for line in path.read_text("utf-8").splitlines() if "pip install" in line]
    assert lines
    for line in lines:
        assert set(line.split()) >= FLAGS or re.search(r"pip install .*(\bpip\b|\{@:2\})", line), line


def test_continuous_integration_shows_every_lock_to_both_pips(tmp_path: Path) -> None:
    functions = dict(
        re.findall(r"^(\w+)\(\) (\{.*?^\})", (ROOT / ".ci/run").read_text("utf-8"), re.MULTILINE | re.DOTALL)
    )
    for one in ("with_old_pip", "with_newest_pip"):
        assert re.search(r"^    prove_locks ", functions[one], re.MULTILINE)
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\nfor file; do :; done\ncat "$file"\n')
    python.chmod(0o755)
    shown = run_program(["bash", "-euc", f"prove_locks() {functions['prove_locks']}; prove_locks {python}"], cwd=ROOT)
    assert shown.returncode == 0, shown.stderr
    lines = Counter(line for lock in LOCKS for line in (ROOT / lock).read_text("utf-8").splitlines())
    assert Counter(shown.stdout.splitlines()) <= lines
    left_out = {line.partition("==")[0] for line in lines - Counter(shown.stdout.splitlines()) if "==" in line}
    assert {name for name in left_out if not name.startswith("nvidia-")} == {"torch", "triton"}


def test_an_environment_that_is_there_keeps_its_pip(tmp_path: Path) -> None:
    python = tmp_path / "venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\necho "$*" >>{tmp_path}/calls\n')
    python.chmod(0o755)
    make(f"VENV={tmp_path}/venv", f"{tmp_path}/venv/.runtime")
    calls = (tmp_path / "calls").read_text().splitlines()
    assert [call.split()[:3] for call in calls] == [["-m", "pip", "--version"], ["-m", "pip", "install"]]
    assert python.read_text().startswith("#!/bin/sh")
