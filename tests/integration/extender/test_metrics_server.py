"""Measured use from a real metrics-server that scrapes kubelets (kwok's) behind the API server's aggregation layer."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from ecoserve_devcluster import Cluster, DevclusterError
from ecoserve_devcluster.build import binary
from ecoserve_devcluster.kubelet_metrics import KUBELET_PATH, PATH_ANNOTATION, USES_CPU, USES_MEMORY

pytestmark = pytest.mark.devcluster

_NAME = "metrics-server"


@pytest.fixture(scope="module")
def metrics_server(extender_account: Cluster) -> Iterator[Cluster]:
    """A metrics-server that answers as metrics.k8s.io of the session's cluster."""
    cluster = extender_account
    port = cluster.free_port()
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": _NAME, "namespace": "kube-system"},
        "spec": {"type": "ExternalName", "externalName": "localhost"},
    }
    registration = {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": "v1beta1.metrics.k8s.io"},
        "spec": {
            "group": "metrics.k8s.io",
            "version": "v1beta1",
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
            "insecureSkipTLSVerify": True,
            "service": {"name": _NAME, "namespace": "kube-system", "port": port},
        },
    }
    manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": [service, registration]})
    cluster.kubectl("apply", "--server-side", "-f", "-", stdin=manifest)
    credentials = (
        f"--{name}={cluster.kubeconfig}"
        for name in ("kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig")
    )
    server = cluster.run(
        _NAME,
        [
            binary(_NAME), *credentials, f"--secure-port={port}", f"--cert-dir={cluster.folder / _NAME}",
            "--metric-resolution=10s", "--kubelet-request-timeout=8s", "--kubelet-use-node-status-port",
            "--kubelet-preferred-address-types=InternalIP", "--deprecated-kubelet-completely-insecure",
        ],
    )  # fmt: skip
    yield cluster
    cluster.kubectl("delete", "apiservice", "v1beta1.metrics.k8s.io")
    cluster.kubectl("delete", "service", _NAME, "-n", "kube-system")
    server.stop()


def test_idleness_is_what_metrics_server_tells_not_what_pods_request(
    bench: Any, metrics_server: Cluster
) -> None:
    nodes = [bench.node("quiet"), bench.node("loud"), bench.node("lent")]
    for name in nodes:
        path = KUBELET_PATH.format(nodeName=name)
        metrics_server.kubectl("annotate", "node", name, f"{PATH_ANNOTATION}={path}")
    asks_much, uses_much = bench.pod("asks-much", cpu="6", node="quiet"), bench.pod("uses-much", node="loud")
    offline = bench.pod("lodger", traffic_class="offline", node="lent")
    uses_much["metadata"]["annotations"] = {USES_CPU: "5500m", USES_MEMORY: "3Gi"}
    offline["metadata"]["annotations"] = {USES_CPU: "6", USES_MEMORY: "1Gi"}
    bench.apply(asks_much, uses_much, offline)

    def told() -> bool:
        try:
            found = metrics_server.read("/apis/metrics.k8s.io/v1beta1/nodes")
        except DevclusterError:
            return False
        cpu = {item["metadata"]["name"]: item["usage"]["cpu"] for item in found["items"]}
        return set(nodes) <= set(cpu) and cpu["loud"] != "0"

    bench.until(told, "metrics-server knows all nodes", 90)
    bench.sees(
        lambda metrics: metrics['ecoserve_extender_cache_entries{kind="measured nodes"}'] >= 3, "samples"
    )
    bench.apply(bench.pod("job", traffic_class="offline"))
    assert bench.placed("job", seconds=60)["job"] in ("quiet", "lent")
    explained = bench.explain("job")
    assert [(item["reason"], item["nodes"]) for item in explained["rejected"]] == [("BUSY", ["loud"])]
    assert explained["onlineLoadFrom"] == {"highest measured use of the last 15 minutes": 3}
