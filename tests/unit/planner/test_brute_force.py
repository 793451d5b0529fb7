"""Whole placement with phases, group limits, several resources and equal slices, against trying everything."""

import itertools
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoserve.planner.instance import parse_instance
from ecoserve.planner.solver import solve
from properties import examples

CONFIGURATIONS = (
    ("c0", "p0", "prefill"),
    ("c1", "p0", "decode"),
    ("c2", "p1", "prefill"),
    ("c3", "p1", "decode"),
)
WAYS: tuple[tuple[str, ...], ...] = ((), ("c0", "c1"), ("c2", "c3"), ("whole",))


@st.composite
def tiny(draw: st.DrawFn) -> dict[str, Any]:
    price = st.sampled_from([0.0, 1.0, 1.0, 4.0])
    amount = st.sampled_from([0.0, 1.0, 2.0, 3.0])
    size = st.sampled_from([2.0, 3.0, 4.0])
    pools = [
        {
            "name": f"p{k}",
            "zone": f"z{k}",
            "nodes": draw(st.integers(0, 2)),
            "node": {
                "resources": {"gpu": draw(size), "cpu": draw(size), "memoryGiB": draw(size)},
                "costPerHour": draw(price),
            },
        }
        for k in range(2)
    ]
    configurations = [
        {
            "name": name,
            "pool": pool,
            "resources": {"gpu": draw(amount), "cpu": draw(amount), "memoryGiB": draw(amount)},
            "costPerHour": draw(price),
        }
        for name, pool in [
            *((n, p) for n, p, _ in CONFIGURATIONS),
            ("whole", draw(st.sampled_from(["p0", "p1"]))),
        ]
    ]
    rate = st.sampled_from([0.0, 1.0, 1.0, 2.0])
    slices = [
        {"name": f"s{k}", "rate": draw(rate), "class": draw(st.sampled_from(["online", "online", "offline"]))}
        for k in range(3)
    ]
    speeds = {c["name"]: draw(st.sampled_from([0.0, 1.0, 1.5, 4.0])) for c in configurations}
    phases = {name: phase for name, _, phase in CONFIGURATIONS} | {"whole": "both"}
    options = [
        {"slice": s["name"], "configuration": name, "maxRate": speed, "phase": phases[name]}
        for s in slices
        for name, speed in speeds.items()
    ]
    most = draw(st.sampled_from([None, 0, 1, 2]))
    limit = {"name": "l", "configurations": ["c0", "c1", "whole"], "maxReplicas": most}
    return {
        "objective": "cost",
        "divisible": False,
        "zones": [{"name": f"z{k}", "carbonIntensity": 100.0} for k in range(2)],
        "pools": pools,
        "configurations": configurations,
        "slices": slices,
        "options": options,
        "limits": [limit],
    }


def best(spec: dict[str, Any]) -> tuple[float, float, float]:
    """Least (online shed, offline shed, cost); every slice is shed, split over one zone's phases, or whole."""
    speeds = {o["configuration"]: o["maxRate"] for o in spec["options"]}
    found = (math.inf, math.inf, math.inf)
    for ways in itertools.product(WAYS, repeat=len(spec["slices"])):
        shed = {"online": 0.0, "offline": 0.0}
        loads: dict[str, float] = {}
        for item, way in zip(spec["slices"], ways, strict=True):
            if not way:
                shed[item["class"]] += item["rate"]
            elif item["rate"] > 0:
                for name in way:
                    loads[name] = loads.get(name, 0.0) + (
                        item["rate"] / speeds[name] if speeds[name] else math.inf
                    )
        if math.inf in loads.values():
            continue
        cost = replicas_cost(spec, {name: math.ceil(load - 1e-9) for name, load in loads.items()})
        found = min(found, (shed["online"], shed["offline"], cost)) if cost < math.inf else found
    return found


def replicas_cost(spec: dict[str, Any], replicas: dict[str, int]) -> float:
    """$ per hour of replicas on the fewest nodes, infinity where limits or nodes forbid them."""
    limit = spec["limits"][0]
    most = math.inf if limit["maxReplicas"] is None else limit["maxReplicas"]
    if sum(replicas.get(name, 0) for name in limit["configurations"]) > most:
        return math.inf
    cost = 0.0
    for pool in spec["pools"]:
        members = [c for c in spec["configurations"] if c["pool"] == pool["name"] and replicas.get(c["name"])]
        cost += sum(c["costPerHour"] * replicas[c["name"]] for c in members)
        items = [tuple(c["resources"].values()) for c in members for _ in range(replicas[c["name"]])]
        if items and pool["nodes"] == 0:
            return math.inf
        room = tuple(pool["node"]["resources"].values())
        nodes = next((n for n in range(pool["nodes"] + 1) if assignable(items, n, room)), None)
        if nodes is None:
            return math.inf
        cost += nodes * pool["node"]["costPerHour"]
    return cost


def assignable(items: list[tuple[float, ...]], nodes: int, room: tuple[float, ...]) -> bool:
    """Try every assignment of items, those that take nothing aside, to nodes."""
    items = [item for item in items if any(item)]
    return any(
        all(
            sum(item[r] for item, at in zip(items, places, strict=True) if at == node) <= room[r]
            for node in range(nodes)
            for r in range(len(room))
        )
        for places in itertools.product(range(nodes), repeat=len(items))
    )


@examples(40)
@given(spec=tiny())
def test_whole_placement_with_phases_limits_and_resources_is_optimal(spec: dict[str, Any]) -> None:
    result = solve(parse_instance({"spec": spec}))
    classes = {item["name"]: item["class"] for item in spec["slices"]}
    shed = {"online": 0.0, "offline": 0.0}
    for name, rate in result.unserved.items():
        shed[classes[name]] += rate
    assert (shed["online"], shed["offline"], result.objective) == pytest.approx(best(spec), abs=1e-5)
    assert result.bounds.fluid <= result.bounds.lp <= result.bounds.mip <= result.objective
