"""What the cluster's descriptions of a CVAT's pods say: which component each is part of, and how that is."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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
    """How the pods of one component are.

    Attributes:
        component: Its name in the chart.
        words: Its state in a few words.
        fails: Whether it does not do its work.
        killed: Whether something in it was killed for want of memory.
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
