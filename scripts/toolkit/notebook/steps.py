"""The steps of the notebooks: configuration and sign-in, then the import, the export or the conversion."""

import dataclasses
import os
import shlex
import zipfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pydantic import SecretStr

from toolkit.config.file import DEFAULT_FILE, SAMPLE, ConfigurationFile
from toolkit.config.load import expand, find_configuration, stale_exports
from toolkit.config.model import Configuration, ConvertKeys, ExportKeys, ImportKeys, Keys, target_in
from toolkit.core.errors import UsageError
from toolkit.core.formats import IMAGENET, UNLABELLED
from toolkit.core.storage import local
from toolkit.core.text import Watch, format_size
from toolkit.cvat.api import Api, Label, session, signing_in
from toolkit.cvat.cli import loading
from toolkit.cvat.connection import Connection
from toolkit.cvat.probes import server_version
from toolkit.dataset import convert as conversion
from toolkit.dataset import detection_manifest
from toolkit.dataset.assignment import Rules
from toolkit.dataset.convert import Converted, Request
from toolkit.dataset.detection_manifest import DetectionManifest
from toolkit.dataset.split import SplitMethod
from toolkit.dataset.summary import counts, left_out
from toolkit.notebook.display import from_top, of_folder, of_zip, per_cent, progress, show, show_sheet, status, warn
from toolkit.report.facts import Dataset, gather
from toolkit.report.html import bar_chart
from toolkit.report.read_folder import read_folder
from toolkit.report.readers import open_export
from toolkit.transfer.batches import Decision, FolderImport
from toolkit.transfer.compare import compare_with_server
from toolkit.transfer.export import Export, ExportProgress, check_format, check_offered, check_target, fetch
from toolkit.transfer.images import FoundImages, Image, check_images, describe_left_out, find_images
from toolkit.transfer.journal import ImportTarget
from toolkit.transfer.task import ImportOptions


def open_configuration() -> ConfigurationFile:
    """Open the configuration.json beside the notebook, not yet checked, and show where it is.

    Raises UsageError where it is missing (the message has the command that copies the sample) or is no JSON object.
    """
    folder = Path.cwd()
    if not os.path.lexists(DEFAULT_FILE):
        sample, wanted = (shlex.quote(str(folder / name)) for name in (SAMPLE, DEFAULT_FILE))
        raise UsageError(
            f"{DEFAULT_FILE} does not exist beside this notebook: copy the sample, fill it in, and run again",
            [f"cp {sample} {wanted}"],
        )
    found = find_configuration(Path(DEFAULT_FILE))
    assert found.file is not None
    text = f"{DEFAULT_FILE} exists, in {from_top(folder)}"
    show("finished", text, text=text, good=True)
    for line in found.warnings:
        warn(line)
    return found.file


def show_keys(keys: Keys, connection: Connection | None = None) -> None:
    """Show the parameters of a step, which are all there and right, and the server it needs; never a password."""
    rows: list[Sequence[object]] = []
    if connection is not None:
        who = connection.username or "the owner of the access token"
        secret = "access token" if connection.token else "password"
        rows = [
            ("CVAT", connection.url, "The server."),
            ("user", who, f"Signs in with a {secret}, which is not shown."),
        ]
    for key in type(keys).model_fields:
        value = getattr(keys, key)
        rows.append((key, _shown(value), Configuration.model_fields[key].description or ""))
    text = "\n".join(f"{name}: {value}" for name, value, _ in rows)
    show("table", text, headings=("parameter", "value", "meaning"), rows=rows, good="every parameter is there")


def _shown(value: object) -> str:
    if isinstance(value, SecretStr):
        return "not shown"
    return from_top(value) if isinstance(value, Path) else str(value)


def show_project(api: Api, connection: Connection, project_id: int) -> list[Label]:
    """Show the project that one is signed in to see, and return its labels; raises ToolkitError where there is none."""
    labels = api.labels(project_id)
    tasks = api.tasks(project_id)
    name = api.project_name(project_id)
    who = f"signed in as {connection.username}" if connection.username else "signed in with the access token"
    good = f"{who} to CVAT {server_version(connection.url)}"
    rows = [
        ("project", {"text": f"{project_id}: {name}", "url": connection.project_url(project_id)}),
        ("labels", ", ".join(f"{label.name} ({label.type})" for label in labels) or "none yet"),
        ("tasks", f"{len(tasks)}, with {sum(task.frames for task in tasks):,} frames"),
    ]
    text = f"{good}\nproject {project_id}: {name}\nlabels: {rows[1][1]}\ntasks: {rows[2][1]}"
    show("table", text, headings=("", ""), rows=rows, good=good)
    return labels


def find_and_check(keys: ImportKeys) -> FoundImages:
    """Find the images, look into each, and show what will be imported, and what is left out.

    Raises ToolkitError where there are none, or some cannot be imported; all are named.
    """
    found = find_images(keys.import_dir, keys.import_image_extension)
    with progress("checking images", len(found.images)) as advance:
        check_images(found.images, on_image=advance)
    for line in describe_left_out(found.left_out):
        warn(line)
    dataset = of_folder(found.images)
    bytes_ = format_size(sum(image.size for image in found.images))
    folders = f", in {len(dataset.classes)} folders" if len(dataset.classes) > 1 else ""
    show_sheet(dataset, f"{len(found.images):,} images will be imported, {bytes_}{folders}")
    return found


def import_task(
    connection: Connection, keys: ImportKeys, images: Sequence[Image], tags_from_folders: bool = False
) -> int:
    """Import the images as one task, and return its number; if that fails or is interrupted, it is deleted again.

    What a killed kernel has left of an import of the same name and folder is deleted first, if it is unfinished. With
    ``tags_from_folders`` each image is tagged with the name of its first folder. A note of the interrupt says what was
    undone.
    """
    said: list[str] = []
    name = keys.import_task_name.strip() or keys.import_task_name  # as the server keeps it
    target = ImportTarget(connection.url, keys.cvat_project_id, name, str(keys.import_dir))
    watch = Watch(progress, lambda: status("importing"), said.append, warn)
    with loading() as client, signing_in(connection, warn) as sign_in:
        work = FolderImport(connection, target, images, ImportOptions(tags_from_folders), watch, client, sign_in)
        try:
            work.run(lambda interrupted: Decision(roll_back=True))
        except BaseException as error:
            for line in said or ["no task had been made"] * isinstance(error, KeyboardInterrupt):
                error.add_note(line)
            raise
    (task,) = work.tasks
    assert task.task_id is not None
    return task.task_id


def show_task(connection: Connection, keys: ImportKeys, task_id: int) -> None:
    """Show the task that was made, with a link to it, among the others of its project."""
    with session(connection) as api:
        tasks = api.tasks(keys.cvat_project_id)
    (task,) = (task for task in tasks if task.id == task_id)
    address = connection.task_url(task_id)
    title = f"task {task_id}: {task.frames:,} frames"
    caption = "Open it, click on its job, and tag. Then run the export notebook."
    show("link", f"{title}\n{address}", text=f"Open {title}", url=address, caption=caption)
    newest = tasks[::-1][:10]
    rows = [({"text": f"{task.id}", "url": connection.task_url(task.id)}, task.name, task.frames) for task in newest]
    show(
        "table",
        "\n".join(f"task {task.id}: {task.name}, {task.frames} frames" for task in newest),
        headings=("task", "name", "frames"),
        rows=rows,
        numbers=(2,),
        caption=f"The {len(newest)} newest tasks of project {keys.cvat_project_id}:"
        if len(tasks) > len(newest)
        else f"The tasks of project {keys.cvat_project_id}:",
        total=("all tasks", "", sum(task.frames for task in tasks)) if len(tasks) > 1 else None,
    )


_EXPORT_STOPPED = "the export was given up: no zip and no temporary file was left"


def check_export(connection: Connection, keys: ExportKeys, labels: list[Label], overwrite: bool = False) -> None:
    """Check, before the server works for it, that the export can be made and put where it belongs.

    Raises ToolkitError where there is an older export, or the format does not fit.
    """
    check_target(_export_target(keys), overwrite)
    check_format(keys.export_format, None, labels)
    with session(connection) as api:
        check_offered(api, keys.export_format, keys.cvat_project_id)
    text = f'"{keys.export_format}" can be exported to {from_top(_export_target(keys).parent)}'
    show("finished", text, text=text, good=True)


def _export_target(keys: ExportKeys) -> Path:
    return local(target_in(keys.export_dir, keys.cvat_project_id), "the notebook")


def export(connection: Connection, keys: ExportKeys, overwrite: bool = False) -> Path:
    """Export the dataset of the project, and return the zip; if it fails or is interrupted, nothing is left behind."""
    target = _export_target(keys)
    request = Export(keys.cvat_project_id, keys.export_format, target, overwrite)
    try:
        with status("exporting") as update:
            fetch(connection, request, ExportProgress(update, warn))
    except KeyboardInterrupt as error:
        error.add_note(_EXPORT_STOPPED)
        raise
    _, difference = compare_with_server(connection, keys.cvat_project_id, target, keys.export_format)
    for line in difference.warnings():
        warn(line)
    return target


def show_export(path: Path, format_name: str) -> None:
    """Show what is in an export: a table, and images, with their boxes where the format can be read."""
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


_CONVERSION_STOPPED = "the conversion was given up: the folder is as it was before"


def warn_of_other_exports(configuration: ConfigurationFile, keys: ConvertKeys) -> None:
    """Warn of exports that may not be those that are meant: another project's, or older than one beside it."""
    for line in stale_exports(expand(keys.dataset_conversion_base_file), configuration.values.get("cvat_project_id")):
        warn(line)


def convert(keys: ConvertKeys, split_method: str = "reference", overwrite: bool = False) -> Converted:
    """Make the dataset; it appears as a whole or not at all.

    The method of the split is "reference", "stratified", "stable", or of boxes "subsets". If it fails or is
    interrupted, the folder is as it was before.
    """
    rules = Rules(keys.dataset_conversion_validation_split, keys.dataset_conversion_seed, SplitMethod(split_method))
    request = Request(
        base_files=expand(keys.dataset_conversion_base_file),
        target=local(keys.dataset_conversion_dir, "the notebook"),
        rules=rules,
        overwrite=overwrite,
    )
    try:
        with per_cent("converting") as advance:
            return conversion.convert(request, advance)
    except KeyboardInterrupt as error:
        error.add_note(_CONVERSION_STOPPED)
        raise


def show_dataset(keys: ConvertKeys, converted: Converted) -> None:
    """Show the dataset: a chart and a table of its classes, and samples of each side."""
    manifest = converted.manifest
    folder = local(keys.dataset_conversion_dir, "the notebook")
    text = f"{from_top(folder)}, {format_size(converted.bytes_needed)}"
    show("finished", text, text=text, good=True)
    for line in manifest.warnings:
        warn(line)
    for reason, count in left_out(manifest).items():
        warn(f"left out: {count} {'file' if count == 1 else 'files'}, {reason}")
    sides = manifest.sides
    if isinstance(manifest, DetectionManifest):
        counted = "boxes"
        found = {name: tuple(row.values()) for name, row in detection_manifest.counts(manifest).items()}
    else:
        counted = "images"
        found = counts(manifest)
    chart = bar_chart([(name, list(numbers)) for name, numbers in found.items()], sides)
    show("chart", f"{counted} of each class and side", counted=counted, rows=chart.bars, series=chart.series)
    show(
        "table",
        "\n".join(
            f"{name}: {', '.join(f'{number} {side}' for number, side in zip(numbers, sides, strict=True))}"
            for name, numbers in found.items()
        ),
        headings=("class", "id", *sides),
        rows=[(name, manifest.labels[name], *numbers) for name, numbers in found.items()],
        numbers=tuple(range(1, len(sides) + 2)),
        total=("all", "", *(sum(column) for column in zip(*found.values(), strict=True))),
    )
    dataset = read_folder(folder)
    for side in sides:
        images = [image for image in dataset.images if image.side == side]
        show_sheet(dataclasses.replace(dataset, images=images), f"{side}: {len(images):,} images", per_class=8)
