"""Use of nodes as the extender reads it, from a real Prometheus that knows what kubelets tell of two nodes."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

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
    'container_pressure_cpu_waiting_seconds_total{id="/",node="n1"}': 0.05,
    'container_pressure_memory_waiting_seconds_total{id="/",node="n1"}': 0.25,
    'container_pressure_io_waiting_seconds_total{id="/",node="n1"}': 0.9,
    'container_pressure_cpu_waiting_seconds_total{id="/",node="n2"}': 0.02,
}
AMOUNTS = {
    'container_memory_working_set_bytes{id="/",node="n1"}': 10 * _GIB,
    'container_memory_working_set_bytes{id="/",node="n2"}': _GIB,
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
            source = Prometheus(session, server.url, lambda: {("batch", "job-1"): "n1"})
            return dict(await source.read())

    found = asyncio.run(read())
    assert found.keys() == {"n1", "n2"}
    assert found["n1"].online.cores == pytest.approx(2.5, rel=0.05)
    assert found["n1"].online.memory_bytes == 6 * _GIB
    assert found["n1"].stalled_share == pytest.approx(0.25, rel=0.05)
    assert (found["n2"].online.cores, found["n2"].stalled_share) == pytest.approx((1.0, 0.02), rel=0.05)
