"""Schedules made and judged by the real planner, on a fleet of a few nodes."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from ecoserve.api.llmserving import Objective
from ecoserve.errors import InvalidInputError
from ecoserve.fleet.assemble import with_intensity
from ecoserve.planner.backlog import Cohort, total
from ecoserve.planner.build import SearchEffort
from ecoserve.planner.carry_out import Interval, PlanMemory, carry_out, with_offline
from ecoserve.planner.horizon import may_wait, plan_horizon
from ecoserve.planner.horizon_reasons import ScheduleReason, explain
from properties import examples

Make = Callable[..., Any]
HOUR = timedelta(hours=1)
CHAT = "demo/chat"
FAST = SearchEffort(relative_gap=0.005, time_limit_seconds=10.0)


@pytest.fixture(scope="module")
def memory() -> PlanMemory:
    """Shared by tests on the same pools: most of their plans are the same."""
    return PlanMemory(effort=FAST)


@pytest.fixture
def hours_of(snapshot_of: Make, serving_of: Make, nodes_of: Make) -> Make:
    """Make intervals of an hour from the intensities of the west and the arrivals per second."""
    fleet = [*nodes_of("g6.48xlarge", 2), *nodes_of("g6.48xlarge", 1, "east")]
    first = snapshot_of([serving_of(offline_rate=1.0)], fleet)

    def make(grams: list[float], arrivals: float = 0.5, deadline_hours: float = 24.0) -> list[Interval]:
        made = []
        for hour, intensity in enumerate(grams):
            snapshot = with_offline(
                with_intensity(first, {"west": intensity, "east": 500.0}), {CHAT: arrivals}
            )
            (chat,) = snapshot.servings
            offline = replace(chat.offline, deadline_seconds=deadline_hours * 3600.0)
            snapshot = replace(
                snapshot,
                taken_at=first.taken_at + hour * HOUR,
                servings=(replace(chat, offline=offline),),
            )
            made.append(Interval(snapshot=snapshot, hours=1.0))
        return made

    return make


def test_work_waits_for_the_cleaner_hour_and_that_emits_less(hours_of: Make, memory: PlanMemory) -> None:
    intervals = hours_of([500, 500, 20, 500])
    schedule = plan_horizon(intervals, memory=memory)
    assert schedule.defers
    assert schedule.grams < schedule.grams_at_once
    assert schedule.requests[CHAT] == pytest.approx((0, 0, 3 * 1800, 1800), abs=0.1)
    assert schedule.requests_per_second(CHAT, intervals[2].start) == pytest.approx(1.5, abs=1e-3)
    assert schedule.requests_per_second(CHAT, intervals[-1].end) is None
    first, third = (explain(schedule, CHAT)[index] for index in (0, 2))
    assert first.reason is ScheduleReason.WAITS
    assert "14:00" in first.sentence
    assert "20 gCO2e/kWh in west" in first.sentence
    assert third.reason is ScheduleReason.CLEANER_HOUR


def test_a_deadline_is_kept_whatever_the_grid(hours_of: Make, memory: PlanMemory) -> None:
    schedule = plan_horizon(hours_of([490, 400, 300, 200, 100, 50], deadline_hours=2.5), memory=memory)
    assert schedule.late_requests == 0
    # With the slack an hour's work is to be done 2.2 hours after it began to come: in the next hour.
    assert schedule.requests[CHAT] == pytest.approx((0, 1800, 1800, 1800, 1800, 3600), abs=0.1)
    reasons = [item.reason for item in explain(schedule, CHAT)]
    assert reasons[1:5] == [ScheduleReason.DEADLINE] * 4


def test_a_deadline_within_the_hour_leaves_nothing_to_schedule(hours_of: Make, memory: PlanMemory) -> None:
    schedule = plan_horizon(hours_of([500, 50], deadline_hours=0.5), memory=memory)
    assert not schedule.defers
    assert schedule.late_requests == 0
    assert [item.reason for item in explain(schedule, CHAT)] == [ScheduleReason.AT_ONCE] * 2


def test_what_has_waited_past_its_slack_runs_at_once(hours_of: Make, memory: PlanMemory) -> None:
    intervals = hours_of([500, 20, 500])
    old = (Cohort(arrived_at=intervals[0].start - 22 * HOUR, requests=900.0),)
    schedule = plan_horizon(intervals, {CHAT: old}, memory=memory)
    assert schedule.requests[CHAT] == pytest.approx((900, 3600, 1800), abs=0.1)
    assert schedule.late_requests == 0


@examples(15, HealthCheck.function_scoped_fixture)
@given(
    grams=st.lists(st.sampled_from([0.0, 30.0, 200.0, 450.0, 900.0]), min_size=2, max_size=5),
    arrivals=st.sampled_from([0.2, 1.0]),
    deadline_hours=st.sampled_from([0.5, 2.0, 24.0]),
    waiting=st.sampled_from([0.0, 3000.0]),
)
def test_never_worse_than_at_once_in_time_and_within_capacity(
    hours_of: Make,
    memory: PlanMemory,
    grams: list[float],
    arrivals: float,
    deadline_hours: float,
    waiting: float,
) -> None:
    intervals = hours_of(grams, arrivals, deadline_hours)
    old = (Cohort(arrived_at=intervals[0].start - HOUR / 4, requests=waiting),) if waiting else ()
    schedule = plan_horizon(intervals, {CHAT: old}, memory=memory)
    assert schedule.grams <= schedule.grams_at_once
    assert schedule.late_requests <= sum(sum(step.late.values()) for step in schedule.at_once)
    assert total(schedule.done[-1].waiting[CHAT]) == pytest.approx(0, abs=1e-3)
    done = come = 0.0
    for step, requests in zip(schedule.done, schedule.requests[CHAT], strict=True):
        done, come = done + requests, come + arrivals * 3600
        assert done <= come + waiting + 1e-6
        assert not step.plan.unserved
        assert all(use.nodes_on <= use.pool.nodes for use in step.plan.pools)
    assert len(explain(schedule, CHAT)) == len(intervals)


@pytest.mark.parametrize("grams", [0.0, 300.0])
def test_on_a_grid_that_does_not_change_nothing_waits(
    hours_of: Make, memory: PlanMemory, grams: float
) -> None:
    schedule = plan_horizon(hours_of([grams] * 4), memory=memory)
    assert not schedule.defers
    assert schedule.requests[CHAT] == pytest.approx((1800,) * 4)


def test_what_finds_no_room_is_done_in_the_next_hour(hours_of: Make, memory: PlanMemory) -> None:
    intervals = hours_of([300, 300, 300, 300], arrivals=0.1)
    flood = (Cohort(arrived_at=intervals[0].start - HOUR, requests=3e6),)
    schedule = plan_horizon(intervals, {CHAT: flood}, memory=memory)
    steps = schedule.done
    assert steps[0].short[CHAT] > 0
    assert steps[0].requests[CHAT] + total(steps[0].waiting[CHAT]) == pytest.approx(3e6 + 360)
    assert steps[1].requests[CHAT] == pytest.approx(steps[0].requests[CHAT], rel=0.1)
    assert explain(schedule, CHAT)[0].reason is ScheduleReason.CAPACITY


def test_only_what_asks_for_it_and_is_planned_for_carbon_waits(hours_of: Make) -> None:
    intervals = hours_of([500, 20])
    (chat,) = intervals[0].snapshot.servings
    assert may_wait(chat)
    for other in (
        replace(chat, objective=Objective.COST),
        replace(chat, offline=replace(chat.offline, defers=False)),
        replace(chat, offline=None),
    ):
        assert not may_wait(other)
        changed = [replace(i, snapshot=replace(i.snapshot, servings=(other,))) for i in intervals]
        schedule = plan_horizon(changed, memory=PlanMemory(effort=FAST))
        assert not schedule.defers
        assert not schedule.requests


def test_a_backlog_of_what_defers_no_more_runs_at_once(hours_of: Make) -> None:
    intervals = []
    for interval in hours_of([500, 20]):
        (chat,) = interval.snapshot.servings
        chat = replace(chat, offline=replace(chat.offline, defers=False))
        intervals.append(replace(interval, snapshot=replace(interval.snapshot, servings=(chat,))))
    old = (Cohort(arrived_at=intervals[0].start - HOUR, requests=900.0),)
    schedule = plan_horizon(intervals, {CHAT: old}, memory=PlanMemory(effort=FAST))
    assert schedule.requests[CHAT] == pytest.approx((2700, 1800))


def test_least_replicas_are_kept_while_all_work_waits(
    snapshot_of: Make, serving_of: Make, nodes_of: Make
) -> None:
    for least in (0, 1):
        batch = serving_of(rate=0, offline_rate=1.0, minReplicas=least)
        snapshot = snapshot_of([batch], nodes_of("g6.48xlarge", 1))
        interval = Interval(snapshot=snapshot, hours=1.0)
        step = carry_out(interval, {CHAT: ()}, {CHAT: 0.0}, None, PlanMemory(effort=FAST))
        assert sum(item.replicas for item in step.plan.placements) == least
        assert total(step.waiting[CHAT]) == pytest.approx(3600)


def test_cold_starts_count_from_one_hour_to_the_next(hours_of: Make, memory: PlanMemory) -> None:
    quiet, busy = hours_of([300, 300])
    alone = carry_out(quiet, {CHAT: ()}, {CHAT: 0.0}, None, memory)
    flood = {CHAT: (Cohort(arrived_at=quiet.start, requests=40_000.0),)}
    warm = carry_out(busy, flood, {CHAT: 40_000.0}, None, memory)
    cold = carry_out(busy, flood, {CHAT: 40_000.0}, alone.plan, memory)
    assert warm.cold_start_grams == 0
    assert cold.cold_start_grams > 0
    assert cold.grams == pytest.approx(warm.grams + cold.cold_start_grams)


def test_a_horizon_of_nothing_is_refused(hours_of: Make) -> None:
    with pytest.raises(InvalidInputError, match="intervals"):
        plan_horizon([])
    with pytest.raises(InvalidInputError, match="intervals"):
        plan_horizon([replace(hours_of([1])[0], hours=0.0)])
