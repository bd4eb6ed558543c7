"""What the tests of convert and verify share: archives to order, the scripts as processes, trees as dictionaries."""

import json
import os
import subprocess
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tests.support.script_runs import SCRIPTS as SCRIPTS
from tests.support.script_runs import run_script, script_command

command = script_command
OWN = {"cvat_exported", "labels.json", "classes.txt", "manifest.json", "training", "validation", "train", "val"}


def make_zip(path: Path, members: Mapping[str, bytes] | Iterable[str], **options: Any) -> Path:
    """Write an archive; names alone get content of their own each, so that nothing looks like a leak."""
    contents = members if isinstance(members, Mapping) else {name: f"content of {name}".encode() for name in members}
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, content in contents.items():
            archive.writestr(name, b"" if name.endswith("/") else content)
    return path


def two_classes(each: int = 10) -> list[str]:
    return [f"{name}/{number:03}.jpg" for name in ("cat", "dog") for number in range(each)]


def run(
    script: str, *arguments: object, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return run_script(script, *arguments, cwd=cwd, environment=env)


def convert(archive: Path, target: Path, *arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    return run("convert_dataset", "--base-file", archive, "--output-dir", target, *arguments, **options)


def converted(archive: Path, target: Path, *arguments: object, **options: Any) -> dict[str, Any]:
    done = convert(archive, target, "--json", *arguments, **options)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def refused(archive: Path, target: Path, *arguments: object, code: int = 1, **options: Any) -> str:
    """Convert, expect a refusal that leaves nothing, and give its text."""
    before = tree(target.parent)
    done = convert(archive, target, *arguments, **options)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert tree(target.parent) == before
    return done.stderr


def tree(folder: Path) -> dict[str, bytes | None]:
    """Read a whole folder: content by relative path, None for a folder."""
    found: dict[str, bytes | None] = {}
    for parent, folders, files in os.walk(folder):
        for name in folders:
            found[Path(parent, name).relative_to(folder).as_posix()] = None
        for name in files:
            found[Path(parent, name).relative_to(folder).as_posix()] = Path(parent, name).read_bytes()
    return found


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def side(target: Path, name: str) -> set[str]:
    """List the images of a side by their path below it."""
    return {path for path, content in tree(target / name).items() if content is not None}


def is_whole(target: Path) -> bool:
    """Ask verify."""
    return run("verify_dataset", target).returncode == 0
