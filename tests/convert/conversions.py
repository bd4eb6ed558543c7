"""What the tests of convert and verify share: archives made to order, the scripts as processes, trees as dictionaries."""

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

SCRIPTS = Path(__file__).parents[2] / "scripts"
SIDES = ("training", "validation")


def make_zip(path: Path, members: Mapping[str, bytes] | Iterable[str], **options: object) -> Path:
    """Write an archive; names alone get content of their own each, so that nothing looks like a leak."""
    contents = members if isinstance(members, Mapping) else {name: f"content of {name}".encode() for name in members}
    with zipfile.ZipFile(path, "w", **options) as archive:  # type: ignore[arg-type]
        for name, content in contents.items():
            archive.writestr(name, content)
    return path


def command(script: str, *arguments: object) -> list[str]:
    return [sys.executable, str(SCRIPTS / f"{script}.py"), *map(str, arguments)]


def run(
    script: str, *arguments: object, cwd: Path | None = None, **options: object
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(script, *arguments),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        **options,  # type: ignore[call-overload]
    )


def convert(archive: Path, target: Path, *arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    return run("convert_dataset", "--base-file", archive, "--output-dir", target, *arguments, **options)


def converted(archive: Path, target: Path, *arguments: object) -> dict[str, object]:
    done = convert(archive, target, "--json", *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def tree(folder: Path) -> dict[str, bytes | None]:
    """Read a whole folder: content by relative path, None for a folder."""
    found: dict[str, bytes | None] = {}
    for parent, folders, files in os.walk(folder):
        for name in folders:
            found[os.path.relpath(os.path.join(parent, name), folder)] = None
        for name in files:
            path = Path(parent, name)
            found[os.path.relpath(path, folder)] = path.read_bytes()
    return found


def side(target: Path, name: str) -> set[str]:
    """List the images of a side by their path below it."""
    return {path for path, content in tree(target / name).items() if content is not None}
