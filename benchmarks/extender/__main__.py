"""The extender against none, one that does nothing and one in Go: `make bench-extender`.

Real kube-apiserver, kube-scheduler and etcd; kwok's nodes. The last line of output is one JSON object.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp
import httpx
import psutil
from api import api_client, create_nodes, create_pods
from latency import latencies
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from tenacity import retry, stop_after_delay, wait_fixed
from throughput import BESIDE, SCHEDULER, Variant, come_to_rest, measured

from ecoserve.api.crds import build_crds
from ecoserve.api.labels import API_VERSION
from ecoserve_devcluster import Cluster, Process
from ecoserve_devcluster.paths import cache_folder
from ecoserve_devcluster.toolchain import find_go

_HERE = Path(__file__).parent
_LOOK_SECONDS = 0.05
_NOTHING_TO_WRITE = 'ecoserve_extender_cache_entries{kind="decisions to write"} 0.0'


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


def _go_noop() -> Path:
    """Build the Go extender into the user's cache."""
    built = cache_folder() / "bench-noop-extender"
    subprocess.run([find_go(), "build", "-o", built, "."], cwd=_HERE / "noop_go", check=True)
    return built


class _Extenders:
    """Our extender and the two that do nothing, running beside the cluster."""

    def __init__(self, cluster: Cluster, go: Path) -> None:
        self._cluster = cluster
        self._client = httpx.Client(
            trust_env=False
        )  # a client for each look would take more CPU than what is measured
        self.ports = {name: cluster.free_port() for name in ("ours", "noop", "go")}
        self.ours = self._start_ours("extender", self.ports["ours"])
        noop, port = [sys.executable, str(_HERE / "noop.py")], str(self.ports["noop"])
        cluster.run("noop", [*noop, port], health_url=f"http://127.0.0.1:{port}/healthz")
        port = str(self.ports["go"])
        cluster.run("go-noop", [str(go), port], health_url=f"http://127.0.0.1:{port}/healthz")

    def _start_ours(self, name: str, port: int) -> Process:
        arguments = [f"--kubeconfig={self._cluster.kubeconfig}", f"--port={port}", "--log-level=warning"]
        arguments.append("--decisions-per-second=100")  # a turn waits for the last, after all are bound
        command = [sys.executable, "-m", "ecoserve_extender.main", *arguments]
        return self._cluster.run(name, command, health_url=f"http://127.0.0.1:{port}/healthz")

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}"

    def settled(self) -> bool:
        """Tell whether ours has written all decisions."""
        text = self._client.get(f"{self.url('ours')}/metrics").text
        return any(line == _NOTHING_TO_WRITE for line in text.splitlines())

    def restarted(self) -> tuple[float, float]:
        """Return seconds from start to filled caches of a fresh process, and its resident MB some seconds later."""
        port = self._cluster.free_port()
        began = time.monotonic()
        process = self._start_ours("fresh", port)
        while self._client.get(f"http://127.0.0.1:{port}/readyz").status_code != httpx.codes.OK:
            time.sleep(_LOOK_SECONDS)
        ready = time.monotonic() - began
        time.sleep(5)
        resident = psutil.Process(process.pid).memory_info().rss / 1e6
        process.stop()
        return ready, resident


@retry(stop=stop_after_delay(20), wait=wait_fixed(0.2), reraise=True)
def _apply_once_served(cluster: Cluster, manifest: str) -> None:
    """Apply an object of a kind that was defined a moment ago."""
    cluster.kubectl("apply", "--server-side", "-f", "-", stdin=manifest)


async def _measure(arguments: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    small, large, many = (100, 200, 1_000) if arguments.quick else (1_000, 5_000, 50_000)
    few, lots = (80, 80) if arguments.quick else (100, 800)
    rounds = 2 if arguments.quick else arguments.rounds
    go = await asyncio.to_thread(_go_noop)
    results: dict[str, Any] = {
        "small_nodes": small,
        "large_nodes": large,
        "throughput": {},
        "ratios": {},
        "cpu_milliseconds": {},
    }
    with Cluster.start(f"bench-extender-{os.getpid()}") as cluster:
        crds = json.dumps({"apiVersion": "v1", "kind": "List", "items": build_crds()})
        cluster.kubectl("apply", "--server-side", "-f", "-", stdin=crds)
        _apply_once_served(cluster, json.dumps(_plan()))
        async with api_client(cluster) as client:
            await create_nodes(client, 0, small, progress)
            extenders = _Extenders(cluster, go)
            bench = _Bench(cluster, client, extenders, rounds, progress)
            await bench.throughput(results, small, lots, 5)
            if not arguments.small:
                await create_nodes(client, small, large - small, progress)
                await bench.throughput(results, large, few, 3)
                results["latency"] = await asyncio.to_thread(
                    latencies, extenders.ports, _names(large), 40 if arguments.quick else 300
                )
                progress.console.print(f"latency: {json.dumps(results['latency'])}")
                results["restart"] = await bench.restart(many, large)
    results["targets"] = _targets(results, str(small), str(large))
    return results


def _names(nodes: int) -> list[str]:
    return [f"node-{number:05}" for number in range(nodes)]


@dataclass(frozen=True)
class _Bench:
    """What all measurements on one cluster share."""

    cluster: Cluster
    client: aiohttp.ClientSession
    extenders: _Extenders
    rounds: int
    progress: Progress

    async def throughput(self, results: dict[str, Any], nodes: int, pods: int, variants: int) -> None:
        """Have so many of the variants bind pods on so many nodes, and put down what came of it."""
        url = self.extenders.url
        every = (
            Variant("none"),
            Variant("noop", url("noop")),
            Variant("ours", url("ours")),
            Variant("beside", beside=url("ours")),
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
        names = list(rates.turns)
        told = {name: rates.pods_per_second(name) for name in names}
        results["throughput"][str(nodes)] = told
        results["ratios"][str(nodes)] = {
            f"{name}/{base}": rates.ratios(name, base)
            for name, base in [*((name, "none") for name in names[1:]), ("ours", "noop")]
        }
        results["cpu_milliseconds"][str(nodes)] = {name: rates.cpu_milliseconds(name) for name in names}
        self.progress.console.print(json.dumps([told, results["ratios"][str(nodes)]]))

    async def restart(self, pods: int, nodes: int) -> dict[str, float]:
        """Fill the cluster with pods that run, and start a fresh extender."""
        namespace, names = self.cluster.create_namespace("crowd"), _names(nodes)
        await create_pods(
            self.client, namespace, pods, self.progress, scheduler="none", nodes=lambda n: names[n % nodes]
        )
        await come_to_rest(self.cluster, looks=120)  # kwok has all these pods run
        ready, resident = await asyncio.to_thread(self.extenders.restarted)
        return {"pods": pods, "ready_seconds": ready, "resident_mb": resident}


def _targets(results: dict[str, Any], small: str, large: str) -> list[dict[str, Any]]:
    def over(nodes: str, variant: str, base: str) -> float:
        return median(results["ratios"][nodes][f"{variant}/{base}"])

    rows = [
        *(
            (f"pods/s over doing nothing, {n} nodes", over(n, "ours", "noop"), 0.9, True)
            for n in results["ratios"]
        ),
        *(
            (f"{what} over no extender, {small} nodes", over(small, variant, "none"), target, True)
            for what, variant, target in (
                ("pods/s", "ours", 0.6),
                ("not opted in, second scheduler,", "beside", 0.97),
                ("not opted in, patched scheduler,", "patched", 0.97),
            )
        ),
    ]
    if "latency" in results:
        ours, go = results["latency"]["ours"], results["latency"]["go"]
        rows += [
            (f"{what}, latency over Go's, {large} candidates", ours[key] / go[key], 1.0, False)
            for what, key in (("offline pods", "both_ms"), ("online pods", "online_prioritize_ms"))
        ]
    if "restart" in results:
        restart = results["restart"]
        rows += [
            (f"resident MB, {restart['pods']} pods", restart["resident_mb"], 300.0, False),
            ("seconds to filled caches", restart["ready_seconds"], 10.0, False),
        ]
    return [
        {"what": what, "value": value, "target": target, "met": value >= target if least else value <= target}
        for what, value, target, least in rows
    ]


def _show(results: dict[str, Any], console: Console) -> None:
    table = Table(title="pods per second, median of turns")
    table.add_column("nodes", justify="right")
    for name in ("none", "noop", "ours", "beside", "patched"):
        table.add_column(name, justify="right")
    for nodes, rates in results["throughput"].items():
        table.add_row(nodes, *(f"{rate:.0f}" for rate in rates.values()))  # the last two: few nodes only
    console.print(table)
    table = Table(title="the same over that of another variant, by round")
    for name in ("nodes", "variants", "least", "median", "most"):
        table.add_column(name, justify="left" if name == "variants" else "right")
    for nodes, ratios in results["ratios"].items():
        for name, found in ratios.items():
            row = (min(found), median(found), max(found))
            table.add_row(nodes, name, *(f"{ratio:.2f}" for ratio in row))
    console.print(table)
    table = Table(title="CPU milliseconds per pod, median of turns")
    table.add_column("nodes", justify="right")
    table.add_column("variant")
    shown = ("kube-apiserver", "etcd", SCHEDULER, BESIDE, "extender", "noop")
    for name in shown:
        table.add_column(name, justify="right")
    for nodes, variants in results["cpu_milliseconds"].items():
        for variant, spent in variants.items():
            table.add_row(nodes, variant, *(f"{spent.get(name, 0.0):.1f}" for name in shown))
    console.print(table)
    table = Table(title=f"milliseconds per call with {results['large_nodes']:,} candidates, median")
    for name in ("extender", "filter", "prioritize", "both", "both, p99", "online", "online, p99"):
        table.add_column(name, justify="right")
    for name, figures in results.get("latency", {}).items():
        table.add_row(name, *(f"{value:.2f}" for value in figures.values()))
    console.print(table)
    table = Table(title="against the targets")
    for name in ("what", "measured", "target", ""):
        table.add_column(name)
    for row in results["targets"]:
        met = "met" if row["met"] else "missed"
        table.add_row(row["what"], f"{row['value']:.2f}", f"{row['target']:g}", met)
    console.print(table)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small cluster, in two minutes")
    parser.add_argument("--small", action="store_true", help="pods per second at 1,000 nodes alone")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of throughput that count (5)")
    arguments = parser.parse_args()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        results = asyncio.run(_measure(arguments, progress))
    _show(results, Console(width=100))
    print(json.dumps(results))


if __name__ == "__main__":
    main()
