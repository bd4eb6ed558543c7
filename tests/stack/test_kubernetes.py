"""The commands that serve a CVAT on Kubernetes, through a kubectl that fails as the real one does."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from standin.process import StandinProcess
from tests.support.fake_kubectl import SERVER_POD, FakeKubectl, pod
from tests.support.script_runs import outside, run_program, run_script

PASSWORD = "a-Quiet-Harbour-7"
EXEC = ["exec", "--stdin", SERVER_POD, "--namespace", "team", "--container", "cvat-backend", "--", "python3", "-c"]
COMPONENTS = {
    "server", "frontend", "opa", "kvrocks", "worker-import", "worker-export", "worker-chunks", "worker-annotation",
    "worker-qualityreports", "worker-consensus", "worker-webhooks", "worker-utils", "postgresql", "redis",
}  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[StandinProcess, Path]]:
    data = tmp_path_factory.mktemp("data")
    with StandinProcess(data) as one:
        yield one, data


@pytest.fixture
def kubectl(tmp_path: Path, server: tuple[StandinProcess, Path]) -> FakeKubectl:
    return FakeKubectl(tmp_path / "cluster", *server)


def run(kubectl: FakeKubectl, script: str, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    folder = kubectl.path.parent
    environment = {"CVAT_TOKEN_FILE": str(folder / "token"), "CVAT_SETTINGS_FILE": str(folder / "cvat.env")}
    environment |= {"CVAT_KUBERNETES": "team", "PATH": str(kubectl.path)}
    return run_script(script, *words, environment=outside(**(environment | more)))


def fails(kubectl: FakeKubectl, script: str, *words: str, code: int = 1, **more: str) -> str:
    done = run(kubectl, script, *words, **more)
    assert (done.returncode, done.stderr.count("\n")) == (code, 1), done
    assert done.stdout == ""
    return done.stderr


def superuser(kubectl: FakeKubectl, name: str, *words: str, password: str = PASSWORD) -> Any:
    return run(kubectl, "create_superuser", "--username", name, *words, CVAT_SUPERUSER_PASSWORD=password)


def test_superuser_token_and_status_go_through_the_servers_pod(kubectl: FakeKubectl) -> None:
    made = superuser(kubectl, "ana")
    assert made.returncode == 0, made.stderr
    assert "Superuser ana was created. Sign in at https://cvat.example.com/auth/login" in made.stderr
    listed, asked, entered = kubectl.calls()
    assert listed == ["get", "pods", "--namespace", "team", "--output", "json"]
    assert asked == ["get", "ingresses", "--namespace", "team", "--output", "json"]
    assert entered[: len(EXEC)] == EXEC
    assert entered[len(EXEC) + 1 :] == ["python3", "manage.py", "createsuperuser", "--noinput"]

    again = superuser(kubectl, "ana")
    assert (again.returncode, "exists already" in again.stderr) == (0, True)
    reset = superuser(kubectl, "ana", "--reset", password="another-Harbour-8")
    assert "has a new password" in reset.stderr, reset.stderr

    refused = fails(kubectl, "create_token", CVAT_USERNAME="ana", CVAT_PASSWORD=PASSWORD)
    assert "kubernetes://team does not let ana in: wrong user name or password" in refused
    token = run(kubectl, "create_token", CVAT_USERNAME="ana", CVAT_PASSWORD="another-Harbour-8")
    assert token.returncode == 0, token.stderr
    assert "Token of ana for https://cvat.example.com, valid until" in token.stderr
    kept = json.loads((kubectl.path.parent / "token").read_text())
    assert kept["url"] == "https://cvat.example.com"

    status = run(kubectl, "show_status", "--json")
    assert status.returncode == 0, status.stderr
    shown = json.loads(status.stdout)
    assert shown["services"] == dict.fromkeys(shown["services"], "ready")
    assert set(shown["services"]) == COMPONENTS
    assert "(a tested version: CVAT " in shown["versions"]
    assert shown["disk"] == "80.0 GiB free, 20 % full"

    for secret in (PASSWORD, "another-Harbour-8", kept["value"]):
        assert secret not in kubectl.seen()


def test_the_address_is_the_one_given_then_the_ingress_then_a_forwarded_port(kubectl: FakeKubectl) -> None:
    assert superuser(kubectl, "bo").returncode == 0
    sign_in = {"CVAT_USERNAME": "bo", "CVAT_PASSWORD": PASSWORD}
    named = run(kubectl, "create_token", CVAT_URL="https://other.example.com", **sign_in)
    assert "for https://other.example.com," in named.stderr
    kubectl.cluster["forbidden"] = ["ingresses"]
    kubectl.save()
    assert "for http://localhost:8080," in run(kubectl, "create_token", **sign_in).stderr


def test_doctor_looks_at_each_component(kubectl: FakeKubectl) -> None:
    kubectl.cluster["namespaces"]["team"]["ingresses"] = []
    kubectl.save()
    well = run(kubectl, "doctor", "--json")
    assert well.returncode == 0, well.stdout
    found = {check["name"]: check for check in json.loads(well.stdout)}
    assert COMPONENTS | {"kubectl", "cluster", "sign-up", "disk", "versions"} <= set(found)
    assert found["kubectl"]["found"] == "v1.31.9"
    assert found["cluster"]["found"] == "release cvat, context kind-team"
    assert "Docker engine" not in found

    kubectl.pods.remove(kubectl.pod("worker-export"))
    chunks = kubectl.pod("worker-chunks")["status"]
    chunks["containerStatuses"][0] |= {"restartCount": 4, "lastState": {"terminated": {"reason": "OOMKilled"}}}
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}}
    opa = next(one for one in kubectl.pods if one["metadata"]["labels"].get("tier") == "opa")["status"]
    opa["conditions"] = [{"type": "Ready", "status": "False", "reason": "ContainersNotReady"}]
    opa["containerStatuses"][0] |= {"ready": False, "state": waiting}
    pending = pod("cvat-backend-worker-import-2", app="cvat-app", tier="backend", component="worker-import")
    unplaced = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
    pending["status"] = {"phase": "Pending", "conditions": [unplaced]}
    kubectl.pods.append(pending)
    kubectl.save()
    ill = run(kubectl, "doctor", "--json")
    assert ill.returncode == 3
    found = {check["name"]: check for check in json.loads(ill.stdout)}
    states = {name: found[name]["state"] for name in COMPONENTS if found[name]["state"] != "ok"}
    assert states == {"worker-export": "failed", "opa": "failed", "worker-import": "failed", "worker-chunks": "warning"}
    assert found["worker-export"]["found"] == "absent"
    assert found["opa"]["found"] == "0 of 1 ready (ImagePullBackOff)"
    assert found["worker-import"]["found"] == "1 of 2 ready (Unschedulable)"
    assert found["worker-chunks"]["found"] == "ready, restarted 4×, something in it was killed for want of memory"
    status = run(kubectl, "show_status")
    assert status.returncode == 3
    assert "opa, worker-import, worker-export do not run well" in status.stderr


def test_doctor_warns_of_an_open_sign_up(faulty_standin: StandinProcess, tmp_path: Path) -> None:
    kubectl = FakeKubectl(tmp_path / "cluster", faulty_standin, tmp_path)
    faulty_standin.order_fault("status", path="/api/auth/register", status=400)
    found = {check["name"]: check for check in json.loads(run(kubectl, "doctor", "--json").stdout)}
    assert found["sign-up"]["state"] == "warning"
    assert "deploy/kubernetes/values.yaml" in found["sign-up"]["advice"]


REFUSED = "The connection to the server 10.0.0.1:6443 was refused - did you specify the right host or port?"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"namespaces": {}}, 'namespaces "team" not found: there is no such namespace: correct CVAT_KUBERNETES'),
        ({"namespaces": {"team": {"pods": []}}}, "there is no CVAT in namespace team: helm install it"),
        ({"namespaces": {}, "forbidden": ["namespaces"]}, "there is no CVAT in namespace team"),
        ({"broken": "error: You must be logged in to the server (Unauthorized)"}, "sign in to the cluster again"),
        ({"broken": f"E1126 01:23:10.7 8973 memcache.go:265] Unhandled\n{REFUSED}"}, f"kubectl: {REFUSED}: does the"),
        ({"broken": "Unable to connect to the server: dial tcp: i/o timeout"}, "i/o timeout: does the cluster run"),
    ],
)
def test_what_the_cluster_refuses_is_one_line(kubectl: FakeKubectl, change: dict[str, Any], told: str) -> None:
    kubectl.cluster |= change
    kubectl.save()
    assert told in fails(kubectl, "show_status")


@pytest.mark.parametrize("script", ["create_superuser", "create_token", "show_status"])
def test_whoever_may_not_look_is_told_so(kubectl: FakeKubectl, script: str) -> None:
    kubectl.cluster["forbidden"] = ["pods"]
    kubectl.save()
    words = ["--username", "cy"] if script != "show_status" else []
    told = fails(kubectl, script, *words, CVAT_SUPERUSER_PASSWORD=PASSWORD, CVAT_PASSWORD=PASSWORD)
    assert 'kubectl: pods is forbidden: User "ana" cannot list resource "pods"' in told
    assert "docs/kubernetes.md names the rights it takes" in told


def test_two_releases_in_one_namespace_are_not_guessed_at(kubectl: FakeKubectl) -> None:
    labels = {"app": "cvat-app", "tier": "backend", "component": "server", "app.kubernetes.io/instance": "second"}
    kubectl.pods.append(pod("second-0", **labels))
    kubectl.save()
    assert "there are 2 CVATs in namespace team (cvat, second)" in fails(kubectl, "show_status")


def test_a_server_that_cannot_be_entered_is_one_line(kubectl: FakeKubectl) -> None:
    kubectl.cluster["forbidden"] = ["pods/exec"]
    kubectl.save()
    assert 'cannot create resource "pods/exec"' in superuser(kubectl, "di").stderr
    kubectl.cluster |= {"forbidden": [], "starting": True}
    kubectl.save()
    starting = superuser(kubectl, "di")
    assert (starting.returncode, starting.stderr.count("\n")) == (1, 1)
    assert 'container not found ("cvat-backend"): the pod is just starting or ending' in starting.stderr
    waits = {"waiting": {"reason": "CrashLoopBackOff"}}
    status = kubectl.pod("server")["status"]
    status["conditions"] = []
    status["containerStatuses"][0] |= {"ready": False, "restartCount": 7, "state": waits}
    kubectl.save()
    crashing = superuser(kubectl, "di").stderr
    assert "does not run (0 of 1 ready (CrashLoopBackOff), restarted 7×)" in crashing
    assert f"kubectl --namespace team describe pod {SERVER_POD}" in crashing


def test_a_pod_that_is_ending_is_not_entered(kubectl: FakeKubectl) -> None:
    old = json.loads(json.dumps(kubectl.pod("server")))
    old["metadata"] |= {"name": "old", "deletionTimestamp": "2026-11-26T00:00:00Z"}
    kubectl.pods.insert(0, old)
    kubectl.save()
    assert superuser(kubectl, "eva").returncode == 0
    assert "old" not in [call[2] for call in kubectl.calls() if call[0] == "exec"]


def test_without_kubectl_one_line_says_where_to_get_it(kubectl: FakeKubectl, tmp_path: Path) -> None:
    assert "kubectl is not installed" in fails(kubectl, "show_status", PATH=str(tmp_path))
    checks = json.loads(run(kubectl, "doctor", "--json", PATH=str(tmp_path)).stdout)
    assert {check["name"]: check["state"] for check in checks} == {"Python": "ok", "kubectl": "failed"}


@pytest.mark.parametrize("name", ["Team", "--kubeconfig=x", "a b", "team/pods", "-", "ä", "a" * 64])
def test_a_namespace_that_is_none_is_refused(kubectl: FakeKubectl, name: str) -> None:
    done = run(kubectl, "show_status", CVAT_KUBERNETES=name)
    assert done.returncode == 2
    assert "CVAT_KUBERNETES must be the name of a namespace" in done.stderr
    assert kubectl.calls() == []


LOCAL_ALONE = {
    "up": "helm upgrade --install",
    "stop": "kubectl scale deployment --replicas=0",
    "start": "kubectl scale deployment --replicas=1",
    "restart": "kubectl rollout restart",
    "down": "helm uninstall",
    "logs": "kubectl logs --follow",
    "pull": "the cluster gets the images itself",
    "destroy": "kubectl delete pvc",
    "backup": "snapshots",
    "restore": "leads from a backup to the cluster",
    "prune": "kubectl delete pvc",
    "upgrade": "helm upgrade",
}


@pytest.mark.parametrize("target", LOCAL_ALONE)
def test_what_is_for_this_machine_alone_says_what_to_do_instead(
    kubectl: FakeKubectl, target: str, tmp_path: Path
) -> None:
    backup = tmp_path / "laptop.cvat-backup.zip"
    backup.touch()
    typed = {"restore": [f"FILE={backup}"], "upgrade": ["CVAT_VERSION=v2.73.0"], "destroy": ["CONFIRM=cvat"]}
    done = run_program(
        ["make", "--no-print-directory", target, *typed.get(target, ()), "CVAT_KUBERNETES=team"],
        cwd=Path(__file__).resolve().parents[2],
        environment=outside(VENV=str(Path(sys.prefix))),
    )
    line = done.stderr.splitlines()[0]
    assert line.startswith(
        f"error: `make {target}` is for the CVAT on this machine, and CVAT_KUBERNETES names namespace team"
    )
    assert LOCAL_ALONE[target] in line
    assert "docs/kubernetes.md" in line
