"""What kwok tells as kubelet of its nodes: CPU and memory in use, at `KUBELET_PATH` of its own port.

A pod uses what its annotations say, next to nothing where they say nothing; a node uses what its pods use. A metrics-server finds
the path by an annotation of the node, and the port by a flag of its own.
"""

from typing import Any

USES_CPU = "kwok.x-k8s.io/usage-cpu"
USES_MEMORY = "kwok.x-k8s.io/usage-memory"
PATH_ANNOTATION = "metrics.k8s.io/resource-metrics-path"
KUBELET_PATH = "/metrics/nodes/{nodeName}/metrics/resource"

_API_VERSION = "kwok.x-k8s.io/v1alpha1"
_LABELS = {
    "node": {},
    "pod": {"namespace": "pod.metadata.namespace", "pod": "pod.metadata.name"},
    "container": {
        "container": "container.name",
        "namespace": "pod.metadata.namespace",
        "pod": "pod.metadata.name",
    },
}


def kubelet_metrics() -> list[dict[str, Any]]:
    """Return the kwok objects that make it answer as a kubelet's `/metrics/resource` does."""
    metrics = [
        _metric("scrape_error", "node", "gauge", "0"),
        *(
            metric
            for of, argument in (("node", ""), ("pod", ""), ("container", ", container.name"))
            for metric in _usage(of, argument)
        ),
    ]
    usage = {
        "cpu": {"expression": _annotated(USES_CPU, "1m")},
        "memory": {"expression": _annotated(USES_MEMORY, "1Mi")},
    }
    return [
        {
            "apiVersion": _API_VERSION,
            "kind": "Metric",
            "metadata": {"name": "kubelet-resource"},
            "spec": {"path": KUBELET_PATH, "metrics": metrics},
        },
        {
            "apiVersion": _API_VERSION,
            "kind": "ClusterResourceUsage",
            "metadata": {"name": "by-annotation"},
            "spec": {"usages": [{"usage": usage}]},
        },
    ]


def _usage(of: str, argument: str) -> list[dict[str, Any]]:
    counted = "node" if of == "node" else "pod"
    return [
        _metric(
            f"{of}_cpu_usage_seconds_total", of, "counter", f'{counted}.CumulativeUsage("cpu"{argument})'
        ),
        _metric(f"{of}_memory_working_set_bytes", of, "gauge", f'{counted}.Usage("memory"{argument})'),
    ]


def _metric(name: str, of: str, kind: str, value: str) -> dict[str, Any]:
    labels = [{"name": label, "value": source} for label, source in _LABELS[of].items()]
    return {"name": name, "dimension": of, "help": name, "kind": kind, "value": value, "labels": labels}


def _annotated(annotation: str, otherwise: str) -> str:
    found = f'pod.metadata.annotations["{annotation}"]'
    return f'"{annotation}" in pod.metadata.annotations ? Quantity({found}) : Quantity("{otherwise}")'
