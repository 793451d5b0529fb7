import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoserve.api import HardwareProfile
from ecoserve.api.gridzone import GridZone
from ecoserve.catalog import load_catalog
from ecoserve.errors import InvalidInputError
from ecoserve.fleet.assemble import ZoneReading, assemble_snapshot
from ecoserve.fleet.fleet_file import load_fleet
from ecoserve.fleet.hardware import check_profile
from ecoserve.fleet.nodes import NodeFacts, Resources, node_facts
from ecoserve.fleet.pools import pool_name, pools_from_nodes

CATALOG = load_catalog()
WHOLE = Resources(gpu=8, cpu=192, memory_gib=2048)


def node(name: str, sku: str = "p5.48xlarge", zone: str = "west", **changes: Any) -> NodeFacts:
    labels = {"node.kubernetes.io/instance-type": sku, "topology.kubernetes.io/zone": zone}
    labels |= changes.pop("labels", {})
    return NodeFacts(name=name, labels=labels, **({"allocatable": WHOLE} | changes))


def profile(name: str, labels: dict[str, str], **spec: Any) -> HardwareProfile:
    return HardwareProfile.model_validate(
        {
            "apiVersion": "ecoserve.dev/v1alpha1",
            "kind": "HardwareProfile",
            "metadata": {"name": name},
            "spec": {"matchLabels": labels, **spec},
        }
    )


def test_nodes_alike_form_a_pool_that_its_labels_pick() -> None:
    old = {"ecoserve.dev/installed": "2023-06-01"}
    nodes = [
        node("a"),
        node("b"),
        node("c", zone="east"),
        node("d", labels=old),
        node("e", sku="m7i.48xlarge"),
    ]
    pools, unknown = pools_from_nodes(nodes, CATALOG)
    assert unknown == ()
    assert {pool.name: pool.node_names for pool in pools} == {
        "m7i-48xlarge.west": ("e",),
        "p5-48xlarge.east": ("c",),
        "p5-48xlarge.west": ("a", "b"),
        "p5-48xlarge.west.2023-06-01": ("d",),
    }
    for pool in pools:
        picked = {
            item.name for item in nodes if all(item.labels.get(key) == value for key, value in pool.selector)
        }
        assert picked == set(pool.node_names)
    assert {pool.supply for pool in pools if pool.instance.accelerator is None} == {"fixed"}
    assert {pool.supply for pool in pools if pool.instance.accelerator is not None} == {"scalable"}


def test_nodes_that_cannot_be_used_are_left_out_or_explained() -> None:
    pools, unknown = pools_from_nodes(
        [
            node("down", ready=False),
            node("cordoned", schedulable=False),
            node("strange", sku="x1.huge", labels={"nvidia.com/gpu.product": "NVIDIA-B900"}),
            node("undated", labels={"ecoserve.dev/installed": "last-year"}),
            NodeFacts(
                name="homeless", labels={"node.kubernetes.io/instance-type": "p5.48xlarge"}, allocatable=WHOLE
            ),
        ],
        CATALOG,
    )
    assert pools == ()
    reasons = {item.name: item.reason for item in unknown}
    assert set(reasons) == {"strange", "undated", "homeless"}
    assert "NVIDIA-B900" in reasons["strange"]
    assert "HardwareProfile" in reasons["strange"]
    assert "YYYY-MM-DD" in reasons["undated"]


def test_a_profile_wins_and_its_pool_keeps_apart() -> None:
    rack = {"rack": "seven"}
    refurbished = profile(
        "refurbished",
        rack,
        base="p5.48xlarge",
        supply="fixed",
        hostLifetimeYears=10,
        acceleratorLifetimeYears=3,
    )
    nodes = [node("plain"), node("special", labels=rack)]
    pools, _ = pools_from_nodes(nodes, CATALOG, [refurbished])
    by_node = {pool.node_names[0]: pool for pool in pools}
    assert by_node["special"].supply == "fixed"
    assert by_node["special"].lifetimes.host_years == 10
    assert dict(by_node["special"].selector)["rack"] == "seven"
    assert ("rack", None) in by_node["plain"].selector


def test_a_profile_can_describe_hardware_that_the_catalogue_lacks() -> None:
    own = profile(
        "own", {"node.kubernetes.io/instance-type": "lab"}, cpu="xeon-8480plus", vcpus=112, memoryGib=512,
        accelerator="l4", acceleratorCount=2,
    )  # fmt: skip
    (pool,), unknown = pools_from_nodes([node("n", sku="lab")], CATALOG, [own])
    assert unknown == ()
    assert pool.instance.accelerator is not None
    assert (pool.instance.accelerator.id, pool.instance.accelerator_count, pool.name) == ("l4", 2, "own.west")


def test_a_profile_of_unknown_parts_explains_itself() -> None:
    wrong = profile("wrong", {"x": "y"}, base="p5.48xlarge", accelerator="h100-sxmm", acceleratorCount=8)
    pools, (unknown,) = pools_from_nodes([node("n", labels={"x": "y"})], CATALOG, [wrong])
    assert pools == ()
    assert "h100-sxm" in unknown.reason


def test_labels_that_servings_select_by_split_pools() -> None:
    nodes = [node("a", labels={"team": "x"}), node("b")]
    assert len(pools_from_nodes(nodes, CATALOG)[0]) == 1
    assert len(pools_from_nodes(nodes, CATALOG, split_labels=["team"])[0]) == 2


def test_one_crowded_node_does_not_empty_its_pool() -> None:
    crowded = node("crowded", requested=Resources(cpu=190))
    (pool,), _ = pools_from_nodes([node("a"), node("b"), crowded], CATALOG)
    assert pool.node_names == ("a", "b")
    assert pool.node_resources == WHOLE
    slightly = node("slightly", requested=Resources(cpu=12))
    (pool,), _ = pools_from_nodes([node("a"), node("b"), slightly], CATALOG)
    assert pool.nodes == 3
    assert pool.node_resources.cpu == 180


label_part = st.text(min_size=1, max_size=80)


@given(kind=label_part, zone=label_part)
def test_a_pool_name_is_a_label_value(kind: str, zone: str) -> None:
    name = pool_name(kind, zone, "2023-06-01")
    assert re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", name)


def test_a_node_is_read_off_its_object() -> None:
    facts = node_facts(
        {
            "metadata": {"name": "n", "labels": {"a": "b"}},
            "spec": {"unschedulable": True},
            "status": {
                "allocatable": {"cpu": "95500m", "memory": "1000Gi", "nvidia.com/gpu": "8"},
                "conditions": [{"type": "Ready", "status": "Unknown"}],
            },
        }
    )
    assert facts.allocatable == Resources(gpu=8, cpu=95.5, memory_gib=1000)
    assert (facts.ready, facts.schedulable) == (False, False)


@pytest.mark.parametrize(
    "manifest",
    [{}, {"metadata": {"name": ""}}, {"metadata": {"name": "n"}, "status": {"allocatable": {"cpu": "many"}}}],
)
def test_a_node_that_makes_no_sense_is_refused(manifest: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        node_facts(manifest)


def reading(name: str, zones: list[str]) -> ZoneReading:
    document = {
        "apiVersion": "ecoserve.dev/v1alpha1",
        "kind": "GridZone",
        "metadata": {"name": name},
        "spec": {"zones": zones, "intensity": {"gramsPerKilowattHour": 1}},
    }
    return ZoneReading(grid=GridZone.model_validate(document), grams_per_kwh=100.0)


def test_nodes_off_every_grid_are_explained() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    snapshot = assemble_snapshot(
        [], [node("a"), node("b", zone="moon")], [reading("w", ["west", "south"])], [], CATALOG, now
    )
    assert [pool.zone for pool in snapshot.pools] == ["west"]
    assert [zone.name for zone in snapshot.zones] == ["west"]
    assert [item.name for item in snapshot.unknown_nodes] == ["b"]
    with pytest.raises(InvalidInputError, match="one GridZone per zone"):
        assemble_snapshot([], [], [reading("w", ["west"]), reading("v", ["west"])], [], CATALOG, now)


def test_a_profile_offers_shapes_that_are_leaner() -> None:
    lean = {"memoryGib": 512, "ssdGb": 3800}
    own = profile("lean", {"rack": "x"}, base="p5.48xlarge", nodeShapes=[lean], networkGbitPerS=800)
    (pool,), _ = pools_from_nodes([node("n", labels={"rack": "x"})], CATALOG, [own])
    assert [(shape.memory_gib, shape.ssd_gb) for shape in pool.shapes] == [(512, 3800)]
    assert pool.instance.network_gbit_per_s == 800


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"nodeShapes": [{"memoryGib": 4096, "ssdGb": 0}]}, r"nodeShapes\[0\].memoryGib: 4096.* 2048"),
        ({"nodeShapes": [{"memoryGib": 512, "ssdGb": 99_000}]}, r"nodeShapes\[0\].ssdGb: 99000.* 30400"),
        ({"nodeShapes": [{"memoryGib": 512, "ssdGb": 0}], "supply": "fixed"}, "supply: scalable"),
    ],
)
def test_shapes_that_make_no_sense_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        check_profile(profile("wrong", {"rack": "x"}, base="p5.48xlarge", **changes), CATALOG)


def tainted(name: str, *taints: dict[str, str], unschedulable: bool = False) -> NodeFacts:
    facts = node(name)
    return node_facts(
        {
            "metadata": {"name": name, "labels": dict(facts.labels)},
            "spec": {"taints": list(taints), "unschedulable": unschedulable},
            "status": {"allocatable": {"cpu": "192", "memory": "2048Gi", "nvidia.com/gpu": "8"}},
        }
    )


def test_nodes_with_other_taints_are_pools_of_their_own() -> None:
    team = {"key": "team", "value": "a", "effect": "NoSchedule"}
    soft = {"key": "soft", "effect": "PreferNoSchedule"}
    nodes = [tainted("a"), tainted("b", soft), tainted("c", team), tainted("d", team, soft)]
    pools, _ = pools_from_nodes(nodes, CATALOG)
    assert {pool.node_names: tuple(map(str, pool.taints)) for pool in pools} == {
        ("a", "b"): (),
        ("c", "d"): ("team=a:NoSchedule",),
    }
    assert len({pool.name for pool in pools}) == 2
    assert next(pool.name for pool in pools if not pool.taints) == "p5-48xlarge.west"


def test_a_node_in_a_condition_that_passes_is_left_out_for_now() -> None:
    pressed = tainted("a", {"key": "node.kubernetes.io/memory-pressure", "effect": "NoSchedule"})
    assert not pressed.schedulable
    assert pressed.taints == ()
    assert pools_from_nodes([pressed, tainted("b")], CATALOG)[0][0].node_names == ("b",)
    with pytest.raises(InvalidInputError, match=r"node x spec.taints"):
        node_facts({"metadata": {"name": "x"}, "spec": {"taints": [{"key": "a"}]}})


def test_a_fleet_file_states_taints(tmp_path: Path) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text(
        "nodes:\n"
        "  - {sku: p5.48xlarge, count: 1, zone: z, taints: [{key: nvidia.com/gpu}, {key: team, value: a, effect: NoExecute}]}\n"
        "  - {sku: p5.48xlarge, count: 1, zone: z}\n"
    )
    tainted_node, plain = (node_facts(document) for document in load_fleet(path).nodes())
    assert [str(taint) for taint in tainted_node.taints] == ["nvidia.com/gpu:NoSchedule", "team=a:NoExecute"]
    assert plain.taints == ()
    path.write_text("nodes: [{sku: p5.48xlarge, count: 1, zone: z, taints: [{key: a, effect: Never}]}]")
    with pytest.raises(InvalidInputError, match=r"taints"):
        load_fleet(path)
