"""Whether an export holds every frame of its project: the server's own list held against the names in the zip."""

import re
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from toolkit.core.errors import ToolkitError
from toolkit.core.formats import IMAGENET, UNLABELLED
from toolkit.core.storage import Place
from toolkit.core.text import some_names
from toolkit.cvat.api import Api, Label, session
from toolkit.cvat.connection import Connection
from toolkit.dataset.exports import write_completed
from toolkit.dataset.index import read_frames

_IMAGE_ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
_MASK_FOLDERS = re.compile(r"(^|/)(SegmentationClass|SegmentationObject|gtFine|masks?|[^/]*annot)/", re.IGNORECASE)
"""Folders in which formats for segmentation keep pictures that are no frames."""


@dataclass(frozen=True)
class Frame:
    """A frame as an export should show it; without labels it has no tag, or the format does not sort by tags."""

    name: str
    labels: tuple[str, ...] = ()


@dataclass
class ProjectFrames:
    """What the server lists.

    ``present`` are the frames of the exported tasks that are not deleted, ``deleted`` the names of those that are,
    ``open`` the names of those in no completed job, ``labelled`` of those with a label of any kind; these two are not
    asked for where the format sorts by tags.
    """

    present: list[Frame] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    open: set[str] = field(default_factory=set)
    labelled: set[str] = field(default_factory=set)

    @property
    def completed(self) -> set[str]:
        """The names that only frames of completed jobs have."""
        return {frame.name for frame in self.present} - self.open


@dataclass
class Difference:
    """How an export differs from what the server lists.

    Attributes:
        missing: Frames that are not in it; for "ImageNet 1.0" as label/name.
        doubled: Members that show a frame once more.
        deleted: Members that show a frame which was deleted in CVAT.
        count_only: The numbers of images there should be and there are, where the format gives frames new names.
        unlisted: Frames that an export without images does not list under their own names.
        unknown: Why nothing is known of this; empty where it is.
    """

    missing: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    count_only: tuple[int, int] | None = None
    unlisted: list[str] = field(default_factory=list)
    unknown: str = ""

    def warnings(self) -> list[str]:
        """Say it for a person, one line a kind."""
        lines = []
        if self.unknown:
            lines.append(f"the export is whole, but could not be held against the project's frames ({self.unknown})")
        if self.missing:
            lines.append(
                f"{len(self.missing)} images of the project are not in the export: {some_names(self.missing)}; "
                "frames that are named alike overwrite each other there: import them under different names"
            )
        if self.doubled:
            lines.append(f"{len(self.doubled)} images are in the export twice: {some_names(self.doubled)}")
        if self.deleted:
            lines.append(
                f"{len(self.deleted)} frames that were deleted in CVAT are in the export all the same, as this "
                f"version of it does: {some_names(self.deleted)}"
            )
        if self.unlisted:
            lines.append(
                f"{len(self.unlisted)} frames are not listed under their own names (exports write .jpg for .JPG, and "
                f"number equal names), so an index would have wrong addresses: {some_names(self.unlisted)}"
            )
        if self.count_only:
            wanted, found = self.count_only
            lines.append(f"the project has {wanted} frames, the export {found} images, under other names")
        return lines


def compare_with_server(
    connection: Connection,
    project_id: int,
    archive: Place,
    format_name: str,
    task_id: int | None = None,
    with_images: bool = True,
) -> tuple[int, Difference]:
    """Hold an export against what the server lists; a server that does not tell does not undo the export.

    Beside an export of boxes is written which of its frames are in completed jobs, and which have labels, also such as
    the format drops.

    Args:
        task_id: The one task that was exported; None for all of the project.
        with_images: Whether it has images; else the names in an "ImageNet 1.0" are held against the server's.

    Returns:
        How many frames the server lists (where it does not tell, how many images the zip holds), and the difference.
    """
    try:
        with session(connection) as api:
            tasks = [task_id] if task_id is not None else [task.id for task in api.tasks(project_id) if task.frames]
            listed = list_frames(api, tasks, api.labels(project_id), format_name)
        if format_name != IMAGENET:
            write_completed(archive, listed.completed, listed.labelled)
    except (ToolkitError, OSError) as error:
        return len(_images_in(archive)), Difference(
            unknown=error.message if isinstance(error, ToolkitError) else str(error)
        )
    if with_images:
        return len(listed.present), compare(listed, archive, format_name)
    names = {name for name, _ in read_frames(archive)} if format_name == IMAGENET else None
    unlisted = [frame.name for frame in listed.present if names is not None and frame.name not in names]
    return len(listed.present), Difference(unlisted=unlisted)


def list_frames(api: Api, task_ids: Iterable[int], labels: Sequence[Label], format_name: str) -> ProjectFrames:
    """Ask the server for the frames that an export of some tasks, which have data, should hold.

    Only for "ImageNet 1.0" the tags are asked for.
    """
    names = {label.id: label.name for label in labels}
    listed = ProjectFrames()
    for task_id in task_ids:
        frames = api.frames(task_id)
        tagged: dict[int, list[str]] = {}
        is_done = [False] * len(frames.names)
        if format_name == IMAGENET:
            for number, label in api.tags(task_id):
                if label in names and names[label] not in tagged.setdefault(number, []):
                    tagged[number].append(names[label])
        else:
            for job in api.completed_frames(task_id):
                for number in range(job.start, min(job.stop, len(is_done))):
                    is_done[number] = True
            with suppress(ToolkitError):  # so many labels that the answer is too long
                of_task = api.labelled_frames(task_id, len(is_done))
                listed.labelled.update(name for number, name in enumerate(frames.names) if number in of_task)
        for number, name in enumerate(frames.names):
            if number in frames.deleted:
                listed.deleted.append(name)
            else:
                listed.present.append(Frame(name, tuple(tagged.get(number, ()))))
                if not is_done[number]:
                    listed.open.add(name)
    return listed


def compare(listed: ProjectFrames, archive: Place, format_name: str) -> Difference:
    """Hold an export against what the server lists."""
    members = _images_in(archive)
    if format_name == IMAGENET:
        return _compare_by_tags(listed, Counter(members))
    return _compare_by_names(listed, members)


def _images_in(archive: Place) -> list[str]:
    with archive.open("rb") as stream, zipfile.ZipFile(stream) as opened:
        return [name for name in opened.namelist() if _is_image(name)]


def _is_image(name: str) -> bool:
    return name.lower().endswith(_IMAGE_ENDINGS) and not _MASK_FOLDERS.search(name)


def _compare_by_tags(listed: ProjectFrames, members: Counter[str]) -> Difference:
    counts = Counter(frame.name for frame in listed.present)
    wanted = [(label, frame.name) for frame in listed.present for label in frame.labels or (UNLABELLED,)]
    missing = _claim(wanted, counts, members)
    deleted = [name for name in listed.deleted if _pop_ending(name, members)]
    return Difference(
        missing=[f"{label}/{name}" for label, name in missing], doubled=sorted(members.elements()), deleted=deleted
    )


def _claim(wanted: list[tuple[str, str]], counts: Counter[str], members: Counter[str]) -> list[tuple[str, str]]:
    """Take the members out that show a frame under its label, and return what none shows; exact names come first."""
    for renames in (False, True):
        left = []
        for label, name in wanted:
            numbers = range(1, counts[name]) if renames else ()
            found = next((path for path in _places(label, name, numbers, renames) if members[path] > 0), None)
            if found is None:
                left.append((label, name))
            else:
                members[found] -= 1
        wanted = left
    return wanted


def _places(label: str, name: str, numbers: Iterable[int], renames: bool) -> Iterator[str]:
    """Yield where an export may put a frame; servers differ in whether they repeat a folder named as the label."""
    for spelled in dict.fromkeys((name, _small_ending(name), name.partition(":")[2] or name)):
        for variant in (_numbered(spelled, number) for number in numbers) if renames else (spelled,):
            yield f"{label}/{variant}"
            if variant.startswith(f"{label}/"):
                yield variant


def _numbered(name: str, number: int) -> str:
    stem, dot, ending = name.rpartition(".")
    return f"{stem}_{number}{dot}{ending}" if dot else f"{name}_{number}"


def _small_ending(name: str) -> str:
    stem, dot, ending = name.rpartition(".")
    return f"{stem}{dot}{ending.lower()}"


def _pop_ending(name: str, members: Counter[str]) -> bool:
    found = next((path for path, left in members.items() if left and (path == name or path.endswith(f"/{name}"))), None)
    if found is not None:
        members[found] -= 1
    return found is not None


def _compare_by_names(listed: ProjectFrames, members: Sequence[str]) -> Difference:
    counts = Counter(frame.name for frame in listed.present)
    left = counts.copy()
    for of_member, of_frame in _PASSES:
        by_key: dict[str, list[str]] = {}
        for name in +left:
            if of_member is not _without_number or counts[name] > 1:  # else it is the frame's own
                by_key.setdefault(of_frame(name), []).append(name)
        members = [member for member in members if not _claim_by(of_member, member, by_key, left)]
    missing = sorted(left.elements())
    if missing and len(missing) == len(listed.present):  # the format numbers its pictures anew
        return Difference(count_only=None if len(members) == len(missing) else (len(missing), len(members)))
    gone = Counter(listed.deleted)
    difference = Difference(missing=missing)
    for member in members:
        deleted = next((tail for tail in _tails(member) if gone[tail] > 0), None)
        if deleted is not None:
            gone[deleted] -= 1
            difference.deleted.append(deleted)
        elif any(tail in counts for tail in _tails(member)):
            difference.doubled.append(member)
    return difference


def _claim_by(key: Callable[[str], str], member: str, by_key: dict[str, list[str]], left: Counter[str]) -> bool:
    for tail in _tails(member):
        for name in by_key.get(key(tail), ()):
            if left[name] > 0:
                left[name] -= 1
                return True
    return False


def _tails(member: str) -> Iterator[str]:
    """Yield what may be the frame's name in a member's path, the longest first."""
    parts = member.split("/")
    for start in range(len(parts)):
        yield "/".join(parts[start:])


def _as_it_is(name: str) -> str:
    return name


def _without_number(name: str) -> str:
    stem, dot, ending = name.rpartition(".")
    return re.sub(r"_\d+$", "", stem) + dot + ending


def _stem(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))


_PASSES = ((_as_it_is, _as_it_is), (_small_ending, _small_ending), (_without_number, _as_it_is), (_stem, _stem))
"""How a member's name and a frame's are brought to one form, the surest first."""
