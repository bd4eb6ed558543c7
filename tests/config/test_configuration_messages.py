"""The words for what is wrong with a configuration, to the letter: people act on them."""

from pathlib import Path

import pytest

from toolkit.config.file import ConfigurationFile
from toolkit.config.model import (
    ConvertKeys,
    CredentialKeys,
    ImportKeys,
    ProjectKeys,
    read,
    rule,
    unknown_keys,
    wrong_values,
)
from toolkit.core.errors import UsageError


def file_with(**values: object) -> ConfigurationFile:
    return ConfigurationFile(path=Path("a/configuration.json"), folder=Path("/nowhere/a"), values=values)


def refused(part, file=None, environ=None, **options) -> UsageError:
    with pytest.raises(UsageError) as caught:
        read(part, file, options, environ or {})
    return caught.value


def test_the_file_is_named_or_that_there_is_none():
    assert refused(ProjectKeys, file_with()).message == "1 problem in a/configuration.json"
    assert refused(ProjectKeys).message == (
        "1 problem in the options (there is no configuration.json here; "
        "to begin one: cp config/classification.example.json configuration.json)"
    )
    assert refused(CredentialKeys, file_with()).message == "2 problems in a/configuration.json"


def test_each_missing_key_says_where_else_it_may_stand():
    assert refused(ProjectKeys).details == (
        "cvat_project_id: missing, must be an integer of at least 1 (or give --cvat-project-id or set CVAT_PROJECT_ID)",
    )
    assert refused(CredentialKeys).details == (
        "cvat_username: missing, must be a non-empty string (or give --cvat-username or set CVAT_USERNAME)",
        "cvat_password: missing, must be a non-empty string (or set CVAT_PASSWORD)",
    )
    assert refused(ImportKeys, file_with(cvat_project_id=1, import_image_extension="jpg", import_dir="x")).details == (
        "import_task_name: missing, must be a non-empty string (or give --import-task-name)",
    )


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (True, "a boolean (true)"),
        (-3, "an integer (-3)"),
        (1.5, "a number (1.5)"),
        ("three", "a string (three)"),
        ("é" * 60, f"a string ({'é' * 60})"),
        ("x" * 61, f"a string ({'x' * 60}…)"),
        ("", "an empty string"),
        (["é"], 'an array (["é"])'),
        ([], "an empty array"),
        ({"a": 1}, 'an object ({"a": 1})'),
        ({}, "an empty object"),
        (None, "null"),
    ],
)
def test_a_wrong_value_is_shown_with_its_type(value, shown):
    (line,) = refused(ProjectKeys, file_with(cvat_project_id=value)).details
    assert line == f"cvat_project_id: must be an integer of at least 1, found {shown}"


def test_numbers_of_json_and_of_the_environment():
    project = read(ProjectKeys, file_with(cvat_project_id=7.0), environ={}).cvat_project_id
    assert (project, type(project)) == (7, int)
    assert read(ProjectKeys, environ={"CVAT_PROJECT_ID": "7"}).cvat_project_id == 7
    for text in ("seven", "７", "-7", "7.0"):
        (line,) = refused(ProjectKeys, environ={"CVAT_PROJECT_ID": text}).details
        assert line.endswith(f"found a string ({text}) (from CVAT_PROJECT_ID)")
    digits = read(CredentialKeys, environ={"CVAT_USERNAME": "42", "CVAT_PASSWORD": "43"})
    assert (digits.cvat_username, digits.cvat_password.get_secret_value()) == ("42", "43")


def test_paths_count_from_the_file_options_from_here(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    values = {
        "dataset_conversion_base_file": "x.zip",
        "dataset_conversion_dir": "../y",
        "dataset_conversion_validation_split": 0.5,
        "dataset_conversion_seed": 1,
    }
    keys = read(ConvertKeys, file_with(**values), environ={})
    assert keys.dataset_conversion_base_file == (Path("/nowhere/a/x.zip"),)
    assert keys.dataset_conversion_dir == Path("/nowhere/y")
    keys = read(ConvertKeys, file_with(**values), {"dataset_conversion_dir": Path("z")}, {})
    assert keys.dataset_conversion_dir == tmp_path / "z"
    assert ConvertKeys.model_validate(values).dataset_conversion_base_file == (tmp_path / "x.zip",)


def test_the_nearest_known_name_is_one():
    assert unknown_keys(file_with(dataset_conversion_dirr="x")) == [
        "a/configuration.json: unknown key dataset_conversion_dirr, did you mean dataset_conversion_dir?"
    ]
    assert unknown_keys(file_with(zzz=1)) == ["a/configuration.json: unknown key zzz"]


def test_rules_in_words():
    assert rule("dataset_conversion_seed") == "an integer from 0 to 4294967295"
    assert rule("dataset_conversion_validation_split") == "a number above 0 and below 1"


def test_a_file_is_looked_through_whichever_step_reads_it(tmp_path):
    (tmp_path / "link").symlink_to("/nowhere")
    values = {"cvat_project_id": "1", "export_format": "COCO 1.0", "import_dir": "link/x", "dataset_conversion_seed": 1}
    file = ConfigurationFile(tmp_path / "configuration.json", tmp_path, values | {"cvat_username": 5, "other": 1})
    assert wrong_values(file) == [
        "cvat_username: must be a non-empty string, found an integer (5)",
        "cvat_project_id: must be an integer of at least 1, found a string (1)",
        f"import_dir: {tmp_path / 'link'} is a symbolic link, which is not supported: name the real file or folder",
    ]


def test_keys_that_are_missing_or_await_a_sign_in_are_no_mistake_of_the_file():
    assert wrong_values(file_with()) == []
    assert wrong_values(file_with(cvat_username="", cvat_password="", cvat_project_id=1)) == []
    assert wrong_values(file_with(cvat_username="", import_task_name="")) == [
        "import_task_name: must be a non-empty string, found an empty string"
    ]
