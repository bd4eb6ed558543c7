"""Show what is in a dataset: one HTML page with counts, warnings, sizes and thumbnails."""

from toolkit.cli.script import run_script

import json
import os
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from toolkit.cli import console
from toolkit.core.errors import UsageError
from toolkit.core.storage import Place, locate
from toolkit.core.text import format_size, printable

SHOWN = 3
"""Offenders that a warning names; the page names more."""


def main(
    dataset: Annotated[
        console.Location | None,
        typer.Argument(
            parser=console.Location,
            metavar="[DATASET]",
            help="Folder of a converted dataset, or zip of a detection export "
            "(COCO, YOLO, PASCAL VOC, CVAT for images, Datumaro, KITTI, LabelMe, MOT, Open Images or WiderFace); "
            "else what the configuration has.",
            show_default=False,
        ),
    ] = None,
    dataset_dir: console.DatasetDir = None,
    config: console.Config = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The page; an older report is replaced.")] = Path(
        "report.html"
    ),
    markdown: Annotated[Path | None, typer.Option("--markdown", help="Write the facts as Markdown, too.")] = None,
    title: Annotated[str | None, typer.Option("--title", help="Title of the page; else the dataset's name.")] = None,
    thumbnails: Annotated[
        int, typer.Option("--thumbnails", min=0, max=500, help="Thumbnails for each class, at most.")
    ] = 48,
    examine: Annotated[
        int | None,
        typer.Option(
            "--examine",
            min=0,
            help="Pictures to measure for outliers, at most; else so many that it does not take long.",
            show_default=False,
        ),
    ] = None,
    near_duplicates: Annotated[
        bool, typer.Option("--near-duplicates", help="Measure all pictures, so that no near-duplicates are missed.")
    ] = False,
    as_json: console.Json = False,
    debug: console.Debug = False,
) -> None:
    """Show what is in a dataset, as one HTML page that needs nothing else.

    In a CI job the facts are also added to the summary ($GITHUB_STEP_SUMMARY). Example:
    `make report DATASET=dataset ARGS="--output report.html"`
    """
    from toolkit.report import html as report_page
    from toolkit.report import markdown as report_markdown
    from toolkit.report.make import check_target, make_report, write_report

    started = time.monotonic()
    source = _source(dataset, dataset_dir, config)
    targets = [(output.absolute(), report_page.MARK)]
    if markdown is not None:
        targets.append((markdown.absolute(), report_markdown.MARK))
    for target, mark in targets:
        check_target(target, mark)
    made = make_report(source, title, thumbnails, sys.maxsize if near_duplicates else examine, console.progress)
    summary = report_markdown.render(made.facts)
    for (target, mark), text in zip(targets, (made.page, summary), strict=False):
        write_report(target, text, mark)
    if job_summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        try:
            with Path(job_summary).open("a", encoding="utf-8") as stream:
                stream.write(summary)
        except OSError as error:  # the report itself is done
            console.warn(f"{job_summary} ($GITHUB_STEP_SUMMARY) was not added to: {error.strerror}")
    if as_json:
        console.result(json.dumps(made.facts.as_json() | {"report": str(output.absolute())}))
        return
    for finding in made.facts.findings:
        console.warn(printable(finding.message + _some(finding.names)))
    for kind in made.facts.examination.outliers:
        console.say(printable(f"{kind.title.lower()}: {len(kind.images):,}{_some(kind.names)}"))
    size = format_size(output.stat().st_size)
    console.result(f"{made.facts.summary} in {time.monotonic() - started:.1f} s")
    console.result(f"{output} ({size})")


def _some(names: list[str]) -> str:
    more = ", …" if len(names) > SHOWN else ""
    return f": {', '.join(names[:SHOWN])}{more}" if names else ""


def _source(dataset: str | None, folder: str | None, config: Path | None) -> Place:
    if dataset is not None and folder is not None:
        raise UsageError("name the dataset once: report_dataset.py DATASET, or --dataset-dir DATASET")
    if (given := dataset or folder) is not None:
        place = locate(given)
        return place.absolute() if isinstance(place, Path) else place
    from toolkit.config.load import source_by_configuration

    source, warnings = source_by_configuration(config)
    for warning in warnings:
        console.warn(warning)
    return source


if __name__ == "__main__":
    run_script(main)
