"""The scene: a cluster of many nodes, many servings, and the operator beside it with the chart's own rights."""

import json
import random
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kubernetes import client

from ecoserve.api.labels import API_VERSION, GROUP, VERSION
from ecoserve.fleet.fleet_file import FleetFile
from ecoserve_demo.scenario import SYSTEM_NAMESPACE
from ecoserve_demo.stage import RELEASE, install_chart
from ecoserve_devcluster import Cluster, Process, apply_fleet
from ecoserve_extender.scheduler_config import build_profile

NAMESPACE = "bench"
BASE_GRAMS = {"north": 220.0, "south": 260.0, "west": 240.0}
ZONES = tuple(BASE_GRAMS)
_SHARES = {"p5.48xlarge": 0.10, "p4de.24xlarge": 0.15, "g6.48xlarge": 0.35, "m7i.48xlarge": 0.40}
_MODELS = (
    "meta-llama/Llama-3.2-1B-Instruct",
    "meta-llama/Llama-3.2-3B-Instruct",
    "meta-llama/Llama-3.1-8B-Instruct",
    "mistralai/Mistral-7B-Instruct-v0.3",
    "Qwen/Qwen3-8B",
    "Qwen/Qwen3-14B",
    "Qwen/Qwen3-32B",
    "google/gemma-3-12b-it",
    "meta-llama/Llama-3.1-70B-Instruct",
    "mistralai/Mixtral-8x7B-Instruct-v0.1",
)
_SEED = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A running cluster with its fleet, chart and grid; the servings are there, the operator is not yet."""

    cluster: Cluster

    def start_operator(self, name: str, *options: str) -> Process:
        """Start an operator."""
        health, metrics = self.cluster.free_port(), self.cluster.free_port()
        argv = [
            sys.executable, "-m", "ecoserve_operator.main",
            f"--namespace={SYSTEM_NAMESPACE}", "--listen-host=127.0.0.1", "--compare-interval=5",
            f"--health-port={health}", f"--metrics-port={metrics}", *options,
        ]  # fmt: skip
        rights = {"KUBECONFIG": str(self.cluster.kubeconfig_for(f"{RELEASE}-operator", SYSTEM_NAMESPACE))}
        url = f"http://127.0.0.1:{health}/healthz"
        return self.cluster.run(name, argv, rights, health_url=url)

    def make_zones(self) -> None:
        """Make the GridZones at their mean intensities."""
        self._apply(zone_body(zone, grams) for zone, grams in BASE_GRAMS.items())

    def step(self, grams_per_kwh: Mapping[str, float]) -> None:
        """Change the intensity of zones, one right after the other."""
        with self.cluster.client() as connection:
            objects = client.CustomObjectsApi(connection)
            for zone, grams in grams_per_kwh.items():
                patch = {"spec": {"intensity": {"gramsPerKilowattHour": grams}}}
                objects.patch_cluster_custom_object(GROUP, VERSION, "gridzones", zone, patch)

    def serve(self, count: int, profile: str = "flat") -> None:
        """Have this many servings, the same ones each time, and no others; `profile` is that of their load over a day."""
        self._apply(serving_bodies(count, profile))
        with self.cluster.client() as connection:
            objects = client.CustomObjectsApi(connection)
            listed = objects.list_namespaced_custom_object(GROUP, VERSION, NAMESPACE, "llmservings")
            for name in sorted(item["metadata"]["name"] for item in listed["items"])[count:]:
                objects.delete_namespaced_custom_object(GROUP, VERSION, NAMESPACE, "llmservings", name)

    def _apply(self, bodies: Iterable[dict[str, Any]]) -> None:
        listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(bodies)})
        self.cluster.kubectl("apply", "--server-side", "-f", "-", stdin=listed)


def set_scene(cluster: Cluster, nodes: int, servings: int) -> Scene:
    """Install the chart and make the fleet (twelve pools), the grid, the servings and their scheduler, without the extender."""
    apply_fleet(cluster, fleet_of(nodes))
    install_chart(cluster)
    cluster.create_namespace(NAMESPACE)
    cluster.start_scheduler("ecoserve", {"profiles": [build_profile()]})
    scene = Scene(cluster=cluster)
    scene.make_zones()
    scene.serve(servings)
    return scene


def fleet_of(nodes: int) -> FleetFile:
    """Return about so many nodes in twelve pools."""
    groups = [
        {
            "sku": sku,
            "count": max(1, round(nodes * share / len(ZONES))),
            "zone": zone,
            "installed": "2024-01-01",
        }
        for sku, share in _SHARES.items()
        for zone in ZONES
    ]
    return FleetFile.model_validate({"nodes": groups})


def steps(count: int) -> list[dict[str, float]]:
    """Return intensities of each step: every zone moves by up to a half around its mean, so that the order of zones changes."""
    chooser = random.Random(_SEED)
    return [
        {zone: round(grams * chooser.uniform(0.5, 1.5), 1) for zone, grams in BASE_GRAMS.items()}
        for _ in range(count)
    ]


def serving_bodies(count: int, profile: str = "flat") -> list[dict[str, Any]]:
    """Return this many LLMServings, the same ones each time."""
    chooser = random.Random(_SEED)
    return [_serving(number, chooser, profile) for number in range(count)]


def zone_body(name: str, grams_per_kwh: float) -> dict[str, Any]:
    """Return a GridZone of a constant intensity."""
    spec = {"intensity": {"gramsPerKilowattHour": grams_per_kwh}}
    return {"apiVersion": API_VERSION, "kind": "GridZone", "metadata": {"name": name}, "spec": spec}


def _serving(number: int, chooser: random.Random, profile: str) -> dict[str, Any]:
    model = chooser.choice(_MODELS)
    rate = round(chooser.uniform(0.2, 6.0), 2)
    lengths = chooser.choice(("azure-conversation-2023", "azure-code-2023"))
    engine = {
        "name": "engine",
        "image": "engine:1",
        "args": ["--model=${model}", "--tp=${tensorParallelSize}"],
    }
    spec: dict[str, Any] = {
        "model": {"name": model},
        "online": {
            "slo": {"ttft": "2s", "tpot": "100ms"},
            "load": {"requestsPerSecond": rate, "lengths": lengths, "profile": profile},
        },
        "template": {"spec": {"containers": [engine]}},
    }
    if number % 4 == 0:
        spec["offline"] = {"deadline": "24h", "load": {"requestsPerSecond": 0.5, "lengths": lengths}}
    metadata = {"name": f"serving-{number:03}", "namespace": NAMESPACE}
    return {"apiVersion": API_VERSION, "kind": "LLMServing", "metadata": metadata, "spec": spec}
