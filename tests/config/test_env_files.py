"""config/cvat.env: what is saved comes back for every reader, and belongs to one project."""

import io
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from dotenv import dotenv_values
from hypothesis import example, given
from hypothesis import strategies as st

from toolkit.config import local_cvat
from toolkit.config.local_cvat import PASSWORD_KEY, VERSION_KEY, quoted, with_values
from toolkit.core.errors import UsageError

ODD = [
    "Tulip #9 lamp",
    "it's",
    'say "no"',
    "$HOME ${HOME} $$ $(id)",
    "$5's",
    "C:\\new\\table",
    "a\\\\b",
    "end\\",
    "\\'",
    " blanks ",
    "#",
    "ünï €",
    "line\nbreak\r",
    "`id`",
    "=",
    "'\"",
    "\u2028\x85\x1c",
]
VALUES = st.text(st.one_of(st.sampled_from("'\"\\$#{} =`\n"), st.characters(codec="utf-8", exclude_characters="\0")))


@given(VALUES, VALUES)
@example("$ \\", "x")
def test_every_value_comes_back_or_is_refused(value: str, other: str) -> None:
    if quoted(value) is None:
        assert "$" in value
        with pytest.raises(UsageError, match="A_KEY"):
            with_values("", {"A_KEY": value})
        return
    text = with_values("# a comment\nA_KEY=before\nLAST=one", {"A_KEY": value})
    assert dotenv_values(stream=io.StringIO(text), interpolate=False) == {"LAST": "one"} | (
        {"A_KEY": value} if value else {}
    )
    if quoted(other) is not None:
        text = with_values(text, {"A_KEY": other})
        assert dotenv_values(stream=io.StringIO(text), interpolate=False).get("A_KEY", "") == other


@pytest.mark.skipif(not shutil.which("docker"), reason="needs the docker client with its compose plugin")
def test_docker_compose_reads_every_value_as_we_do(tmp_path: Path) -> None:
    import random

    chance = random.Random(9)
    some = ["".join(chance.choices("'\"\\$#{} =ü\tab!&-", k=chance.randint(1, 7))) for _ in range(200)]
    values = {f"KEY_{number}": value for number, value in enumerate([*ODD, *some]) if quoted(value) is not None}
    (tmp_path / "an.env").write_text(with_values("", values), encoding="utf-8", newline="")
    # What compose itself prints doubles every dollar sign.
    lines = [f"      {key}: ${{{key}}}" for key in values]
    text = "\n".join(["services:", "  one:", "    image: none", "    environment:", *lines, ""])
    (tmp_path / "compose.yml").write_text(text)
    command = ["docker", "compose", "--env-file", "an.env", "-f", "compose.yml", "config", "--format", "json"]
    call = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    if "is not a docker command" in call.stderr or "unknown flag" in call.stderr:
        pytest.skip("needs the compose plugin of docker")
    assert call.returncode == 0, call.stderr
    read = json.loads(call.stdout)["services"]["one"]["environment"]
    assert {key: value.replace("$$", "$") for key, value in read.items()} == values


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "cvat.env"
    monkeypatch.setattr(local_cvat, "SETTINGS_FILE", file)
    return file


def started(project: str, **environ: str) -> local_cvat.Stack:
    """Do what `make up` does with the settings."""
    return local_cvat.save_settings(local_cvat.find_stack({"COMPOSE_PROJECT_NAME": project, **environ}))


def test_a_password_with_blanks_and_signs_is_found_again(settings: Path) -> None:
    for password in ODD:
        settings.unlink(missing_ok=True)
        started("cvat", CVAT_POSTGRES_PASSWORD=password)
        assert local_cvat.find_stack({}).settings[PASSWORD_KEY] == password
    with pytest.raises(UsageError) as refused:
        started("cvat", CVAT_POSTGRES_PASSWORD="$ends with\\")
    assert "CVAT_POSTGRES_PASSWORD cannot be kept in a settings file" in refused.value.details[0]
    assert "ends with" not in refused.value.details[0]


def test_two_projects_have_passwords_versions_and_volumes_of_their_own(settings: Path) -> None:
    settings.write_text("# mine\nCVAT_WORKERS=4\n")
    one, two = started("one"), started("two", CVAT_VERSION="v2.54.0", CVAT_WORKERS="3")
    assert one.settings[PASSWORD_KEY] != two.settings[PASSWORD_KEY]
    assert (settings.parent / "cvat-two.env").stat().st_mode & 0o777 == 0o600
    assert "# mine\n" in settings.read_text()
    again = local_cvat.find_stack({"COMPOSE_PROJECT_NAME": "two"})
    assert again.settings[PASSWORD_KEY] == two.settings[PASSWORD_KEY]
    assert again.version == local_cvat.recorded_version("two") == "v2.54.0"
    assert again.settings["CVAT_WORKERS"] == "4", "what is not saved counts for both"
    assert local_cvat.find_stack({"COMPOSE_PROJECT_NAME": "one"}).settings[PASSWORD_KEY] == one.settings[PASSWORD_KEY]

    # As destroy does with the first.
    local_cvat.save_values("one", dict.fromkeys((VERSION_KEY, local_cvat.VOLUMES_KEY, local_cvat.PROJECT_KEY), ""))
    assert local_cvat.recorded_version("two") == "v2.54.0"
    assert local_cvat.recorded_version("one") is None


def test_a_file_of_an_older_toolkit_serves_any_project_until_one_has_it(settings: Path) -> None:
    settings.write_text(f"{PASSWORD_KEY}=of-before-123456\n{VERSION_KEY}=v2.60.0\n")
    for project in ("cvat", "mine"):
        assert local_cvat.find_stack({"COMPOSE_PROJECT_NAME": project}).settings[PASSWORD_KEY] == "of-before-123456"
    started("mine")
    assert local_cvat.find_stack({"COMPOSE_PROJECT_NAME": "mine"}).version == "v2.60.0"
    assert PASSWORD_KEY not in local_cvat.find_stack({"COMPOSE_PROJECT_NAME": "cvat"}).settings


def test_a_settings_file_that_cannot_be_trusted_is_refused(settings: Path) -> None:
    os.mkfifo(settings)
    with pytest.raises(UsageError, match="not a regular file"):
        local_cvat.find_stack({})
    settings.unlink()
    settings.write_bytes(b"CVAT_PORT=\xff\n")
    with pytest.raises(UsageError, match="UTF-8"):
        local_cvat.find_stack({})


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away: sudo make test")
def test_a_stranger_s_settings_file_is_refused(settings: Path) -> None:
    settings.write_text("CVAT_PORT=8081\n")
    os.chown(settings, 65533, 65533)
    with pytest.raises(UsageError, match="belongs to another user"):
        local_cvat.find_stack({})
