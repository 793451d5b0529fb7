"""Capacities are searched where a plan may use them, and a plan uses no other."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from ecoserve.api.labels import ZONE
from ecoserve.fleet.snapshot import Snapshot
from ecoserve.performance import Rejection, Role, Slo, estimated_capacities
from ecoserve.performance import capacity as capacities
from ecoserve.planner import configurations, kinds, screening
from ecoserve.planner.build import build_problem, misjudged
from ecoserve.planner.plan import Plan, make_plan
from properties import examples

Make = Callable[..., Any]


def _forget() -> None:
    capacities._known.clear()
    for cached in (
        capacities._without_search,
        configurations.capacity,
        kinds._remembered,
    ):
        cached.cache_clear()


@pytest.fixture(autouse=True)
def _nothing_known() -> Iterator[None]:
    before = dict(capacities._known)
    _forget()
    yield
    _forget()
    capacities._known.update(before)  # else all tests that follow would search again


@pytest.fixture
def snapshot(snapshot_of: Make, serving_of: Make, nodes_of: Make) -> Snapshot:
    fleet = [*nodes_of("g6.48xlarge", 4), *nodes_of("p4de.24xlarge", 1, "east"), *nodes_of("m7i.48xlarge", 4)]
    servings = [
        serving_of(),
        serving_of("small", "meta-llama/Llama-3.2-1B-Instruct", rate=9.0, offline_rate=2.0),
    ]
    made: Snapshot = snapshot_of(servings, fleet)
    return made


def _search_everything(snapshot: Snapshot) -> None:
    problem = build_problem(snapshot)
    misjudged(problem, problem.estimated)


def _decided(plan: Plan) -> tuple[Any, ...]:
    return plan.placements, plan.unserved, plan.bounds, plan.reuse, plan.latency_seconds


def test_a_plan_is_the_same_whatever_was_searched_before(snapshot: Snapshot) -> None:
    first = make_plan(snapshot)
    _search_everything(snapshot)
    again = make_plan(snapshot)
    _forget()
    _search_everything(snapshot)
    assert _decided(first) == _decided(again) == _decided(make_plan(snapshot))


def test_what_is_remembered_of_a_serving_is_not_taken_for_what_it_has_become(snapshot: Snapshot) -> None:
    other, small = snapshot.servings
    first, *rest = snapshot.pools
    assert small.online is not None
    changed = [
        replace(snapshot, servings=(other, serving))
        for serving in (
            replace(small, roles=(Role.PREFILL, Role.DECODE)),
            replace(small, cpu_allowed=False),
            replace(small, node_selector={ZONE: "east"}),
            replace(small, offline=None),
            replace(small, online=replace(small.online, slo=Slo(ttft_seconds=9.0, tpot_seconds=0.9))),
        )
    ]
    changed.append(
        replace(
            snapshot, pools=(replace(first, node_resources=replace(first.node_resources, gpu=1.0)), *rest)
        )
    )
    for each in changed:
        before, remembering = build_problem(snapshot), build_problem(each)
        assert remembering != before
        kinds._remembered.cache_clear()
        assert remembering == build_problem(each)


def _searched(plan: Plan) -> None:
    """Check that no option in use would be another one had all been searched."""
    (part,) = plan.solved
    assert part.result is not None
    everything = build_problem(part.snapshot, searched=part.problem.configurations.keys())
    assert not everything.estimated
    for flow in part.result.flows:
        key = flow.slice, flow.configuration, flow.phase
        assert part.problem.options[key] == everything.options[key]


@examples(6, HealthCheck.function_scoped_fixture)
@given(rate=st.floats(0.1, 40.0), west=st.floats(1.0, 800.0), ttft=st.sampled_from(["300ms", "2s"]))
def test_replicas_in_use_have_capacities_that_were_searched(
    rate: float, west: float, ttft: str, snapshot_of: Make, serving_of: Make, nodes_of: Make
) -> None:
    fleet = [*nodes_of("g6.48xlarge", 6), *nodes_of("p5.48xlarge", 1, "east"), *nodes_of("m7i.48xlarge", 2)]
    _searched(make_plan(snapshot_of([serving_of(rate=rate, ttft=ttft)], fleet, west=west)))


def test_what_is_used_though_it_seemed_dear_is_searched_then(
    snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = make_plan(snapshot)
    monkeypatch.setattr(screening, "_near_the_least", lambda loads, *_: np.zeros(len(loads), np.bool_))
    plan = make_plan(snapshot)
    _searched(plan)
    assert plan.grams_per_hour == pytest.approx(everything.grams_per_hour, rel=0.02)


def test_load_is_not_left_because_an_estimate_is_too_low(
    snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(screening, "_near_the_least", lambda loads, *_: np.zeros(len(loads), np.bool_))
    found = estimated_capacities

    def low(questions: Any) -> Any:
        return [
            item if isinstance(item, Rejection) else replace(item, max_requests_per_second=1e-4)
            for item in found(questions)
        ]

    monkeypatch.setattr(configurations, "estimated_capacities", low)
    assert not make_plan(snapshot).unserved


numbers = st.floats(0.01, 100.0)


@given(
    loads=st.lists(
        st.lists(st.one_of(numbers, st.just(np.inf)), min_size=3, max_size=3), min_size=1, max_size=6
    ),
    prices=st.lists(numbers, min_size=6, max_size=6),
)
def test_the_least_for_each_slice_and_for_all_are_worth_a_search(loads: Any, prices: Any) -> None:
    asked = np.array(loads)
    served = np.isfinite(asked)
    spent = np.where(served, 0.5, 0.0)
    near = screening._near_the_least(asked, spent, np.array(prices[: len(loads)]))
    costs = np.where(
        served, np.where(served, asked, 0.0) * np.array(prices[: len(loads)])[:, None] + spent, np.inf
    )
    for place in range(3):
        if served[:, place].any():
            assert near[costs[:, place].argmin()]
    assert not near[~served.any(axis=1)].any()
