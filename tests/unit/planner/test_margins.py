"""Explanations: the next best way, prices at the margin, what binds, against plans made otherwise."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ecoserve.api.llmserving import Objective
from ecoserve.fleet.snapshot import Snapshot
from ecoserve.planner.build import SearchEffort
from ecoserve.planner.document import placement_plan_spec
from ecoserve.planner.explained import explained
from ecoserve.planner.margin_rows import (
    MOST_SLICES,
    MOST_SLICES_OF_A_SERVING,
    plan_slices,
    serving_binding,
    serving_margins,
    serving_slices,
)
from ecoserve.planner.margins import Explanation
from ecoserve.planner.plan import Plan, make_plan

EXACT = SearchEffort(relative_gap=0.0, time_limit_seconds=20)
SnapshotOf = Callable[..., Snapshot]
Maker = Callable[..., Any]


def told(snapshot: Snapshot, **options: Any) -> tuple[Plan, Explanation]:
    plan = explained(make_plan(snapshot, effort=EXACT, **options))
    assert plan.explanation is not None
    return plan, plan.explanation


def test_every_slice_has_its_way_and_the_next(
    snapshot_of: SnapshotOf, serving_of: Maker, nodes_of: Maker
) -> None:
    fleet = [*nodes_of("g6.48xlarge", 2), *nodes_of("p5.48xlarge", 1, "east")]
    plan, found = told(snapshot_of([serving_of(offline_rate=1.0)], fleet))
    assert {item.slice for item in found.slices} == {
        flow.slice
        for flow in plan.solved[0].result.flows  # type: ignore[union-attr]
    }
    used = {item.pool for item in plan.placements}
    for item in found.slices:
        assert item.way.split(" on ")[-1] in used
        assert item.runner_up != item.way
        assert 0 < item.share <= 1 + 1e-9
        assert item.marginal is not None
        assert item.marginal > 0
        assert "adds" in item.why or "less in proportion" in item.why


def test_a_pool_that_is_off_turns_a_whole_node_on(
    snapshot_of: SnapshotOf, serving_of: Maker, nodes_of: Maker
) -> None:
    """With one slice alone, what the runner-up adds is what a plan without the choice made would."""
    fleet = [*nodes_of("g6.xlarge", 1), *nodes_of("p5.48xlarge", 1)]
    snapshot = snapshot_of([serving_of(rate=0.5, ttft="5s", tpot="200ms", cpu=False)], fleet)
    plan, found = told(snapshot)
    (item,) = found.slices
    (used,) = {placement.pool for placement in plan.placements}
    assert used not in item.runner_up, "one replica more on the same node would be nearest; it holds one"
    without = replace(snapshot, pools=tuple(pool for pool in snapshot.pools if pool.name != used))
    gained = (make_plan(without, effort=EXACT).grams_per_hour - plan.grams_per_hour) / 0.5 / 3.6
    assert item.runner_up_adds is not None
    assert item.runner_up_adds == pytest.approx(gained, rel=0.1)


def test_the_margin_of_a_class_is_the_mean_over_its_slices(
    snapshot_of: SnapshotOf, serving_of: Maker, nodes_of: Maker
) -> None:
    servings = [serving_of(offline_rate=2.0), serving_of("other", rate=1.0)]
    _, found = told(snapshot_of(servings, nodes_of("g6.48xlarge", 3)))
    assert [(item.serving, item.traffic_class) for item in found.servings] == [
        ("demo/chat", "offline"),
        ("demo/chat", "online"),
        ("demo/other", "online"),
    ]
    for margin in found.servings:
        own = [
            item
            for item in found.slices
            if (item.serving, item.traffic_class) == (margin.serving, margin.traffic_class)
        ]
        prices = [item.marginal for item in own if item.marginal is not None]
        assert min(prices) <= margin.marginal <= max(prices)


def test_more_load_adds_about_what_the_margin_tells(
    snapshot_of: SnapshotOf, serving_of: Maker, nodes_of: Maker
) -> None:
    """Between two loads large enough for whole nodes to hardly matter."""
    fleet = nodes_of("g6.48xlarge", 200)
    servings = [serving_of(rate=rate, maxReplicas=2000) for rate in (200.0, 400.0)]
    (low, found), (high, _) = [told(snapshot_of([serving], fleet)) for serving in servings]
    assert not low.unserved
    assert not high.unserved
    added = (high.grams_per_hour - low.grams_per_hour) / 200.0 / 3.6
    assert found.servings[0].marginal == pytest.approx(added, rel=0.1)


def test_a_pool_that_is_full_is_named_with_what_a_node_would_save(
    snapshot_of: SnapshotOf, serving_of: Maker, nodes_of: Maker
) -> None:
    def fleet(clean: int) -> list[Any]:
        return [*nodes_of("g6.48xlarge", clean, "west"), *nodes_of("g6.48xlarge", 20, "east")]

    serving = serving_of(rate=100.0)
    short, found = told(snapshot_of([serving], fleet(2), west=20.0, east=800.0))
    more, _ = told(snapshot_of([serving], fleet(3), west=20.0, east=800.0))
    saves = found.node_values["g6-48xlarge.west"]
    assert saves == pytest.approx(short.grams_per_hour - more.grams_per_hour, rel=0.2)
    assert found.node_values["g6-48xlarge.east"] == 0
    first = next(item for item in found.binding if item.kind == "nodes")
    assert first.sentence.startswith("pool g6-48xlarge.west has no node left: one more node would save")
    spec = placement_plan_spec(short)
    by_name = {pool.name: pool.one_more_node_saves for pool in spec.pools}
    assert by_name["g6-48xlarge.west"] == pytest.approx(saves, abs=1e-3)
    assert any(item.message == first.sentence for item in spec.binding)
    near = serving_binding(found, "demo/chat", ["g6-48xlarge.west"])
    assert first.sentence in [item.message for item in near]
    assert first.sentence not in [i.message for i in serving_binding(found, "demo/x", ["g6-48xlarge.east"])]


def test_a_latency_objective_that_keeps_load_from_better_hardware_is_named(
    snapshot_of: SnapshotOf, serving_of: Maker, nodes_of: Maker
) -> None:
    fleet = [*nodes_of("g6.48xlarge", 8), *nodes_of("p5.48xlarge", 4, "east")]
    tight = snapshot_of([serving_of(ttft="60ms", rate=20.0)], fleet, west=20.0, east=900.0)
    plan, found = told(tight)
    assert {item.pool for item in plan.placements} == {"p5-48xlarge.east"}
    (limit,) = [item for item in found.binding if item.kind == "slo"]
    assert "TTFT 60 ms of demo/chat keeps 1000x130 from" in limit.sentence
    assert "g6-48xlarge.west" in limit.sentence
    assert limit.value > 0
    loose = snapshot_of([serving_of(ttft="10s", rate=20.0)], fleet, west=20.0, east=900.0)
    eased, freed = told(loose)
    assert eased.grams_per_hour < plan.grams_per_hour
    assert not [item for item in freed.binding if item.kind == "slo" and "TTFT" in item.sentence]


def test_least_replicas_that_cost_are_named(
    snapshot_of: SnapshotOf, serving_of: Maker, nodes_of: Maker
) -> None:
    fleet = nodes_of("g6.48xlarge", 4)
    _, found = told(snapshot_of([serving_of(rate=0.1, minReplicas=9)], fleet))
    assert any("minReplicas of demo/chat" in item.sentence for item in found.binding)


def test_phases_apart_are_one_way(snapshot_of: SnapshotOf, serving_of: Maker, nodes_of: Maker) -> None:
    serving = serving_of(roles=["both", "prefill", "decode"])
    snapshot = snapshot_of([serving], nodes_of("p5.48xlarge", 2))
    split = replace(
        snapshot,
        servings=tuple(replace(item, roles=item.roles[1:]) for item in snapshot.servings),
    )
    _, found = told(split)
    assert all(item.way.startswith("prefill by ") and ", decode by " in item.way for item in found.slices)
    _, whole = told(snapshot)
    assert any("prefill by" in f"{item.way}{item.runner_up}" or item.runner_up for item in whole.slices)


@pytest.mark.parametrize(
    ("objective", "unit"),
    [
        (Objective.ENERGY, "Wh per 1,000 requests"),
        (Objective.COST, "$ per 1,000 requests"),
        (Objective.PERFORMANCE, "s of latency a request"),
    ],
)
def test_units_follow_the_objective(
    objective: Objective, unit: str, snapshot_of: SnapshotOf, serving_of: Maker, nodes_of: Maker
) -> None:
    fleet = [*nodes_of("g6.48xlarge", 2), *nodes_of("p5.48xlarge", 1)]
    _, found = told(snapshot_of([serving_of()], fleet), objective=objective)
    assert found.objectives[0].objective is objective
    assert all(unit in item.why for item in found.slices)


def test_rows_stay_few_and_round_trip(snapshot_of: SnapshotOf, serving_of: Maker, nodes_of: Maker) -> None:
    plan, found = told(snapshot_of([serving_of()], nodes_of("g6.48xlarge", 2)))
    (item,) = found.slices
    many = replace(
        found,
        slices=tuple(
            replace(item, slice=f"demo/chat/online/{k}x1", requests_per_second=float(k)) for k in range(900)
        ),
    )
    rows = plan_slices(many)
    assert len(rows) == MOST_SLICES
    assert rows[0].slice == "online/899x1"
    assert len(serving_slices(many, "demo/chat")) == MOST_SLICES_OF_A_SERVING
    assert serving_margins(found, "demo/nobody") == ()
    spec = placement_plan_spec(replace(plan, explanation=many))
    assert len(spec.model_dump_json()) < 200_000
    assert type(spec).model_validate(spec.model_dump(by_alias=True)) == spec


def test_without_anything_to_place_there_is_nothing_to_explain(
    snapshot_of: SnapshotOf, serving_of: Maker
) -> None:
    _, found = told(snapshot_of([serving_of()], []))
    assert (found.slices, found.servings, found.binding, found.objectives) == ((), (), (), ())
