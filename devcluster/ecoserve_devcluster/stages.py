"""How kwok plays nodes and pods: stages, each "in this state, after this delay, becomes that".

A node becomes Ready at once and keeps its lease. A pod runs as soon as it is bound, except that a pod labelled
`ecoserve.dev/serving` first loads its model: it is Running but not Ready for a while, so that make-before-break has
something to wait for. A pod of a Job succeeds after the time its annotation `ecoserve.dev/simulated-duration` gives.
Deletion is immediate.
"""

from typing import Any

import yaml

from ecoserve_devcluster.kubelet_metrics import kubelet_metrics

SERVING_LABEL = "ecoserve.dev/serving"
DURATION_ANNOTATION = "ecoserve.dev/simulated-duration"

_HEARTBEAT_MILLISECONDS = 300_000  # the kubelet's own interval, by up to a half more or less; what decides liveness is the lease, which kwok renews

# Kwok fills in no defaults beside options that are given, so all that matter are. Its own 4 workers, and 1 that looks
# for the pods of a new node, make hundreds of nodes wait for each other.
_OPTIONS = {
    "apiVersion": "config.kwok.x-k8s.io/v1alpha1",
    "kind": "KwokConfiguration",
    "metadata": {"name": "kwok"},
    "options": {
        "cidr": "10.244.0.0/16",
        "podPlayStageParallelism": 16,
        "nodePlayStageParallelism": 16,
        "nodeLeaseParallelism": 16,
        "podsOnNodeSyncParallelism": 16,
        "enablePodsOnNodeSyncListPager": True,
    },
}

_NODE_CONDITIONS = """
{{ $now := Now }}
conditions:
{{ range NodeConditions }}
- type: {{ .type | Quote }}
  status: {{ .status | Quote }}
  reason: {{ .reason | Quote }}
  message: {{ .message | Quote }}
  lastHeartbeatTime: {{ $now | Quote }}
  lastTransitionTime: {{ $now | Quote }}
{{ end }}
"""

_NODE_READY = (
    _NODE_CONDITIONS
    + """
{{ $architecture := "amd64" }}
{{ with .metadata.labels }}{{ with index . "kubernetes.io/arch" }}{{ $architecture = . }}{{ end }}{{ end }}
addresses:
- {type: InternalIP, address: {{ NodeIP | Quote }}}
- {type: Hostname, address: {{ .metadata.name | Quote }}}
daemonEndpoints: {kubeletEndpoint: {Port: {{ NodePort }}}}
nodeInfo:
  architecture: {{ $architecture | Quote }}
  operatingSystem: linux
  osImage: simulated
  kernelVersion: simulated
  containerRuntimeVersion: {{ printf "kwok-%s" Version | Quote }}
  kubeletVersion: {{ printf "kwok-%s" Version | Quote }}
  kubeProxyVersion: ""
  bootID: ""
  machineID: ""
  systemUUID: ""
phase: Running
"""
)

_POD_ADDRESSES = """
{{ $host := NodeIPWith .spec.nodeName }}
hostIP: {{ $host | Quote }}
hostIPs:
- ip: {{ $host | Quote }}
{{ $hostNetwork := or .spec.hostNetwork false }}
{{ $address := PodIPWith .spec.nodeName $hostNetwork .metadata.uid .metadata.name .metadata.namespace }}
podIP: {{ $address | Quote }}
podIPs:
- ip: {{ $address | Quote }}
startTime: {{ Now | Quote }}
"""


def stages(serving_start_seconds: float, job_seconds: float) -> str:
    """Return kwok's configuration as YAML documents.

    `serving_start_seconds` is how long serving pods are Running but not Ready, `job_seconds` how long pods of Jobs run
    that do not say it themselves.
    """
    ready = '.status.conditions.[] | select( .type == "Ready" ) | .status'
    pending = (_exists(".metadata.deletionTimestamp", False), _one_of(".status.phase", "Pending"))
    running = (_exists(".metadata.deletionTimestamp", False), _one_of(".status.phase", "Running"))
    serving = f'.metadata.labels["{SERVING_LABEL}"]'
    job = _one_of(".metadata.ownerReferences.[].kind", "Job")
    duration = {
        "durationMilliseconds": round(job_seconds * 1000),
        "durationFrom": {"expressionFrom": f'.metadata.annotations["{DURATION_ANNOTATION}"]'},
    }
    heartbeat = {
        "durationMilliseconds": _HEARTBEAT_MILLISECONDS // 2,
        "jitterDurationMilliseconds": _HEARTBEAT_MILLISECONDS * 3 // 2,
    }
    loading = {"durationMilliseconds": round(serving_start_seconds * 1000)}
    documents = [
        _OPTIONS,
        _stage("node-initialize", "Node", [_one_of(ready, "True", among=False)], _NODE_READY),
        _stage("node-heartbeat-with-lease", "Node", [_one_of(ready, "True")], _NODE_CONDITIONS, heartbeat),
        _stage("pod-ready", "Pod", [*pending, _exists(serving, False)], _POD_ADDRESSES + _running(True)),
        _stage("pod-loading", "Pod", [*pending, _exists(serving, True)], _POD_ADDRESSES + _running(False)),
        _stage(
            "pod-loaded",
            "Pod",
            [*running, _exists(serving, True), _one_of(ready, "True", among=False)],
            _running(True),
            loading,
        ),
        _stage("pod-complete", "Pod", [*running, job, _one_of(ready, "True")], _completed(), duration),
        _stage("pod-delete", "Pod", [_exists(".metadata.deletionTimestamp", True)], None),
        *kubelet_metrics(),
    ]
    return yaml.safe_dump_all(documents, sort_keys=False)


def _stage(
    name: str,
    kind: str,
    conditions: list[dict[str, Any]],
    status: str | None,
    delay: dict[str, Any] | None = None,
) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "resourceRef": {"apiGroup": "v1", "kind": kind},
        "selector": {"matchExpressions": conditions},
        "next": {"delete": True} if status is None else {"statusTemplate": status},
    }
    if delay is not None:
        spec["delay"] = delay
    return {"apiVersion": "kwok.x-k8s.io/v1alpha1", "kind": "Stage", "metadata": {"name": name}, "spec": spec}


def _exists(key: str, wanted: bool) -> dict[str, Any]:
    return {"key": key, "operator": "Exists" if wanted else "DoesNotExist"}


def _one_of(key: str, *values: str, among: bool = True) -> dict[str, Any]:
    return {"key": key, "operator": "In" if among else "NotIn", "values": list(values)}


def _running(ready: bool) -> str:
    """Return the status of a pod whose containers run; only a ready one counts for its Deployment."""
    return (
        _pod_conditions({"Initialized": True, "ContainersReady": ready, "Ready": ready})
        + _containers(
            "containerStatuses", ".spec.containers", ready, "running: {startedAt: {{ $now | Quote }}}"
        )
        + _containers("initContainerStatuses", ".spec.initContainers", ready, _TERMINATED)
        + "phase: Running\n"
    )


def _completed() -> str:
    conditions = _pod_conditions({"ContainersReady": False, "Ready": False}, reason="PodCompleted")
    return (
        conditions
        + _containers("containerStatuses", ".spec.containers", False, _TERMINATED)
        + "phase: Succeeded\n"
    )


_TERMINATED = """terminated:
      exitCode: 0
      reason: Completed
      startedAt: {{ $now | Quote }}
      finishedAt: {{ $now | Quote }}"""


def _pod_conditions(conditions: dict[str, bool], reason: str = "") -> str:
    lines = ["{{ $now := Now }}", "conditions:"]
    for name, holds in conditions.items():
        lines += [
            f"- type: {name}",
            f'  status: "{holds}"',
            f'  reason: "{reason}"',
            "  lastTransitionTime: {{ $now | Quote }}",
        ]
    return "\n".join(lines) + "\n"


def _containers(field: str, source: str, ready: bool, state: str) -> str:
    truth = str(ready).lower()
    return f"""{field}:
{{{{ range {source} }}}}
- name: {{{{ .name | Quote }}}}
  image: {{{{ .image | Quote }}}}
  ready: {truth}
  started: {truth}
  restartCount: 0
  state:
    {state}
{{{{ end }}}}
"""
