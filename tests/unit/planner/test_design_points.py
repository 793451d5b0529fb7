"""Design points on the same constraints: carbon's plan emits no more than any of them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from ecoserve.api.llmserving import Objective
from ecoserve.fleet.snapshot import Snapshot
from ecoserve.performance import Role
from ecoserve.planner.build import SearchEffort
from ecoserve.planner.design_points import Alternative, DesignPoints, compare, with_alternatives
from ecoserve.planner.levers import ALL_LEVERS, Lever
from ecoserve.planner.plan import make_plan
from properties import examples

EFFORT = SearchEffort(relative_gap=0.02, time_limit_seconds=2)
ROLES = ["both", "prefill", "decode"]
SPLIT = "prefill/decode split"


def all_points(snapshot: Snapshot, **options: Any) -> DesignPoints:
    points = compare(snapshot, effort=EFFORT, **options)
    return with_alternatives(points, snapshot, effort=EFFORT)


def named(points: DesignPoints) -> dict[str, Alternative]:
    return {item.name: item for item in points.alternatives}


@examples(2, HealthCheck.function_scoped_fixture)
@given(
    west=st.floats(0, 900), east=st.floats(0, 900), rate=st.floats(0.1, 30), offline_rate=st.floats(0.1, 10)
)
def test_carbon_emits_no_more_than_any_design(
    snapshot_of: Callable[..., Snapshot],
    serving_of: Callable[..., Any],
    nodes_of: Callable[..., Any],
    west: float,
    east: float,
    rate: float,
    offline_rate: float,
) -> None:
    fleet = [
        *nodes_of("g6.48xlarge", 2, "east"),
        *nodes_of("p5.48xlarge", 1, "west"),
        *nodes_of("p4de.24xlarge", 1, "east", "2021-01-01"),
        *nodes_of("m7i.48xlarge", 2, "west"),
    ]
    serving = serving_of(rate=rate, offline_rate=offline_rate, roles=ROLES)
    points = all_points(snapshot_of([serving], fleet, west=west, east=east))
    assert len(points.alternatives) == 4
    plans = [*points.plans.values(), *(item.plan for item in points.alternatives if item.plan is not None)]
    for plan in plans:
        served_as_much = (
            plan.unserved_requests_per_second <= points.carbon.unserved_requests_per_second + 1e-6
        )
        assert not served_as_much or points.carbon.grams_per_hour <= plan.grams_per_hour
    assert all(item.reason for item in points.alternatives if item.plan is None)


def test_a_split_keeps_the_phases_apart_and_a_single_sku_fleet_keeps_to_one(
    snapshot_of: Callable[..., Snapshot], serving_of: Callable[..., Any], nodes_of: Callable[..., Any]
) -> None:
    fleet = [*nodes_of("p5.48xlarge", 2), *nodes_of("p4de.24xlarge", 2), *nodes_of("m7i.48xlarge", 2)]
    snapshot = snapshot_of([serving_of(offline_rate=1.0, roles=ROLES)], fleet)
    found = named(all_points(snapshot))
    assert set(found) == {SPLIT, "p5.48xlarge only", "p4de.24xlarge only"}
    split = found[SPLIT].plan
    assert split is not None
    assert {item.role for item in split.placements} == {Role.PREFILL, Role.DECODE}
    single = found["p4de.24xlarge only"].plan
    assert single is not None
    assert {use.pool.instance.id for use in single.pools if use.nodes_on} == {"p4de.24xlarge"}
    assert all(item.tensor_parallel for item in (*split.placements, *single.placements))


def test_a_design_that_cannot_be_says_why(
    snapshot_of: Callable[..., Snapshot], serving_of: Callable[..., Any], nodes_of: Callable[..., Any]
) -> None:
    large = serving_of(model="meta-llama/Llama-3.1-70B-Instruct", rate=0.5, ttft="5s")
    fleet = [*nodes_of("p5.48xlarge", 1), *nodes_of("g6.xlarge", 1)]
    found = named(all_points(snapshot_of([large], fleet)))
    assert found["p5.48xlarge only"].plan is not None
    assert found["g6.xlarge only"].plan is None
    assert "doesn't fit" in found["g6.xlarge only"].reason
    assert found[SPLIT].plan is None
    assert "roles" in found[SPLIT].reason


def test_a_greener_plan_that_another_search_found_is_the_carbon_plan(
    snapshot_of: Callable[..., Snapshot], serving_of: Callable[..., Any], nodes_of: Callable[..., Any]
) -> None:
    fleet = [*nodes_of("p5.48xlarge", 2), *nodes_of("g6.48xlarge", 2, "east")]
    snapshot = snapshot_of([serving_of()], fleet)
    poor = replace(make_plan(snapshot, objective=Objective.PERFORMANCE), objective=Objective.CARBON)
    points = all_points(snapshot, carbon=poor)
    plans = [*points.plans.values(), *(item.plan for item in points.alternatives if item.plan is not None)]
    assert points.carbon.grams_per_hour == min(plan.grams_per_hour for plan in plans)
    assert points.carbon.grams_per_hour < poor.grams_per_hour
    assert points.carbon.objective is Objective.CARBON
    assert {use.pool.name for use in points.carbon.pools} == {pool.name for pool in snapshot.pools}


def test_without_rightsize_there_are_no_narrower_designs(
    snapshot_of: Callable[..., Snapshot], serving_of: Callable[..., Any], nodes_of: Callable[..., Any]
) -> None:
    snapshot, levers = snapshot_of([serving_of()], nodes_of("p5.48xlarge", 1)), ALL_LEVERS - {Lever.RIGHTSIZE}
    points = compare(snapshot, levers=levers, effort=EFFORT)
    assert with_alternatives(points, snapshot, levers=levers, effort=EFFORT) is points


@pytest.mark.parametrize("objective", [Objective.CARBON, Objective.COST])
def test_saved_share_is_of_the_other_plan(
    objective: Objective,
    snapshot_of: Callable[..., Snapshot],
    serving_of: Callable[..., Any],
    nodes_of: Callable[..., Any],
) -> None:
    points = compare(snapshot_of([serving_of()], nodes_of("p5.48xlarge", 2)), effort=EFFORT)
    other = points.plans[objective]
    kept = other.grams_per_hour * (1 - points.saved_share(objective))
    assert kept == pytest.approx(points.carbon.grams_per_hour)
