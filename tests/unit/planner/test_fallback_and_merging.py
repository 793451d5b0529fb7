from typing import Any

import pytest

from ecoserve.planner.formulation import formulate
from ecoserve.planner.greedy import greedy_plan
from ecoserve.planner.instance import PlanningInstance, PlanningResult, parse_instance
from ecoserve.planner.merging import merge_slices
from ecoserve.planner.solver import solve


def instance(**spec: Any) -> PlanningInstance:
    whole = {
        "objective": "cost",
        "zones": [{"name": "a", "carbonIntensity": 100.0}, {"name": "b", "carbonIntensity": 100.0}],
        "pools": [
            {"name": zone, "zone": zone, "nodes": 2, "node": {"resources": {"gpu": 2}, "costPerHour": price}}
            for zone, price in (("a", 10.0), ("b", 14.0))
        ],
        "configurations": [
            {"name": f"{role}-{zone}", "pool": zone, "resources": {"gpu": 1}}
            for zone in ("a", "b")
            for role in ("prefill", "decode")
        ],
        "slices": [{"name": f"s{index}", "rate": 1.0} for index in range(6)],
        "options": [
            {"slice": f"s{index}", "configuration": f"{role}-{zone}", "maxRate": 2.0, "phase": role}
            for index in range(6)
            for zone in ("a", "b")
            for role in ("prefill", "decode")
        ],
    }
    return parse_instance({"spec": whole | spec})


def zones_by_slice(result: PlanningResult) -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    for flow in result.flows:
        found.setdefault(flow.slice, []).append((flow.phase, flow.configuration[-1]))
    return found


def test_equal_whole_slices_are_counted_and_dealt_out_with_both_phases_in_one_zone() -> None:
    problem = instance(divisible=False)
    merged = merge_slices(problem.spec)
    assert merged.counts == {"s0": 6}
    assert len(formulate(merged.spec, merged.counts).offered) == 4
    result = solve(problem)
    assert result.status == "optimal"
    assert sum(result.nodes.values()) == 3
    assert sorted(zones_by_slice(result)) == [f"s{index}" for index in range(6)]
    for phases in zones_by_slice(result).values():
        assert sorted(phase for phase, _ in phases) == ["decode", "prefill"]
        assert len({zone for _, zone in phases}) == 1
    assert all(flow.rate == 1.0 for flow in result.flows)


def test_slices_of_one_rate_only_are_equal_where_they_stay_whole() -> None:
    rates = [1.0, 2.0, 1.0, 0.0, 0.0, 2.0]
    slices = [{"name": f"s{index}", "rate": rate} for index, rate in enumerate(rates)]
    whole = merge_slices(instance(divisible=False, slices=slices).spec)
    assert whole.counts == {"s0": 2, "s1": 2, "s3": 2}
    split = merge_slices(instance(slices=slices).spec)
    assert {item.name: item.rate for item in split.spec.slices} == {"s0": 6.0, "s3": 0.0}


@pytest.mark.parametrize("divisible", [True, False])
def test_what_merged_slices_lack_is_told_for_each(divisible: bool) -> None:
    few = [{"name": z, "zone": z, "nodes": 1, "node": {"resources": {"gpu": 2}}} for z in ("a", "b")]
    result = solve(instance(divisible=divisible, pools=few))
    assert result.status == "infeasible"
    assert set(result.unserved) == {f"s{index}" for index in range(6)}
    assert sum(result.unserved.values()) == pytest.approx(2.0, abs=1e-5)
    if not divisible:
        assert sorted(result.unserved.values()) == [0.0] * 4 + [1.0] * 2


def test_slices_of_unlike_classes_or_options_stay_apart() -> None:
    slices = [{"name": f"s{i}", "rate": 1.0, "class": "offline" if i % 2 else "online"} for i in range(6)]
    assert len(merge_slices(instance(slices=slices).spec).members) == 2


def short_of_capacity(*, divisible: bool, **spec: Any) -> PlanningInstance:
    """Slices of unlike size for three times what two nodes can serve, and no time to search."""
    return instance(
        divisible=divisible,
        timeLimitSeconds=1e-6,
        configurations=[{"name": "c", "pool": "a", "resources": {"gpu": 1}}],
        slices=[{"name": f"s{k}", "rate": 0.7 + 0.05 * k, "class": "online"} for k in range(12)],
        options=[{"slice": f"s{k}", "configuration": "c", "maxRate": 1.0} for k in range(12)],
        **spec,
    )


@pytest.mark.parametrize("divisible", [True, False])
def test_a_search_without_time_serves_what_capacity_allows(divisible: bool) -> None:
    problem = short_of_capacity(divisible=divisible)
    result = solve(problem)
    served = sum(flow.rate for flow in result.flows)
    assert result.status == "infeasible"
    assert result.nodes["a"] == 2
    assert served > 2.5
    assert served + sum(result.unserved.values()) == pytest.approx(sum(s.rate for s in problem.spec.slices))


def test_greedy_plan_keeps_limits_inventory_and_the_order_of_classes() -> None:
    limits = [{"name": "few", "configurations": ["c"], "minReplicas": 1, "maxReplicas": 3}]
    problem = short_of_capacity(divisible=False, limits=limits)
    slices = tuple(
        item.model_copy(update={"traffic_class": "offline"} if item.rate > 1.0 else {})
        for item in problem.spec.slices
    )
    spec = problem.spec.model_copy(update={"slices": slices})
    formulation = formulate(spec)
    plan = greedy_plan(formulation)
    assert plan.replicas["c"] == 3
    assert plan.fits(formulation)
    assert all(item.traffic_class == "online" for item in slices if item.name not in plan.shed)
    assert len(slices) - len(plan.shed) == 3
