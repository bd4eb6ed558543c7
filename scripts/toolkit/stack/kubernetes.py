"""CVAT on Kubernetes, as CVAT's own Helm chart lays it out: looked at, and into, through kubectl."""

import base64
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from toolkit.config.local_cvat import NAMESPACE_KEY, Stack
from toolkit.core.errors import FAILED, OK, WARNING, Check, ToolkitError, UsageError
from toolkit.core.secrets import without_secrets
from toolkit.cvat import probes
from toolkit.cvat.connection import check_url
from toolkit.stack.checks import (
    DISK_FOR_WORK,
    KILLED_FOR_MEMORY,
    DiskUse,
    Status,
    disk_check,
    disk_of_server,
    server_status,
)

Pod = Mapping[str, Any]
"""A pod as the API of Kubernetes describes it."""

COMPONENTS = (
    *("server", "frontend", "opa", "kvrocks"),
    *("worker-import", "worker-export", "worker-chunks", "worker-annotation"),
    *("worker-qualityreports", "worker-consensus", "worker-webhooks", "worker-utils"),
)
"""What the chart makes of CVAT itself; database and Redis may be elsewhere."""


@dataclass(frozen=True)
class ComponentState:
    """How the pods of one component of the chart are, in a few words, and whether they do not do their work.

    ``killed`` tells whether something in it was killed for want of memory.
    """

    component: str
    words: str
    fails: bool
    killed: bool = False


def label(thing: Mapping[str, Any], name: str) -> str:
    """Return a label of anything in a cluster, empty where it has none of the name."""
    return str((thing["metadata"].get("labels") or {}).get(name, ""))


def component_of(pod: Pod) -> str:
    """Name what a pod is part of: by the chart's own labels, or those of the charts that it takes along."""
    if label(pod, "app") == "cvat-app":
        return label(pod, "component") or label(pod, "tier")
    return label(pod, "app.kubernetes.io/name") or str(pod["metadata"]["name"])


def containers(pod: Pod) -> list[dict[str, Any]]:
    """Return the states of a pod's containers; none while it has no place yet."""
    return list(pod["status"].get("containerStatuses") or [])


def is_ready(pod: Pod) -> bool:
    """Tell whether a pod does its work."""
    return any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions") or [])


def component_state(component: str, pods: Sequence[Pod]) -> ComponentState:
    """Sum up the pods of one component."""
    if not pods:
        return ComponentState(component, "absent", fails=True)
    ready = sum(is_ready(pod) for pod in pods)
    words = "ready" if ready == len(pods) == 1 else f"{ready} of {len(pods)} ready"
    reasons = {reason for pod in pods for reason in _reasons(pod)}
    words += f" ({', '.join(sorted(reasons))})" if reasons else ""
    statuses = [one for pod in pods for one in containers(pod)]
    restarts = sum(one.get("restartCount", 0) for one in statuses)
    ends = [one.get(when, {}).get("terminated") or {} for one in statuses for when in ("state", "lastState")]
    killed = any(end.get("reason") == "OOMKilled" for end in ends)
    return ComponentState(
        component, words + (f", restarted {restarts}×" if restarts else ""), ready < len(pods), killed
    )


def _reasons(pod: Pod) -> Iterator[str]:
    """Say why a pod is not ready, in the cluster's words."""
    if is_ready(pod):
        return
    waits = [one.get("state", {}).get("waiting") for one in containers(pod)]
    given = [one["reason"] for one in waits if one and one.get("reason")]
    unmet = [one.get("reason") for one in pod["status"].get("conditions") or [] if one["status"] != "True"]
    phase = pod["status"].get("phase", "Unknown")
    yield from given or [reason for reason in unmet[:1] if reason] or ["not ready" if phase == "Running" else phase]


PAGE = "docs/kubernetes.md"
CONTAINER = "cvat-backend"
"""The container of the server's pod that has CVAT's programs; the other one is its nginx."""

REGISTER_PATH = "/api/auth/register"
_SERVER_PATHS = ("/api/", "/static/", "/admin", "/django-rq")
_ANSWER_SECONDS = 30.0

_INSTEAD = {
    "up": "helm upgrade --install starts it",
    "start": "kubectl scale deployment --replicas=1 starts it",
    "stop": "kubectl scale deployment --replicas=0 stops it",
    "restart": "kubectl rollout restart deployment does it",
    "down": "helm uninstall removes it, all but the volumes",
    "destroy": "helm uninstall and kubectl delete pvc remove it with its data",
    "logs": "kubectl logs --follow deployment/cvat-backend-server shows them",
    "pull": "the cluster gets the images itself",
    "backup": "use the cluster's snapshots of volumes, or pg_dump and tar",
    "restore": "the page leads from a backup to the cluster",
    "prune": "kubectl delete pvc removes volumes",
    "upgrade": "helm upgrade with the chart of that version does it",
}

# Over standard input, for arguments are seen by everybody here, in the pod, and in the cluster's audit log.
_WITH_ENVIRONMENT = (
    "import json, os, sys\nos.environ.update(json.load(sys.stdin))\nos.execvp(sys.argv[1], sys.argv[1:])\n"
)
_ASK = """\
import base64, json, sys, time
from urllib import error, request
class Stay(request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None
wish = json.load(sys.stdin)
data = None if wish["body"] is None else json.dumps(wish["body"]).encode()
asked = request.Request(wish["address"], data, wish["headers"], method=wish["method"])
start = time.monotonic()
try:
    try:
        answer = request.build_opener(request.ProxyHandler({}), Stay).open(asked, timeout=wish["timeout"])
    except error.HTTPError as status:
        answer = status
    body = base64.b64encode(answer.read(wish["largest"])).decode()
    heads = {name: answer.headers.get(name) for name in ("Content-Type", "Date")}
    said = {"status": answer.status, "seconds": time.monotonic() - start, "body": body, "headers": heads}
except (OSError, ValueError) as problem:
    said = {"problem": str(getattr(problem, "reason", problem))}
print(json.dumps(said))
"""


def refuse_on_cluster(stack: Stack, command: str) -> None:
    """Refuse a command, such as ``make backup``, for the CVAT here while ``CVAT_KUBERNETES`` names one elsewhere.

    Raises UsageError, which says what to do instead.
    """
    if stack.namespace:
        instead = _INSTEAD.get(command.removeprefix("make ").split(" ")[0], "use kubectl or helm")
        raise UsageError(
            f"`{command}` is for the CVAT on this machine, and {NAMESPACE_KEY} names namespace {stack.namespace}: "
            f"{instead} ({PAGE}); or unset {NAMESPACE_KEY}"
        )


@dataclass(frozen=True)
class Cluster:
    """A CVAT in a namespace of the cluster that kubectl talks to, as a Helm release.

    ``pods`` has all of the release that are not ending, as the API describes them.
    """

    namespace: str
    release: str
    pods: list[Pod] = field(repr=False)

    @property
    def inside(self) -> str:
        """The address by which the probes ask the server from inside its pod; see :func:`find_cluster`."""
        return f"kubernetes://{self.namespace}"

    def components(self) -> Iterator[ComponentState]:
        """Look at each component: those of CVAT, whether they have pods or not, then what else the release runs."""
        found: dict[str, list[Pod]] = {name: [] for name in COMPONENTS}
        for pod in self.pods:
            if pod["status"].get("phase") != "Succeeded":  # a job that has done its work
                found.setdefault(component_of(pod), []).append(pod)
        for name, pods in found.items():
            yield component_state(name, pods)

    def server_pod(self) -> str:
        """Return the name of a pod in which the server runs.

        Raises ToolkitError, which says what the cluster says of it, where there is none.
        """
        pods = [pod for pod in self.pods if component_of(pod) == "server"]
        for pod in sorted(pods, key=is_ready, reverse=True):
            if any(one["name"] == CONTAINER and "running" in one.get("state", {}) for one in containers(pod)):
                return str(pod["metadata"]["name"])
        raise ToolkitError(
            f"the CVAT server in namespace {self.namespace} does not run ({component_state('server', pods).words}): "
            f"kubectl --namespace {self.namespace} describe pod {pods[0]['metadata']['name']}"
        )

    def execute(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> tuple[int, str]:
        """Run a command in the server's container; returns the exit code, and standard output and error together.

        The command is visible to others, so it never has a secret; the environment is not visible from outside. Raises
        ToolkitError where the server does not run, or the cluster refuses.
        """
        code, output, errors = self._run(
            ["python3", "-c", _WITH_ENVIRONMENT, *command], json.dumps(dict(environment or {}))
        )
        return code, output + errors

    def _run(self, command: Sequence[str], given: str, timeout: float | None = None) -> tuple[int, str, str]:
        place = ("--namespace", self.namespace, "--container", CONTAINER)
        call = _kubectl("exec", "--stdin", self.server_pod(), *place, "--", *command, given=given, timeout=timeout)
        # kubectl ends with the command's own exit code and says so, or with 1 for a reason of its own.
        errors, _, ending = call.stderr.rstrip().rpartition("command terminated with exit code ")
        if call.returncode and not ending.isdigit():
            raise _failure(self.namespace, call.stderr)
        return call.returncode, call.stdout, errors if call.returncode else call.stderr

    def ask(self, path: str, method: str, body: Any, headers: Mapping[str, str], timeout: float) -> probes.Answer:
        """Send a request from inside the server's pod, as :func:`toolkit.cvat.probes.ask` does from here."""
        is_servers = path.startswith(_SERVER_PATHS)
        host = "localhost:8080" if is_servers else f"{self.release}-frontend-service:8000"
        wish = {"address": f"http://{host}{path}", "method": method, "body": body, "timeout": timeout}
        wish["headers"] = {**headers, **({} if body is None else {"Content-Type": "application/json"})}
        wish["largest"] = probes.LARGEST
        try:
            code, output, errors = self._run(["python3", "-c", _ASK], json.dumps(wish), timeout + _ANSWER_SECONDS)
            said = json.loads(output)
        except ValueError as error:
            raise probes.Unreachable(f"no answer from {self.inside}: {(errors or output).strip()[-200:]}") from error
        if code or "problem" in said:
            reason = said.get("problem", f"exit code {code}")
            raise probes.Unreachable(f"no answer from {host} inside {self.inside}: {reason}")
        return probes.Answer.of(said["status"], said["seconds"], base64.b64decode(said["body"]), said["headers"])

    def ingress_url(self) -> str | None:
        """Return the address of the release's ingress; None where there is none, or none that this user may see."""
        try:
            listed = _list_of("ingresses", self.namespace)
        except ToolkitError:
            return None
        for ingress in listed:
            if label(ingress, "app.kubernetes.io/instance") == self.release:
                spec = ingress.get("spec", {})
                hosts = [rule["host"] for rule in spec.get("rules", []) if rule.get("host")]
                if hosts:
                    return f"{'https' if spec.get('tls') else 'http'}://{hosts[0]}"
        return None


def find_cluster(namespace: str) -> Cluster:
    """Find the CVAT in a namespace, and let the probes ask it under :attr:`Cluster.inside`.

    Raises ToolkitError where there is no kubectl, no cluster, no right to look, or not exactly one CVAT.
    """
    pods = [pod for pod in _list_of("pods", namespace) if not pod["metadata"].get("deletionTimestamp")]
    servers = [pod for pod in pods if component_of(pod) == "server" and label(pod, "app") == "cvat-app"]
    releases = sorted({label(pod, "app.kubernetes.io/instance") for pod in servers})
    if not releases:
        # Of a namespace that is not there, kubectl lists no pods and ends with 0.
        call = _kubectl("get", "namespace", namespace, "--output", "name")
        if "(NotFound)" in call.stderr:
            raise _failure(namespace, call.stderr)
        raise ToolkitError(
            f"there is no CVAT in namespace {namespace}: helm install it ({PAGE}), or correct {NAMESPACE_KEY}"
        )
    if len(releases) > 1:
        raise ToolkitError(
            f"there are {len(releases)} CVATs in namespace {namespace} ({', '.join(releases)}): "
            "give each a namespace of its own"
        )
    own = [pod for pod in pods if label(pod, "app.kubernetes.io/instance") == releases[0]]
    cluster = Cluster(namespace, releases[0], own)
    probes.mount(cluster.inside, cluster.ask)
    return cluster


def cluster_status(cluster: Cluster) -> Status:
    """Look at a CVAT on Kubernetes: its pods, and its server from inside the pod."""
    states = list(cluster.components())
    status = server_status(cluster.inside)
    status.services = {state.component: state.words for state in states}
    failing = [state.component for state in states if state.fails]
    if failing:
        status.problem = f"{', '.join(failing)} {'do' if len(failing) > 1 else 'does'} not run well: make doctor"
    use = _disk_use(cluster)
    if use is not None:
        status.disk = use.words
    return status


def kubectl_checks(namespace: str) -> tuple[list[Check], Cluster | None]:
    """Check kubectl and the way to the CVAT in a namespace; returns the CVAT as well when it was found."""
    checks = []
    try:
        call = _kubectl("version", "--client", "--output", "json")
        found = json.loads(call.stdout)["clientVersion"]["gitVersion"]
        checks.append(Check("kubectl", OK, "on the PATH", found))
    except (ValueError, KeyError, TypeError):
        checks.append(Check("kubectl", FAILED, "on the PATH", "a program that is not kubectl", "install kubectl"))
    except ToolkitError as error:
        found, _, advice = error.message.partition(": ")
        return [Check("kubectl", FAILED, "on the PATH", found, advice)], None
    required = f"a CVAT in namespace {namespace}"
    try:
        cluster = find_cluster(namespace)
    except ToolkitError as error:
        return [*checks, Check("cluster", FAILED, required, error.message, f"see {PAGE}")], None
    context = _kubectl("config", "current-context").stdout.strip() or "the pod's own"
    checks.append(Check("cluster", OK, required, f"release {cluster.release}, context {context}"))
    return checks, cluster


def cluster_checks(cluster: Cluster) -> Iterator[Check]:
    """Check the pods of a CVAT on Kubernetes, and its server from inside the pod."""
    for state in cluster.components():
        found = state.words + (f", {KILLED_FOR_MEMORY}" if state.killed else "")
        outcome, advice = OK, ""
        if state.fails:
            outcome = FAILED
            advice = (
                f"kubectl --namespace {cluster.namespace} get pods, then describe or logs of the one that is not ready"
            )
        elif state.killed:
            outcome, advice = WARNING, "what it was doing has failed; give it more memory (resources in its values)"
        yield Check(state.component, outcome, "ready", found, advice)
    try:
        yield from probes.answer_checks(cluster.inside)
        yield _sign_up_check(cluster)
        use = _disk_use(cluster)
    except ToolkitError as error:
        yield Check("server", FAILED, "answers inside its pod", error.message)
        return
    yield disk_check(
        use,
        DISK_FOR_WORK,
        "for exports",
        how_to_see="see the checks above",
        how_to_free="or give it a larger volume: defaultStorage in its values",
    )


def _sign_up_check(cluster: Cluster) -> Check:
    """See whether a stranger may make an account: an open door complains about what an empty wish lacks."""
    answer = probes.ask(cluster.inside, REGISTER_PATH, "POST", {})
    if answer.status in (401, 403, 404, 405):
        return Check("sign-up", OK, "closed", "closed")
    advice = "whoever reaches CVAT can make an account: take deploy/kubernetes/values.yaml"
    return Check("sign-up", WARNING, "closed", f"open (status {answer.status})", advice)


def _disk_use(cluster: Cluster) -> DiskUse | None:
    try:
        return disk_of_server(cluster.execute)
    except ToolkitError:
        return None


def _list_of(kind: str, namespace: str) -> list[Mapping[str, Any]]:
    call = _kubectl("get", kind, "--namespace", namespace, "--output", "json")
    if call.returncode:  # it prints an empty list all the same
        raise _failure(namespace, call.stderr)
    try:
        listed: list[Mapping[str, Any]] = json.loads(call.stdout)["items"]
    except (ValueError, KeyError, TypeError) as error:
        raise ToolkitError(f"kubectl get {kind} printed no list of them: is it kubectl?") from error
    return listed


def _kubectl(*arguments: str, given: str = "", timeout: float | None = None) -> "subprocess.CompletedProcess[str]":
    program = shutil.which("kubectl")
    if program is None:
        raise ToolkitError(
            f"kubectl is not installed, and {NAMESPACE_KEY} is set: get it from https://kubernetes.io/docs/tasks/tools/"
        )
    try:
        return subprocess.run(
            [program, *arguments],
            input=given,
            env=without_secrets(),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout or (300.0 if arguments[0] == "exec" else 2 * _ANSWER_SECONDS),
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ToolkitError(
            f"kubectl {arguments[0]} got no answer from the cluster within {error.timeout:g} s"
        ) from error


def _failure(namespace: str, errors: str) -> ToolkitError:
    """Say in one line what kubectl says in its own words, and what to do."""
    lines = [line for line in errors.splitlines() if line.strip() and not re.match(r"[EWI]\d{4} ", line)]
    said = lines[0] if lines else "it said nothing"
    reason = re.sub(r"^(?:Error from server(?: \((\w+)\))?|error): ", "", said)
    if "(NotFound): namespaces" in said:
        advice = f"there is no such namespace: correct {NAMESPACE_KEY}"
    elif "(Forbidden)" in said:
        advice = f"your account may not do this in namespace {namespace}: {PAGE} names the rights it takes"
    elif "(Unauthorized)" in said:
        advice = "sign in to the cluster again, then try once more"
    elif "connection to the server" in said or "connect to the server" in said:
        advice = "does the cluster run, and is it the right one (kubectl config current-context)?"
    elif "container not found" in said or "unable to upgrade connection" in said or "completed pod" in said:
        advice = "the pod is just starting or ending: try again when make status shows it ready"
    else:
        advice = f"see {PAGE}"
    return ToolkitError(f"kubectl: {reason}: {advice}")


def public_url(cluster: Cluster, given: str | None = None) -> str | None:
    """Return where people and the other commands reach CVAT: the address given, else ``CVAT_URL``, else its ingress."""
    given = given or os.environ.get("CVAT_URL")
    return check_url(given) if given else cluster.ingress_url()
