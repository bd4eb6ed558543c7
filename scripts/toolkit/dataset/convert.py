"""From an export to a dataset: the export unpacked, its two sides, labels.json and manifest.json."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from toolkit.core.errors import ToolkitError, UsageError
from toolkit.dataset import labels
from toolkit.dataset import publish as placement
from toolkit.dataset.archive import Archive, open_archive
from toolkit.dataset.assignment import Assignment, Rules, assign, check_sides, drop_multi_label, early_assignment
from toolkit.dataset.dataset_files import record_dataset, write_records, write_sides
from toolkit.dataset.dataset_warnings import find_warnings
from toolkit.dataset.disk_space import check_space, needed_space
from toolkit.dataset.layout import EXPORTED, OWN
from toolkit.dataset.manifest import Manifest
from toolkit.dataset.new_folders import make_folders
from toolkit.dataset.publish import Placement
from toolkit.dataset.selection import Selection, Unlabelled, select
from toolkit.dataset.sides import LinkMode, usable_mode
from toolkit.dataset.split import SplitMethod
from toolkit.dataset.unpack import unpack


@dataclass(frozen=True)
class Request:
    """What is to be converted, and how.

    Attributes:
        base_file: The exported zip.
        target: Folder for the dataset; made if missing.
        rules: How the images are split.
        unlabelled: What becomes of the images without a tag.
        labels_file: Pinned names and ids, or None.
        link_mode: How the sides share the bytes of the unpacked export.
        overwrite: Replace a dataset that is there.
    """

    base_file: Path
    target: Path
    rules: Rules
    unlabelled: Unlabelled = Unlabelled.DROP
    labels_file: Path | None = None
    link_mode: LinkMode = LinkMode.AUTO
    overwrite: bool = False

    def options(self) -> dict[str, object]:
        """List all that has a say in the dataset, by the names of the command's options."""
        return {
            **self.rules.options(),
            "unlabelled": self.unlabelled,
            "labels": self.labels_file.name if self.labels_file else None,
            "link_mode": self.link_mode,
        }


@dataclass(frozen=True)
class Converted:
    """What became, or in a dry run would become, of an export.

    Attributes:
        manifest: The dataset as it is recorded.
        link_mode: How the bytes are shared in fact; None in a dry run.
        bytes_needed: Disk space of the dataset.
    """

    manifest: Manifest
    link_mode: LinkMode | None
    bytes_needed: int


def convert(request: Request, on_percent: Callable[[], None] = lambda: None) -> Converted:
    """Make a dataset of an export; it appears as a whole or not at all.

    Args:
        request: What to do.
        on_percent: Called for every hundredth of the unpacking.

    Returns:
        What was made.

    Raises:
        UsageError: The request cannot be meant so.
        ToolkitError: The archive is unsafe or damaged, there is a dataset already, or a side would be empty.
        ProblemsFound: A check found what the request calls an error.
        OSError: Reading or writing failed.
    """
    placement.recover(request.target)
    with open_archive(request.base_file) as archive:
        plan = _plan(request, archive)
        check_space(archive, request.target, request.link_mode is LinkMode.COPY)
        with Placement(request.target, request.overwrite) as place:
            mode = usable_mode(request.link_mode, place.tree)
            exported = place.tree / EXPORTED
            exported.mkdir()
            make_folders(exported, archive.all_folders())
            hashes = unpack(archive, str(exported), on_percent)
            selection, assignment = _decide(request, plan, hashes)
            write_sides(place.tree, selection, assignment, plan.labels, mode)
            manifest = _record(request, archive, plan.labels, selection, assignment, hashes)
            write_records(place.tree, manifest)
            place.publish()
    return Converted(manifest, mode, needed_space(archive, mode is LinkMode.COPY))


def dry_run(request: Request, on_percent: Callable[[], None] = lambda: None) -> Converted:
    """Do all that :func:`convert` does, but write nothing.

    Args:
        request: What would be done.
        on_percent: Called for every hundredth of the reading.

    Returns:
        What would be made.

    Raises:
        ToolkitError: As :func:`convert` does.
    """
    with open_archive(request.base_file) as archive:
        plan = _plan(request, archive)
        copies = request.link_mode is LinkMode.COPY
        check_space(archive, request.target, copies)
        hashes = unpack(archive, None, on_percent)
        selection, assignment = _decide(request, plan, hashes)
        manifest = _record(request, archive, plan.labels, selection, assignment, hashes)
        return Converted(manifest, None, needed_space(archive, copies))


@dataclass(frozen=True)
class _Plan:
    """What is known before the first image is read."""

    selection: Selection
    labels: dict[str, int]
    assignment: Assignment | None


def _plan(request: Request, archive: Archive) -> _Plan:
    placement.check(request.target, request.overwrite)
    inside = [name for name in OWN if request.base_file.is_relative_to(request.target / name)]
    if inside:
        raise UsageError(f"{request.base_file} lies in the dataset that would be replaced: move it out of {inside[0]}")
    selection = select(archive, request.unlabelled, as_reference=request.rules.method is SplitMethod.REFERENCE)
    if request.labels_file is None:
        numbers = labels.number(selection.classes)
    else:
        numbers = labels.read_pinned(request.labels_file)
        labels.check_covers(numbers, selection.classes, request.labels_file)
    if not selection.images:
        raise ToolkitError(f"{archive.path} holds no image in a class folder: tag images in CVAT, then export again")
    return _Plan(selection, numbers, early_assignment(request.rules, selection))


def _decide(request: Request, plan: _Plan, hashes: Sequence[bytes]) -> tuple[Selection, Assignment]:
    """Decide the sides, now that the content is known."""
    selection = drop_multi_label(request.rules, plan.selection, hashes)
    unchanged = plan.assignment if selection is plan.selection else None
    assignment = assign(request.rules, selection, hashes, unchanged)
    check_sides(request.rules, assignment, len(selection.images))
    return selection, assignment


def _record(
    request: Request,
    archive: Archive,
    numbers: Mapping[str, int],
    selection: Selection,
    assignment: Assignment,
    hashes: Sequence[bytes],
) -> Manifest:
    return record_dataset(
        archive,
        selection,
        assignment,
        hashes,
        numbers=numbers,
        options=request.options(),
        warnings=find_warnings(selection, assignment, numbers, archive),
    )
