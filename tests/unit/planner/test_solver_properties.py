"""Whatever the instance: bounds below the plan, capacity and inventory kept, the optimum found."""

import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from ecoserve.planner.instance import PlanningInstance, PlanningResult, parse_instance
from ecoserve.planner.solver import solve

sys.path.insert(0, str(Path(__file__).parent))
from strategies import best_whole_placement, instances

EXAMPLES = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


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
