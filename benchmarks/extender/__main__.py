"""The extender against none, one that does nothing and one in Go: `make bench-extender`.

Real kube-apiserver, kube-scheduler and etcd; kwok's nodes. The last line of output is one JSON object.
"""

import argparse
import asyncio
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import aiohttp
from apart import BESIDE, COLLECTS_SELDOM, SAME_CORE, measured_apart, on_core, two_cores
from api import api_client, create_nodes, create_pods
from extenders import Extenders, build_go_noop
from latency import latencies
from report import show, targets
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from tenacity import retry, stop_after_delay, wait_fixed
from throughput import Rates, Variant, measured
from turns import come_to_rest

from ecoserve.api.crds import build_crds
from ecoserve.api.labels import API_VERSION
from ecoserve_devcluster import Cluster

_ASK_NOBODY = (BESIDE, SAME_CORE, "patched")


def _plan() -> dict[str, Any]:
    """Return a plan with a pool per zone, so that nodes differ in carbon."""
    zones = [{"name": f"zone-{n}", "carbonIntensity": 50.0 + 150 * n, "pue": 1.2} for n in range(5)]
    pools = [
        {
            "name": f"pool-{n}",
            "zone": f"zone-{n}",
            "instanceType": "m7i.48xlarge",
            "supply": "scalable",
            "nodeSelector": [{"key": "topology.kubernetes.io/zone", "value": f"zone-{n}"}],
            "nodes": 1000,
            "nodesOn": 1000,
            "idleWattsPerNode": 200.0,
            "embodiedGramsPerHourPerNode": 30.0,
            "dynamicWattsPerCore": 4.0,
            "dynamicWattsPerAccelerator": 0.0,
        }
        for n in range(5)
    ]
    spec = {
        "id": "bench",
        "plannedAt": "2026-01-01T00:00:00Z",
        "zones": zones,
        "pools": pools,
        "placements": [],
    }
    return {"apiVersion": API_VERSION, "kind": "PlacementPlan", "metadata": {"name": "current"}, "spec": spec}


@retry(stop=stop_after_delay(20), wait=wait_fixed(0.2), reraise=True)
def _apply_once_served(cluster: Cluster, manifest: str) -> None:
    """Apply an object of a kind that was defined a moment ago."""
    cluster.kubectl("apply", "--server-side", "-f", "-", stdin=manifest)


@contextmanager
def _planned_cluster(name: str, environment: Mapping[str, str] | None = None) -> Iterator[Cluster]:
    """Start a cluster that has our kinds and a plan; its own programs have this added to their environment."""
    with patch.dict(os.environ, environment or {}):
        started = Cluster.start(f"bench-extender-{name}-{os.getpid()}")
    with started as cluster:
        crds = json.dumps({"apiVersion": "v1", "kind": "List", "items": build_crds()})
        cluster.kubectl("apply", "--server-side", "-f", "-", stdin=crds)
        _apply_once_served(cluster, json.dumps(_plan()))
        yield cluster


async def _measure(arguments: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    small, large, many = (100, 200, 1_000) if arguments.quick else (1_000, 5_000, 50_000)
    few, lots = (80, 80) if arguments.quick else (100, 800)
    rounds = 2 if arguments.quick else arguments.rounds
    results: dict[str, Any] = {"small_nodes": small, "large_nodes": large}
    results |= {"throughput": {}, "ratios": {}, "cpu_milliseconds": {}, "garbage_kilobytes": {}}
    if not arguments.apart:
        go = await asyncio.to_thread(build_go_noop)
        with _planned_cluster("shared") as cluster:
            async with api_client(cluster) as client:
                await create_nodes(client, 0, small, progress)
                bench = _Bench(cluster, client, Extenders(cluster, go), rounds, progress)
                await bench.throughput(results, small, lots, 4)
                if not arguments.small:
                    await create_nodes(client, small, large - small, progress)
                    await bench.throughput(results, large, few, 3)
                    await bench.latency(results, large, 40 if arguments.quick else 300)
                    results["restart"] = await bench.restart(many, large)
    results["apart"] = await _apart(small, lots, 2 * rounds, progress)
    results["targets"] = targets(results)
    return results


async def _apart(nodes: int, pods: int, rounds: int, progress: Progress) -> dict[str, Any]:
    """Measure pods that don't opt in on a cluster of one core, with what we install on another."""
    control_plane, ours = cores = two_cores()
    with on_core(control_plane), _planned_cluster("apart", COLLECTS_SELDOM) as cluster, on_core(ours):
        async with api_client(cluster) as client:
            await create_nodes(client, 0, nodes, progress)
            rates = await measured_apart(cluster, client, cores, pods=pods, rounds=rounds, progress=progress)
    found = _told(rates)
    progress.console.print(json.dumps(found))
    return found


def _told(rates: Rates) -> dict[str, Any]:
    """Return what came of turns: rates, ratios by round and CPU, by variant."""
    first, *others = rates.turns
    ratios = {f"{name}/{first}": rates.ratios(name, first) for name in others}
    ratios |= {
        f"{name}/{first}, same speed": rates.steady_ratios(name) for name in others if name in _ASK_NOBODY
    }
    if "ours" in others:
        ratios["ours/noop"] = rates.ratios("ours", "noop")
    return {
        "throughput": {name: rates.pods_per_second(name) for name in rates.turns},
        "ratios": ratios,
        "cpu_milliseconds": {name: rates.cpu_milliseconds(name) for name in rates.turns},
        "garbage_kilobytes": {name: rates.garbage_kilobytes(name) for name in rates.turns},
    }


def _names(nodes: int) -> list[str]:
    return [f"node-{number:05}" for number in range(nodes)]


@dataclass(frozen=True)
class _Bench:
    """What all measurements on cores that everything shares have in common."""

    cluster: Cluster
    client: aiohttp.ClientSession
    extenders: Extenders
    rounds: int
    progress: Progress

    async def throughput(self, results: dict[str, Any], nodes: int, pods: int, variants: int) -> None:
        """Have so many of the variants bind pods on so many nodes, and put down what came of it."""
        url = self.extenders.url
        every = (
            Variant("none"),
            Variant("noop", url("noop")),
            Variant("ours", url("ours")),
            Variant("patched", url("ours"), managed=True),
        )
        rates = await measured(
            self.cluster,
            self.client,
            every[:variants],
            pods=pods,
            rounds=self.rounds,
            settled=self.extenders.settled,
            progress=self.progress,
        )
        found = _told(rates)
        for key, value in found.items():
            results[key][str(nodes)] = value
        self.progress.console.print(json.dumps(found))

    async def latency(self, results: dict[str, Any], nodes: int, calls: int) -> None:
        """Time single calls, and put down what came of it."""
        results["latency"] = await asyncio.to_thread(latencies, self.extenders.ports, _names(nodes), calls)
        self.progress.console.print(f"latency: {json.dumps(results['latency'])}")

    async def restart(self, pods: int, nodes: int) -> dict[str, float]:
        """Fill the cluster with pods that run, and start a fresh extender."""
        namespace, names = self.cluster.create_namespace("crowd"), _names(nodes)
        await create_pods(
            self.client, namespace, pods, self.progress, scheduler="none", nodes=lambda n: names[n % nodes]
        )
        await come_to_rest(self.cluster, looks=120)  # kwok has all these pods run
        ready, resident = await asyncio.to_thread(self.extenders.restarted)
        return {"pods": pods, "ready_seconds": ready, "resident_mb": resident}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small cluster, in some minutes")
    parser.add_argument("--small", action="store_true", help="pods per second at 1,000 nodes alone")
    parser.add_argument(
        "--apart", action="store_true", help="the second scheduler on a core of its own alone"
    )
    parser.add_argument("--rounds", type=int, default=5, help="rounds of throughput that count (5)")
    arguments = parser.parse_args()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        results = asyncio.run(_measure(arguments, progress))
    show(results, Console(width=100))
    print(json.dumps(results))


if __name__ == "__main__":
    main()
