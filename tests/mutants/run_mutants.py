"""Change the configuration model, the split and the vetting of archives in small ways, and list what no test notices.

mutmut runs in a copy of the tree and an environment of its own, both thrown away: it is no dependency of the project.
What survives is explained in docs/mutants.md.
"""

import shutil
import subprocess
import sys
import tempfile
import venv
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MUTATED = (
    "toolkit/dataset/archive",
    "toolkit/core/safe_names",
    "toolkit/config/model",
    "dev/configuration_docs",
    "toolkit/dataset/split",
)
TESTS = (
    "dataset/test_archive.py",
    "dev/test_configuration_described.py",
    "config/test_configuration.py",
    "config/test_configuration_messages.py",
    "dataset/test_split.py",
    "dataset/test_split_groups.py",
    "dataset/test_reference_shuffle.py",
)
SETTINGS = """[mutmut]
source_paths=src
only_mutate=
{mutated}
also_copy=
    config
    README.md
pytest_add_cli_args_test_selection=
{tests}
pytest_add_cli_args=
    -p
    no:xdist
    -p
    no:cacheprovider
    -x
    --deselect=tests/config/test_configuration.py::test_written_schema_and_table_are_current
"""


def main() -> None:
    """Run mutmut and print the survivors with what was changed, then the numbers of each module."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as name:
        tree, environment = Path(name) / "tree", Path(name) / "venv"
        for source, target in (("scripts", "src"), ("tests", "tests"), ("config", "config")):
            ignored = shutil.ignore_patterns("__pycache__", "access-token", "cvat.env")
            shutil.copytree(ROOT / source, tree / target, ignore=ignored)
        shutil.copy(ROOT / "README.md", tree)
        # mutmut finds code only in a folder of this name.
        settings = (ROOT / "pyproject.toml").read_text("utf-8").replace('"scripts"', '"src"')
        (tree / "pyproject.toml").write_text(settings, "utf-8")
        mutated = "\n".join(f"    src/{module}.py" for module in MUTATED)
        tests = "\n".join(f"    tests/{test}" for test in TESTS)
        (tree / "setup.cfg").write_text(SETTINGS.format(mutated=mutated, tests=tests), "utf-8")
        venv.create(environment, with_pip=True)
        (packages,) = environment.glob("lib/python3*/site-packages")
        ours = next(path for path in sys.path if path.endswith("site-packages"))
        (packages / "project.pth").write_text(ours + "\n", "utf-8")
        python = environment / "bin" / "python"
        subprocess.run([python, "-m", "pip", "install", "--quiet", "mutmut>=3,<4"], check=True)
        mutmut = [python, "-m", "mutmut"]
        with (tree / "run.txt").open("wb") as log:  # thousands of lines of a spinner
            done = subprocess.run([*mutmut, "run", "--max-children", "2"], cwd=tree, stdout=log, stderr=log)
        if done.returncode:
            sys.exit((tree / "run.txt").read_text("utf-8", "replace")[-5000:])
        report(mutmut, tree)


def report(mutmut: list[str | Path], tree: Path) -> None:
    """Print what mutmut found."""
    lines = subprocess.run(
        [*mutmut, "results", "--all", "true"], cwd=tree, stdout=subprocess.PIPE, text=True, check=True
    )
    counts: dict[str, Counter[str]] = {module: Counter() for module in MUTATED}
    for line in lines.stdout.splitlines():
        mutant, _, status = line.strip().partition(": ")
        counts[mutant.split(".")[1]][status] += 1
        if status != "killed":
            print(f"\n{mutant}: {status}", flush=True)
            subprocess.run([*mutmut, "show", mutant], cwd=tree, check=True)
    print()
    for module, count in counts.items():
        print(f"{module}: {count.total()} mutants, {', '.join(f'{n} {status}' for status, n in count.most_common())}")
    total = sum(counts.values(), Counter())
    print(f"total: {total.total()} mutants, {', '.join(f'{n} {status}' for status, n in total.most_common())}")


if __name__ == "__main__":
    main()
