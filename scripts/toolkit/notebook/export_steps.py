"""The export notebook: the export, and what is in it."""

import zipfile
from collections import Counter
from pathlib import Path

from toolkit.config.model import ExportKeys, target_in
from toolkit.core.errors import UsageError
from toolkit.core.formats import IMAGENET, UNLABELLED
from toolkit.core.storage import local
from toolkit.core.text import format_size
from toolkit.cvat.api import Label, session
from toolkit.cvat.connection import Connection
from toolkit.notebook.display import from_top, show, status, warn
from toolkit.notebook.sheets import of_zip, show_sheet
from toolkit.report.facts import Dataset, gather
from toolkit.report.readers import open_export
from toolkit.transfer.compare import compare_with_server
from toolkit.transfer.export import Export, ExportProgress, check_format, check_offered, check_target, fetch

_INTERRUPTED = "the export was given up: no zip and no temporary file was left"


def check_export(connection: Connection, keys: ExportKeys, labels: list[Label], overwrite: bool = False) -> None:
    """Check, before the server works for it, that the export can be made and put where it belongs.

    Args:
        connection: The server.
        keys: What to export, and where to.
        labels: The labels of the project.
        overwrite: Whether an older export may be replaced.

    Raises:
        ToolkitError: There is an older export, or the format does not fit.
    """
    check_target(_target(keys), overwrite)
    check_format(keys.export_format, None, labels)
    with session(connection) as api:
        check_offered(api, keys.export_format, keys.cvat_project_id)
    text = f'"{keys.export_format}" can be exported to {from_top(_target(keys).parent)}'
    show("finished", text, text=text, good=True)


def _target(keys: ExportKeys) -> Path:
    return local(target_in(keys.export_dir, keys.cvat_project_id), "the notebook")


def export(connection: Connection, keys: ExportKeys, overwrite: bool = False) -> Path:
    """Export the dataset of the project.

    Args:
        connection: The server.
        keys: What to export, and where to.
        overwrite: Whether an older export is replaced.

    Returns:
        The zip.

    Raises:
        ToolkitError: It failed; nothing is left behind.
        KeyboardInterrupt: It was interrupted; nothing is left behind.
    """
    target = _target(keys)
    request = Export(keys.cvat_project_id, keys.export_format, target, overwrite)
    try:
        with status("exporting") as update:
            fetch(connection, request, ExportProgress(update, warn))
    except KeyboardInterrupt as error:
        error.add_note(_INTERRUPTED)
        raise
    _, difference = compare_with_server(connection, keys.cvat_project_id, target, keys.export_format)
    for line in difference.warnings():
        warn(line)
    return target


def show_export(path: Path, format_name: str) -> None:
    """Show what is in an export: a table, and images, with their boxes where the format can be read.

    Args:
        path: The zip.
        format_name: Its format.
    """
    text = f"{from_top(path)}, {format_size(path.stat().st_size)}"
    show("finished", text, text=text, good=True)
    if format_name == IMAGENET:
        _show_classes(path)
        return
    try:
        with open_export(path) as dataset:
            _show_boxes(dataset)
    except UsageError:  # a format that the report cannot read
        _show_members(path, format_name)


def _show_classes(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        dataset = of_zip(archive, by_folder=True)
        counts = Counter(image.label for image in dataset.images)
        rows = [(name, counts[name]) for name in dataset.classes]
        show(
            "table",
            "\n".join(f"{name}: {count}" for name, count in rows),
            headings=("label", "images"),
            rows=rows,
            numbers=(1,),
            total=("all", len(dataset.images)),
        )
        if counts[UNLABELLED]:
            warn(f"{counts[UNLABELLED]} images have no tag ({UNLABELLED}): tag them in CVAT, then export again")
        show_sheet(dataset, "The images by label:", per_class=8)


def _show_boxes(dataset: Dataset) -> None:
    facts = gather(dataset, "")
    rows = [(row.name, sum(row.boxes.values()) if row.boxes else 0, sum(row.images.values())) for row in facts.classes]
    boxes = facts.boxes.total if facts.boxes else 0
    without = sum(1 for image in dataset.images if not image.boxes)
    show(
        "table",
        "\n".join(f"{name}: {count} boxes in {images} images" for name, count, images in rows),
        headings=("label", "boxes", "images with it"),
        rows=rows,
        numbers=(1, 2),
        total=("all", boxes, len(dataset.images) - without),
    )
    if without:
        warn(f"{without} images have no box")
    show_sheet(dataset, f"The images with their boxes, read from {dataset.format_name}:", per_class=4)


def _show_members(path: Path, format_name: str) -> None:
    with zipfile.ZipFile(path) as archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
        files: Counter[str] = Counter()
        bytes_: Counter[str] = Counter()
        for member in members:
            folder, slash, _ = member.filename.rpartition("/")
            files[folder + slash or "(top)"] += 1
            bytes_[folder + slash or "(top)"] += member.file_size
        rows = [(folder, files[folder], format_size(bytes_[folder])) for folder in sorted(files)][:50]
        show(
            "table",
            "\n".join(f"{folder}: {count} files, {text}" for folder, count, text in rows),
            headings=("folder of the zip", "files", "size"),
            rows=rows,
            numbers=(1, 2),
            total=("all", len(members), format_size(sum(bytes_.values()))),
        )
        dataset = of_zip(archive, by_folder=False)
        if dataset.images:
            show_sheet(dataset, f"Images of the export; the boxes of {format_name} cannot be drawn here:")
