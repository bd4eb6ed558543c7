"""What a step is to do: its keys, the server if it needs one, and what to warn of beforehand."""

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from toolkit.config.file import DEFAULT_FILE, ConfigurationFile, exposed_password, open_configuration
from toolkit.core.errors import UsageError
from toolkit.core.files import resolve
from toolkit.core.formats import IMAGENET


class Found(NamedTuple):
    """A configuration file, if there is one, and what to warn of.

    Attributes:
        file: The opened file, or None.
        warnings: One line each.
    """

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

    Attributes:
        base_file: Absolute path of the exported zip.
        target: Absolute path of the folder for the dataset.
        share: Share of the validation side, between 0 and 1.
        seed: 0..4294967295.
        warnings: What to warn of: the configuration file, a zip that is not the newest.
    """

    base_file: Path
    target: Path
    share: float
    seed: int
    warnings: list[str]


def read_settings(
    config: Path | None, base_file: Path | None, target: Path | None, share: float | None, seed: int | None
) -> Settings:
    """Read the settings; options win over the configuration file.

    The configuration model takes as long to load as a thousand images take to convert, so it is left aside as long as
    the options say everything and nothing is wrong with them.

    Args:
        config: The configuration file; None takes configuration.json of the working directory, if there is one and the
            options leave the zip or the folder open.
        base_file: The exported zip, or None.
        target: The folder for the dataset, or None.
        share: Share of the validation side, or None.
        seed: Seed of the split, or None.

    Returns:
        Checked settings.

    Raises:
        UsageError: All problems there are.
    """
    if config is None and base_file is not None and target is not None:
        options = _without_configuration(
            base_file, target, SHARE if share is None else share, SEED if seed is None else seed
        )
        if options is not None:
            return options
    return _with_configuration(config, base_file, target, share, seed)


def _without_configuration(base_file: Path, target: Path, share: float, seed: int) -> Settings | None:
    try:
        paths = [resolve(path, Path.cwd()) for path in (base_file, target) if path.parts and "\0" not in str(path)]
    except UsageError:
        return None
    if len(paths) < 2 or not (0 < share < 1 and 0 <= seed <= _LARGEST_SEED):
        return None
    return Settings(paths[0], paths[1], share, seed, stale_export(paths[0], None))


def _with_configuration(
    config: Path | None, base_file: Path | None, target: Path | None, share: float | None, seed: int | None
) -> Settings:
    from toolkit.config.model import ConvertKeys, read

    says_all = config is None and base_file is not None and target is not None
    file, warnings = Found(None, []) if says_all else find_configuration(config)
    keys = read(
        ConvertKeys,
        file,
        {
            "dataset_conversion_base_file": base_file,
            "dataset_conversion_dir": target,
            "dataset_conversion_validation_split": share,
            "dataset_conversion_seed": seed,
        },
    )
    project_id = file.values.get("cvat_project_id") if file else None
    return Settings(
        keys.dataset_conversion_base_file,
        keys.dataset_conversion_dir,
        keys.dataset_conversion_validation_split,
        keys.dataset_conversion_seed,
        warnings + stale_export(keys.dataset_conversion_base_file, project_id),
    )


_EXPORT = re.compile(r"project_id_([0-9]+)\.zip")


def stale_export(base_file: Path, project_id: object) -> list[str]:
    """Warn of a zip that may not be the one that is meant.

    Args:
        base_file: The zip that is to be converted.
        project_id: The project that the configuration names, if it does.

    Returns:
        A line if the zip is another project's, and one if a newer export lies beside it.
    """
    warnings = []
    named = _EXPORT.fullmatch(base_file.name)
    if named and type(project_id) is int and int(named[1]) != project_id:
        warnings.append(
            f"{base_file} is the export of project {named[1]}, but cvat_project_id is {project_id}: "
            "set dataset_conversion_base_file, or export again"
        )
    with suppress(OSError):
        modified = base_file.stat().st_mtime
        exports = (path for path in base_file.parent.iterdir() if _EXPORT.fullmatch(path.name) and path.is_file())
        newest = max(exports, key=lambda path: path.stat().st_mtime, default=base_file)
        if newest != base_file and newest.stat().st_mtime > modified:
            warnings.append(f"{base_file} is older than {newest.name} beside it: is it the export that you mean?")
    return warnings


def source_by_configuration(config: Path | None) -> tuple[Path, list[str]]:
    """Find the dataset that a configuration speaks of.

    Args:
        config: The configuration file; None takes configuration.json of the working directory.

    Returns:
        The export zip if `export_format` is one for detection, else the folder of the converted dataset; and warnings.

    Raises:
        UsageError: There is no configuration, or it lacks the keys.
    """
    found = find_configuration(config)
    if found.file is None:
        raise UsageError("there is no configuration.json here: name the dataset's folder or an export zip")
    return _source(found), found.warnings


def _source(found: Found) -> Path:
    from toolkit.config.model import DatasetKeys, ExportKeys, read, target_in

    assert found.file is not None
    if isinstance(found.file.values.get("export_format"), str) and found.file.values["export_format"] != IMAGENET:
        keys = read(ExportKeys, found.file)
        return target_in(keys.export_dir, keys.cvat_project_id)
    return read(DatasetKeys, found.file).dataset_conversion_dir
