"""Which dataset a report is about: as given, or as the configuration has it."""

from pathlib import Path

from pydantic import Field

from toolkit.config.load import Found, find_configuration
from toolkit.config.model import AbsolutePath, ExportKeys, Keys, read, target_in
from toolkit.core.errors import UsageError
from toolkit.core.formats import FORMATS, TaskType


class DatasetKeys(Keys):
    """The one key that says where a converted dataset is."""

    dataset_conversion_dir: AbsolutePath = Field()


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
    assert found.file is not None
    if found.file.values.get("export_format") in FORMATS[TaskType.DETECTION]:
        keys = read(ExportKeys, found.file)
        return target_in(keys.export_dir, keys.cvat_project_id)
    return read(DatasetKeys, found.file).dataset_conversion_dir
