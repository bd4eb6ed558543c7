"""Counting what a CVAT holds, table by table, in its database."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from toolkit.config.local_cvat import Stack
from toolkit.core.errors import ToolkitError
from toolkit.stack.engine import execute

if TYPE_CHECKING:
    from docker import DockerClient

# PostgreSQL counts each table by a query of its own, made in the first statement and run by \gexec.
_COUNT_ALL = r"""
SELECT format('SELECT %L, count(*) FROM %I.%I', table_name, table_schema, table_name)
FROM information_schema.tables WHERE table_schema = 'public' AND table_type = 'BASE TABLE' ORDER BY table_name \gexec
"""
_COUNT_FRAMES = "SELECT 'frames', coalesce(sum(size), 0) FROM engine_data"

_PSQL = 'printf "%s" "$QUERY" | psql -X -q -A -t -v ON_ERROR_STOP=1 -U root -d cvat -f -'

_ANNOTATIONS = ("engine_labeledimage", "engine_labeledshape", "engine_labeledtrack")


@dataclass(frozen=True)
class Contents:
    """What a CVAT holds.

    Attributes:
        tables: Rows by table.
        frames: Images of all tasks.
    """

    tables: dict[str, int]
    frames: int

    @property
    def summary(self) -> dict[str, int]:
        """Projects, tasks, frames, annotations and users, by these names."""
        return {
            "projects": self.tables.get("engine_project", 0),
            "tasks": self.tables.get("engine_task", 0),
            "frames": self.frames,
            "annotations": sum(self.tables.get(table, 0) for table in _ANNOTATIONS),
            "users": self.tables.get("auth_user", 0),
        }

    def __str__(self) -> str:
        return ", ".join(f"{count} {name}" for name, count in self.summary.items())


def count_contents(client: "DockerClient", stack: Stack) -> Contents:
    """Count everything in the stack's database, which has to be running.

    Raises:
        ToolkitError: The database does not answer.
    """
    tables = _counts(client, stack, _COUNT_ALL)
    frames = _counts(client, stack, _COUNT_FRAMES)["frames"] if "engine_data" in tables else 0
    return Contents(tables, frames)


def _counts(client: "DockerClient", stack: Stack, query: str) -> dict[str, int]:
    # \gexec works on what psql reads, not on its -c.
    code, output = execute(client, stack, "cvat_db", ["sh", "-c", _PSQL], {"QUERY": query})
    if code:
        raise ToolkitError("the database could not be counted", output.strip().splitlines()[-3:])
    rows = [line.rpartition("|") for line in output.splitlines() if "|" in line]
    return {name: int(count) for name, _, count in rows}


def differences(before: dict[str, int], after: dict[str, int]) -> list[str]:
    """Name the counts that differ, one line each."""
    names = sorted(before.keys() | after.keys())
    return [
        f"{name}: {before.get(name, 0)} before, {after.get(name, 0)} now"
        for name in names
        if before.get(name, 0) != after.get(name, 0)
    ]
