"""Snapshots of small fleets, made the way files and clusters make them."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from ecoserve.api.gridzone import GridZone
from ecoserve.api.manifests import parse_serving
from ecoserve.catalog import load_catalog
from ecoserve.fleet.assemble import ZoneReading, assemble_snapshot, serving_demand
from ecoserve.fleet.nodes import NodeFacts, Resources
from ecoserve.fleet.snapshot import Snapshot

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
SnapshotOf = Callable[..., Snapshot]


def nodes(sku: str, count: int, zone: str = "west", installed: str | None = None) -> list[NodeFacts]:
    instance = load_catalog().instance(sku)
    labels = {"node.kubernetes.io/instance-type": sku, "topology.kubernetes.io/zone": zone}
    if installed is not None:
        labels["ecoserve.dev/installed"] = installed
    whole = Resources(gpu=instance.accelerator_count, cpu=instance.vcpus, memory_gib=instance.memory_gib)
    return [NodeFacts(name=f"{sku}-{zone}-{k}", labels=labels, allocatable=whole) for k in range(count)]


def serving(name: str = "chat", model: str = "meta-llama/Llama-3.1-8B-Instruct", **changes: Any) -> Any:
    spec: dict[str, Any] = {
        "model": {"name": model},
        "online": {
            "slo": {"ttft": changes.pop("ttft", "1s"), "tpot": changes.pop("tpot", "60ms")},
            "load": {"requestsPerSecond": changes.pop("rate", 4.0), "inputTokens": 1000, "outputTokens": 130},
        },
        "policy": {"mode": "Recommend", "objective": changes.pop("objective", "carbon")},
    }
    if not spec["online"]["load"]["requestsPerSecond"]:
        del spec["online"]
    offline_rate = changes.pop("offline_rate", 0.0)
    if offline_rate:
        load = {"requestsPerSecond": offline_rate, "inputTokens": 500, "outputTokens": 50}
        spec["offline"] = {"load": load}
    if changes:
        spec["placement"] = changes
    metadata = {"name": name, "namespace": "demo"}
    return parse_serving(
        {"apiVersion": "ecoserve.dev/v1alpha1", "kind": "LLMServing", "metadata": metadata, "spec": spec}
    )


def grid(name: str) -> Any:
    spec = {"intensity": {"gramsPerKilowattHour": 0}}
    return GridZone.model_validate(
        {"apiVersion": "ecoserve.dev/v1alpha1", "kind": "GridZone", "metadata": {"name": name}, "spec": spec}
    )


@pytest.fixture
def serving_of() -> Callable[..., Any]:
    return serving


@pytest.fixture
def nodes_of() -> Callable[..., list[NodeFacts]]:
    return nodes


@pytest.fixture
def snapshot_of() -> SnapshotOf:
    def make(
        servings: Sequence[Any], fleet: Sequence[NodeFacts], west: float = 261.0, east: float = 400.0
    ) -> Snapshot:
        catalog = load_catalog()
        return assemble_snapshot(
            [serving_demand(item, catalog, NOW) for item in servings],
            fleet,
            [
                ZoneReading(grid=grid("west"), grams_per_kwh=west),
                ZoneReading(grid=grid("east"), grams_per_kwh=east),
            ],
            [],
            catalog,
            NOW,
        )

    return make
