"""Make a training-ready dataset of an ImageNet export of CVAT."""

from toolkit.cli.script import run_script

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from toolkit.cli import console
from toolkit.core.text import printable
from toolkit.dataset.duplicates import MultiLabel, OnLeak
from toolkit.dataset.selection import Unlabelled
from toolkit.dataset.sides import LinkMode
from toolkit.dataset.split import SplitMethod

WARNINGS_SHOWN = 20


def main(
    config: console.Config = None,
    base_file: Annotated[
        Path | None, typer.Option("--base-file", "--dataset-conversion-base-file", help="The exported zip.")
    ] = None,
    output_dir: Annotated[
        Path | None,
        typer.Option("--output-dir", "--dataset-conversion-dir", help="Folder for the dataset; made if missing."),
    ] = None,
    validation_split: Annotated[
        float | None,
        typer.Option(
            "--validation-split",
            "--dataset-conversion-validation-split",
            help="Fraction of the images for validation, between 0 and 1; 0.2 without a configuration.",
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", "--dataset-conversion-seed", help="Seed, 0 to 4294967295; 123 without a configuration."),
    ] = None,
    split_method: Annotated[
        SplitMethod,
        typer.Option(
            "--split-method",
            help="reference: the sorted list, shuffled as NumPy does. stratified: each class keeps the fraction. "
            "stable: an image never changes its split when others are added.",
        ),
    ] = SplitMethod.REFERENCE,
    group_by: Annotated[
        str | None,
        typer.Option(
            "--group-by",
            help="Keep images together: a number of folders below the class, or a regular expression on the name.",
        ),
    ] = None,
    on_leak: Annotated[
        OnLeak, typer.Option("--on-leak", help="Equal images on both sides: name them, put them on one side, or stop.")
    ] = OnLeak.WARN,
    multi_label: Annotated[
        MultiLabel, typer.Option("--multi-label", help="Images in the folders of several classes.")
    ] = MultiLabel.KEEP,
    unlabelled: Annotated[
        Unlabelled,
        typer.Option("--unlabelled", help="Images without a tag (no_label): leave out, keep as a class, or stop."),
    ] = Unlabelled.DROP,
    labels: Annotated[
        Path | None, typer.Option("--labels", help="labels.json, or a name a line: pins the classes and their ids.")
    ] = None,
    link_mode: Annotated[
        LinkMode, typer.Option("--link-mode", help="How the splits share their bytes with cvat_exported.")
    ] = LinkMode.AUTO,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a dataset that is there.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be made, write nothing.")] = False,
    as_json: console.Json = False,
    debug: console.Debug = False,
) -> None:
    """Make cvat_exported/, training/, validation/, labels.json and manifest.json of an exported zip.

    Needs neither CVAT nor Docker nor a network. Example:
    `make convert ARGS="--base-file project_id_1.zip --output-dir dataset"`
    """
    from toolkit.config.load import read_settings
    from toolkit.dataset import convert as conversion
    from toolkit.dataset import summary as dataset_summary
    from toolkit.dataset.assignment import Rules
    from toolkit.dataset.grouping import GroupRule

    started = time.monotonic()
    settings = read_settings(config, base_file, output_dir, validation_split, seed)
    for warning in settings.warnings:
        console.warn(warning)
    group_rule = GroupRule(group_by) if group_by is not None else None
    request = conversion.Request(
        base_file=settings.base_file,
        target=settings.target,
        rules=Rules(settings.share, settings.seed, split_method, group_rule, on_leak, multi_label),
        unlabelled=unlabelled,
        labels_file=labels,
        link_mode=link_mode,
        overwrite=overwrite,
    )
    try:
        with console.progress("Reading" if dry_run else "Unpacking", 100) as advance:
            converted = (conversion.dry_run if dry_run else conversion.convert)(request, advance)
    except KeyboardInterrupt:
        if not dry_run:
            console.say("stopped: what was unfinished has been removed")
        raise
    warnings = converted.manifest.warnings
    for warning in warnings[:WARNINGS_SHOWN]:
        console.warn(printable(warning))
    if len(warnings) > WARNINGS_SHOWN:
        console.warn(f"… and {len(warnings) - WARNINGS_SHOWN} more, in {'--json' if dry_run else 'manifest.json'}")
    seconds = time.monotonic() - started
    if as_json:
        answer = {
            "dataset": None if dry_run else str(settings.target),
            **dataset_summary.as_json(converted.manifest),
            "link_mode": converted.link_mode,
            "bytes_needed": converted.bytes_needed,
            "seconds": round(seconds, 3),
        }
        console.result(json.dumps(answer, ensure_ascii=False))
        return
    for line in dataset_summary.as_table(converted.manifest):
        console.result(line)
    size = f"{converted.bytes_needed / 1e6:.1f} MB"
    if dry_run:
        console.result(f"dry run: nothing was written; the dataset would take {size} in {settings.target}")
    else:
        console.result(f"{settings.target} ({size}, {converted.link_mode}, {seconds:.1f} s)")


if __name__ == "__main__":
    run_script(main)
