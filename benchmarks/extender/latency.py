"""Time of one call with many candidates: ours, a Go extender that does nothing, and our server stack doing nothing.

An offline pod costs `filter` and `prioritize`, an online one `prioritize` alone. The same bodies over one kept connection each,
taking turns call by call; medians and 99th percentiles.
"""

import http.client
import json
import random
import time
from collections.abc import Mapping, Sequence
from statistics import median, quantiles
from typing import Any

from ecoserve.api.labels import CLASS, SERVING

OFFLINE, ONLINE = "offline", "online"
_CALLS = ((OFFLINE, "filter"), (OFFLINE, "prioritize"), (ONLINE, "prioritize"))


def _bodies(names: list[str], count: int, traffic_class: str) -> list[bytes]:
    """Return bodies as kube-scheduler sends them: a realistic pod, the candidates in another order each time."""
    generator = random.Random(7)
    bodies = []
    for number in range(count):
        order = names.copy()
        generator.shuffle(order)
        pod: dict[str, Any] = {
            "metadata": {
                "name": f"{traffic_class}-{number}",
                "namespace": "latency",
                "uid": f"{traffic_class}-{number}",
                "labels": {
                    "app": "engine",
                    CLASS: traffic_class,
                    SERVING: "chat",
                    "pod-template-hash": "7c9f8b",
                },
                "annotations": {"note": "x" * 400},
            },
            "spec": {
                "schedulerName": "ecoserve",
                "containers": [
                    {
                        "name": "main",
                        "image": "engine:1",
                        "env": [{"name": f"V{index}", "value": "x" * 20} for index in range(20)],
                        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
                    }
                ],
                "tolerations": [{"key": f"t{index}", "operator": "Exists"} for index in range(5)],
            },
            "status": {"phase": "Pending"},
        }
        bodies.append(
            json.dumps({"Pod": pod, "Nodes": None, "NodeNames": order}, separators=(",", ":")).encode()
        )
    return bodies


def latencies(ports: Mapping[str, int], names: list[str], calls: int) -> dict[str, dict[str, float]]:
    """Return milliseconds by extender: medians of each call, and of both of an offline pod with their 99th percentile."""
    connections = {name: http.client.HTTPConnection("127.0.0.1", port) for name, port in ports.items()}
    bodies = {each: _bodies(names, calls, each) for each in (OFFLINE, ONLINE)}
    spent: dict[str, dict[tuple[str, str], list[float]]] = {name: {} for name in ports}
    for number in range(calls):
        for name, connection in connections.items():
            for call in _CALLS:
                milliseconds = _asked(connection, call[1], bodies[call[0]][number])
                if number >= calls // 10:  # the first tenth warms up
                    spent[name].setdefault(call, []).append(milliseconds)
    return {name: _summary([of[call] for call in _CALLS]) for name, of in spent.items()}


def _asked(connection: http.client.HTTPConnection, verb: str, body: bytes) -> float:
    """Return the milliseconds of one call."""
    began = time.perf_counter()
    connection.request("POST", f"/{verb}", body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 200, (verb, answer.status)
    return (time.perf_counter() - began) * 1000


def _summary(spent: Sequence[Sequence[float]]) -> dict[str, float]:
    offline_filter, offline_prioritize, online = spent
    both = [a + b for a, b in zip(offline_filter, offline_prioritize, strict=True)]
    return {
        "filter_ms": median(offline_filter),
        "prioritize_ms": median(offline_prioritize),
        "both_ms": median(both),
        "both_p99_ms": quantiles(both, n=100)[98],
        "online_prioritize_ms": median(online),
        "online_prioritize_p99_ms": quantiles(online, n=100)[98],
    }
