"""deploy/kubernetes/values.yaml: its keys are the chart's, its decisions compose/compose.yml's, and helm renders it."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from dotenv import dotenv_values

from tests.support.script_runs import ROOT, run_program

VALUES_FILE = ROOT / "deploy/kubernetes/values.yaml"
VALUES: dict[str, Any] = yaml.safe_load(VALUES_FILE.read_text("utf-8"))
KEYS_FILE = ROOT / "tests/data/helm-chart-keys.txt"
KEYS = [line for line in KEYS_FILE.read_text("utf-8").splitlines() if not line.startswith("#")]
COMPOSE = yaml.safe_load((ROOT / "compose/compose.yml").read_text("utf-8"))["services"]
VERSIONS = dotenv_values(ROOT / "compose/versions.env")
CHART = os.environ.get("CVAT_HELM_CHART", "")

QUEUES_OF = {"utils": ["notifications", "cleaning"], "qualityreports": ["quality_reports"]}
"""Where a worker's name in the chart is not that of its one queue."""


def paths(tree: dict[str, Any], before: str = "") -> Iterator[str]:
    """List the keys of a tree of values with dots; a key that holds an empty map takes any keys, and ends with {}."""
    for key, value in tree.items():
        path = before + str(key).replace(".", "\\.")
        if isinstance(value, dict) and value:
            yield from paths(value, f"{path}.")
        else:
            yield path + (" {}" if value == {} else "")


def unknown(values: dict[str, Any]) -> list[str]:
    """Name the keys that the chart would pass over without a word."""
    free = tuple(key.removesuffix("{}").strip() + "." for key in KEYS if key.endswith("{}"))
    known = {key.removesuffix("{}").strip() for key in KEYS}
    return [path for path in paths(values) if path.removesuffix(" {}") not in known and not path.startswith(free)]


def test_every_key_is_one_of_the_chart() -> None:
    assert unknown(VALUES) == []


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({"analytic": {"enabled": False}}, ["analytic.enabled"]),
        ({"cvat": {"backend": {"workers": {"import": {"replicas": 1}}}}}, ["cvat.backend.workers.import.replicas"]),
        ({"cvat": {"backend": {"server": {"replicas": {"of": 1}}}}}, ["cvat.backend.server.replicas.of"]),
        ({"cvat": {"opa": {"resources": {"limits": {"memory": "1Gi"}}}}}, []),
    ],
)
def test_a_mistyped_key_is_noticed(given: dict[str, Any], wrong: list[str]) -> None:
    assert unknown(given) == wrong


def test_it_decides_what_the_compose_file_decides() -> None:
    cvat = VALUES["cvat"]
    assert VALUES["analytics"]["enabled"] is False
    assert VALUES["clickhouse"]["enabled"] is False
    for part, image in ((cvat["backend"], "CVAT_SERVER_IMAGE"), (cvat["frontend"], "CVAT_UI_IMAGE")):
        assert (part["image"], part["tag"]) == (VERSIONS[image], VERSIONS["CVAT_VERSION"])
    for part, image in ((cvat["opa"], "CVAT_OPA_IMAGE"), (cvat["kvrocks"], "CVAT_REDIS_ONDISK_IMAGE")):
        assert f"{part['image']}:{part['tag']}" == VERSIONS[image]
    assert VERSIONS["CVAT_REDIS_INMEM_IMAGE"] == f"redis:{VALUES['redis']['image']['tag']}-alpine"
    workers = {name: one for name, one in cvat["backend"]["worker"].items() if name != "livenessProbe"}
    served = [queue for name in workers for queue in QUEUES_OF.get(name, [name])]
    assert sorted(served) == sorted(COMPOSE["cvat_worker"]["command"][2:])
    assert all((one["replicas"], one["numProcs"]) == (1, 1) for one in workers.values())
    # A secret of the chart's own would have a password that everybody knows.
    assert [part["secret"]["create"] for part in (VALUES["postgresql"], VALUES["redis"], cvat["kvrocks"])] == [
        False
    ] * 3
    assert "password" not in VALUES_FILE.read_text("utf-8").lower().replace("passwords", "")


def test_the_settings_that_close_sign_up_are_the_ones_mounted() -> None:
    backend = VALUES["cvat"]["backend"]
    (variable,) = (one["value"] for one in backend["additionalEnv"] if one["name"] == "DJANGO_SETTINGS_MODULE")
    (mount,) = backend["additionalVolumeMounts"]
    (volume,) = backend["additionalVolumes"]
    assert mount["name"] == volume["name"]
    assert mount["mountPath"] == f"/opt/cvat/{variable.replace('.', '/')}.py"
    assert (VALUES_FILE.parent / mount["subPath"]).is_file()
    page = (ROOT / "docs/kubernetes.md").read_text("utf-8")
    assert f"create configmap {volume['configMap']['name']} --from-file=deploy/kubernetes/{mount['subPath']}" in page


def test_those_settings_close_sign_up_and_change_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "cvat/settings").mkdir(parents=True)
    (tmp_path / "cvat/settings/production.py").write_text("REST_AUTH = {'LOGIN_SERIALIZER': 'own'}\nDEBUG = False\n")
    shutil.copy(VALUES_FILE.parent / "closed_sign_up.py", tmp_path / "cvat/settings")
    show = "from cvat.settings import closed_sign_up as it; print(it.DEBUG, it.REST_AUTH)"
    done = run_program([sys.executable, "-c", show], cwd=tmp_path)
    assert done.stdout.strip() == str(False) + " " + str(
        {"LOGIN_SERIALIZER": "own", "REGISTER_PERMISSION_CLASSES": ["rest_framework.permissions.IsAdminUser"]}
    )


needs_helm = pytest.mark.skipif(
    not shutil.which("helm") or not Path(CHART, "Chart.yaml").is_file(),
    reason="needs helm on the PATH and CVAT's chart: git clone --branch v2.73.0 https://github.com/cvat-ai/cvat, then "
    "CVAT_HELM_CHART=…/cvat/helm-chart make test ARGS=tests/stack/test_helm_values.py",
)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What helm makes of CVAT's own part of the chart; the charts that it takes along need not be at hand."""
    copy = tmp_path_factory.mktemp("chart") / "cvat"
    shutil.copytree(CHART, copy)
    about = yaml.safe_load((copy / "Chart.yaml").read_text("utf-8"))
    if not (copy / "charts").is_dir():
        del about["dependencies"]
        (copy / "Chart.yaml").write_text(yaml.safe_dump(about), "utf-8")
    call = ["helm", "template", "cvat", str(copy), "--namespace", "team", "--values", str(VALUES_FILE)]
    done = run_program(call)
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one and one["metadata"]["name"].startswith("cvat")]


def containers(rendered: list[dict[str, Any]], kind: str = "containers") -> Iterator[tuple[str, dict[str, Any]]]:
    for one in rendered:
        if one["kind"] in ("Deployment", "StatefulSet", "Job"):
            for container in one["spec"]["template"]["spec"].get(kind, []):
                yield one["metadata"]["name"], container


@needs_helm
def test_the_recorded_keys_are_those_of_the_chart() -> None:
    own = list(paths(yaml.safe_load(Path(CHART, "values.yaml").read_text("utf-8"))))
    used = {path.removesuffix(" {}") for path in paths(VALUES)}
    recorded = KEYS_FILE.read_text("utf-8").partition("\n# Not there")[0].splitlines()[1:]
    assert set(recorded) - set(own) == set()
    assert {key for key in own if key.removesuffix(" {}") in used} <= set(recorded)


@needs_helm
def test_helm_renders_each_queue_into_one_deployment(rendered: list[dict[str, Any]]) -> None:
    replicas = {one["metadata"]["name"]: one["spec"].get("replicas") for one in rendered if one["kind"] == "Deployment"}
    served: list[str] = []
    for name, container in containers(rendered):
        if "-worker-" in name:
            assert replicas[name] == 1
            assert container["args"][:2] == ["run", "worker"]
            served += [word for word in container["args"][2:] if not word.startswith("--")]
            assert container["livenessProbe"]["timeoutSeconds"] == 60
    assert sorted(served) == sorted(COMPOSE["cvat_worker"]["command"][2:])


@needs_helm
def test_helm_renders_limits_versions_and_a_closed_sign_up(rendered: list[dict[str, Any]]) -> None:
    for name, container in containers(rendered):
        if container["name"] != "cvat-nginx":  # the chart gives it none
            assert container["resources"]["limits"]["memory"], name
        variables = {one["name"]: one.get("value") for one in container.get("env", [])}
        if container["image"].startswith("cvat/server") and variables:
            assert container["image"] == f"cvat/server:{VERSIONS['CVAT_VERSION']}"
            assert variables["DJANGO_SETTINGS_MODULE"] == "cvat.settings.closed_sign_up"
            assert variables["SMOKESCREEN_OPTS"] == ""
            assert variables["CVAT_NUM_PROXIES"] == "1"
            assert not {"CVAT_ANALYTICS", "CLICKHOUSE_HOST", "DJANGO_LOG_SERVER_HOST"} & set(variables)
            assert "/opt/cvat/cvat/settings/closed_sign_up.py" in [
                one["mountPath"] for one in container["volumeMounts"]
            ]
    assert {tuple(one["args"]) for _, one in containers(rendered, "initContainers")} == {
        ("cd /home/django && chown 1000:1000 data keys logs || chmod 777 data keys logs",)
    }
    assert not [one for one in rendered if one["kind"] == "Secret"]
    (ingress,) = (one for one in rendered if one["kind"] == "Ingress")
    assert [rule["host"] for rule in ingress["spec"]["rules"]] == ["cvat.example.com"]
    assert ingress["spec"]["tls"]
