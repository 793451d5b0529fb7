"""From a snapshot to a plan: what is placed, what it costs, and why."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from ecoserve.api.llmserving import Objective
from ecoserve.fleet.assemble import with_intensity
from ecoserve.planner.build import SearchEffort
from ecoserve.planner.design_points import compare
from ecoserve.planner.document import design_point_rows, placement_plan_spec
from ecoserve.planner.explanation import UnservedReason
from ecoserve.planner.levers import ALL_LEVERS, Lever
from ecoserve.planner.plan import Plan, make_plan
from ecoserve.planner.solver import solve
from properties import examples

Make = Callable[..., Any]
EXACT = SearchEffort(relative_gap=0.0, time_limit_seconds=20)


def fleet(nodes_of: Make) -> list[Any]:
    return [*nodes_of("p5.48xlarge", 1), *nodes_of("g6.48xlarge", 2, "east"), *nodes_of("m7i.48xlarge", 2)]


def assert_whole(plan: Plan) -> None:
    """Totals are the sum of placements and what the solved instance says; no pool is overfilled."""
    total = sum(item.grams_per_hour for item in plan.placements)
    assert plan.grams_per_hour == pytest.approx(total)
    for use in plan.pools:
        assert 0 <= use.nodes_on <= use.pool.nodes
        own = [item for item in plan.placements if item.pool == use.pool.name]
        cores = sum(item.replicas * item.cpu_cores for item in own)
        devices = sum(item.replicas * item.tensor_parallel for item in own)
        assert cores <= use.nodes_on * use.pool.node_resources.cpu + 1e-6
        assert devices <= use.nodes_on * use.pool.node_resources.gpu


def test_a_plan_serves_everything_and_adds_up(snapshot_of: Make, serving_of: Make, nodes_of: Make) -> None:
    plan = make_plan(snapshot_of([serving_of(offline_rate=2.0)], fleet(nodes_of)))
    assert plan.unserved == ()
    assert sum(item.share for item in plan.placements) == pytest.approx(1.0, abs=1e-5)
    assert_whole(plan)
    assert plan.bounds is not None
    assert plan.bounds.fluid <= plan.bounds.lp <= plan.bounds.mip <= plan.grams_per_hour + 1e-9
    assert all(item.reason for item in plan.placements)


def test_the_exported_instance_solves_to_the_plan(
    snapshot_of: Make, serving_of: Make, nodes_of: Make
) -> None:
    plan = make_plan(snapshot_of([serving_of()], fleet(nodes_of)))
    result = solve(plan.instances[0])
    assert result.objective == pytest.approx(plan.grams_per_hour, rel=0.006)
    whole = result.operational_grams_per_hour + result.embodied_grams_per_hour
    assert whole == pytest.approx(result.objective)


def test_replicas_move_to_the_cleaner_zone(snapshot_of: Make, serving_of: Make, nodes_of: Make) -> None:
    twins = [*nodes_of("p5.48xlarge", 1, "west"), *nodes_of("p5.48xlarge", 1, "east")]
    snapshot = snapshot_of([serving_of()], twins, west=100, east=400)
    before = make_plan(snapshot)
    after = make_plan(with_intensity(snapshot, {"west": 400.0, "east": 100.0}))
    assert {item.pool for item in before.placements} == {"p5-48xlarge.west"}
    assert {item.pool for item in after.placements} == {"p5-48xlarge.east"}


@examples(8, HealthCheck.function_scoped_fixture)
@given(
    west=st.sampled_from([0.0, 17.0, 261.0, 501.0]),
    east=st.sampled_from([0.0, 55.0, 749.0]),
    rate=st.sampled_from([0.5, 4.0, 40.0]),
    offline_rate=st.sampled_from([0.0, 3.0]),
)
def test_carbon_never_emits_more_than_any_design_point(
    snapshot_of: Make,
    serving_of: Make,
    nodes_of: Make,
    west: float,
    east: float,
    rate: float,
    offline_rate: float,
) -> None:
    snapshot = snapshot_of([serving_of(rate=rate, offline_rate=offline_rate)], fleet(nodes_of), west, east)
    points = compare(snapshot, effort=SearchEffort(relative_gap=0.02, time_limit_seconds=1))
    for plan in points.plans.values():
        assert_whole(plan)
        if plan.unserved_requests_per_second == pytest.approx(points.carbon.unserved_requests_per_second):
            assert points.carbon.grams_per_hour <= plan.grams_per_hour * (1 + 1e-9)


def test_more_intensity_is_never_less_carbon(snapshot_of: Make, serving_of: Make, nodes_of: Make) -> None:
    snapshot = snapshot_of([serving_of(offline_rate=1.0)], fleet(nodes_of))
    grams = [
        make_plan(with_intensity(snapshot, {"west": ci, "east": ci}), effort=EXACT).grams_per_hour
        for ci in (0.0, 17.0, 261.0, 501.0)
    ]
    assert grams == sorted(grams)
    assert grams[0] > 0  # embodied carbon is left


@pytest.mark.parametrize("lever", sorted(Lever))
def test_turning_a_lever_off_never_saves_carbon(
    snapshot_of: Make, serving_of: Make, nodes_of: Make, lever: Lever
) -> None:
    old = nodes_of("p4de.24xlarge", 1, "west", "2019-06-01")
    snapshot = snapshot_of([serving_of(offline_rate=3.0)], [*old, *fleet(nodes_of)])
    full = make_plan(snapshot, effort=EXACT)
    without = make_plan(snapshot, levers=ALL_LEVERS - {lever}, effort=EXACT)
    assert full.grams_per_hour <= without.grams_per_hour * (1 + 1e-6)


def test_reuse_pays_on_a_clean_grid_and_says_where_it_stops(
    snapshot_of: Make, serving_of: Make, nodes_of: Make
) -> None:
    snapshot = snapshot_of([serving_of(rate=0, offline_rate=0.3)], fleet(nodes_of), west=0, east=0)
    clean = make_plan(snapshot, effort=EXACT)
    assert any(item.tensor_parallel == 0 for item in clean.placements)
    dirty = make_plan(with_intensity(snapshot, {"west": 700.0, "east": 700.0}), effort=EXACT)
    for verdict in dirty.reuse:
        assert not verdict.accepted
        assert verdict.against_marginal < 700
        assert "not used" in verdict.sentence


def test_offline_replicas_on_cores_alone_are_scheduled_as_offline(
    snapshot_of: Make, serving_of: Make, nodes_of: Make
) -> None:
    snapshot = snapshot_of([serving_of(offline_rate=9.0)], fleet(nodes_of), west=0, east=0)
    for item in make_plan(snapshot).placements:
        assert item.scheduling_class == "online" or item.tensor_parallel == 0


@pytest.mark.parametrize(
    ("serving", "skus", "reason", "words"),
    [
        ({}, [], UnservedReason.NO_NODES, "no ready node"),
        ({"tpot": "1ms"}, ["p5.48xlarge"], UnservedReason.NO_HARDWARE_FITS, "1 ms is asked"),
        (
            {"model": "meta-llama/Llama-3.1-70B-Instruct"},
            ["g5.xlarge"],
            UnservedReason.NO_HARDWARE_FITS,
            "would fit",
        ),
        ({"nodeSelector": {"team": "a"}}, ["p5.48xlarge"], UnservedReason.NO_POOL_SELECTED, "team=a"),
        (
            {"rate": 5000.0, "maxReplicas": 5000},
            ["p5.48xlarge"],
            UnservedReason.NO_CAPACITY,
            "p5-48xlarge.west",
        ),
        ({"rate": 500.0, "maxReplicas": 1}, ["p5.48xlarge"], UnservedReason.REPLICA_LIMIT, "maxReplicas 1"),
    ],
)
def test_what_is_not_served_says_why(
    snapshot_of: Make,
    serving_of: Make,
    nodes_of: Make,
    serving: dict[str, Any],
    skus: list[str],
    reason: Any,
    words: str,
) -> None:
    model = {"model": serving.pop("model")} if "model" in serving else {}
    nodes = [node for sku in skus for node in nodes_of(sku, 1)]
    plan = make_plan(snapshot_of([serving_of(**model, **serving)], nodes))
    assert {item.reason for item in plan.unserved} == {reason}
    assert words in plan.unserved[0].detail
    assert plan.unserved[0].serving == "demo/chat"


def test_one_serving_that_cannot_be_met_does_not_stop_another(
    snapshot_of: Make, serving_of: Make, nodes_of: Make
) -> None:
    servings = [serving_of("fine"), serving_of("impossible", tpot="1ms")]
    plan = make_plan(snapshot_of(servings, nodes_of("p5.48xlarge", 1)))
    assert {item.serving for item in plan.placements} == {"demo/fine"}
    assert {item.serving for item in plan.unserved} == {"demo/impossible"}


def test_servings_of_different_objectives_share_the_nodes(
    snapshot_of: Make, serving_of: Make, nodes_of: Make
) -> None:
    servings = [serving_of("green"), serving_of("cheap", objective="cost")]
    plan = make_plan(snapshot_of(servings, [*nodes_of("p5.48xlarge", 1), *nodes_of("p4de.24xlarge", 1)]))
    assert {item.serving for item in plan.placements} == {"demo/green", "demo/cheap"}
    assert len(plan.instances) == 2
    assert_whole(plan)
    assert plan.nodes_on == 1


def test_replicas_that_run_stay_where_the_gain_is_small(
    snapshot_of: Make, serving_of: Make, nodes_of: Make
) -> None:
    twins = [*nodes_of("p5.48xlarge", 1, "west"), *nodes_of("p5.48xlarge", 1, "east")]
    snapshot = snapshot_of([serving_of()], twins, west=200, east=200)
    first = make_plan(snapshot, effort=EXACT)
    held = {item.configuration: item.replicas for item in first.placements}
    own = {item.pool for item in first.placements}
    zone = first.placements[0].pool.split(".")[-1]
    slightly_worse = with_intensity(replace(snapshot, held=held), {zone: 201.0})
    assert {item.pool for item in make_plan(slightly_worse, effort=EXACT).placements} == own


def test_the_plan_is_a_valid_placement_plan(snapshot_of: Make, serving_of: Make, nodes_of: Make) -> None:
    points = compare(snapshot_of([serving_of(), serving_of("never", tpot="1ms")], fleet(nodes_of)))
    spec = placement_plan_spec(points.carbon, design_point_rows(points))
    assert [point.objective for point in spec.design_points] == list(Objective)
    assert spec.unserved[0].reason == "NoHardwareFits"
    assert spec.placements[0].namespace == "demo"
    assert spec.id == placement_plan_spec(points.carbon).id


def test_replicas_sustain_what_is_planned_on_them(
    snapshot_of: Make, serving_of: Make, nodes_of: Make
) -> None:
    servings = [serving_of(rate=5.0, offline_rate=3.0)]
    for item in make_plan(snapshot_of(servings, nodes_of("g6.48xlarge", 2))).placements:
        assert item.requests_per_second > 0
        assert item.requests_per_second <= item.replicas * item.replica_requests_per_second * (1 + 1e-6)
        assert item.requests_per_second > (item.replicas - 1) * item.replica_requests_per_second * 0.5


def test_bursts_leave_replicas_less_to_sustain(snapshot_of: Make, serving_of: Make, nodes_of: Make) -> None:
    def needed(burstiness: float) -> float:
        serving = serving_of(rate=40.0)
        online = serving.spec.online.model_copy(update={"burstiness": burstiness})
        spec = serving.spec.model_copy(update={"online": online})
        plan = make_plan(snapshot_of([serving.model_copy(update={"spec": spec})], nodes_of("p5.48xlarge", 6)))
        assert not plan.unserved
        return plan.grams_per_hour

    assert needed(3.0) > needed(1.0) * 1.02
