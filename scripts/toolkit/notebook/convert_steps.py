"""The conversion notebook: the conversion, and the dataset that it makes."""

import dataclasses

from toolkit.config.file import ConfigurationFile
from toolkit.config.load import expand, stale_exports
from toolkit.config.model import ConvertKeys
from toolkit.core.storage import local
from toolkit.core.text import format_size
from toolkit.dataset import convert as conversion
from toolkit.dataset import detection_manifest
from toolkit.dataset.assignment import Rules
from toolkit.dataset.convert import Converted, Request
from toolkit.dataset.detection_manifest import DetectionManifest
from toolkit.dataset.split import SplitMethod
from toolkit.dataset.summary import counts, left_out
from toolkit.notebook.display import from_top, per_cent, show, warn
from toolkit.notebook.sheets import show_sheet
from toolkit.report.html import bar_chart
from toolkit.report.read_folder import read_folder

_INTERRUPTED = "the conversion was given up: the folder is as it was before"


def warn_of_other_exports(configuration: ConfigurationFile, keys: ConvertKeys) -> None:
    """Warn of exports that may not be those that are meant: another project's, or older than one beside it.

    Args:
        configuration: Names the project, if it does.
        keys: What is to be converted.
    """
    for line in stale_exports(expand(keys.dataset_conversion_base_file), configuration.values.get("cvat_project_id")):
        warn(line)


def convert(keys: ConvertKeys, split_method: str = "reference", overwrite: bool = False) -> Converted:
    """Make the dataset; it appears as a whole or not at all.

    Args:
        keys: What to convert, where to, and how to split.
        split_method: "reference", "stratified", "stable", or of boxes "subsets".
        overwrite: Whether a dataset that is there is replaced.

    Returns:
        What was made.

    Raises:
        ToolkitError: It failed; the folder is as it was before.
        KeyboardInterrupt: It was interrupted; the folder is as it was before.
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
        error.add_note(_INTERRUPTED)
        raise


def show_dataset(keys: ConvertKeys, converted: Converted) -> None:
    """Show the dataset: a chart and a table of its classes, and samples of each side.

    Args:
        keys: Where it is.
        converted: What was made.
    """
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
