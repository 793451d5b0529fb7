"""Whatever the instance: bounds below the plan, capacity and inventory kept, the optimum found.

Instances are generated, degenerate ones among them; the optimum is that of an independent brute force.
"""

import itertools
import math
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoserve.planner.instance import PlanningInstance, PlanningResult, parse_instance
from ecoserve.planner.solver import solve
from properties import examples

AMOUNTS = st.sampled_from([0.0, 1.0, 2.0, 3.0, 5.0, 8.0])
FIGURES = st.sampled_from([0.0, 0.5, 1.0, 7.0, 30.0, 200.0])


@st.composite
def instances(draw: st.DrawFn, *, divisible: bool, objective: str = "carbon") -> dict[str, Any]:
    zones = [
        {"name": f"z{index}", "carbonIntensity": draw(st.sampled_from([0.0, 17.0, 261.0, 501.0])), "pue": 1.1}
        for index in range(draw(st.integers(1, 2)))
    ]
    pools = [
        {
            "name": f"p{index}",
            "zone": draw(st.sampled_from(zones))["name"],
            "nodes": draw(st.integers(0, 3)),
            "node": {
                "resources": {"gpu": draw(AMOUNTS), "cpu": 8.0},
                "powerWatts": draw(FIGURES),
                "embodiedGramsPerHour": draw(FIGURES),
                "costPerHour": draw(FIGURES),
            },
        }
        for index in range(draw(st.integers(1, 2)))
    ]
    configurations = [
        {
            "name": f"c{index}",
            "pool": draw(st.sampled_from(pools))["name"],
            "resources": {"gpu": draw(st.sampled_from([0.0, 1.0, 2.0, 3.0])), "cpu": draw(AMOUNTS)},
            "powerWatts": draw(FIGURES),
            "costPerHour": draw(FIGURES),
            "maxReplicas": draw(st.sampled_from([None, None, 0, 1, 2])),
        }
        for index in range(draw(st.integers(1, 3)))
    ]
    slices = [
        {
            "name": f"s{index}",
            "rate": draw(st.sampled_from([0.0, 0.5, 1.0, 3.0])),
            "class": draw(st.sampled_from(["online", "offline"])),
        }
        for index in range(draw(st.integers(1, 3)))
    ]
    options = []
    for item in slices:
        chosen = draw(st.lists(st.sampled_from(configurations), min_size=1, unique_by=lambda c: c["name"]))
        options += [
            {
                "slice": item["name"],
                "configuration": configuration["name"],
                "maxRate": draw(st.sampled_from([0.0, 0.4, 1.0, 2.0, 10.0])),
                "energyPerRequestJoules": draw(FIGURES),
                "latencySeconds": draw(FIGURES),
            }
            for configuration in chosen
        ]
    return {
        "spec": {
            "objective": objective,
            "zones": zones,
            "pools": pools,
            "configurations": configurations,
            "slices": slices,
            "options": options,
            "divisible": divisible,
        }
    }


def best_whole_placement(document: dict[str, Any]) -> tuple[float, float, float]:
    """Least (online shed, offline shed, gCO2e/h) of placing each slice whole, by trying everything."""
    spec = document["spec"]
    zones = {zone["name"]: zone for zone in spec["zones"]}
    pools = {pool["name"]: pool for pool in spec["pools"]}
    configurations = {item["name"]: item for item in spec["configurations"]}
    choices = []
    somewhere = {name for name, item in configurations.items() if pools[item["pool"]]["nodes"] > 0}
    for item in spec["slices"]:
        offered = [
            option
            for option in spec["options"]
            if option["slice"] == item["name"]
            and option["maxRate"] > 0
            and option["configuration"] in somewhere
        ]
        choices.append([None, *offered] if item["rate"] > 0 else [None])
    best = (math.inf, math.inf, math.inf)
    for choice in itertools.product(*choices):
        shed = {"online": 0.0, "offline": 0.0}
        loads: dict[str, float] = {}
        watts_by_zone = dict.fromkeys(zones, 0.0)
        grams = 0.0
        for item, option in zip(spec["slices"], choice, strict=True):
            if option is None:
                shed[item["class"]] += item["rate"]
                continue
            name = option["configuration"]
            loads[name] = loads.get(name, 0.0) + item["rate"] / option["maxRate"]
            zone = pools[configurations[name]["pool"]]["zone"]
            watts_by_zone[zone] += item["rate"] * option["energyPerRequestJoules"]
        replicas = {name: math.ceil(load - 1e-9) for name, load in loads.items()}
        feasible = True
        for name, count in replicas.items():
            most = configurations[name]["maxReplicas"]
            feasible &= most is None or count <= most
            watts_by_zone[pools[configurations[name]["pool"]]["zone"]] += (
                count * configurations[name]["powerWatts"]
            )
        for name, pool in pools.items():
            items = [
                configurations[c]["resources"]
                for c, count in replicas.items()
                if configurations[c]["pool"] == name
                for _ in range(count)
            ]
            if not feasible:
                break
            needed = _least_nodes(items, pool["node"]["resources"], pool["nodes"])
            feasible &= needed is not None
            watts_by_zone[pool["zone"]] += (needed or 0) * pool["node"]["powerWatts"]
            grams += (needed or 0) * pool["node"]["embodiedGramsPerHour"]
        if feasible:
            grams += sum(
                w / 1000 * zones[z]["carbonIntensity"] * zones[z]["pue"] for z, w in watts_by_zone.items()
            )
            best = min(best, (shed["online"], shed["offline"], grams))
    return best


def _least_nodes(items: list[dict[str, float]], node: dict[str, float], available: int) -> int | None:
    """Fewest nodes that hold all items; those that take nothing are no matter, so there can be any number."""
    needs = sorted((item["gpu"], item["cpu"]) for item in items if any(item.values()))
    room = sum(amount for need in needs for amount in need)
    if room > available * sum(node.values()):
        return None
    return next(
        (n for n in range(available + 1) if _places(tuple(needs), ((node["gpu"], node["cpu"]),) * n)), None
    )


@cache
def _places(needs: tuple[tuple[float, float], ...], free: tuple[tuple[float, float], ...]) -> bool:
    """Try the first item on every node; which node has how much left is no matter, only what is left together."""
    if not needs:
        return True
    gpu, cpu = needs[0]
    return any(
        _places(needs[1:], tuple(sorted([*free[:k], (have[0] - gpu, have[1] - cpu), *free[k + 1 :]])))
        for k, have in enumerate(free)
        if have[0] >= gpu and have[1] >= cpu
    )


EXAMPLES = examples(60)


def assert_sound(instance: PlanningInstance, result: PlanningResult) -> None:
    spec = instance.spec
    assert result.bounds.fluid <= result.bounds.lp + 1e-9
    assert result.bounds.lp <= result.bounds.mip + 1e-9
    assert result.bounds.mip <= result.objective + 1e-9
    rates = {(o.slice, o.configuration, o.phase): o.max_rate for o in spec.options}
    loads: dict[str, float] = {}
    for flow in result.flows:
        loads[flow.configuration] = loads.get(flow.configuration, 0.0) + flow.rate / (
            rates[flow.slice, flow.configuration, flow.phase] * (1 - spec.headroom)
        )
    for name, load in loads.items():
        assert load <= result.replicas[name] * (1 + 1e-6) + 1e-6
    for pool in spec.pools:
        assert result.nodes[pool.name] <= pool.nodes
        for index, have in enumerate(pool.node.resources.amounts()):
            used = sum(
                item.resources.amounts()[index] * result.replicas[item.name]
                for item in spec.configurations
                if item.pool == pool.name
            )
            assert used <= have * result.nodes[pool.name] + 1e-6
    for item in spec.configurations:
        assert item.max_replicas is None or result.replicas[item.name] <= item.max_replicas
    for item in spec.slices:
        served = sum(f.rate for f in result.flows if f.slice == item.name and f.phase != "decode")
        assert served + result.unserved[item.name] == pytest.approx(item.rate, abs=1e-5)


def shed_by_class(instance: PlanningInstance, result: PlanningResult) -> tuple[float, float]:
    shed = {"online": 0.0, "offline": 0.0}
    for item in instance.spec.slices:
        shed[item.traffic_class] += result.unserved[item.name]
    return shed["online"], shed["offline"]


@EXAMPLES
@given(document=instances(divisible=True))
def test_divisible_plans_are_sound(document: dict[str, Any]) -> None:
    instance = parse_instance(document)
    assert_sound(instance, solve(instance))


@EXAMPLES
@given(document=instances(divisible=False))
def test_whole_placement_is_as_good_as_brute_force(document: dict[str, Any]) -> None:
    instance = parse_instance(document)
    result = solve(instance)
    assert_sound(instance, result)
    online, offline, grams = best_whole_placement(document)
    assert shed_by_class(instance, result) == pytest.approx((online, offline), abs=1e-5)
    assert result.objective == pytest.approx(grams, rel=1e-5, abs=1e-6)


@EXAMPLES
@given(document=instances(divisible=True))
def test_a_plan_that_may_split_slices_is_never_worse(document: dict[str, Any]) -> None:
    instance = parse_instance(document)
    split = solve(instance)
    online, offline, grams = best_whole_placement(document)
    shed = shed_by_class(instance, split)
    assert shed[0] <= online + 1e-5
    if shed == pytest.approx((online, offline), abs=1e-5):
        assert split.objective <= grams * (1 + 1e-6) + 1e-6
