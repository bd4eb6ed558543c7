"""The exports that one dataset is made of: each is read and unpacked by itself, and seen as one with the others.

Reading one is a pure function of a job that can be sent elsewhere, as is unpacking one: where and when each runs, and
how often if a worker dies, changes nothing in the dataset.
"""

import errno
import json
import re
import secrets
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from toolkit.core.errors import ToolkitError, UsageError
from toolkit.core.files import make_folders
from toolkit.core.formats import IMAGENET
from toolkit.core.safe_names import fold, is_junk, problem_with_name
from toolkit.core.sequences import Computed, Joined
from toolkit.core.storage import Place, size_of, write
from toolkit.core.text import Percent, some_names
from toolkit.core.workers import Engine
from toolkit.dataset.archive import Archive, Member, open_archive, reopen
from toolkit.dataset.export_files import Kind, recognise
from toolkit.dataset.unpack import Contents, Hashes, unpack

if TYPE_CHECKING:
    from toolkit.dataset.detection_read import DetectionExport

_Result = TypeVar("_Result")


class Export(NamedTuple):
    """An export.

    Attributes:
        archive: Its archive, closed.
        kind: What it was recognised as.
    """

    archive: Archive
    kind: Kind

    @property
    def folder(self) -> str:
        """What it is called in the dataset; empty for the only one."""
        return self.archive.prefix[:-1]

    @property
    def root(self) -> str:
        """What the names of all its members begin with that says nothing about them."""
        return self.archive.prefix + self.kind.root

    @property
    def has_boxes(self) -> bool:
        """Whether it is one of boxes."""
        if self.kind.name == IMAGENET:
            return False
        from toolkit.dataset.detection_read import READERS

        return self.kind.name in READERS


class Exports(NamedTuple):
    """All exports of one dataset.

    Attributes:
        each: They themselves, in an order that follows from their names.
        members: The members of all of them, one export's after the other's.
    """

    each: list[Export]
    members: Computed[Member]

    @property
    def title(self) -> str:
        """What errors call them."""
        paths = [export.archive.path for export in self.each]
        return str(paths[0]) if len(paths) == 1 else f"{len(paths)} exports ({some_names(path.name for path in paths)})"

    @property
    def archives(self) -> list[Archive]:
        """Their archives."""
        return [export.archive for export in self.each]

    @property
    def are_boxes(self) -> bool:
        """Whether they are exports of boxes."""
        return self.each[0].has_boxes

    def numbered(self) -> Iterator[tuple[int, Export]]:
        """Give each with the index that its first member has among all."""
        start = 0
        for export in self.each:
            yield start, export
            start += len(export.archive.members)

    def finder(self) -> Callable[[int], Export]:
        """Give a function that finds the export of a member, by the member's index."""
        if len(self.each) == 1:
            only = self.each[0]
            return lambda _member: only
        starts = [start for start, _ in self.numbered()]
        return lambda member: self.each[bisect_right(starts, member) - 1]


class _ReadJob(NamedTuple):
    """What is to be read."""

    path: Place
    prefix: str
    keep_junk: bool
    weight: int = 0


def read_exports(paths: Sequence[Place], keep_junk: bool, engine: Engine) -> Exports:
    """Read the directories of some exports.

    Args:
        paths: The zips.
        keep_junk: Take junk, and a folder around everything, for what they look like.
        engine: Where the work is done.

    Raises:
        UsageError: One is not there.
        ToolkitError: One cannot be used, or they are not of one kind; all that is wrong is named.
    """
    jobs = [_ReadJob(path, prefix, keep_junk) for path, prefix in _prefixes(paths)]
    exports = results_of(engine.run(_read, jobs))
    kinds: dict[bool, Export] = {}
    for export in exports:
        kinds.setdefault(export.has_boxes, export)
    if len(kinds) > 1:
        raise ToolkitError(
            f"{kinds[False].archive.path} is an export in format {kinds[False].kind.name}, "
            f"{kinds[True].archive.path} one of boxes ({kinds[True].kind.name}): one dataset is made of one kind"
        )
    lists = [export.archive.members for export in exports]
    return Exports(exports, lists[0] if len(lists) == 1 else Joined(lists))


def _read(job: _ReadJob, _on_done: Callable[[int], None]) -> Export | ToolkitError:
    try:
        with open_archive(job.path, job.prefix) as archive:
            skipped = len(job.prefix)
            return Export(archive, recognise([member.name[skipped:] for member in archive.members], job.keep_junk))
    except ToolkitError as error:
        return error


class _LabelJob(NamedTuple):
    """An export whose labels are to be read."""

    export: Export
    weight: int = 0


def read_boxes(exports: Exports, engine: Engine) -> "list[DetectionExport]":
    """Read the labels of exports of boxes.

    Raises:
        ToolkitError: A file of labels as a whole cannot be read, or no image is in a zip; all that is wrong is named.
    """
    return results_of(engine.run(_read_labels, [_LabelJob(export) for export in exports.each]))


def _read_labels(job: _LabelJob, _on_done: Callable[[int], None]) -> "DetectionExport | ToolkitError":
    from toolkit.dataset.detection_read import read_export

    try:
        with reopen(job.export.archive) as archive:
            return read_export(archive, job.export.kind)
    except ToolkitError as error:
        return error


def in_several(names: Sequence[str], folders: Sequence[str]) -> Iterator[int]:
    """Find the names that several exports have.

    Args:
        names: The names.
        folders: The export's folder of each.

    Yields:
        Their indices.
    """
    first: dict[str, str] = {}
    several = {name for name, folder in zip(names, folders, strict=True) if first.setdefault(name, folder) != folder}
    for index, name in enumerate(names):
        if name in several:
            yield index


def results_of(found: Sequence[_Result | ToolkitError]) -> list[_Result]:
    """Give the results of what was done with each export, or raise what was wrong with some, all at once."""
    errors = [one for one in found if isinstance(one, ToolkitError)]
    if len(errors) == 1:
        # A new one: that in the list would hold the list, a ring that keeps a cluster's connection open to the end.
        raise type(errors[0])(errors[0].message, errors[0].details)
    if errors:
        kind = UsageError if all(isinstance(error, UsageError) for error in errors) else ToolkitError
        lines = [line for error in errors for line in (error.message, *error.details)]
        raise kind(f"{len(errors)} of {len(found)} exports cannot be used", lines)
    return [one for one in found if not isinstance(one, ToolkitError)]


def _prefixes(paths: Sequence[Place]) -> Iterator[tuple[Place, str]]:
    """Name the folder of each export among the others, in an order that is the same however they were given."""
    if len(paths) == 1:
        yield paths[0], ""
        return
    taken: set[str] = set()
    for number, path in enumerate(sorted(paths, key=_natural_order), 1):
        stem = re.sub(r"\.zip$", "", path.name, flags=re.IGNORECASE)
        if ".." in stem or stem.startswith(".") or is_junk(stem) or problem_with_name(stem):
            stem = f"export-{number}"  # no folder that is passed over, or not taken
        candidates = (stem, *(f"{stem}-{more}" for more in range(2, len(paths) + 2)))
        name = next(name for name in candidates if fold(name) not in taken)
        taken.add(fold(name))
        yield path, f"{name}/"


def _natural_order(path: Place) -> tuple[list[tuple[str, int]], str]:
    """Sort task-2 before task-10."""
    parts = re.split(r"([0-9]+)", path.name)
    return [(part, 0) if number % 2 == 0 else ("", int(part)) for number, part in enumerate(parts)], str(path)


_LARGEST = 256 << 20


_ENDING = ".completed.json"


def list_beside(path: Place) -> Place:
    """Name the list of an export's zip."""
    return path.with_suffix(_ENDING)


class Reviewed(NamedTuple):
    """What CVAT knew of an export's frames: those of completed jobs, and those with a label of any kind."""

    completed: frozenset[str]
    labelled: frozenset[str]


def write_completed(path: Place, completed: Iterable[str], labelled: Iterable[str]) -> None:
    """Write the list of an export; it is known to be of this export by the directory of the zip."""
    with open_archive(path) as archive:
        known = archive.directory_sha256()
    content = {"directory_sha256": known, "completed": sorted(completed), "labelled": sorted(labelled)}
    write(list_beside(path), json.dumps(content, ensure_ascii=False, indent=0) + "\n")


def read_completed(archive: Archive) -> Reviewed | None:
    """Read the list of an export; None if there is none of this very export."""
    path = list_beside(archive.path)
    try:
        size = size_of(path)
        if size is None or size > _LARGEST:
            return None
        content = json.loads(path.read_text("utf-8"))
        if content["directory_sha256"] != archive.directory_sha256():
            return None
        return Reviewed(
            frozenset(str(name) for name in content["completed"]),
            frozenset(str(name) for name in content.get("labelled", ())),
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


class _UnpackJob(NamedTuple):
    """What is to be unpacked, and where to.

    Attributes:
        archive: The closed archive.
        tree: The folder that all exports are unpacked into; None only checks and hashes.
        spare: A folder on the same file system for what is not finished.
        processes: How many it may take at most.
        weight: The number of members.
    """

    archive: Archive
    tree: Path | None
    spare: Path | None
    processes: int
    weight: int


def unpack_exports(
    exports: Exports,
    tree: Path | None,
    spare: Path | None,
    engine: Engine,
    on_percent: Callable[[], None],
    meanwhile: Callable[[], _Result],
) -> tuple[Contents, _Result]:
    """Read every member of all exports, check it, hash it, and write it below a folder.

    Args:
        exports: The exports.
        tree: The folder to unpack into, which is made; None only checks and hashes.
        spare: A folder on the same file system for what is not finished, which is made.
        engine: Where the work is done.
        on_percent: Called for every hundredth of it.
        meanwhile: Called once, when the processes that do the work are at it. What it raises ends them.

    Returns:
        What was found, by the members of all, and the result of ``meanwhile``.

    Raises:
        ToolkitError: Members are damaged, or have names that the file system refuses; all are listed.
        OSError: Reading or writing failed.
    """
    for folder in (spare, tree):
        if folder is not None:
            folder.mkdir()
    meanwhile = cache(meanwhile)

    def go_on() -> None:
        try:
            meanwhile()
        except ToolkitError as error:  # it says nothing of the export that is being unpacked
            raise _MeanwhileFailed from error
        on_percent()

    percent = Percent(len(exports.members), go_on)
    jobs = [_UnpackJob(archive, tree, spare, engine.parallel, len(archive.members)) for archive in exports.archives]
    if spare is not None:
        (spare / _AT_WORK).touch()
    try:
        found = results_of(engine.run(_unpack, jobs, percent.add))
    except BaseException as error:
        if spare is not None:
            (spare / _AT_WORK).unlink()
            engine.settle()
        if isinstance(error, _MeanwhileFailed) and error.__cause__:
            raise error.__cause__ from None
        raise
    if len(found) == 1:
        return found[0], meanwhile()
    merged = Contents(Hashes(b"".join(contents.hashes.digests for contents in found)), {}, set(), set())
    for (start, _), contents in zip(exports.numbered(), found, strict=True):
        merged.formats.update({start + index: name for index, name in contents.formats.items()})
        merged.turned.update(start + index for index in contents.turned)
        merged.unreadable.update(start + index for index in contents.unreadable)
    return merged, meanwhile()


class _MeanwhileFailed(Exception):
    """What is done beside the unpacking has failed; the cause tells how."""


_AT_WORK = "at-work"
"""A file that is there as long as anybody waits for the result: how else would a worker on another machine know?"""


def _unpack(job: _UnpackJob, on_done: Callable[[int], None]) -> Contents | ToolkitError:
    """Unpack one export; one that a killed worker had begun is begun anew, in another place."""
    try:
        with reopen(job.archive) as archive:
            if job.tree is None or job.spare is None:
                return unpack(archive, None, on_done, job.processes)
            spare = job.spare

            def go_on(count: int) -> None:
                if not (spare / _AT_WORK).exists():
                    raise ToolkitError(
                        f"{spare} is not there: the workers see another file system, or nobody waits any more"
                    )
                on_done(count)

            go_on(0)
            place = spare / secrets.token_hex(8)
            root = place / archive.prefix
            root.mkdir(parents=True)
            make_folders(root, archive.all_folders())
            contents = unpack(archive, str(place), go_on, job.processes)
    except ToolkitError as error:
        return error
    try:
        root.rename(job.tree / archive.prefix)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise  # else: a worker that was taken for dead has finished before us
    return contents
