"""Measured use from a real metrics-server that scrapes kubelets (kwok's) behind the API server's aggregation layer."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from ecoserve_devcluster import Cluster, DevclusterError
from ecoserve_devcluster.build import binary
from ecoserve_devcluster.kubelet_metrics import KUBELET_PATH, PATH_ANNOTATION, USES_CPU, USES_MEMORY

pytestmark = pytest.mark.devcluster

_NAME = "metrics-server"


@pytest.fixture
def start_metrics_server(extender_account: Cluster) -> Iterator[Callable[[], None]]:
    """Start a metrics-server that answers as metrics.k8s.io of the session's cluster."""
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
    argv = [
        binary(_NAME), *credentials, f"--secure-port={port}", f"--cert-dir={cluster.folder / _NAME}",
        "--metric-resolution=10s", "--kubelet-request-timeout=8s", "--kubelet-use-node-status-port",
        "--kubelet-preferred-address-types=InternalIP", "--deprecated-kubelet-completely-insecure",
    ]  # fmt: skip
    started = []
    yield lambda: started.append(cluster.run(_NAME, argv))
    cluster.kubectl("delete", "apiservice", "v1beta1.metrics.k8s.io")
    cluster.kubectl("delete", "service", _NAME, "-n", "kube-system")
    for server in started:
        server.stop()


def test_idleness_is_what_metrics_server_tells_not_what_pods_request(
    bench: Any, start_metrics_server: Callable[[], None]
) -> None:
    nodes = [bench.node("quiet"), bench.node("loud"), bench.node("lent")]
    for name in nodes:
        path = KUBELET_PATH.format(nodeName=name)
        bench.cluster.kubectl("annotate", "node", name, f"{PATH_ANNOTATION}={path}")
    asks_much, uses_much = bench.pod("asks-much", cpu="6", node="quiet"), bench.pod("uses-much", node="loud")
    offline = bench.pod("lodger", traffic_class="offline", node="lent")
    uses_much["metadata"]["annotations"] = {USES_CPU: "5500m", USES_MEMORY: "3Gi"}
    offline["metadata"]["annotations"] = {USES_CPU: "6", USES_MEMORY: "1Gi"}
    bench.apply(asks_much, uses_much, offline)
    # It scrapes when it starts, then every 10 s, and tells nothing before it has two counts that are not zero: kwok's are zero
    # the first time that they are asked for.
    for name in nodes:
        status = bench.cluster.read(f"/api/v1/nodes/{name}")["status"]
        kubelet = f"http://127.0.0.1:{status['daemonEndpoints']['kubeletEndpoint']['Port']}"
        httpx.get(kubelet + KUBELET_PATH.format(nodeName=name), trust_env=False).raise_for_status()
    start_metrics_server()

    def told() -> bool:
        try:
            found = bench.cluster.read("/apis/metrics.k8s.io/v1beta1/nodes")
        except DevclusterError:
            return False
        cpu = {item["metadata"]["name"]: item["usage"]["cpu"] for item in found["items"]}
        return set(nodes) <= set(cpu) and cpu["loud"] != "0"

    bench.until(told, "metrics-server knows all nodes", 90)
    bench.extender.restart()  # it asks when it starts, then every 15 s
    bench.sees(
        lambda metrics: metrics['ecoserve_extender_cache_entries{kind="measured nodes"}'] >= 3, "samples"
    )
    bench.apply(bench.pod("job", traffic_class="offline"))
    assert bench.placed("job", seconds=60)["job"] in ("quiet", "lent")
    explained = bench.explain("job")
    assert [(item["reason"], item["nodes"]) for item in explained["rejected"]] == [("BUSY", ["loud"])]
    assert explained["onlineLoadFrom"] == {"highest measured use of the last 15 minutes": 3}
