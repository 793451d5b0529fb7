"""A small cluster as the planner is asked about it, for tests."""

from datetime import UTC, datetime

from ecoserve.api import GridZone
from ecoserve.api.manifests import parse_serving
from ecoserve.catalog import load_catalog
from ecoserve.fleet.assemble import ZoneReading, assemble_snapshot, serving_demand
from ecoserve.fleet.nodes import NodeFacts, Resources
from ecoserve.fleet.snapshot import Snapshot

NOW = datetime(2024, 7, 1, 12, tzinfo=UTC)


def node(name: str, zone: str) -> NodeFacts:
    labels = {"node.kubernetes.io/instance-type": "g6.48xlarge", "topology.kubernetes.io/zone": zone}
    return NodeFacts(name=name, labels=labels, allocatable=Resources(gpu=8, cpu=190, memory_gib=700))


def snapshot(ttft: str = "2s", zones: tuple[str, ...] = ("east", "west"), **grams: float) -> Snapshot:
    serving = parse_serving(
        {
            "metadata": {"name": "chat", "namespace": "n"},
            "spec": {
                "model": {"name": "meta-llama/Llama-3.1-8B-Instruct"},
                "online": {
                    "slo": {"ttft": ttft, "tpot": "100ms"},
                    "load": {"requestsPerSecond": 1, "inputTokens": 512, "outputTokens": 128},
                },
                "policy": {"mode": "Recommend"},
            },
        }
    )
    readings = [
        ZoneReading(
            grid=GridZone.model_validate(
                {"metadata": {"name": zone}, "spec": {"intensity": {"gramsPerKilowattHour": 1}}}
            ),
            grams_per_kwh=grams.get(zone, 300.0),
        )
        for zone in zones
    ]
    return assemble_snapshot(
        [serving_demand(serving, load_catalog(), NOW)],
        [node(f"n-{zone}", zone) for zone in zones],
        readings,
        [],
        load_catalog(),
        NOW,
    )
