"""Try which tools read the converted datasets right."""

from toolkit.cli.script import run_script

import json
import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from dev.reader_data import LAYOUTS, make_dataset
from dev.readers import ENVIRONMENT, PAGE, SHARDS, Outcome, Snippet, python_of, read, snippets
from toolkit.cli import console
from toolkit.core.errors import ProblemsFound, ToolkitError, UsageError
from toolkit.core.files import write_atomically

TABLE = re.compile(r"(<!-- (\w+): tools and layouts -->\n).*?(<!-- end of tools and layouts -->)", re.DOTALL)

Rows = dict[tuple[str, str], dict[str, Outcome]]
"""By task and tool: by layout, how the tool read it."""


def main(
    environment: Annotated[Path, typer.Option(help="Virtual environment with the tools.")] = ENVIRONMENT,
    only: Annotated[str | None, typer.Option(help="Tools to try, separated by commas; all if not given.")] = None,
    write: Annotated[bool, typer.Option("--write", help="Renew the tables of docs/reading.md.")] = False,
    as_json: console.Json = False,
    debug: console.Debug = False,
) -> None:
    """Run every snippet of docs/reading.md on a dataset of every layout, and compare each image's id or boxes.

    Exit code 3 when a tool does not read a default layout right. Example: `make readers ARGS="--only timm"`
    """
    names = only.split(",") if only else None
    known = [snippet for snippet in snippets() if snippet.task != SHARDS]  # those are for make test-storage
    chosen = [snippet for snippet in known if names is None or snippet.tool in names]
    if not chosen:
        raise UsageError("--only: docs/reading.md has no such tool", [snippet.tool for snippet in known])
    with tempfile.TemporaryDirectory(prefix="readers-") as folder, console.status_line() as show:
        rows = try_readers(chosen, environment, Path(folder), show)
    if write:
        _write(rows)
    console.result(_as_json(rows) if as_json else "\n".join(f"{task}\n\n{table(task, rows)}" for task in _tasks(rows)))
    wrong = [
        f"{tool}, {layout.name}: {rows[task, tool][layout.name]}"
        for task, tool in rows
        for layout in LAYOUTS
        if layout.task == task and layout.is_default and not rows[task, tool][layout.name].is_right
    ]
    if wrong:
        raise ProblemsFound("not read right", wrong)


def try_readers(
    chosen: Sequence[Snippet], environment: Path, folder: Path, show: Callable[[str], None] = lambda text: None
) -> Rows:
    """Let each snippet read a dataset of each layout of its task.

    Args:
        chosen: The snippets.
        environment: The virtual environment of those that are not light.
        folder: Gets the datasets, if they are not there yet.
        show: Called with what goes on.
    """
    rows: Rows = {}
    for snippet in chosen:
        show(snippet.tool)
        layouts = [layout for layout in LAYOUTS if layout.task == snippet.task]
        datasets = [make_dataset(layout, folder) for layout in layouts]
        outcomes = read(python_of(snippet, environment), snippet, datasets, folder / "home")
        rows[snippet[:2]] = dict(zip((layout.name for layout in layouts), outcomes, strict=True))
    return rows


def _tasks(rows: Rows) -> list[str]:
    return list(dict.fromkeys(task for task, _ in rows))


def table(task: str, rows: Rows) -> str:
    """Write the rows of a task as Markdown."""
    layouts = [layout.name for layout in LAYOUTS if layout.task == task]
    lines = [f"| tool | {' | '.join(layouts)} |", f"|---|{'---|' * len(layouts)}"]
    for (of_task, tool), row in rows.items():
        if of_task == task:
            lines.append(f"| {tool} | {' | '.join(str(row[name]) for name in layouts)} |")
    return "\n".join(lines) + "\n"


def _as_json(rows: Rows) -> str:
    cells = {key: {name: cell._asdict() for name, cell in row.items()} for key, row in rows.items()}
    return json.dumps({task: {tool: cells[of, tool] for of, tool in rows if of == task} for task in _tasks(rows)})


def _write(rows: Rows) -> None:
    text = PAGE.read_text("utf-8")
    if {marks[2] for marks in TABLE.finditer(text)} != set(_tasks(rows)):
        raise ToolkitError(f"{PAGE} has lost the markers of its tables: put {TABLE.pattern!r} back")
    write_atomically(PAGE, TABLE.sub(lambda marks: marks[1] + table(marks[2], rows) + marks[3], text))


if __name__ == "__main__":
    run_script(main)
