"""Equal pools are planned as one; what comes out must stand for each of them, and cost what one pool costs."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoserve.planner.instance import PlanningResult, parse_instance
from ecoserve.planner.packing import Item, pack
from ecoserve.planner.solver import solve
from ecoserve.planner.twins import merge_pools
from properties import examples


@st.composite
def fleets(draw: st.DrawFn) -> tuple[dict[str, Any], list[int]]:
    """An instance whose every pool stands alone, and into how many equal pools of how many nodes to cut the first."""
    parts = draw(st.lists(st.integers(1, 3), min_size=2, max_size=3))
    amount = st.sampled_from([0.0, 1.0, 2.0, 3.0])
    figure = st.sampled_from([0.0, 1.0, 20.0, 90.0])
    pools = [
        {
            "name": name,
            "zone": "z",
            "nodes": nodes,
            "node": {"resources": {"gpu": 4, "cpu": 5}, "embodiedGramsPerHour": draw(figure)},
        }
        for name, nodes in (("p", sum(parts)), ("q", draw(st.integers(0, 2))))
    ]
    configurations = [
        {
            "name": f"{pool}-{k}-{phase}",
            "pool": pool,
            "resources": {"gpu": draw(amount), "cpu": draw(amount)},
            "embodiedGramsPerHour": draw(figure),
        }
        for pool in ("p", "q")
        for k, phase in enumerate(("both", "both", "prefill", "decode"))
    ]
    slices = [
        {"name": f"s{k}", "rate": draw(st.sampled_from([0.0, 0.7, 4.0])), "class": kind}
        for k, kind in enumerate(("online", "offline"))
    ]
    options = [
        {
            "slice": s["name"],
            "configuration": c["name"],
            "maxRate": draw(st.sampled_from([0.3, 1.0, 2.5])),
            "energyPerRequestJoules": draw(figure),
            "phase": c["name"].rpartition("-")[2],
        }
        for s in slices
        for c in configurations
    ]
    most = draw(st.sampled_from([None, 2, 5]))
    limit = {"name": "l", "configurations": [c["name"] for c in configurations[::2]], "maxReplicas": most}
    spec = {
        "zones": [{"name": "z", "carbonIntensity": 100.0}],
        "pools": pools,
        "configurations": configurations,
        "slices": slices,
        "options": options,
        "limits": [limit],
    }
    return spec, parts


def cut(spec: Mapping[str, Any], parts: list[int]) -> dict[str, Any]:
    """The same with the first pool cut into equal ones."""
    first, *others = spec["pools"]
    pools = [first | {"name": f"p{k}", "nodes": nodes} for k, nodes in enumerate(parts)]
    own = [c for c in spec["configurations"] if c["pool"] == "p"]
    names = {c["name"]: [f"{k}{c['name']}" for k in range(len(parts))] for c in own}
    configurations = [
        c | {"name": f"{k}{c['name']}", "pool": f"p{k}"} for k in range(len(parts)) for c in own
    ]
    options = [
        option | {"configuration": name}
        for option in spec["options"]
        for name in names.get(option["configuration"], [option["configuration"]])
    ]
    limits = [
        limit | {"configurations": [name for c in limit["configurations"] for name in names.get(c, [c])]}
        for limit in spec["limits"]
    ]
    apart = [c for c in spec["configurations"] if c["pool"] != "p"]
    return dict(spec) | {
        "pools": [*others, *pools],
        "configurations": [*apart, *configurations],
        "options": options,
        "limits": limits,
    }


def assert_stands(spec: dict[str, Any], result: PlanningResult) -> None:
    """Every pool's replicas fit its own nodes, and every configuration's flows its replicas."""
    speeds = {(o["slice"], o["configuration"]): o["maxRate"] for o in spec["options"]}
    loads: dict[str, float] = {}
    for flow in result.flows:
        speed = speeds[flow.slice, flow.configuration]
        loads[flow.configuration] = loads.get(flow.configuration, 0.0) + flow.rate / speed
    assert set(result.replicas) == {c["name"] for c in spec["configurations"]}
    for name, load in loads.items():
        assert load <= result.replicas[name] * (1 + 1e-6) + 1e-6
    for pool in spec["pools"]:
        items = [
            Item(c["name"], (c["resources"]["gpu"], c["resources"]["cpu"]), result.replicas[c["name"]])
            for c in spec["configurations"]
            if c["pool"] == pool["name"]
        ]
        assert pack(items, (4.0, 5.0)).nodes <= result.nodes[pool["name"]] <= pool["nodes"]
    for limit in spec["limits"]:
        used = sum(result.replicas[name] for name in limit["configurations"])
        assert limit["maxReplicas"] is None or used <= limit["maxReplicas"]
    for item in spec["slices"]:
        for phases in (("both", "prefill"), ("both", "decode")):
            served = sum(f.rate for f in result.flows if f.slice == item["name"] and f.phase in phases)
            assert served + result.unserved[item["name"]] == pytest.approx(item["rate"], abs=1e-5)


@examples(40)
@given(fleet=fleets())
def test_equal_pools_cost_what_one_pool_costs(fleet: tuple[dict[str, Any], list[int]]) -> None:
    spec, parts = fleet
    pieces = cut(spec, parts)
    instance = parse_instance({"spec": pieces})
    twins = merge_pools(instance.spec)
    assert len(twins.spec.pools) <= 2
    assert len(twins.spec.configurations) <= len(spec["configurations"])
    whole, split = solve(parse_instance({"spec": spec})), solve(instance)
    assert_stands(pieces, split)
    assert sum(split.unserved.values()) == pytest.approx(sum(whole.unserved.values()), abs=1e-5)
    assert split.objective == pytest.approx(whole.objective, rel=1e-5, abs=1e-5)
    if split.marginals is not None:
        assert split.marginals.nodes.keys() == {p["name"] for p in pieces["pools"] if p["nodes"] > 0}
        assert len({split.marginals.nodes[f"p{k}"] for k in range(len(parts))}) == 1


@pytest.mark.parametrize(
    "apart",
    [
        {"divisible": False},
        {"held": {"c1": 1}},
        {"zones": [{"name": "z0", "carbonIntensity": 1.0}, {"name": "z1", "carbonIntensity": 1.0}]},
        {"limits": [{"name": "l", "configurations": ["c0"], "maxReplicas": 1}]},
    ],
)
def test_pools_that_something_tells_apart_stay_apart(apart: dict[str, Any]) -> None:
    zones = apart.get("zones", [{"name": "z0", "carbonIntensity": 1.0}])
    spec = {
        "zones": zones,
        "pools": [
            {
                "name": f"p{k}",
                "zone": zones[k % len(zones)]["name"],
                "nodes": 1,
                "node": {"resources": {"gpu": 1}},
            }
            for k in range(2)
        ],
        "configurations": [{"name": f"c{k}", "pool": f"p{k}", "resources": {"gpu": 1}} for k in range(2)],
        "slices": [{"name": "s", "rate": 1.0}],
        "options": [{"slice": "s", "configuration": f"c{k}", "maxRate": 1.0} for k in range(2)],
    }
    assert len(merge_pools(parse_instance({"spec": spec}).spec).spec.pools) == 1 + ("zones" in apart)
    assert len(merge_pools(parse_instance({"spec": spec | apart}).spec).spec.pools) == 2
