"""Replicas that stay: a plan that adds to what runs, where the best one would need its room."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ecoserve.fleet.snapshot import Snapshot
from ecoserve.planner.build import build_problem
from ecoserve.planner.explanation import UnservedReason
from ecoserve.planner.instance import parse_instance
from ecoserve.planner.pinned import pinned_plan
from ecoserve.planner.pinning import Pinned, with_pinned
from ecoserve.planner.plan import Plan, make_plan
from ecoserve.planner.reasons import with_reasons
from ecoserve.planner.solver import solve

NAME = "demo/chat"
TP2, TP4 = (f"{NAME}/g6-48xlarge.west/both/{shape}/online" for shape in ("tp2", "tp4"))
ReplicasAt = Callable[..., Snapshot]


def replicas(plan: Plan) -> dict[str, int]:
    return {item.configuration: item.replicas for item in plan.placements}


@pytest.fixture
def grown(
    snapshot_of: Callable[..., Snapshot], serving_of: Callable[..., Any], nodes_of: Callable[..., Any]
) -> ReplicasAt:
    """One node of eight devices, six of which run replicas of two; latency, which is planned for, is better with others."""

    def make(rate: float = 3.0, **held: int) -> Snapshot:
        asked = serving_of(rate=rate, ttft="2s", tpot="80ms", objective="performance")
        names = {"tp2": TP2, "tp4": TP4}
        runs = {names[shape]: count for shape, count in (held or {"tp2": 3}).items()}
        return replace(snapshot_of([asked], nodes_of("g6.48xlarge", 1)), held=runs)

    return make


def test_what_stays_is_added_to(grown: ReplicasAt) -> None:
    best = make_plan(grown())
    assert replicas(best).get(TP2, 0) < 3, "it needs the room of what runs"
    beside = make_plan(replace(grown(), stays=frozenset({NAME})))
    assert not beside.unserved
    assert replicas(beside)[TP2] >= 3
    assert beside.latency_seconds >= best.latency_seconds


def test_what_stays_is_no_less_pinned_and_moves_no_more_freely(grown: ReplicasAt) -> None:
    asked = replace(grown(), stays=frozenset({NAME}))
    pinned = Pinned(replicas=asked.held)
    assert replicas(make_plan(asked, pinned=pinned)) == asked.held
    free = make_plan(asked, pinned=replace(pinned, free=frozenset({NAME})))
    assert replicas(free) == replicas(make_plan(asked))


def test_a_plan_pinned_from_another_is_the_one_made_anew(grown: ReplicasAt) -> None:
    asked = grown()
    best = make_plan(asked)
    for pinned in (Pinned(replicas=asked.held), Pinned(replicas=asked.held, free=frozenset({NAME}))):
        anew, known = make_plan(asked, pinned=pinned), pinned_plan(asked, best, pinned)
        assert replicas(known) == replicas(anew)
        assert known.latency_seconds == pytest.approx(anew.latency_seconds)
        assert known.grams_per_hour == pytest.approx(anew.grams_per_hour)


def test_replicas_of_others_and_none_held_are_free(grown: ReplicasAt) -> None:
    asked = grown()
    other = replace(asked, stays=frozenset({"demo/other"}))
    none = replace(asked, held={}, stays=frozenset({NAME}))
    assert replicas(make_plan(other)) == replicas(make_plan(none)) == replicas(make_plan(asked))


def test_what_is_to_stay_and_finds_no_room_is_told(grown: ReplicasAt) -> None:
    plan = make_plan(replace(grown(tp4=3), stays=frozenset({NAME})))
    told = [item for item in plan.unserved if item.reason is UnservedReason.TOO_FEW_REPLICAS]
    assert [item.serving for item in told] == [NAME]
    assert f"1 replicas of {TP4} that are to stay find no room" in told[0].detail


def test_what_may_not_run_is_left_out_of_a_pinned_problem_and_told_beside_all_the_same(
    snapshot_of: Callable[..., Snapshot], serving_of: Callable[..., Any], nodes_of: Callable[..., Any]
) -> None:
    snapshot = snapshot_of([serving_of()], [*nodes_of("g6.48xlarge", 2), *nodes_of("p5.48xlarge", 1)])
    best = make_plan(snapshot)
    pinned = Pinned(replicas=replicas(best))
    narrow = with_pinned(best.solved[0].free, pinned)
    assert {item.name for item in narrow.instance.spec.configurations} == replicas(best).keys()
    assert {option.configuration for option in narrow.instance.spec.options} == replicas(best).keys()
    same = with_reasons(pinned_plan(snapshot, best, pinned))
    assert [item.reason for item in same.placements] == [item.reason for item in best.placements]
    assert not any("the only hardware" in item.reason for item in same.placements), "others are compared with"
    assert same.reuse == best.reuse


def test_a_problem_pinned_to_what_can_not_serve_is_still_one_that_can_be_read(grown: ReplicasAt) -> None:
    free = make_plan(replace(grown(), held={})).solved[0].free
    for none in (with_pinned(free, Pinned(replicas={})), with_pinned(free, Pinned(replicas={"gone": 1}))):
        parsed = parse_instance(json.loads(none.instance.text()))
        assert len(parsed.spec.slices) == len(free.instance.spec.slices)
        assert solve(parsed).status == "infeasible"


def test_what_is_held_is_searched_and_not_estimated(
    snapshot_of: Callable[..., Snapshot], serving_of: Callable[..., Any], nodes_of: Callable[..., Any]
) -> None:
    snapshot = snapshot_of([serving_of()], [*nodes_of("g6.48xlarge", 2), *nodes_of("p5.48xlarge", 1)])
    estimated = min(build_problem(snapshot).estimated)
    assert estimated not in build_problem(replace(snapshot, held={estimated: 1})).estimated
