"""Time of one call with many candidates: ours, a Go extender that does nothing, and our server stack doing nothing.

The same bodies over one kept connection each, taking turns call by call; medians and 99th percentiles.
"""

import http.client
import json
import random
import time
from collections.abc import Mapping
from statistics import median, quantiles
from typing import Any


def _bodies(names: list[str], count: int) -> list[bytes]:
    """Return bodies as kube-scheduler sends them: a realistic pod, the candidates in another order each time."""
    generator = random.Random(7)
    bodies = []
    for number in range(count):
        order = names.copy()
        generator.shuffle(order)
        pod: dict[str, Any] = {
            "metadata": {
                "name": f"pod-{number}",
                "namespace": "latency",
                "uid": f"uid-{number}",
                "labels": {"app": "engine", "ecoserve.dev/serving": "chat", "pod-template-hash": "7c9f8b"},
                "annotations": {"note": "x" * 400},
            },
            "spec": {
                "schedulerName": "ecoserve",
                "containers": [
                    {
                        "name": "main",
                        "image": "engine:1",
                        "env": [{"name": f"V{index}", "value": "x" * 20} for index in range(20)],
                        "resources": {"requests": {"cpu": "1", "memory": "1Gi"}},
                    }
                ],
                "tolerations": [{"key": f"t{index}", "operator": "Exists"} for index in range(5)],
            },
            "status": {"phase": "Pending"},
        }
        bodies.append(json.dumps({"Pod": pod, "Nodes": None, "NodeNames": order}).encode())
    return bodies


def latencies(ports: Mapping[str, int], names: list[str], calls: int) -> dict[str, dict[str, float]]:
    """Return milliseconds by extender: `filter` and `prioritize` medians, their sum, and the sum's 99th percentile."""
    connections = {name: http.client.HTTPConnection("127.0.0.1", port) for name, port in ports.items()}
    spent: dict[str, dict[str, list[float]]] = {name: {"filter": [], "prioritize": []} for name in ports}
    for number, body in enumerate(_bodies(names, calls)):
        for name, connection in connections.items():
            for verb in ("filter", "prioritize"):
                began = time.perf_counter()
                connection.request("POST", f"/{verb}", body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                answer.read()
                assert answer.status == 200, (name, verb, answer.status)
                if number >= calls // 10:  # the first tenth warms up
                    spent[name][verb].append((time.perf_counter() - began) * 1000)
    results = {}
    for name, verbs in spent.items():
        sums = [a + b for a, b in zip(verbs["filter"], verbs["prioritize"], strict=True)]
        results[name] = {
            "filter_ms": median(verbs["filter"]),
            "prioritize_ms": median(verbs["prioritize"]),
            "both_ms": median(sums),
            "both_p99_ms": quantiles(sums, n=100)[98],
        }
    return results
