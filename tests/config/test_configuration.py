"""configuration.json: what is accepted, and the one clear word for everything that is not."""

import json
import os
import subprocess
from pathlib import Path

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dev.configuration_docs import json_schema
from tests.support.script_runs import ROOT, run_module
from toolkit.config.file import ConfigurationFile, exposed_password, open_configuration
from toolkit.config.model import (
    Configuration,
    ConvertKeys,
    CredentialKeys,
    ExportKeys,
    ImportKeys,
    read,
    unknown_keys,
)
from toolkit.core.errors import UsageError
from toolkit.core.formats import FORMATS, TaskType
from toolkit.cvat.connection import read_with_connection, resolve_connection

VALID = json.loads((ROOT / "config/classification.example.json").read_text()) | {"cvat_password": "s3cret-marker"}


def write(folder: Path, content: object, name: str = "configuration.json") -> ConfigurationFile:
    path = folder / name
    path.write_text(json.dumps(content))
    path.chmod(0o600)
    return open_configuration(path)


def problems(part, file, **kwargs) -> list[str]:
    with pytest.raises(UsageError) as caught:
        read(part, file, environ={}, **kwargs)
    return list(caught.value.details)


@pytest.mark.parametrize("sample", ["classification", "detection"])
def test_samples_are_valid_but_for_the_password(sample):
    values = json.loads((ROOT / f"config/{sample}.example.json").read_text())
    invalid = [error.json_path for error in jsonschema.Draft202012Validator(json_schema()).iter_errors(values)]
    assert invalid == ["$.cvat_password"]


def test_written_schema_and_table_are_current():
    answer = run_module("dev.describe_configuration", "--check")
    assert answer.returncode == 0, answer.stderr


def test_the_twelve_keys_of_the_specification():
    assert set(Configuration.model_fields) == set(VALID)
    assert len(VALID) == 12


def test_each_step_needs_only_its_own_keys(tmp_path):
    needed = {
        ImportKeys: {"cvat_project_id", "import_dir", "import_image_extension", "import_task_name"},
        ExportKeys: {"cvat_project_id", "export_format", "export_dir"},
        ConvertKeys: {key for key in VALID if key.startswith("dataset_conversion")},
        CredentialKeys: {"cvat_username", "cvat_password"},
    }
    for part, keys in needed.items():
        read(part, write(tmp_path, {key: VALID[key] for key in keys}), environ={})
        found = problems(part, write(tmp_path, {}))
        assert {line.split(":")[0] for line in found} == keys
        assert all("missing" in line for line in found)


WRONG = [
    ("cvat_project_id", True, "an integer of at least 1, found a boolean (true)"),
    ("cvat_project_id", "1", "an integer of at least 1, found a string (1)"),
    ("cvat_project_id", 0, "an integer of at least 1, found an integer (0)"),
    ("cvat_project_id", 1.5, "an integer of at least 1, found a number (1.5)"),
    ("import_dir", "", "a non-empty string, found an empty string"),
    ("import_dir", None, "a non-empty string, found null"),
    ("import_dir", "a\0b", "a non-empty string"),
    ("import_image_extension", "png", "one of jpg, JPG, jpeg, JPEG, or an array of some of jpg, "),
    ("import_image_extension", "Jpg", "one of jpg, JPG, jpeg, JPEG, or an array of some of jpg, "),
    ("import_task_name", ["x"], 'a non-empty string, found an array (["x"])'),
]


@pytest.mark.parametrize(("key", "value", "words"), WRONG)
def test_wrong_value_names_key_rule_and_what_was_found(tmp_path, key, value, words):
    found = problems(ImportKeys, write(tmp_path, VALID | {key: value}))
    assert len(found) == 1
    assert found[0].startswith(f"{key}: must be {words}")


@pytest.mark.parametrize("value", [0, 1, -0.1, 1.0, 2, True, "0.2", None])
def test_split_must_lie_strictly_between_0_and_1(tmp_path, value):
    file = write(tmp_path, VALID | {"dataset_conversion_validation_split": value})
    assert problems(ConvertKeys, file)[0].startswith(
        "dataset_conversion_validation_split: must be a number above 0 and below 1, found "
    )


@pytest.mark.parametrize(("seed", "is_valid"), [(0, True), (4294967295, True), (-1, False), (4294967296, False)])
def test_seed_range(tmp_path, seed, is_valid):
    file = write(tmp_path, VALID | {"dataset_conversion_seed": seed})
    if is_valid:
        assert read(ConvertKeys, file, environ={}).dataset_conversion_seed == seed
    else:
        assert "an integer from 0 to 4294967295" in problems(ConvertKeys, file)[0]


def test_formats_are_those_of_the_specification_and_what_a_server_may_offer(tmp_path):
    assert FORMATS[TaskType.CLASSIFICATION] == ("ImageNet 1.0",)
    assert len(FORMATS[TaskType.DETECTION]) == 18
    for name in (*FORMATS[TaskType.CLASSIFICATION], *FORMATS[TaskType.DETECTION]):
        read(ExportKeys, write(tmp_path, VALID | {"export_format": name}), environ={})
    for name in ("Ultralytics YOLO Detection 1.0", "Generic TSV 1.0", "New 2"):
        read(ExportKeys, write(tmp_path, VALID | {"export_format": name}), environ={})
    for name in ("", "COCO", " COCO 1.0", 5, None, "COCO 1.0\n"):
        assert problems(ExportKeys, write(tmp_path, VALID | {"export_format": name}))


def test_extensions_may_be_a_list(tmp_path):
    for value in ("JPG", ["jpg", "JPG", "png"], ["images"]):
        read(ImportKeys, write(tmp_path, VALID | {"import_image_extension": value}), environ={})
    for value in ([], ["jpg", 5], ["exe"], {"jpg": 1}):
        (line,) = problems(ImportKeys, write(tmp_path, VALID | {"import_image_extension": value}))
        assert line.startswith("import_image_extension: must be one of jpg, ")


def test_all_problems_at_once_and_no_secret(tmp_path):
    wrong = VALID | {"cvat_project_id": "1", "import_dir": 5, "cvat_password": ["s3cret-marker"], "cvat_username": ""}
    del wrong["import_task_name"]
    with pytest.raises(UsageError) as caught:
        read_with_connection(ImportKeys, write(tmp_path, wrong), {})
    keys = [line.split(":")[0] for line in caught.value.details]
    assert keys == ["cvat_project_id", "import_dir", "import_task_name", "cvat_username", "cvat_password"]
    assert "cvat_password: must be a non-empty string, found an array" in caught.value.details
    assert "s3cret-marker" not in str(caught.value.details) + caught.value.message


def test_unknown_keys_name_the_nearest_known_one(tmp_path):
    file = write(tmp_path, VALID | {"cvat_project_name": 1, "export_dirr": "x", "zzz": 1, "$schema": "x"})
    hints = [warning.split("unknown key ")[1] for warning in unknown_keys(file)]
    assert hints == ["cvat_project_name, did you mean cvat_project_id?", "export_dirr, did you mean export_dir?", "zzz"]


BAD_FILES = [
    (b"\xef\xbb\xbf{}", "byte order mark"),
    (b'{\n  "a": 1,\n}', "line 3, column 1: not JSON"),
    (b"[]", "one JSON object"),
    (b'{"a": 1, "a": 2}', "key a is given twice"),
    (b'{"a": NaN}', "NaN is no JSON value"),
    (b'{"a": "\xff"}', "not UTF-8"),
    (b"[" * 200_000, "nested too deeply"),
    (b" " * (1024 * 1024 + 1), "larger than 1 MiB"),
    (b"", "line 1, column 1: not JSON"),
]


@pytest.mark.parametrize(("content", "words"), BAD_FILES, ids=[words for _, words in BAD_FILES])
def test_unreadable_file_says_why(tmp_path, content, words):
    path = tmp_path / "configuration.json"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=words) as caught:
        open_configuration(path)
    assert str(path) in caught.value.message


def test_missing_file_folder_and_fifo(tmp_path):
    with pytest.raises(UsageError, match=r"does not exist: copy a sample, as in `cp config/classification\.example"):
        open_configuration(tmp_path / "configuration.json")
    with pytest.raises(UsageError, match="is a folder"):
        open_configuration(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="not a regular file"):
        open_configuration(tmp_path / "pipe")


def test_symbolic_links_are_refused_wherever_they_were_typed(tmp_path):
    (tmp_path / "real/deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "real/deep/file.json").write_text("{}")
    (tmp_path / "config.json").symlink_to("real/deep/file.json")
    with pytest.raises(UsageError, match=r"config\.json is a symbolic link"):
        open_configuration(tmp_path / "config.json")
    for typed in ("link", "./link/deep", "real/../link/deep/x", str(tmp_path / "link/deep"), str(tmp_path / "link")):
        found = problems(ImportKeys, write(tmp_path, VALID | {"import_dir": typed}))
        assert found == [
            f"import_dir: {tmp_path / 'link'} is a symbolic link, which is not supported: name the real file or folder"
        ]


def test_links_above_the_configuration_are_nobodys_mistake(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    write(tmp_path / "real", VALID)
    file = open_configuration(tmp_path / "link/configuration.json")
    assert read(ImportKeys, file, environ={}).import_dir == tmp_path / "link/images"


def test_relative_paths_count_from_the_file_and_those_of_options_from_here(tmp_path, monkeypatch):
    (tmp_path / "project").mkdir()
    (tmp_path / "here").mkdir()
    file = write(tmp_path / "project", VALID | {"import_dir": "../pictures/"})
    monkeypatch.chdir(tmp_path / "here")
    assert read(ImportKeys, file, environ={}).import_dir == tmp_path / "pictures"
    assert read(ImportKeys, file, {"import_dir": "x"}, environ={}).import_dir == tmp_path / "here/x"


def test_option_wins_over_environment_and_that_over_file(tmp_path):
    file = write(tmp_path, VALID)
    environ = {"CVAT_PROJECT_ID": "7", "CVAT_USERNAME": "eve", "CVAT_URL": "http://cvat:1"}
    assert read(ImportKeys, file, environ={}).cvat_project_id == 1
    assert read(ImportKeys, file, environ=environ).cvat_project_id == 7
    assert read(ImportKeys, file, {"cvat_project_id": 9}, environ).cvat_project_id == 9
    assert resolve_connection(file, environ={}).username == "django"
    assert resolve_connection(file, environ=environ).username == "eve"
    assert resolve_connection(file, username="bob", environ=environ).username == "bob"
    assert resolve_connection(file, environ={}).url == "http://localhost:8080"
    assert resolve_connection(file, environ=environ).url == "http://cvat:1"
    assert resolve_connection(file, url="https://other/", environ=environ).url == "https://other"


def test_environment_can_hold_all_credentials():
    by_token = resolve_connection(environ={"CVAT_ACCESS_TOKEN": "t0ken"})
    assert (by_token.token, by_token.password) == ("t0ken", None)
    by_password = resolve_connection(environ={"CVAT_USERNAME": "django", "CVAT_PASSWORD": "pw"})
    assert (by_password.token, by_password.password) == (None, "pw")
    assert "t0ken" not in repr(by_token)
    assert "pw" not in repr(by_password)


@pytest.mark.parametrize(
    "url", ["localhost:8080", "ftp://x", "http://", "http://x:99999", "http://x/path", "http://x?q"]
)
def test_bad_server_address(url):
    with pytest.raises(UsageError, match="--url must"):
        resolve_connection(url=url, environ={"CVAT_ACCESS_TOKEN": "t"})


def test_credentials_in_the_address_are_refused_and_not_shown():
    with pytest.raises(UsageError) as caught:
        resolve_connection(url="http://user:s3cret-marker@host", environ={"CVAT_ACCESS_TOKEN": "t"})
    assert "s3cret-marker" not in str(caught.value.details) + caught.value.message


def test_warns_of_a_password_that_others_can_see(tmp_path):
    file = write(tmp_path, VALID)
    assert exposed_password(file) == []
    file.path.chmod(0o644)
    assert [w.split("holds a password and ")[1][:22] for w in exposed_password(file)] == ["is readable by others:"]
    file.path.chmod(0o600)
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    assert exposed_password(file) == []
    subprocess.run(["git", "-C", tmp_path, "add", "configuration.json"], check=True)
    assert ["tracked by git" in warning for warning in exposed_password(file)] == [True]
    assert exposed_password(write(tmp_path, VALID | {"cvat_password": ""})) == []


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(sorted(VALID)), JSON_VALUES | st.sampled_from(list(VALID.values()))))
def test_the_schema_and_the_model_agree(values):
    file = ConfigurationFile(Path("configuration.json"), Path("/nowhere"), values)
    by_schema = {error.path[0] for error in jsonschema.Draft202012Validator(json_schema()).iter_errors(values)}
    by_model = set()
    for part in (ConvertKeys, ExportKeys, ImportKeys, CredentialKeys):
        try:
            read(part, file, environ={})
        except UsageError as error:
            by_model |= {line.split(":")[0] for line in error.details if ": missing" not in line}
    with_nul = {key for key, value in values.items() if isinstance(value, str) and "\0" in value}
    assert by_model - with_nul == by_schema - with_nul
