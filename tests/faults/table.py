"""docs/faults.md, written from what a test run has seen and read again by the next."""

from collections.abc import Mapping
from pathlib import Path

from .matrix import CASES, STEPS, Fault, Step

TABLE = Path(__file__).resolve().parents[2] / "docs" / "faults.md"

HEAD = """# What happens when something goes wrong

Each line is one thing that goes wrong at one step, and what the script does. The table is written by the tests
(`make fault-table`), and the tests fail when a script does something else: `make test` tries each fault with each
script, `make test-sweeps` at each step. In every case they check as well:

- the exit code, and at most one `error:` line; no traceback;
- no task, token, file, folder or journal is left of a run that failed;
- the next run succeeds.

Where the server is **refused from then on**, a task that was begun cannot be taken back: the run says so, and the next
one finds it and offers to remove it.

**goes on** means that the run succeeds without a word; **tries again** that it succeeds, with a line on standard error
for every further attempt; **either** that it depends on the moment. Otherwise the message is given (without its
advice). The limits are `CVAT_ANSWER_TIMEOUT` (60 s without an answer), `CVAT_ATTEMPTS` (3), `CVAT_RETRY_WAIT` (1 s,
doubled each time) and `--timeout`.
"""


def cell(step: Step, fault: Fault) -> str:
    """Return the name of a cell, fit for a file."""
    return f"{step.script}, {step.name}, {fault.name}".replace("/", " ")


def render(outcomes: Mapping[str, str]) -> str:
    """Write the table of the outcomes by cell."""
    lines = [HEAD]
    for script in dict.fromkeys(step.script for step in STEPS):
        lines += [f"## {script}", "", "| step | fault | outcome |", "|---|---|---|"]
        for step, fault in CASES:
            if step.script == script:
                lines.append(f"| {step.name} | {fault.name} | {outcomes.get(cell(step, fault), 'not seen')} |")
        lines.append("")
    return "\n".join(lines)


def read() -> dict[str, str]:
    """Read the outcomes by cell out of the table."""
    found, script = {}, ""
    for line in TABLE.read_text("utf-8").splitlines() if TABLE.exists() else ():
        if line.startswith("## "):
            script = line[3:]
        elif line.startswith("| ") and not line.startswith("| step |"):
            step, fault, outcome = line.strip("| ").split(" | ")
            found[f"{script}, {step}, {fault}".replace("/", " ")] = outcome
    return found
