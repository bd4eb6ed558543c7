"""The four settings of a conversion that configuration.json has keys for."""

from pathlib import Path
from typing import NamedTuple

from toolkit.core.errors import UsageError
from toolkit.core.paths import resolve

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
        warnings: What to warn of in the configuration file.
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
    return Settings(paths[0], paths[1], share, seed, [])


def _with_configuration(
    config: Path | None, base_file: Path | None, target: Path | None, share: float | None, seed: int | None
) -> Settings:
    from toolkit.config.load import Found, find_configuration
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
    return Settings(
        keys.dataset_conversion_base_file,
        keys.dataset_conversion_dir,
        keys.dataset_conversion_validation_split,
        keys.dataset_conversion_seed,
        warnings,
    )
