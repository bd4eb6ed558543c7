"""Ctrl-C before a script's work has begun, and after it is done."""

import ast
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.script_runs import SCRIPTS, outside, run_program

SIGNALLED = Path(__file__).with_name("signalled.py")
ALL = sorted(path.stem for path in SCRIPTS.glob("*.py"))
FEWEST_IMPORTS = 40
"""Every script has more of them."""


def signalled(moment: str, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, SIGNALLED, moment, "SIGINT", SCRIPTS / f"{script}.py", *arguments]
    return run_program(command)


@pytest.mark.parametrize("script", ALL)
def test_every_script_begins_with_its_entry_and_ends_in_it(script):
    statements = ast.parse((SCRIPTS / f"{script}.py").read_text("utf-8")).body
    imports = [statement for statement in statements if isinstance(statement, ast.Import | ast.ImportFrom)]
    assert ast.unparse(imports[0]) == "from toolkit.cli.script import run_script"
    assert ast.unparse(statements[-1]).splitlines() == ["if __name__ == '__main__':", "    run_script(main)"]


@pytest.mark.parametrize("script", ALL)
def test_an_interrupt_while_the_imports_are_read_is_one_word(script):
    """Where in the imports is left to chance: all scripts have the same way in."""
    answer = signalled(f"import:{random.randint(1, FEWEST_IMPORTS)}", script, "--help")
    assert (answer.returncode, answer.stdout, answer.stderr) == (130, "", "interrupted\n")


def test_an_interrupt_after_the_work_changes_nothing():
    answer = signalled("end", "list_notebooks")
    assert answer.returncode == 0
    assert answer.stdout
    assert "Traceback" not in answer.stderr
    assert "interrupted" not in answer.stderr


def test_an_interrupt_at_any_import_is_one_word():
    through = signalled("never", "import_images", "--help")
    assert through.returncode == 0, through.stderr
    total = int(through.stderr.split()[-2])
    assert total >= FEWEST_IMPORTS
    for number in range(1, total, total // 8):
        answer = signalled(f"import:{number}", "import_images", "--help")
        assert (answer.returncode, answer.stdout, answer.stderr) == (130, "", "interrupted\n")


def test_a_script_that_was_told_to_ignore_interrupts_does_so():
    code = "import signal, subprocess, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); sys.exit(subprocess.call("
    command = [sys.executable, str(SIGNALLED), "import:30", "SIGINT", str(SCRIPTS / "list_notebooks.py")]
    answer = run_program([sys.executable, "-c", f"{code}{command!r}))"])
    assert answer.returncode == 0, answer.stderr
    assert "interrupted" not in answer.stderr


IN_A_CALLBACK = """
from toolkit.cli.script import run_script
import signal, time, weakref

class Thing: pass

def main() -> None:
    thing = Thing()
    watched = weakref.ref(thing, lambda _: signal.raise_signal(signal.SIGNAL))
    del thing
    time.sleep(60)
    print("it was lost")

run_script(main)
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_an_interrupt_in_a_callback_where_python_drops_it_is_not_lost(name):
    code = IN_A_CALLBACK.replace("SIGNAL", name)
    answer = run_program([sys.executable, "-c", code], environment=outside(PYTHONPATH=str(SCRIPTS)))
    assert (answer.returncode, answer.stdout, answer.stderr) == (130, "", "interrupted\n")
