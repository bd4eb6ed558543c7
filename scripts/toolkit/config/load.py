"""What a step is to do: its keys, the server if it needs one, and what to warn of beforehand."""

import glob
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from toolkit.config.file import DEFAULT_FILE, ConfigurationFile, exposed_password, open_configuration
from toolkit.core.errors import UsageError
from toolkit.core.files import resolve
from toolkit.core.formats import IMAGENET
from toolkit.core.storage import Address, Place, locate


class Found(NamedTuple):
    """A configuration file, if there is one, and what to warn of, one line each."""

    file: ConfigurationFile | None
    warnings: list[str]


def find_configuration(config: Path | None) -> Found:
    """Open the configuration file that a step reads.

    Args:
        config: The file that was asked for; None takes configuration.json of the working directory if it is there.

    Returns:
        The file, with a warning for each unknown key and for a password that others can see.

    Raises:
        UsageError: The file cannot be read or is no JSON object.
    """
    from toolkit.config.model import unknown_keys

    if config is None and os.path.lexists(DEFAULT_FILE):
        config = Path(DEFAULT_FILE)
    if config is None:
        return Found(None, [])
    file = open_configuration(config)
    return Found(file, unknown_keys(file) + exposed_password(file))


SHARE = 0.2
SEED = 123
_LARGEST_SEED = 2**32 - 1


class Settings(NamedTuple):
    """What is converted, to where, and how it is split.

    Paths are absolute; the share is that of the validation side, between 0 and 1, the seed 0..4294967295. Warnings are
    of the configuration file, and of a zip that is not the newest.
    """

    base_files: list[Place]
    target: Place
    share: float
    seed: int
    warnings: list[str]


def read_settings(
    config: Path | None,
    base_files: Sequence[str] | None,
    target: str | None,
    share: float | None,
    seed: int | None,
) -> Settings:
    """Read the settings; options win over the configuration file.

    The configuration model takes as long to load as a thousand images take to convert, so it is left aside as long as
    the options say everything and nothing is wrong with them.

    Args:
        config: The configuration file; None takes configuration.json of the working directory, if there is one and the
            options leave the zip or the folder open.
        base_files: The exported zips, and patterns of such; none without the option.
        target: The folder for the dataset, or None.
        share: Share of the validation side, or None.
        seed: Seed of the split, or None.

    Returns:
        Checked settings.

    Raises:
        UsageError: All problems there are.
    """
    if config is None and base_files and target is not None:
        options = _without_configuration(
            base_files, target, SHARE if share is None else share, SEED if seed is None else seed
        )
        if options is not None:
            return options
    return _with_configuration(config, base_files, target, share, seed)


def _without_configuration(base_files: Sequence[str], target: str, share: float, seed: int) -> Settings | None:
    try:
        given = (target, *base_files)
        paths = [locate(path, Path.cwd()) for path in given if path and "\0" not in path]
    except UsageError:
        return None
    if len(paths) < len(given) or not (0 < share < 1 and 0 <= seed <= _LARGEST_SEED):
        return None
    zips = expand(paths[1:])
    return Settings(zips, paths[0], share, seed, stale_exports(zips, None))


def _with_configuration(
    config: Path | None,
    base_files: Sequence[str] | None,
    target: str | None,
    share: float | None,
    seed: int | None,
) -> Settings:
    from toolkit.config.model import ConvertKeys, read

    says_all = config is None and bool(base_files) and target is not None
    given = list(base_files or ())
    file, warnings = Found(None, []) if says_all else find_configuration(config)
    keys = read(
        ConvertKeys,
        file,
        {
            "dataset_conversion_base_file": given[0] if len(given) == 1 else given or None,
            "dataset_conversion_dir": target,
            "dataset_conversion_validation_split": share,
            "dataset_conversion_seed": seed,
        },
    )
    project_id = file.values.get("cvat_project_id") if file else None
    zips = expand(keys.dataset_conversion_base_file)
    return Settings(
        zips,
        keys.dataset_conversion_dir,
        keys.dataset_conversion_validation_split,
        keys.dataset_conversion_seed,
        warnings + stale_exports(zips, project_id),
    )


def expand(places: Sequence[Place]) -> list[Place]:
    """Find the files that patterns mean; each once.

    A path that is no file, and has one of ``*?[`` in it, is a pattern. Raises UsageError where a pattern has no file,
    or one is a symbolic link.
    """
    found: dict[Place, None] = {}
    for path in places:
        if not glob.has_magic(str(path)) or (isinstance(path, Path) and path.exists()):
            found[path] = None
            continue
        if isinstance(path, Address):
            matching = path.matches()
            if not matching:
                raise UsageError(f"there is no object {path}: export first, or correct the pattern (--base-file)")
            found.update(dict.fromkeys(matching))
            continue
        matches = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207  # which takes absolute patterns
        if not matches:
            raise UsageError(f"there is no file {path}: export first, or correct the pattern (--base-file)")
        found.update((resolve(match, path.parent), None) for match in matches)
    return list(found)


_EXPORT = re.compile(r"project_id_([0-9]+)\.zip")


def stale_exports(base_files: Sequence[Place], project_id: object) -> list[str]:
    """Warn of each zip that is another project's, and of a newer export that lies beside the only one.

    ``project_id`` is the project that the configuration names, if it does.
    """
    warnings = []
    for path in base_files:
        named = _EXPORT.fullmatch(path.name)
        if named and type(project_id) is int and int(named[1]) != project_id:
            warnings.append(
                f"{path} is the export of project {named[1]}, but cvat_project_id is {project_id}: "
                "set dataset_conversion_base_file, or export again"
            )
    if len(base_files) > 1:
        return warnings
    (path,) = base_files
    if isinstance(path, Address):
        return warnings
    with suppress(OSError):
        modified = path.stat().st_mtime
        exports = (other for other in path.parent.iterdir() if _EXPORT.fullmatch(other.name) and other.is_file())
        newest = max(exports, key=lambda other: other.stat().st_mtime, default=path)
        if newest != path and newest.stat().st_mtime > modified:
            warnings.append(f"{path} is older than {newest.name} beside it: is it the export that you mean?")
    return warnings


def source_by_configuration(config: Path | None) -> tuple[Place, list[str]]:
    """Find the dataset that a configuration, by default configuration.json, speaks of, and what to warn of.

    It is the folder of the converted dataset; if `export_format` is one for detection, the export zip as long as none
    was made. Raises UsageError where there is no configuration, or it lacks the keys.
    """
    found = find_configuration(config)
    if found.file is None:
        raise UsageError("there is no configuration.json here: name the dataset's folder or an export zip")
    return _source(found), found.warnings


def _source(found: Found) -> Place:
    from toolkit.config.model import DatasetKeys, ExportKeys, read, target_in

    assert found.file is not None
    if isinstance(found.file.values.get("export_format"), str) and found.file.values["export_format"] != IMAGENET:
        if "dataset_conversion_dir" in found.file.values:
            made = read(DatasetKeys, found.file).dataset_conversion_dir
            if (made / "manifest.json").is_file():
                return made
        keys = read(ExportKeys, found.file)
        return target_in(keys.export_dir, keys.cvat_project_id)
    return read(DatasetKeys, found.file).dataset_conversion_dir
