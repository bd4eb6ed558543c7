"""Change the configuration model and the split in small ways, and list the changes that no test notices.

mutmut runs in a copy of the tree and an environment of its own, both thrown away: it is no dependency of the project.
What survives is explained in docs/mutants.md.
"""

import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MUTATED = ("configuration", "split")
TESTS = (
    "test_configuration.py",
    "test_configuration_messages.py",
    "test_split.py",
    "test_split_groups.py",
    "test_reference_shuffle.py",
)
SETTINGS = """[mutmut]
source_paths=src
only_mutate=
{mutated}
also_copy=
    config
pytest_add_cli_args_test_selection=
{tests}
pytest_add_cli_args=
    -p
    no:xdist
    -p
    no:cacheprovider
    -x
    --deselect=tests/unit/test_configuration.py::test_written_schema_and_table_are_current
"""


def main() -> None:
    """Run mutmut and print the survivors."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as name:
        tree, environment = Path(name) / "tree", Path(name) / "venv"
        for source, target in (("scripts", "src"), ("tests", "tests"), ("config", "config")):
            ignored = shutil.ignore_patterns("__pycache__", "access-token", "cvat.env")
            shutil.copytree(ROOT / source, tree / target, ignore=ignored)
        # mutmut finds code only in a folder of this name.
        settings = (ROOT / "pyproject.toml").read_text("utf-8").replace('"scripts"', '"src"')
        (tree / "pyproject.toml").write_text(settings, "utf-8")
        mutated = "\n".join(f"    src/toolkit/{module}.py" for module in MUTATED)
        tests = "\n".join(f"    tests/unit/{test}" for test in TESTS)
        (tree / "setup.cfg").write_text(SETTINGS.format(mutated=mutated, tests=tests), "utf-8")
        venv.create(environment, with_pip=True)
        (packages,) = environment.glob("lib/python3*/site-packages")
        ours = next(path for path in sys.path if path.endswith("site-packages"))
        (packages / "project.pth").write_text(ours + "\n", "utf-8")
        python = environment / "bin" / "python"
        subprocess.run([python, "-m", "pip", "install", "--quiet", "mutmut>=3,<4"], check=True)
        subprocess.run([python, "-m", "mutmut", "run", "--max-children", "2"], cwd=tree, check=True)
        subprocess.run([python, "-m", "mutmut", "results"], cwd=tree, check=True)


if __name__ == "__main__":
    main()
