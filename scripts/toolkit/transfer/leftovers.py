"""What imports that were killed have left on the server, and what may be done with it."""

from collections.abc import Sequence
from dataclasses import dataclass

from toolkit.cvat.api import Api, TaskFacts
from toolkit.cvat.connection import Connection
from toolkit.transfer.journal import DONE, STARTED, WAITING, Journal, Part


@dataclass(frozen=True)
class Leftover:
    """What one killed import has left.

    Attributes:
        journal: What it wrote down.
        unfinished: Tasks that are certainly its own and hold nothing but images that are in the folder as well; they
            can be deleted without loss.
        done: Tasks that are certainly its own and have all that was sent, or that somebody has annotated since.
        suspects: Numbers of tasks that may be its own: the import was killed before it could make sure.
    """

    journal: Journal
    unfinished: Sequence[Part]
    done: Sequence[Part]
    suspects: Sequence[int]

    @property
    def is_nothing(self) -> bool:
        """Whether nothing is left that a person would want to know of."""
        return not (self.unfinished or self.done or self.suspects)


def examine(api: Api, journals: Sequence[Journal]) -> list[Leftover]:
    """Find out what killed imports have left, and forget those that have left nothing.

    Args:
        api: The session with the server.
        journals: What they wrote down.

    Returns:
        One entry for each that has left something.
    """
    found = []
    for journal in journals:
        leftover = _look_at(api, journal)
        if leftover.is_nothing:
            journal.forget()
        else:
            found.append(leftover)
    return found


def _look_at(api: Api, journal: Journal) -> Leftover:
    unfinished, done, suspects = [], [], []
    aim = journal.record.aim
    for part in journal.record.parts:
        if part.state == STARTED and part.task_id is None:
            suspects += sorted(api.empty_tasks(aim.project_id, part.name) - set(part.namesakes))
            continue
        facts = api.task_facts(part.task_id) if part.task_id is not None else None
        if facts is None or (facts.name, facts.project_id) != (part.name, aim.project_id):
            journal.change(part, state=WAITING, task_id=None, created=None)
        elif part.created is None:  # killed before it could ask
            suspects.append(facts.id)
        elif part.created != facts.created:
            # A server that was set up anew gives the same numbers again.
            journal.change(part, state=WAITING, task_id=None, created=None)
        elif part.state == DONE or _is_complete(api, facts, part, journal.record.tags):
            journal.change(part, state=DONE)
            done.append(part)
        else:
            unfinished.append(part)
    return Leftover(journal, unfinished, done, suspects)


def _is_complete(api: Api, facts: TaskFacts, part: Part, has_tags: bool) -> bool:
    if not facts.frames:
        return False
    return api.has_annotations(facts.id) or (facts.frames == part.frames and not has_tags)


def remove(api: Api, leftover: Leftover) -> list[str]:
    """Delete what can be deleted without loss.

    Args:
        api: The session with the server.
        leftover: What a killed import has left.

    Returns:
        What was done, one line a task.
    """
    lines = []
    for part in leftover.unfinished:
        assert part.task_id is not None
        api.delete_task(part.task_id)
        lines.append(f"deleted the unfinished task {part.task_id} of an earlier import")
        leftover.journal.change(part, state=WAITING, task_id=None, created=None)
    return lines


def describe(connection: Connection, leftover: Leftover) -> list[str]:
    """Say what was left, a line each, with where to see it.

    Args:
        connection: The server.
        leftover: What a killed import has left.

    Returns:
        The lines.
    """

    def places(what: str, numbers: Sequence[int | None]) -> list[str]:
        return [f"{what} {connection.task_url(number)}" for number in numbers if number is not None]

    return [
        *places("unfinished:", [part.task_id for part in leftover.unfinished]),
        *places("complete:", [part.task_id for part in leftover.done]),
        *places("perhaps left by it, delete it yourself if so:", leftover.suspects),
    ]
