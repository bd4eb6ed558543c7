"""Make a training-ready dataset of an export of CVAT, of tags or of boxes."""

from toolkit.cli.script import run_script

import json
import time
from collections.abc import Callable, Iterator
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toolkit.cli import console
from toolkit.core.text import format_size, printable, read_size
from toolkit.dataset.duplicates import MultiLabel, OnLeak
from toolkit.dataset.layout import INDEX_LINES, INDEX_TABLE, Format
from toolkit.dataset.selection import Layout, Unlabelled
from toolkit.dataset.sides import LinkMode
from toolkit.dataset.split import SplitMethod

if TYPE_CHECKING:
    from toolkit.dataset.detection_manifest import DetectionManifest
    from toolkit.dataset.index import Index, IndexRequest
    from toolkit.dataset.manifest import Manifest

WARNINGS_SHOWN = 20


class Switch(StrEnum):
    """Whether something is done."""

    ON = "on"
    OFF = "off"


def main(
    config: console.Config = None,
    base_file: Annotated[
        list[console.Location] | None,
        typer.Option(
            "--base-file",
            "--dataset-conversion-base-file",
            parser=console.Location,
            metavar="PATH",
            help="The exported zip, or a pattern of several; given again, all of them make one dataset.",
        ),
    ] = None,
    output_dir: Annotated[
        console.Location | None,
        typer.Option(
            "--output-dir",
            "--dataset-conversion-dir",
            parser=console.Location,
            metavar="PATH",
            help="Folder for the dataset, made if missing; or an address, such as s3://bucket/dataset.",
        ),
    ] = None,
    validation_split: Annotated[
        float | None,
        typer.Option(
            "--validation-split",
            "--dataset-conversion-validation-split",
            help="Fraction of the images for validation, between 0 and 1; 0.2 without a configuration.",
        ),
    ] = None,
    test_split: Annotated[
        float, typer.Option("--test-split", help="Share of the images for a third split, test; none without it.")
    ] = 0.0,
    seed: Annotated[
        int | None,
        typer.Option("--seed", "--dataset-conversion-seed", help="Seed, 0 to 4294967295; 123 without a configuration."),
    ] = None,
    split_method: Annotated[
        SplitMethod,
        typer.Option(
            "--split-method",
            help="reference: the sorted list, shuffled as NumPy does. stratified: each class keeps the fraction. "
            "stable: an image never changes its split when others are added. subsets: CVAT's own, of boxes alone.",
        ),
    ] = SplitMethod.REFERENCE,
    group_by: Annotated[
        str | None,
        typer.Option(
            "--group-by",
            help="Keep images together: a number of the frame's first folders, or a regular expression on its path.",
        ),
    ] = None,
    on_leak: Annotated[
        OnLeak, typer.Option("--on-leak", help="Duplicates in two splits: name them, put them into one, or stop.")
    ] = OnLeak.WARN,
    near_duplicates: Annotated[
        bool, typer.Option("--near-duplicates", help="Pictures that look the same count as duplicates too.")
    ] = False,
    multi_label: Annotated[
        MultiLabel, typer.Option("--multi-label", help="Images in the folders of several classes.")
    ] = MultiLabel.KEEP,
    unlabelled: Annotated[
        Unlabelled | None,
        typer.Option(
            "--unlabelled",
            help="Images without a label: leave out, keep (as class no_label, or as background), keep as background "
            "those whose job is completed, or stop. Without it: leave out, but of boxes keep those of completed jobs, "
            "as far as make export has listed them beside the zip.",
        ),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option("--labels", help="labels.json, or one name per line: pins the classes and their ids.")
    ] = None,
    link_mode: Annotated[
        LinkMode, typer.Option("--link-mode", help="How the splits share their bytes with cvat_exported.")
    ] = LinkMode.AUTO,
    layout: Annotated[
        Layout,
        typer.Option(
            "--layout", help="flat: training/cat/garden__1.jpg for a frame garden/1.jpg. nested: folders as exported."
        ),
    ] = Layout.FLAT,
    format_: Annotated[
        Format,
        typer.Option(
            "--format",
            help="folders; webdataset: tar files of samples; index: addresses and classes of an export without images.",
        ),
    ] = Format.FOLDERS,
    shard_size: Annotated[
        str, typer.Option("--shard-size", help="For webdataset: bytes of a tar file, such as 500MB or 1GiB.")
    ] = "1GB",
    base_url: Annotated[
        str | None, typer.Option("--base-url", help="For an index: where the images lie, as s3://bucket/.")
    ] = None,
    keep_junk: Annotated[
        bool,
        typer.Option("--keep-junk", help="Folders such as __MACOSX, or one around everything, count as classes."),
    ] = False,
    aliases: Annotated[
        Switch, typer.Option("--aliases", help="Links train and val beside training and validation.")
    ] = Switch.ON,
    exported: Annotated[
        bool, typer.Option("--exported/--no-exported", help="Keep the unpacked export, cvat_exported.")
    ] = True,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a dataset that is there.")] = False,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="How many zips are unpacked at a time on this machine.")
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            "--scheduler",
            help="Address of a Dask cluster that unpacks the zips, such as tcp://host:8786.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be made, write nothing.")] = False,
    as_json: console.Json = False,
    debug: console.Debug = False,
) -> None:
    """Make training/, validation/, labels.json, manifest.json and cvat_exported/ of an exported zip.

    Of an export of boxes: images/, labels/, annotations/, data.yaml, labels.json and manifest.json.

    Needs neither CVAT nor Docker nor a network. Example:
    `make convert ARGS="--base-file project_id_1.zip --output-dir dataset"`
    """
    from toolkit.config.load import read_settings
    from toolkit.core.errors import UsageError
    from toolkit.core.storage import local
    from toolkit.dataset import convert as conversion
    from toolkit.dataset.assignment import Rules
    from toolkit.dataset.split import GroupRule

    started = time.monotonic()
    settings = read_settings(config, base_file, output_dir, validation_split, seed)
    for warning in settings.warnings:
        console.warn(warning)
    group_rule = GroupRule(group_by) if group_by is not None else None
    rules = Rules(
        settings.share, settings.seed, split_method, group_rule, on_leak, multi_label, test_split, near_duplicates
    )
    if format_ is Format.INDEX:
        from toolkit.dataset.index import IndexRequest, make_index

        if not base_url:
            raise UsageError("--format index needs --base-url, which says where the images lie: s3://bucket/folder/")
        if layout is not Layout.FLAT or keep_junk:
            raise UsageError("--layout and --keep-junk are for folders, of which an index has none")
        zips = [local(place, "--format index") for place in settings.base_files]
        target = local(settings.target, "--format index")
        index = IndexRequest(zips, target, rules, base_url, unlabelled or Unlabelled.DROP, labels, overwrite)
        _report_index(index, make_index(index, dry_run), as_json)
        return
    if base_url:
        raise UsageError("--base-url is for --format index")
    if not (shard_bytes := read_size(shard_size)):
        raise UsageError(f"--shard-size must be a size such as 1GB or 500MB, found {shard_size}")
    request = conversion.Request(
        base_files=settings.base_files,
        target=settings.target,
        rules=rules,
        unlabelled=unlabelled,
        labels_file=labels,
        link_mode=link_mode,
        overwrite=overwrite,
        layout=layout,
        keep_junk=keep_junk,
        aliases=aliases is Switch.ON,
        exported=exported,
        workers=workers,
        scheduler=scheduler,
        format=format_,
        shard_size=shard_bytes,
    )
    try:
        with console.progress("Reading" if dry_run else "Unpacking", 100) as advance:
            converted = (conversion.dry_run if dry_run else conversion.convert)(request, advance)
    except KeyboardInterrupt:
        if not dry_run:
            console.say("stopped: what was unfinished has been removed")
        raise
    warnings = [*([converted.dropped] if converted.dropped else []), *converted.manifest.warnings]
    for warning in warnings[:WARNINGS_SHOWN]:
        console.warn(printable(warning))
    if len(warnings) > WARNINGS_SHOWN:
        console.warn(f"… and {len(warnings) - WARNINGS_SHOWN} more, in {'--json' if dry_run else 'manifest.json'}")
    seconds = time.monotonic() - started
    table, facts = _summary_of(converted.manifest)
    if as_json:
        answer = {
            "dataset": None if dry_run else str(settings.target),
            **facts(),
            "link_mode": converted.link_mode,
            "bytes_needed": converted.bytes_needed,
            "replaces": list(converted.replaces),
            "dropped": converted.dropped,
            "seconds": round(seconds, 3),
        }
        console.result(json.dumps(answer, ensure_ascii=False))
        return
    for line in table():
        console.result(line)
    size = format_size(converted.bytes_needed)
    if dry_run:
        replaces = " and replace the one that is there (--overwrite)" if converted.replaces else ""
        console.result(f"dry run: nothing was written; the dataset would take {size} in {settings.target}{replaces}")
    else:
        mode = f", {converted.link_mode}" if converted.link_mode else ""
        console.result(f"{settings.target} ({size}{mode}, {seconds:.1f} s)")


def _summary_of(
    manifest: "Manifest | DetectionManifest",
) -> tuple[Callable[[], Iterator[str]], Callable[[], dict[str, Any]]]:
    """Give what draws a dataset as a table, and what tells the same to machines."""
    from toolkit.dataset import summary
    from toolkit.dataset.manifest import Manifest

    if isinstance(manifest, Manifest):
        return partial(summary.as_table, manifest), partial(summary.as_json, manifest)
    from toolkit.dataset import detection_summary

    return partial(detection_summary.as_table, manifest), partial(detection_summary.as_json, manifest)


def _report_index(request: "IndexRequest", index: "Index", as_json: bool) -> None:
    for warning in index.warnings:
        console.warn(printable(warning))
    if as_json:
        answer = {"index": str(request.target) if index.files else None, **index._asdict()}
        console.result(json.dumps(answer, ensure_ascii=False))
        return
    for name, sides in index.counts.items():
        numbers = ", ".join(f"{count} {side}" for side, count in sides.items())
        console.result(printable(f"{index.labels[name]:>3}  {name}: {numbers}"))
    for reason, count in index.left_out.items():
        console.result(f"left out: {count} frames, {reason}")
    if not index.files:
        console.result("dry run: nothing was written")
        return
    if INDEX_TABLE not in index.files:
        console.say(f"{INDEX_TABLE} takes pyarrow, which is not installed: requirements-storage.txt has it")
    console.result(str(request.target / INDEX_LINES))


if __name__ == "__main__":
    run_script(main)
