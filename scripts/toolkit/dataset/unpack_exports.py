"""Unpacking all exports of a dataset, each by itself."""

import errno
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from toolkit.core.errors import ToolkitError
from toolkit.core.progress import Percent
from toolkit.core.workers import Engine
from toolkit.dataset.archive import Archive, reopen
from toolkit.dataset.exports import Exports, results_of
from toolkit.dataset.sides import make_folders
from toolkit.dataset.unpack import Contents, unpack


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
    exports: Exports, tree: Path | None, spare: Path | None, engine: Engine, on_percent: Callable[[], None]
) -> Contents:
    """Read every member of all exports, check it, hash it, and write it below a folder.

    Args:
        exports: The exports.
        tree: The folder to unpack into, which is made; None only checks and hashes.
        spare: A folder on the same file system for what is not finished, which is made.
        engine: Where the work is done.
        on_percent: Called for every hundredth of it.

    Returns:
        What was found, by the members of all.

    Raises:
        ToolkitError: Members are damaged, or have names that the file system refuses; all are listed.
        OSError: Reading or writing failed.
    """
    for folder in (spare, tree):
        if folder is not None:
            folder.mkdir()
    percent = Percent(len(exports.members), on_percent)
    jobs = [_UnpackJob(archive, tree, spare, engine.parallel, len(archive.members)) for archive in exports.archives]
    if spare is not None:
        (spare / _AT_WORK).touch()
    try:
        found = results_of(engine.run(_unpack, jobs, percent.add))
    except BaseException:
        if spare is not None:
            (spare / _AT_WORK).unlink()
            engine.settle()
        raise
    if len(found) == 1:
        return found[0]
    merged = Contents([], {}, set())
    for contents in found:
        start = len(merged.hashes)
        merged.formats.update({start + index: name for index, name in contents.formats.items()})
        merged.turned.update(start + index for index in contents.turned)
        merged.hashes.extend(contents.hashes)
    return merged


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
