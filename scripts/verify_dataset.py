"""Compare a converted dataset with its manifest."""

from toolkit.cli.script import run_script

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from toolkit.cli import console
from toolkit.core.errors import ProblemsFound, UsageError
from toolkit.core.text import format_size, printable


def main(
    dataset: Annotated[
        console.Location | None,
        typer.Argument(
            parser=console.Location, metavar="[DATASET]", help="Folder or address of the dataset.", show_default=False
        ),
    ] = None,
    dataset_dir: console.DatasetDir = None,
    config: console.Config = None,
    as_json: console.Json = False,
    debug: console.Debug = False,
) -> None:
    """Compare a converted dataset with its manifest.json, by every file's SHA-256.

    Without a folder it is that of the configuration file (dataset_conversion_dir).

    Names what is missing, what is there too much, and what has changed; exits with 3 if there is any such thing.
    Example: `make verify DATASET=dataset`
    """
    from toolkit.config.load import read_settings
    from toolkit.core.storage import locate
    from toolkit.dataset.summary import other_format_warning
    from toolkit.dataset.verify import verify

    if dataset is not None and dataset_dir is not None:
        raise UsageError("name the folder of the dataset once: verify_dataset.py FOLDER, or --dataset-dir FOLDER")
    given = dataset or dataset_dir
    if given is not None:
        folder = locate(given)
    else:
        if config is None and not Path("configuration.json").exists():
            raise UsageError("name the folder of the dataset: verify_dataset.py FOLDER (make verify DATASET=FOLDER)")
        folder = read_settings(config, None, None, None, None).target
    started = time.monotonic()
    with console.progress("Verifying", 100) as advance:
        verdict = verify(folder, advance)
    seconds = time.monotonic() - started
    warnings = [other_format_warning(content, paths) for content, paths in verdict.formats.items()]
    for warning in warnings:
        console.warn(printable(warning))
    if as_json:
        answer = {
            "dataset": str(folder),
            "ok": not verdict.problems,
            "files": verdict.files,
            "hashed_bytes": verdict.hashed_bytes,
            "problems": [problem._asdict() for problem in verdict.problems],
            "warnings": warnings,
            "seconds": round(seconds, 3),
        }
        console.result(json.dumps(answer, ensure_ascii=False))
    else:
        for problem in verdict.problems:
            detail = f": {problem.detail}" if problem.detail else ""
            console.result(printable(f"{problem.kind:<7}  {problem.path}{detail}"))
    if verdict.problems:
        count = "1 difference" if len(verdict.problems) == 1 else f"{len(verdict.problems)} differences"
        raise ProblemsFound(f"{folder} is not what its manifest says: {count}; convert the export again (--overwrite)")
    if not as_json:
        size = format_size(verdict.hashed_bytes)
        console.result(f"{folder}: all {verdict.files} files are as the manifest says ({size} hashed, {seconds:.1f} s)")


if __name__ == "__main__":
    run_script(main)
