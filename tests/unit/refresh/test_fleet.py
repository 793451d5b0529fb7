"""Kinds of node for a refresh plan: what pools and HardwareProfiles say of them."""

from datetime import UTC, datetime
from typing import Any

import pytest

from ecoserve.api.gridzone import GridZone
from ecoserve.api.hardwareprofile import HardwareProfile
from ecoserve.catalog import load_catalog
from ecoserve.errors import InvalidInputError
from ecoserve.fleet.assemble import ZoneReading, assemble_snapshot
from ecoserve.fleet.nodes import NodeFacts, Resources
from ecoserve.refresh.fleet import Kind, kinds_of

NOW = datetime(2026, 6, 1, tzinfo=UTC)
API = "ecoserve.dev/v1alpha1"


def kinds(nodes: dict[str, dict[str, str]], *profiles: dict[str, Any]) -> dict[str, Kind]:
    """Return the kinds of nodes given by name and labels besides zone and instance type, by name."""
    base = {"node.kubernetes.io/instance-type": "p5.48xlarge", "topology.kubernetes.io/zone": "west"}
    facts = [
        NodeFacts(name=name, labels=base | labels, allocatable=Resources(gpu=8, cpu=192, memory_gib=2048))
        for name, labels in nodes.items()
    ]
    zone = {"intensity": {"gramsPerKilowattHour": 100}}
    grid = GridZone.model_validate(
        {"apiVersion": API, "kind": "GridZone", "metadata": {"name": "west"}, "spec": zone}
    )
    parsed = [
        HardwareProfile.model_validate(
            {
                "apiVersion": API,
                "kind": "HardwareProfile",
                "metadata": {"name": f"own-{index}"},
                "spec": {"base": "p5.48xlarge"} | spec,
            }
        )
        for index, spec in enumerate(profiles)
    ]
    readings = [ZoneReading(grid=grid, grams_per_kwh=100.0)]
    snapshot = assemble_snapshot([], facts, readings, parsed, load_catalog(), NOW)
    return {kind.name: kind for kind in kinds_of(snapshot, 0.8)}


def test_ages_are_batches_of_one_kind() -> None:
    (kind,) = kinds({"a": {"ecoserve.dev/installed": "2024-06-01"}, "b": {}, "c": {}}).values()
    assert [(batch.nodes, round(batch.age_years)) for batch in kind.batches] == [(1, 2), (2, 0)]
    assert (kind.host_years, kind.accelerator_years) == (None, None)


def test_a_profile_makes_a_kind_of_its_own_with_its_figures_and_years() -> None:
    lean = {
        "matchLabels": {"rack": "lean"},
        "memoryGib": 512,
        "hostLifetimeYears": 12.5,
        "acceleratorLifetimeYears": 3,
    }
    found = kinds({"a": {}, "b": {"rack": "lean"}}, lean)
    plain, own = found["p5.48xlarge in west"], found["own-0 in west"]
    assert (own.host_years, own.accelerator_years) == (12, 3)
    assert plain.host.kg - own.host.kg == pytest.approx((2048 - 512) * 0.29)
    assert plain.host.idle_watts > own.host.idle_watts
    assert plain.nodes == own.nodes == 1


def test_nodes_of_one_type_with_other_accelerators_are_kinds_of_their_own() -> None:
    found = kinds({"a": {}, "b": {"nvidia.com/gpu.product": "NVIDIA-H200"}})
    assert set(found) == {"p5.48xlarge in west", "p5.48xlarge #2 in west"}
    assert len({kind.accelerators.kg for kind in found.values() if kind.accelerators is not None}) == 2


def test_a_life_below_a_year_is_refused() -> None:
    short = {"matchLabels": {"rack": "x"}, "hostLifetimeYears": 0.5}
    with pytest.raises(InvalidInputError, match=r"own-0: hostLifetimeYears: 0.5"):
        kinds({"a": {"rack": "x"}}, short)
