"""Writing what a dataset consists of, besides the unpacked export: both sides, labels.json, manifest.json."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from toolkit import __version__
from toolkit.dataset import labels
from toolkit.dataset.archive import Archive
from toolkit.dataset.assignment import Assignment
from toolkit.dataset.layout import EXPORTED, LABELS, MANIFEST, SIDES, TRAINING, VALIDATION
from toolkit.dataset.manifest import ImageRecord, LeakRecord, LeftOutRecord, Manifest, Source, lines
from toolkit.dataset.new_folders import make_folders
from toolkit.dataset.selection import Selection
from toolkit.dataset.sides import LinkMode, link_all


def record_dataset(
    archive: Archive,
    selection: Selection,
    assignment: Assignment,
    hashes: Sequence[bytes],
    *,
    numbers: Mapping[str, int],
    options: Mapping[str, object],
    warnings: Sequence[str],
) -> Manifest:
    """Put together what a dataset consists of.

    Args:
        archive: The export.
        selection: Its images, and what is left out.
        assignment: The sides.
        hashes: The SHA-256 of every member.
        numbers: The labels' ids.
        options: What had a say, by name.
        warnings: One line each.

    Returns:
        The manifest.
    """
    sides = [_side(assignment, index) for index in range(len(selection.images))]
    images = [
        ImageRecord(f"{side}/{image.name}", side, image.class_name, image.size, hashes[image.member].hex())
        for image, side in zip(selection.images, sides, strict=True)
    ]
    left_out = [
        LeftOutRecord(f"{EXPORTED}/{member.name}", str(reason), member.size, hashes[index].hex())
        for index, reason in selection.left_out.items()
        if (member := archive.members[index])
    ]
    equal = [
        LeakRecord(
            str(cluster.kind),
            sorted({sides[index] for index in cluster.images}),
            [images[index].path for index in cluster.images],
        )
        for cluster in assignment.clusters
    ]
    return Manifest(
        tool=__version__,
        source=Source(archive.path.name, archive.size, archive.whole.result()),
        options=options,
        labels=numbers,
        warnings=warnings,
        equal_images=equal,
        folders=_empty_folders(archive),
        images=images,
        left_out=sorted(left_out),
    )


def _empty_folders(archive: Archive) -> list[str]:
    if not archive.folders:
        return []
    filled = {member.name.rpartition("/")[0] for member in archive.members} | {
        folder.rpartition("/")[0] for folder in archive.folders
    }
    return sorted(f"{EXPORTED}/{folder}" for folder in archive.folders if folder not in filled)


def write_sides(
    tree: Path, selection: Selection, assignment: Assignment, classes: Iterable[str], mode: LinkMode
) -> None:
    """Write both sides beside an unpacked export.

    Args:
        tree: The folder in which ``cvat_exported`` lies.
        selection: The images.
        assignment: Their sides.
        classes: All classes; each has a folder on both sides, also an empty one.
        mode: How the sides get the export's bytes.
    """
    images = selection.images
    folders: dict[str, set[str]] = {side: set(classes) for side in SIDES}
    for index, image in enumerate(images):
        folders[_side(assignment, index)].add(image.name.rpartition("/")[0])
    for side, names_of_side in folders.items():
        (tree / side).mkdir()
        make_folders(tree / side, names_of_side)

    def names(index: int) -> tuple[str, str]:
        name = images[index].name
        return f"{tree}/{EXPORTED}/{name}", f"{tree}/{_side(assignment, index)}/{name}"

    link_all(mode, len(images), names)


def _side(assignment: Assignment, index: int) -> str:
    return VALIDATION if index in assignment.validation else TRAINING


def write_records(tree: Path, manifest: Manifest) -> None:
    """Write labels.json and manifest.json.

    Args:
        tree: The folder of the dataset.
        manifest: What the dataset consists of.
    """
    (tree / LABELS).write_text(labels.as_json(manifest.labels), encoding="utf-8")
    with (tree / MANIFEST).open("w", encoding="utf-8") as stream:
        stream.writelines(lines(manifest))
