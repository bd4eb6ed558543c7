"""The compose file as docker compose renders it: with its defaults, and with every variable set."""

import json
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from dotenv import dotenv_values

from toolkit.config.local_cvat import find_stack

ROOT = Path(__file__).resolve().parents[2]
COMPOSE_FILE = ROOT / "compose" / "compose.yml"
VERSIONS_FILE = ROOT / "compose" / "versions.env"

SERVICES = {"cvat_db", "cvat_redis_inmem", "cvat_redis_ondisk", "cvat_opa", "cvat_server", "cvat_worker", "cvat_ui"}
QUEUES = {
    "notifications", "cleaning", "import", "export", "annotation", "webhooks", "quality_reports", "chunks", "consensus",
}  # fmt: skip
EVERY_VARIABLE = {
    "CVAT_VERSION": "v9.9.9",
    "CVAT_SERVER_IMAGE": "registry.example.com/server",
    "CVAT_UI_IMAGE": "registry.example.com/ui",
    "CVAT_DB_IMAGE": "registry.example.com/db:1",
    "CVAT_REDIS_INMEM_IMAGE": "registry.example.com/redis:1",
    "CVAT_REDIS_ONDISK_IMAGE": "registry.example.com/kvrocks:1",
    "CVAT_OPA_IMAGE": "registry.example.com/opa:1",
    **{
        f"CVAT_{name}_DIGEST": "@sha256:" + "0" * 64
        for name in ("SERVER", "UI", "DB", "REDIS_INMEM", "REDIS_ONDISK", "OPA")
    },
    "CVAT_POSTGRES_PASSWORD": "f1rst-p4ssword",
    "CVAT_BIND": "192.0.2.7",
    "CVAT_PORT": "9090",
    "CVAT_HOSTS": "cvat.example.com, *.example.org",
    "CVAT_SIGN_UP": "open",
    "CVAT_WORKERS": "5",
    "CVAT_SERVER_MEMORY": "2g",
    "CVAT_WORKER_MEMORY": "3g",
    "CVAT_DB_MEMORY": "1g",
    "CVAT_VOLUMES": "_other",
    "COMPOSE_PROJECT_NAME": "second",
}

SETTINGS = {"defaults": {"CVAT_POSTGRES_PASSWORD": "f1rst-p4ssword"}, "every variable": EVERY_VARIABLE}
NEEDS = yaml.safe_load((ROOT / "tests" / "data" / "image-needs.yml").read_text())


def compose_plugin_is_here() -> bool:
    return (
        bool(shutil.which("docker"))
        and not subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode
    )


needs_plugin = pytest.mark.skipif(
    not compose_plugin_is_here(), reason="needs the docker compose plugin (no engine): .ci/install_docker_engine"
)


def render(**settings: str) -> subprocess.CompletedProcess[str]:
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("CVAT_", "COMPOSE_"))}
    command = ["docker", "compose", "--env-file", str(VERSIONS_FILE), "--file", str(COMPOSE_FILE)]
    return subprocess.run(
        [*command, "config", "--format", "json"],
        env={**outside, **settings},
        capture_output=True,
        text=True,
        check=False,
    )


def rendered(**settings: str) -> dict[str, Any]:
    call = render(**settings)
    assert call.returncode == 0, call.stderr
    configuration: dict[str, Any] = json.loads(call.stdout)
    return configuration


@pytest.fixture(params=["defaults", "every variable"])
def configuration(request: pytest.FixtureRequest) -> dict[str, Any]:
    if not compose_plugin_is_here():
        pytest.skip("needs the docker compose plugin (no engine): .ci/install_docker_engine")
    return rendered(**SETTINGS[request.param])


def interpolated(value: Any, settings: dict[str, str]) -> Any:
    """Put the settings into a value as compose does: ``$$``, ``${NAME:-default}`` and ``${NAME:?reason}``."""
    if isinstance(value, dict):
        return {key: interpolated(one, settings) for key, one in value.items()}
    if isinstance(value, list):
        return [interpolated(one, settings) for one in value]
    if not isinstance(value, str):
        return value

    def replaced(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        found = settings.get(match["name"])
        assert found or match["sign"] == ":-", match[0]
        return found or match["rest"]

    return re.sub(r"\$\$|\$\{(?P<name>[A-Z_]+)(?P<sign>:[-?])(?P<rest>[^}]*)\}", replaced, value)


def services_without_docker(**settings: str) -> dict[str, Any]:
    """Render the services on any machine; what docker makes of them is compared where it is at hand."""
    defaults = {name: value or "" for name, value in dotenv_values(VERSIONS_FILE).items()}
    services: dict[str, Any] = {}
    for name, service in yaml.safe_load(COMPOSE_FILE.read_text())["services"].items():
        base: dict[str, Any] = {}
        if extends := service.pop("extends", None):
            text = (COMPOSE_FILE.parent / extends["file"]).read_text()
            base = yaml.safe_load(text)["services"][extends["service"]]
        services[name] = interpolated({**base, **service}, defaults | settings)
    return services


@pytest.mark.parametrize("case", ["defaults", "every variable"])
@pytest.mark.parametrize("need", NEEDS, ids=lambda need: f"{need['services'][-1]}-{need['why']}")
def test_the_images_get_what_they_need(need: dict[str, Any], case: str) -> None:
    services = services_without_docker(**SETTINGS[case])
    for name in need["services"]:
        service = services[name]
        environment = service.get("environment", {})
        for variable, value in need.get("environment", {}).items():
            assert variable in environment, f"{name}: {variable}: {need['why']}"
            assert environment[variable] is not None, f"{name}: {variable} is left to the environment of compose"
            assert value in (None, environment[variable]), f"{name}: {variable}: {need['why']}"
        wanted, command = need.get("command", []), service.get("command", [])
        at = [start for start in range(len(command)) if command[start : start + len(wanted)] == wanted]
        assert at or not wanted, f"{name}: {need['why']}"
        assert need.get("check", "") in service["healthcheck"]["test"][-1], f"{name}: {need['why']}"
        assert not need.get("init") or service.get("init") is True, f"{name}: {need['why']}"


@pytest.mark.parametrize("case", ["defaults", "every variable"])
@needs_plugin
def test_the_needs_are_held_against_what_docker_renders(case: str) -> None:
    ours, theirs = services_without_docker(**SETTINGS[case]), rendered(**SETTINGS[case])["services"]
    theirs = json.loads(json.dumps(theirs).replace("$$", "$"))  # what docker prints can be interpolated again
    assert ours.keys() == theirs.keys()
    for name, service in ours.items():
        assert service["image"] == theirs[name]["image"]
        assert service.get("command") == theirs[name].get("command")
        assert service.get("init") == theirs[name].get("init")
        assert service.get("environment", {}) == (theirs[name].get("environment") or {})
        docker_check = [word.replace("$$", "$") for word in theirs[name]["healthcheck"]["test"]]
        assert service["healthcheck"]["test"] == docker_check


def test_kvrocks_keeps_its_memory_within_its_limit() -> None:
    service = services_without_docker(CVAT_POSTGRES_PASSWORD="f1rst-p4ssword")["cvat_redis_ondisk"]
    options = dict(zip(service["command"][::2], service["command"][1::2], strict=True))
    cache = int(options["--rocksdb.block_cache_size"])
    buffers = int(options["--rocksdb.write_buffer_size"]) * int(options["--rocksdb.max_write_buffer_number"])
    assert cache + 2 * buffers < int(service["mem_limit"].removesuffix("m"))


@pytest.mark.parametrize(
    ("said", "number_of_calls"),
    [("", 1), ("error: unrecognized arguments: --expected-num-workers 3", 2)],
    ids=["from 2.69 on", "before"],
)
def test_the_workers_probe_asks_as_its_version_wants(tmp_path: Path, said: str, number_of_calls: int) -> None:
    (shell, probe) = services_without_docker(CVAT_POSTGRES_PASSWORD="f1rst-p4ssword")["cvat_worker"]["healthcheck"][
        "test"
    ]
    assert shell == "CMD-SHELL"
    calls = tmp_path / "calls"
    (tmp_path / "python3").write_text(
        f'#!/bin/sh\necho "$@" >>{calls}\n'
        f'case "$*" in *--expected*) [ -z "{said}" ] || {{ echo "{said}"; exit 2; }};; esac\n'
    )
    (tmp_path / "python3").chmod(0o755)
    probe = probe.replace("/tmp/", f"{tmp_path}/")
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "NUMPROCS": "3"}
    for _ in range(2):
        assert subprocess.run(["sh", "-c", probe], env=environment, check=False).returncode == 0
    asked = calls.read_text().splitlines()
    queues = "manage.py workerprobe import export chunks annotation"
    assert asked[:number_of_calls] == [f"{queues} --expected-num-workers 3", queues][:number_of_calls]
    assert asked[-1] == asked[number_of_calls - 1]
    assert len(asked) == number_of_calls + 1, "an older version is not tried twice"
    (tmp_path / "python3").write_text("#!/bin/sh\nexit 1\n")
    assert subprocess.run(["sh", "-c", probe], env=environment, check=False).returncode == 1


def test_seven_services_of_which_one_is_published(configuration: dict[str, Any]) -> None:
    assert configuration["services"].keys() == SERVICES
    published = {name: service["ports"] for name, service in configuration["services"].items() if service.get("ports")}
    assert published.keys() == {"cvat_ui"}
    assert len(published["cvat_ui"]) == 1


@pytest.mark.parametrize(
    ("typed", "published", "url", "is_private"),
    [
        ("localhost", "127.0.0.1", "http://localhost:8080", True),
        ("127.0.0.1", "127.0.0.1", "http://localhost:8080", True),
        ("0.0.0.0", "0.0.0.0", "http://localhost:8080", False),
        ("192.0.2.7", "192.0.2.7", "http://192.0.2.7:8080", False),
        ("::1", "::1", "http://[::1]:8080", True),
        ("[0:0:0:0:0:0:0:1]", "::1", "http://[::1]:8080", True),
        ("::", "::", "http://[::1]:8080", False),
        ("[::]", "::", "http://[::1]:8080", False),
        ("FD00::7", "fd00::7", "http://[fd00::7]:8080", False),
        ("[fd00::7]", "fd00::7", "http://[fd00::7]:8080", False),
    ],
)
@needs_plugin
def test_an_address_is_published_and_asked_however_it_is_spelled(
    typed: str, published: str, url: str, is_private: bool
) -> None:
    stack = find_stack({"CVAT_BIND": typed})
    (port,) = rendered(CVAT_POSTGRES_PASSWORD="any", CVAT_BIND=stack.settings["CVAT_BIND"])["services"]["cvat_ui"][
        "ports"
    ]
    assert port["host_ip"] == published
    assert (stack.url, stack.is_private) == (url, is_private)


def test_one_name_has_one_spelling() -> None:
    typed = "cvat.example.com., *.Lab.example.org. 192.168.1.5,fd00:0::7,[fd00::8]"
    assert find_stack({"CVAT_HOSTS": typed}).settings["CVAT_HOSTS"] == (
        "cvat.example.com,*.Lab.example.org,192.168.1.5,[fd00::7],[fd00::8]"
    )


def test_nothing_reaches_the_engine_or_is_privileged(configuration: dict[str, Any]) -> None:
    assert "docker.sock" not in json.dumps(configuration)
    for name, service in configuration["services"].items():
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["cap_drop"] == ["ALL"], name
        assert not service.get("privileged"), name
        assert service.get("network_mode") is None, name
        assert not [mount for mount in service.get("volumes", []) if mount["type"] == "bind"], name
    without_capabilities = {name for name, service in configuration["services"].items() if not service.get("cap_add")}
    assert without_capabilities == {"cvat_opa", "cvat_server", "cvat_worker", "cvat_ui"}


def test_every_service_is_watched_limited_and_comes_back(configuration: dict[str, Any]) -> None:
    for name, service in configuration["services"].items():
        assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL"), name
        assert service["restart"] == "unless-stopped", name
        assert service["logging"]["options"] == {"max-size": "10m", "max-file": "3"}, name
        assert int(service["mem_limit"]) > 0, name


def test_the_password_is_the_given_one_and_the_only_secret(configuration: dict[str, Any]) -> None:
    for service in configuration["services"].values():
        secrets = {
            key: value
            for key, value in (service.get("environment") or {}).items()
            if re.search("PASS|SECRET|TOKEN", key)
        }
        assert set(secrets.values()) <= {"f1rst-p4ssword", ""}, secrets
    database = configuration["services"]["cvat_db"]["environment"]
    assert database["POSTGRES_PASSWORD"] == "f1rst-p4ssword"


def test_server_and_worker_get_what_they_need(configuration: dict[str, Any]) -> None:
    services = configuration["services"]
    for name in ("cvat_server", "cvat_worker"):
        environment = services[name]["environment"]
        assert environment["CVAT_ANALYTICS"] == "0"
        assert environment["CVAT_REDIS_INMEM_PASSWORD"] == ""
        assert "DJANGO_LOG_SERVER_HOST" not in environment
        assert "opa" in environment["no_proxy"].split(",")
        assert services[environment["CVAT_POSTGRES_HOST"]] is services["cvat_db"]
        assert services[environment["CVAT_REDIS_INMEM_HOST"]] is services["cvat_redis_inmem"]
        assert services[environment["CVAT_REDIS_ONDISK_HOST"]] is services["cvat_redis_ondisk"]
        assert environment["CVAT_REDIS_ONDISK_PORT"] == "6666"
    assert set(services["cvat_worker"]["command"]) == {"run", "worker", *QUEUES}
    assert services["cvat_server"]["networks"]["default"]["aliases"] == ["cvat-server"]
    assert services["cvat_opa"]["networks"]["default"]["aliases"] == ["opa"]


@needs_plugin
def test_defaults_publish_on_loopback_and_fit_four_gigabytes() -> None:
    configuration = rendered(CVAT_POSTGRES_PASSWORD="f1rst-p4ssword")
    (port,) = configuration["services"]["cvat_ui"]["ports"]
    assert (port["host_ip"], port["published"], port["target"]) == ("127.0.0.1", "8080", 8080)
    assert sum(int(service["mem_limit"]) for service in configuration["services"].values()) <= 4 << 30
    assert configuration["name"] == "cvat"
    assert configuration["volumes"]["cvat_db"]["name"] == "cvat_cvat_db"
    assert configuration["services"]["cvat_worker"]["environment"]["NUMPROCS"] == "2"


@needs_plugin
def test_every_variable_arrives() -> None:
    configuration = rendered(**EVERY_VARIABLE)
    text = json.dumps(configuration)
    (port,) = configuration["services"]["cvat_ui"]["ports"]
    assert (port["host_ip"], port["published"]) == ("192.0.2.7", "9090")
    for name, value in EVERY_VARIABLE.items():
        if "IMAGE" in name:
            assert value in text
    assert configuration["services"]["cvat_worker"]["image"] == "registry.example.com/server:v9.9.9@sha256:" + "0" * 64
    assert configuration["services"]["cvat_worker"]["environment"]["NUMPROCS"] == "5"
    front_door = configuration["services"]["cvat_ui"]["environment"]["FRONT_DOOR"]
    assert 'map "open $$uri"' in front_door  # compose doubles the dollar signs of what it prints
    assert front_door.count(",192.0.2.7,cvat.example.com, *.example.org,|$$http") == 2
    assert configuration["name"] == "second"
    assert {volume["name"] for volume in configuration["volumes"].values()} == {
        f"second_{name}_other"
        for name in ("cvat_db", "cvat_data", "cvat_keys", "cvat_logs", "cvat_inmem_db", "cvat_cache_db")
    }


@needs_plugin
def test_without_a_password_nothing_starts_and_the_reason_is_told() -> None:
    call = render()
    assert call.returncode != 0
    assert "is made by make up and kept in config/cvat.env" in call.stderr


def test_every_variable_of_the_file_is_tested_and_has_one_default() -> None:
    text = COMPOSE_FILE.read_text()
    used = set(re.findall(r"\$\{([A-Z_]+)", text + COMPOSE_FILE.with_name("front-door.yml").read_text()))
    used -= {"VARIABLE", "CVAT_"}  # of comments
    assert used == EVERY_VARIABLE.keys()
    images = [service["image"] for service in yaml.safe_load(text)["services"].values()]
    assert all(re.fullmatch(r"(\$\{CVAT_[A-Z_]+:\?[^}]+\}:?)+\$\{CVAT_[A-Z_]+_DIGEST:-\}", image) for image in images)
    versions = dotenv_values(VERSIONS_FILE)
    assert {name for name in used if name.endswith("IMAGE")} | {
        "CVAT_VERSION",
        "CVAT_TESTED_VERSIONS",
        "CVAT_CLI_VERSION",
    } == versions.keys()


def test_the_pin_of_cvat_cli_stands_in_both_places() -> None:
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    pin = dotenv_values(VERSIONS_FILE)["CVAT_CLI_VERSION"]
    assert f"cvat-cli=={pin}" in dependencies


def test_the_example_of_the_settings_names_real_variables_and_no_secret() -> None:
    lines = (ROOT / "config" / "cvat.env.example").read_text().splitlines()
    named = {line.lstrip("#").partition("=")[0] for line in lines if re.match(r"#?[A-Z_]+=", line)}
    assert named <= EVERY_VARIABLE.keys() | {"CVAT_KUBERNETES"}  # of the targets alone
    assert not {name for name in named if "PASSWORD" in name}
