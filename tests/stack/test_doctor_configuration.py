"""What `make doctor` says of the configuration file that lies where it runs, or that CONFIG names."""

import json
import os
import sys
from pathlib import Path

import pytest

from tests.support.script_runs import run_program

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = json.loads((ROOT / "config" / "classification.example.json").read_text(encoding="utf-8"))


def check_of_configuration(folder: Path, *arguments: str) -> dict[str, str]:
    call = run_program(
        [sys.executable, str(ROOT / "scripts" / "doctor.py"), "--json", *arguments],
        cwd=folder,
        environment={"PATH": str(folder), "HOME": str(folder)},
    )
    assert call.returncode == 3, call.stderr  # there is no Docker on this PATH
    found: dict[str, str] = next(one for one in json.loads(call.stdout) if one["name"].endswith(".json"))
    return found


def write(file: Path, **values: object) -> None:
    file.write_text(json.dumps({**SAMPLE, **values}), encoding="utf-8")
    file.chmod(0o600)


def test_a_sample_is_valid_and_keys_of_other_steps_may_be_missing(tmp_path: Path) -> None:
    write(tmp_path / "configuration.json")
    assert check_of_configuration(tmp_path)["state"] == "ok"
    (tmp_path / "configuration.json").write_text('{"dataset_conversion_seed": 1}')
    assert check_of_configuration(tmp_path)["state"] == "ok"


def test_every_wrong_value_fails_by_name(tmp_path: Path) -> None:
    write(
        tmp_path / "configuration.json",
        dataset_conversion_seed=-1,
        import_image_extension="png",
        cvat_password=["s3cret"],
    )
    found = check_of_configuration(tmp_path)
    assert found["state"] == "failed"
    for key in ("dataset_conversion_seed", "import_image_extension", "cvat_password"):
        assert key in found["found"]
    assert "s3cret" not in str(found)


@pytest.mark.parametrize("text", ["{", "[]", ""])
def test_what_is_no_configuration_fails(tmp_path: Path, text: str) -> None:
    (tmp_path / "configuration.json").write_text(text)
    assert check_of_configuration(tmp_path)["state"] == "failed"


def test_an_exposed_password_and_a_misspelt_key_are_warned_of(tmp_path: Path) -> None:
    write(tmp_path / "configuration.json", cvat_password="correct horse", import_dirr="x")
    (tmp_path / "configuration.json").chmod(0o644)
    found = check_of_configuration(tmp_path)
    assert found["state"] == "warning"
    assert "import_dir?" in found["advice"]
    assert "chmod 600" in found["advice"]
    assert "correct horse" not in str(found)


def test_another_file_can_be_named(tmp_path: Path) -> None:
    write(tmp_path / "other.json", cvat_project_id=0)
    assert check_of_configuration(tmp_path, "--config", "other.json")["state"] == "failed"
    assert "does not exist" in check_of_configuration(tmp_path, "--config", "none.json")["found"]


def test_make_hands_the_named_file_over(tmp_path: Path) -> None:
    write(tmp_path / "my configuration.json", cvat_project_id=0)
    file = tmp_path / "my configuration.json"
    call = run_program(
        ["make", "--no-print-directory", "doctor", f"CONFIG={file}"],
        cwd=ROOT,
        environment={**os.environ, "CVAT_URL": "http://127.0.0.1:9"},
    )
    assert "FAIL  my configuration.json" in call.stdout
