"""Writing what a dataset consists of, besides the unpacked export: both sides, labels.json, manifest.json."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from toolkit import __version__, labels
from toolkit.archive import Archive
from toolkit.assignment import Assignment
from toolkit.dataset_layout import EXPORTED, LABELS, MANIFEST, SIDES, TRAINING, VALIDATION
from toolkit.extraction import Hashes
from toolkit.links import LinkMode, link_all
from toolkit.manifest import ImageRecord, LeakRecord, LeftOutRecord, Manifest, Source, lines
from toolkit.selection import Selection


def record_dataset(
    archive: Archive,
    selection: Selection,
    assignment: Assignment,
    hashes: Hashes,
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
        hashes: What everything contains.
        numbers: The labels' ids.
        options: What had a say, by name.
        warnings: One line each.

    Returns:
        The manifest.
    """
    sides = [VALIDATION if index in assignment.validation else TRAINING for index in range(len(selection.images))]
    images = [
        ImageRecord(f"{side}/{image.name}", side, image.class_name, image.size, hashes.members[image.member].hex())
        for image, side in zip(selection.images, sides, strict=True)
    ]
    left_out = [
        LeftOutRecord(f"{EXPORTED}/{member.name}", str(reason), member.size, hashes.members[index].hex())
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
        source=Source(archive.path.name, archive.size, hashes.archive),
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


def write_dataset(tree: Path, manifest: Manifest, mode: LinkMode) -> None:
    """Write both sides, the labels and the manifest beside an unpacked export.

    Args:
        tree: The folder in which ``cvat_exported`` lies.
        manifest: What the dataset consists of.
        mode: How the sides get the export's bytes.
    """
    folders = {f"{side}/{name}" for side in SIDES for name in manifest.labels}
    folders.update(record.path.rpartition("/")[0] for record in manifest.images)
    for folder in sorted(folders):
        (tree / folder).mkdir(parents=True, exist_ok=True)
    link_all(mode, tree, [(record.exported_path, record.path) for record in manifest.images])
    (tree / LABELS).write_text(labels.as_json(manifest.labels), encoding="utf-8")
    with (tree / MANIFEST).open("w", encoding="utf-8") as stream:
        stream.writelines(lines(manifest))
