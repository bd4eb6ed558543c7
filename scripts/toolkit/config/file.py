"""configuration.json as a file: opened with a clear word for everything that can be wrong with it."""

import json
import os
import shutil
import stat
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from toolkit.core.errors import UsageError
from toolkit.core.files import resolve

DEFAULT_FILE = "configuration.json"

SAMPLE = "configuration.example.json"
"""The sample that lies beside the configuration file in the folders of the tutorials."""
LARGEST = 1024 * 1024
"""Bytes; a configuration is some hundred of them, so more is another file by mistake."""


@dataclass(frozen=True)
class ConfigurationFile:
    """An opened configuration file: its path as typed, and its keys and values as JSON has them.

    ``folder`` is the absolute folder that its relative paths count from. The values are not shown, since the password
    may be among them.
    """

    path: Path
    folder: Path
    values: Mapping[str, object] = field(repr=False)


def open_configuration(path: Path) -> ConfigurationFile:
    """Read a configuration file, which is not checked against the model yet.

    Raises UsageError where it is missing, a folder, a link, too large, not UTF-8, or not a JSON object.
    """
    absolute = resolve(path, Path.cwd())
    return ConfigurationFile(path=path, folder=absolute.parent, values=_parse(path, _read(path, absolute)))


def _read(path: Path, absolute: Path) -> bytes:
    try:
        mode = absolute.stat().st_mode
        if stat.S_ISDIR(mode):
            raise UsageError(f"{path} is a folder: name the configuration file in it")
        if not stat.S_ISREG(mode):
            raise UsageError(f"{path} is not a regular file: name a configuration file")
        with absolute.open("rb") as stream:
            content = stream.read(LARGEST + 1)
    except (FileNotFoundError, NotADirectoryError):
        beside = path.with_name(SAMPLE)
        sample = beside if beside.is_file() else "config/classification.example.json"
        raise UsageError(f"{path} does not exist: copy a sample, as in `cp {sample} {path}`") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    if len(content) > LARGEST:
        raise UsageError(f"{path} is larger than 1 MiB: that is no configuration file")
    return content


def _parse(path: Path, content: bytes) -> Mapping[str, object]:
    if content.startswith(b"\xef\xbb\xbf"):
        raise UsageError(f"{path} starts with a UTF-8 byte order mark: save it as UTF-8 without BOM")
    try:
        text = content.decode("utf-8")
        values = json.loads(text, object_pairs_hook=_once_each, parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text (byte {error.start}): save it as UTF-8") from None
    except json.JSONDecodeError as error:
        raise UsageError(f"{path}, line {error.lineno}, column {error.colno}: not JSON: {error.msg}") from None
    except RecursionError:
        raise UsageError(f"{path} is nested too deeply for a configuration") from None
    except ValueError as error:
        raise UsageError(f"{path}: not JSON: {error}") from None
    if not isinstance(values, dict):
        raise UsageError(f'{path} must hold one JSON object: {{"key": value, …}}')
    return values


def _once_each(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values: dict[str, object] = {}
    for key, value in pairs:
        if key in values:
            raise ValueError(f"key {key} is given twice")
        values[key] = value
    return values


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value")


def exposed_password(file: ConfigurationFile) -> list[str]:
    """Warn if the password that a configuration file holds is readable by other users or tracked by git."""
    if not file.values.get("cvat_password"):
        return []
    absolute = file.folder / file.path.name
    warnings = []
    if absolute.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        warnings.append(f"{file.path} holds a password and is readable by others: chmod 600 {file.path}")
    if _tracked_by_git(absolute):
        warnings.append(
            f"{file.path} holds a password and is tracked by git: git rm --cached {file.path}, then change it"
        )
    return warnings


def _tracked_by_git(path: Path) -> bool:
    """Ask git without anything that the folder's own configuration could make it run: somebody may have sent it."""
    repository = next((parent / ".git" for parent in path.parents if (parent / ".git").exists()), None)
    # A name without a slash in PATH, or an empty one, would be looked for in the folder.
    places = [place for place in os.environ.get("PATH", os.defpath).split(os.pathsep) if place.startswith("/")]
    git = shutil.which("git", path=os.pathsep.join(places))
    if repository is None or git is None or repository.lstat().st_uid != os.geteuid():
        return False
    harmless = [word for setting in _HARMLESS for word in ("-c", setting)]
    answer = subprocess.run(
        [git, "--no-pager", "--no-optional-locks", *harmless, "ls-files", "--error-unmatch", "--", path.name],
        cwd=path.parent,
        env={"PATH": os.pathsep.join(places), "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull},
        stdin=subprocess.DEVNULL,
        capture_output=True,
    )
    return answer.returncode == 0


_HARMLESS = (
    "core.fsmonitor=false",
    f"core.hooksPath={os.devnull}",
    "core.pager=cat",
    "core.untrackedCache=false",
    "core.sshCommand=false",
    "protocol.allow=never",
    "credential.helper=",
)
"""Settings of git by which a repository makes it run programs, in their harmless form."""
