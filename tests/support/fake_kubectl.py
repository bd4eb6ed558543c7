"""A `kubectl` for the PATH: it takes the arguments that the toolkit needs and no others, and fails as kubectl does.

Its words were recorded from kubectl 1.31 in front of an API server that answered so: an empty list beside an error, an
empty list and exit code 0 for a namespace that is not there, exit code 1 for a fault of its own and of the command.
What it executes really runs, with the stand-in server in the pod's network and its users behind `manage.py`.
"""

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from standin.process import StandinProcess
from tests.support.script_runs import ROOT

RELEASE = "cvat"
SERVER_POD = "cvat-backend-server-5d9c-x2x4k"
WORKERS = ("import", "export", "chunks", "annotation", "qualityreports", "consensus", "webhooks", "utils")

_PROGRAM = """#!{python} -IS
import json, os, subprocess, sys
CLUSTER = json.load(open({state!r}))
EMPTY = json.dumps(dict(apiVersion="v1", items=[], kind="List", metadata=dict(resourceVersion="")), indent=4)

def end(words, code=1):
    print(words, file=sys.stderr)
    sys.exit(code)

def parse(words, flags, switches=()):
    given, rest = dict(), []
    while words:
        word = words.pop(0)
        if word == "--":
            return given, rest, words
        if word in switches:
            given[word] = True
        elif word in flags:
            given[word] = words.pop(0)
        elif word.startswith("-"):
            end(f"error: unknown flag: {{word}}\\nSee 'kubectl --help' for usage.")
        else:
            rest.append(word)
    return given, rest, None

def refuse(verb, resource, group, namespace, name=""):
    shown = f'{{resource.split("/")[0]}}' + (f' "{{name}}"' if name else "")
    end(f'Error from server (Forbidden): {{shown}} is forbidden: User "ana" cannot {{verb}} resource "{{resource}}" '
        f'in API group "{{group}}" in the namespace "{{namespace}}"')

def listing(words):
    given, rest, _ = parse(words, ("--namespace", "--output"))
    if rest == ["namespace", *rest[1:]] and len(rest) == 2 and given == dict([("--output", "name")]):
        if "namespaces" in CLUSTER["forbidden"]:
            refuse("get", "namespaces", "", rest[1], rest[1])
        if rest[1] not in CLUSTER["namespaces"]:
            end(f'Error from server (NotFound): namespaces "{{rest[1]}}" not found')
        print(f"namespace/{{rest[1]}}")
        return
    assert rest in (["pods"], ["ingresses"]) and given.get("--output") == "json" and "--namespace" in given, sys.argv
    group = dict(pods="", ingresses="networking.k8s.io")[rest[0]]
    if rest[0] in CLUSTER["forbidden"]:
        print(EMPTY)
        refuse("list", rest[0], group, given["--namespace"])
    items = CLUSTER["namespaces"].get(given["--namespace"], dict()).get(rest[0], [])
    print(json.dumps(dict(json.loads(EMPTY), items=items), indent=4))

def execute(words):
    given, rest, command = parse(words, ("--namespace", "--container"), ("--stdin",))
    assert len(rest) == 1 and command and set(given) == {{"--stdin", "--namespace", "--container"}}, sys.argv
    pods = CLUSTER["namespaces"].get(given["--namespace"], dict()).get("pods", [])
    found = [pod for pod in pods if pod["metadata"]["name"] == rest[0]]
    if not found:
        end(f'Error from server (NotFound): pods "{{rest[0]}}" not found')
    if found[0]["status"]["phase"] in ("Succeeded", "Failed"):
        end(f'error: cannot exec into a container in a completed pod; current phase is {{found[0]["status"]["phase"]}}')
    if "pods/exec" in CLUSTER["forbidden"]:
        refuse("create", "pods/exec", "", given["--namespace"], rest[0])
    container = given["--container"]
    if container not in [one["name"] for one in found[0]["spec"]["containers"]]:
        end(f'Error from server (BadRequest): container {{container}} is not valid for pod {{rest[0]}}')
    if CLUSTER["starting"]:
        end(f'Error from server: container not found ("{{container}}")')
    sent = sys.stdin.buffer.read()
    for name, address in CLUSTER["network"].items():
        sent = sent.replace(name.encode(), address.encode())
    environment = dict(PATH=CLUSTER["bin"], PYTHONPATH=CLUSTER["pythonpath"], STANDIN_DATA=CLUSTER["data"])
    code = subprocess.run(command, input=sent, cwd=CLUSTER["home"], env=environment).returncode
    if code:
        end(f"command terminated with exit code {{code}}", code)

def main(words):
    with open(CLUSTER["log"], "a") as log:
        log.write(json.dumps([words, dict(os.environ)]) + "\\n")
    if words == ["version", "--client", "--output", "json"]:
        print(json.dumps(dict(clientVersion=dict(major="1", minor="31", gitVersion="v1.31.9"))))
        return
    if words == ["config", "current-context"]:
        if not CLUSTER["context"]:
            end("error: current-context is not set")
        print(CLUSTER["context"])
        return
    if CLUSTER["broken"]:
        if words[0] == "get":
            print(EMPTY)
        end(CLUSTER["broken"])
    dict(get=listing, exec=execute)[words[0]](words[1:])

main(sys.argv[1:])
"""

_MANAGE = """\
import sys
from standin import manage
if sys.argv[1:3] == ["shell", "-c"]:
    exec(sys.argv[3], {})
else:
    sys.exit(manage.main())
"""


def pod(name: str, containers: tuple[str, ...] = ("cvat-backend",), **labels: str) -> dict[str, Any]:
    """Describe a pod that is ready, as the API does, in what the toolkit reads and a little more."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/instance": RELEASE, **labels}},
        "spec": {"containers": [{"name": one} for one in containers]},
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Initialized", "status": "True"}, {"type": "Ready", "status": "True"}],
            "containerStatuses": [
                {"name": one, "ready": True, "restartCount": 0, "state": {"running": {}}, "lastState": {}}
                for one in containers
            ],
        },
    }


def chart_pods() -> list[dict[str, Any]]:
    """All pods that the chart makes with this repository's values."""
    own = {"app": "cvat-app", "app.kubernetes.io/name": "cvat"}
    backend = own | {"tier": "backend"}
    job = pod("cvat-backend-initializer-r1-9xq2z", component="initializer", **backend)
    job["status"] = {
        "phase": "Succeeded",
        "conditions": [{"type": "Ready", "status": "False", "reason": "PodCompleted"}],
    }
    return [
        job,
        pod(SERVER_POD, ("cvat-backend", "cvat-nginx"), component="server", **backend),
        *(pod(f"cvat-backend-worker-{one}-7f-abcde", component=f"worker-{one}", **backend) for one in WORKERS),
        *(pod(f"cvat-{one}-6c-fghij", (f"cvat-{one}-app",), tier=one, **own) for one in ("frontend", "opa", "kvrocks")),
        pod("cvat-postgresql-0", ("postgresql",), **{"app.kubernetes.io/name": "postgresql"}),
        pod("cvat-redis-master-0", ("redis",), **{"app.kubernetes.io/name": "redis"}),
        pod("other-0", ("other",), **{"app.kubernetes.io/name": "other", "app.kubernetes.io/instance": "other"}),
    ]


class FakeKubectl:
    """The program in a folder of its own, and the cluster that it talks to; `save()` what you change in `cluster`.

    Args:
        folder: An empty folder.
        server: The stand-in server in the pod.
        data: The folder of its data.
    """

    def __init__(self, folder: Path, server: StandinProcess, data: Path) -> None:
        home, bin_, self.path = folder / "home", folder / "container-bin", folder / "bin"
        for one in (home, bin_, self.path):
            one.mkdir(parents=True)
        (home / "manage.py").write_text(_MANAGE)
        shutil.copytree(ROOT / "tests/stack/images/django", home / "django")
        users = home / "django/contrib/auth.py"
        users.write_text(users.read_text().replace("/home/django/data", str(data)))
        (bin_ / "python3").symlink_to(sys.executable)
        (bin_ / "df").write_text(
            '#!/bin/sh\n[ "$*" = "-Pk /home/django/data" ] || exit 1\n'
            "echo Filesystem 1024-blocks Used Available Capacity Mounted on\n"
            "echo /dev/rbd0 104857600 20971520 83886080 20% /home/django/data\n"
        )
        (bin_ / "df").chmod(0o755)
        self._log, self._state = folder / "calls", folder / "cluster.json"
        ingress = {
            "metadata": {"name": RELEASE, "labels": {"app.kubernetes.io/instance": RELEASE}},
            "spec": {"rules": [{"host": "cvat.example.com"}], "tls": [{"hosts": ["cvat.example.com"]}]},
        }
        self.cluster: dict[str, Any] = {
            "namespaces": {"team": {"pods": chart_pods(), "ingresses": [ingress]}},
            "forbidden": [],
            "broken": "",
            "starting": False,
            "context": "kind-team",
            "network": {"http://localhost:8080": server.url, "http://cvat-frontend-service:8000": server.url},
            "home": str(home),
            "data": str(data),
            "bin": f"{bin_}:/usr/bin:/bin",
            "pythonpath": f"{home}:{ROOT / 'scripts'}",
            "log": str(self._log),
        }
        program = self.path / "kubectl"
        program.write_text(_PROGRAM.format(python=os.path.realpath(sys.executable), state=str(self._state)))
        program.chmod(0o755)
        self.save()

    @property
    def pods(self) -> list[dict[str, Any]]:
        """The pods of the namespace `team`."""
        found: list[dict[str, Any]] = self.cluster["namespaces"]["team"]["pods"]
        return found

    def pod(self, component: str) -> dict[str, Any]:
        """The pod of a component."""
        (found,) = (one for one in self.pods if one["metadata"]["labels"].get("component") == component)
        return found

    def save(self) -> None:
        """Let the program see the cluster as it is now."""
        self._state.write_text(json.dumps(self.cluster))

    def calls(self) -> list[list[str]]:
        """The arguments of all calls so far."""
        return [words for words, _ in self._calls()]

    def seen(self) -> str:
        """All that other users of this machine and the cluster's log see of the calls, and the environment they got."""
        return json.dumps(self._calls())

    def _calls(self) -> list[tuple[list[str], dict[str, str]]]:
        return [tuple(json.loads(line)) for line in self._log.read_text().splitlines()] if self._log.exists() else []
