"""Use of nodes as the extender reads it, from a real Prometheus that knows what kubelets tell.

Of n1 at both of their endpoints, of n2 by cAdvisor alone; of n3 cAdvisor's series without a pod are dropped, as kube-prometheus-stack does.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from ecoserve_extender.cache.records import BoundPod, Requests
from ecoserve_extender.measured.offline_use import OfflineUse
from ecoserve_extender.measured.sources import Prometheus
from ecoserve_extender.measured.use import Sample

_GIB = 2**30
PER_SECOND = {
    'container_cpu_usage_seconds_total{id="/",node="n1"}': 4.0,
    'container_cpu_usage_seconds_total{id="/",node="n2"}': 1.0,
    'container_cpu_usage_seconds_total{id="/kubepods",node="n2"}': 7.0,
    'container_cpu_usage_seconds_total{node="n1",namespace="batch",pod="job-1",container="main"}': 1.5,
    'container_cpu_usage_seconds_total{node="n1",namespace="batch",pod="job-1",container=""}': 1.5,
    'container_cpu_usage_seconds_total{node="n1",namespace="web",pod="web-1",container="main"}': 2.5,
    'container_cpu_usage_seconds_total{endpoint="resource",node="n1",namespace="batch",pod="job-1",container="main"}': 1.5,
    'container_cpu_usage_seconds_total{node="n1",namespace="batch",pod="job-1",container="helper"}': 0.25,
    'container_cpu_usage_seconds_total{node="n3",namespace="batch",pod="job-3",container="main"}': 2.0,
    'node_cpu_usage_seconds_total{endpoint="resource",node="n1"}': 4.0,
    'node_cpu_usage_seconds_total{endpoint="resource",node="n3"}': 3.0,
    'container_pressure_cpu_waiting_seconds_total{id="/",node="n1"}': 0.05,
    'container_pressure_memory_waiting_seconds_total{id="/",node="n1"}': 0.25,
    'container_pressure_io_waiting_seconds_total{id="/",node="n1"}': 0.9,
    'container_pressure_cpu_waiting_seconds_total{id="/",node="n2"}': 0.02,
}
AMOUNTS = {
    'container_memory_working_set_bytes{id="/",node="n1"}': 10 * _GIB,
    'container_memory_working_set_bytes{id="/",node="n2"}': _GIB,
    'node_memory_working_set_bytes{endpoint="resource",node="n3"}': 5 * _GIB,
    'container_memory_working_set_bytes{node="n1",namespace="batch",pod="job-1",container="main"}': 4 * _GIB,
}


def _history() -> str:
    """OpenMetrics of some minutes, around now and beyond: what is to come is not seen before it is there."""
    now = int(time.time())
    moments = [now + seconds for seconds in range(-240, 600, 5)]
    families: dict[str, list[str]] = {}
    for series, value in (PER_SECOND | AMOUNTS).items():
        family = series.partition("{")[0].removesuffix("_total")
        rising = series in PER_SECOND
        families.setdefault(family, [f"# TYPE {family} {'counter' if rising else 'gauge'}"]).extend(
            f"{series} {value * (at - now + 1000) if rising else value} {at}" for at in moments
        )
    return "\n".join([*(line for lines in families.values() for line in lines), "# EOF\n"])


def test_online_use_and_stalls_of_each_node(start_prometheus: Callable[..., Any]) -> None:
    server = start_prometheus(_history())

    async def read() -> dict[str, Sample]:
        async with aiohttp.ClientSession() as session:
            pods = [
                BoundPod(
                    uid=f"{number}",
                    namespace="batch",
                    name=f"job-{number}",
                    node=f"n{number}",
                    offline=True,
                    keeps_node_on=True,
                    requests=Requests(),
                )
                for number in (1, 3)
            ]
            offline = OfflineUse(lambda: pods, time.monotonic, time.time)
            source = Prometheus(session, server.url, offline)
            return dict(await source.read())

    found = asyncio.run(read())
    assert {name: use.online.cores for name, use in found.items()} == pytest.approx(
        {"n1": 4.0 - 1.5 - 0.25, "n2": 1.0, "n3": 3.0 - 2.0}, rel=0.05
    )
    assert {name: use.online.memory_bytes / _GIB for name, use in found.items()} == {
        "n1": 6,
        "n2": 1,
        "n3": 5,
    }
    stalled = {name: use.stalled_share for name, use in found.items()}
    assert stalled == pytest.approx({"n1": 0.25, "n2": 0.02, "n3": 0.0}, rel=0.05)
