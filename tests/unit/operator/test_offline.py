"""Orders of offline work: rates, what waits, restarts, and deadlines whatever the schedule says."""

import asyncio
import functools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoserve.carbon import AverageIntensity, IntensitySeries
from ecoserve.catalog import load_catalog
from ecoserve.fleet.snapshot import Snapshot, Zone
from ecoserve.performance import Role
from ecoserve.planner.backlog import Cohort, total
from ecoserve.planner.explanation import Unserved, UnservedReason
from ecoserve.planner.horizon_reasons import ScheduleReason
from ecoserve.planner.plan import Plan, make_plan
from ecoserve.workload.lengths import single_length
from ecoserve.workload.slices import ServingDemand, TrafficDemand
from ecoserve_operator.planning.capacities import Capacities
from ecoserve_operator.planning.decision import Choice, Taken
from ecoserve_operator.planning.deferral import is_worth_scheduling
from ecoserve_operator.planning.horizon_call import OfflineSchedule, ScheduledStep
from ecoserve_operator.planning.offline import OfflineWork, Order, restored
from ecoserve_operator.planning.planner import Decision
from ecoserve_operator.planning.scheduler import Question, Scheduler
from ecoserve_operator.planning.snapshot import demand_of
from ecoserve_operator.reporting.conditions import Aspect, Reason, Verdict
from ecoserve_operator.reporting.status import ServingFacts, build_status
from ecoserve_operator.watch.records import ServingRecord, serving_record
from properties import examples

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
BATCH = "n/batch"


def snapshot(rate: float = 1.0, deadline_hours: float = 24.0, defers: bool = True) -> Snapshot:
    offline = TrafficDemand(
        rate_per_second=rate,
        buckets=single_length(500, 100),
        deadline_seconds=deadline_hours * 3600,
        defers=defers,
    )
    serving = ServingDemand(
        name=BATCH,
        model=load_catalog().model("meta-llama/Llama-3.1-8B-Instruct"),
        precision="bf16",
        offline=offline,
        roles=(Role.BOTH,),
    )
    zone = Zone(name="west", intensity=AverageIntensity(grams_per_kwh=300), pue=1.1)
    return Snapshot(taken_at=NOW, zones=(zone,), pools=(), servings=(serving,))


def schedule(*rates: float, reason: ScheduleReason = ScheduleReason.WAITS) -> OfflineSchedule:
    steps = tuple(
        ScheduledStep(
            start=NOW + index * HOUR,
            end=NOW + (index + 1) * HOUR,
            requests_per_second=rate,
            reason=reason,
            message="because",
            waits_until=NOW + 5 * HOUR,
        )
        for index, rate in enumerate(rates)
    )
    end = NOW + len(rates) * HOUR
    return OfflineSchedule(
        start=NOW, end=end, steps={BATCH: steps}, expected=(), grams=1.0, grams_at_once=2.0
    )


def one_per_second(name: str, time: datetime) -> float:
    del name, time
    return 1.0


def rate_of(found: Snapshot) -> float:
    (serving,) = found.servings
    assert serving.offline is not None
    return serving.offline.rate_per_second


@functools.cache
def decision(taken: Taken, short: float = 0.0) -> Decision:
    missing = Unserved(
        serving=BATCH,
        slice=f"{BATCH}/offline/500x100",
        requests_per_second=short,
        reason=UnservedReason.NO_CAPACITY,
        detail="full",
    )
    plan: Plan = replace(make_plan(snapshot(rate=0.0)), unserved=(missing,) if short else ())
    choice = Choice(serving=BATCH, taken=taken, placements=())
    return Decision(snapshot=snapshot(), plan=plan, choices={BATCH: choice}, decided_at=NOW)


def test_without_a_schedule_work_runs_as_it_comes() -> None:
    work = OfflineWork()
    assert work.ordered(snapshot(), None, {BATCH: {}}, one_per_second, NOW) == snapshot()
    order = work.orders[BATCH]
    assert (order.reason, order.rate_per_second, order.until) == (ScheduleReason.AT_ONCE, None, None)
    later = NOW + 30 * HOUR
    assert work.ordered(snapshot(), None, {BATCH: {}}, one_per_second, later) == snapshot()
    assert work.orders[BATCH] is order  # nothing new is told of it
    assert work.waiting(later, one_per_second) == {BATCH: ()}


def test_work_waits_as_scheduled_and_is_done_when_the_schedule_says() -> None:
    work, plan = OfflineWork(), schedule(0.0, 0.0, 3.0)
    assert rate_of(work.ordered(snapshot(), plan, {}, one_per_second, NOW)) < 1e-5
    assert work.orders[BATCH].waits_until == NOW + 5 * HOUR
    assert work.due() == NOW + HOUR
    work.note(decision(Taken.PLAN), NOW)
    work.ordered(snapshot(), plan, {}, one_per_second, NOW + HOUR)
    assert total(work.orders[BATCH].backlog) == pytest.approx(3600)
    assert rate_of(work.ordered(snapshot(), plan, {}, one_per_second, NOW + 2 * HOUR)) == pytest.approx(3.0)
    work.note(decision(Taken.PLAN), NOW + 2 * HOUR)
    assert work.waiting(NOW + 3 * HOUR, one_per_second) == {BATCH: ()}


def test_no_more_is_asked_for_than_there_is() -> None:
    found = OfflineWork().ordered(snapshot(), schedule(50.0), {}, one_per_second, NOW + HOUR / 2)
    assert rate_of(found) == pytest.approx(1.0)


def test_a_schedule_that_is_gone_lets_what_waits_run_within_the_hour() -> None:
    work = OfflineWork()
    work.ordered(snapshot(), schedule(0.0), {}, one_per_second, NOW)
    work.note(decision(Taken.PLAN), NOW)
    found = work.ordered(snapshot(), None, {}, one_per_second, NOW + HOUR)
    assert rate_of(found) == pytest.approx(2.0)
    assert work.orders[BATCH].waits_until is None


def told_of(order: Order) -> dict[str, Any]:
    """The status that tells of an order."""
    verdict = Verdict(aspect=Aspect.APPLIED, status="True", reason=Reason.PLACED, message="")
    facts = ServingFacts(
        record=ServingRecord(namespace="n", name="batch", uid="u", generation=1, serving=None),
        choice=None,
        decision=decision(Taken.PLAN),
        fresh=verdict,
        applied=verdict,
        order=order,
    )
    return build_status(facts, (), "")


def test_a_restart_goes_on_where_the_last_operator_ended() -> None:
    work = OfflineWork()
    plan = schedule(*[0.25] * 24)
    for hour in range(3):
        work.ordered(snapshot(), plan, {}, one_per_second, NOW + hour * HOUR)
        work.note(decision(Taken.PLAN), NOW + hour * HOUR)
    status = told_of(work.orders[BATCH])
    again = OfflineWork()
    later = NOW + 4.5 * HOUR
    again.ordered(snapshot(), plan, {BATCH: status}, one_per_second, later)
    assert total(again.orders[BATCH].backlog) == pytest.approx(4.5 * 3600 * 0.75, rel=1e-6)
    assert again.orders[BATCH].backlog == pytest.approx(work.waiting(later, one_per_second)[BATCH])


@pytest.mark.parametrize(
    "told", [None, "much", {}, {"asOf": "then"}, {"asOf": "2026-06-01", "backlog": [{"requests": 1}]}]
)
def test_a_status_that_makes_no_sense_is_passed_over(told: object) -> None:
    assert restored({"offline": told}, NOW) is None


def test_a_paused_serving_keeps_what_waits() -> None:
    work = OfflineWork()
    work.ordered(snapshot(), schedule(0.0), {BATCH: {}}, one_per_second, NOW)
    order = work.orders[BATCH]
    work.ordered(replace(snapshot(), servings=()), None, {BATCH: {}}, one_per_second, NOW + HOUR)
    assert work.orders[BATCH] is order
    work.ordered(replace(snapshot(), servings=()), None, {}, one_per_second, NOW + HOUR)
    assert not work.orders


def test_what_may_wait_no_more_works_off_what_waits() -> None:
    work = OfflineWork()
    work.ordered(snapshot(), schedule(0.0), {}, one_per_second, NOW)
    work.note(decision(Taken.PLAN), NOW)
    found = work.ordered(snapshot(defers=False), schedule(0.0), {}, one_per_second, NOW + HOUR)
    assert rate_of(found) == pytest.approx(2.0)
    work.note(decision(Taken.PLAN), NOW + HOUR)
    after = snapshot(defers=False)
    assert work.ordered(after, None, {}, one_per_second, NOW + 2 * HOUR) == after


def test_less_is_asked_for_where_there_is_no_room() -> None:
    work, plan = OfflineWork(), schedule(0.0, 2.0)
    work.ordered(snapshot(), plan, {}, one_per_second, NOW)
    work.note(decision(Taken.PLAN), NOW)
    now = NOW + HOUR
    work.ordered(snapshot(), plan, {}, one_per_second, now)
    assert work.note(decision(Taken.HELD, short=0.5), now)
    assert rate_of(work.ordered(snapshot(), plan, {}, one_per_second, now)) == pytest.approx(1.5)
    assert work.orders[BATCH].reason is ScheduleReason.CAPACITY
    assert not work.note(decision(Taken.PLAN), now)
    assert total(work.waiting(now + HOUR, one_per_second)[BATCH]) == pytest.approx(1800)


def test_a_planner_that_fails_changes_nothing_of_what_is_known() -> None:
    work = OfflineWork()
    work.ordered(snapshot(), schedule(0.0, 0.0), {}, one_per_second, NOW)
    before = work.orders[BATCH]
    assert not work.note(replace(decision(Taken.HELD, short=1.0), failure="it died"), NOW)
    assert work.orders[BATCH] == before


@examples(60)
@given(
    rates=st.lists(st.sampled_from([0.0, 0.1, 1.0, 5.0]), min_size=24, max_size=24),
    deadline_hours=st.sampled_from([0.5, 3.0, 12.0, 24.0]),
    lost_at=st.integers(0, 40),
    minutes=st.sampled_from([15, 60]),
)
def test_no_deadline_is_missed_whatever_the_schedule_says(
    rates: list[float], deadline_hours: float, lost_at: int, minutes: int
) -> None:
    work, now, plan = OfflineWork(), NOW, schedule(*rates)
    step = timedelta(minutes=minutes)
    while now < NOW + 40 * HOUR:
        known = plan if now < NOW + lost_at * HOUR else None
        work.ordered(snapshot(deadline_hours=deadline_hours), known, {}, one_per_second, now)
        work.note(decision(Taken.PLAN), now)
        # A cohort is as old as its first request, and the hour it comes in is not over before that.
        for cohort in work.waiting(now, one_per_second)[BATCH]:
            assert now <= cohort.arrived_at + max(deadline_hours * HOUR, HOUR)
        now += step


def test_a_schedule_that_cannot_be_made_leaves_none_behind() -> None:
    async def fail() -> Scheduler:
        done = asyncio.Event()
        scheduler = Scheduler(0.01, Capacities(), done.set)
        question = Question(pools=(), demands=(), series={}, constants={})
        scheduler.want(question, lambda: ((), {}, None), (), NOW)
        task = asyncio.create_task(scheduler.run())
        await asyncio.wait_for(done.wait(), 20)
        task.cancel()
        return scheduler

    assert asyncio.run(fail()).latest is None


def test_orders_say_when_they_began_and_what_they_hold() -> None:
    backlog = (Cohort(arrived_at=NOW - HOUR, requests=10.0),)
    order = Order(
        since=NOW, rate_per_second=0.0, done_per_second=0.0, backlog=backlog, waits_until=NOW + HOUR
    )
    told = told_of(order)["offline"]
    assert told["backlogRequests"] == 10
    assert told["backlog"] == [{"arrivedAt": "2026-06-01T11:00:00Z", "requests": 10.0}]
    assert (told["asOf"], told["waitsUntil"]) == ("2026-06-01T12:00:00Z", "2026-06-01T13:00:00Z")


@pytest.mark.parametrize(("mode", "defers"), [("Enforce", True), ("Recommend", False)])
def test_only_what_is_enforced_waits(mode: str, defers: bool) -> None:
    spec = {
        "model": {"name": "meta-llama/Llama-3.1-8B-Instruct"},
        "offline": {"load": {"requestsPerSecond": 1, "inputTokens": 500, "outputTokens": 100}},
        "policy": {"mode": mode},
        "template": {
            "spec": {
                "containers": [
                    {"name": "engine", "image": "vllm", "args": ["${model}", "${tensorParallelSize}"]}
                ]
            }
        },
    }
    record = serving_record({"metadata": {"name": "b", "namespace": "n", "uid": "u"}, "spec": spec})
    assert record.serving is not None, record.problem
    offline = demand_of(record, record.serving, load_catalog(), NOW).offline
    assert offline is not None
    assert offline.defers is defers


def test_nothing_is_scheduled_where_no_hour_is_known_to_be_cleaner() -> None:
    """A schedule takes many plans; on a grid of constants it would take them for nothing, again at each step."""
    series = IntensitySeries(times=(NOW, NOW + HOUR), grams_per_kwh=(300.0, 20.0))
    assert is_worth_scheduling(snapshot(), {"west": (series, False)})
    assert not is_worth_scheduling(snapshot(), {})
    assert not is_worth_scheduling(snapshot(defers=False), {"west": (series, False)})


def test_a_forecast_that_fails_ends_nothing() -> None:
    def forecast() -> Any:
        raise RuntimeError("no idea")

    async def fail() -> Scheduler:
        done = asyncio.Event()
        scheduler = Scheduler(5.0, Capacities(), done.set)
        question = Question(pools=(), demands=(), series={}, constants={})
        scheduler.want(question, forecast, (), NOW)
        task = asyncio.create_task(scheduler.run())
        await asyncio.wait_for(done.wait(), 20)
        assert not task.done()
        task.cancel()
        return scheduler

    assert asyncio.run(fail()).latest is None


def test_a_schedule_is_made_anew_when_it_no_longer_holds() -> None:
    async def wanted(
        *, schedule: OfflineSchedule | None, asked: Question, now: datetime, grams: float
    ) -> bool:
        made = []

        def forecast() -> Any:
            made.append(True)
            raise RuntimeError("enough")

        scheduler = Scheduler(5.0, Capacities(), lambda: None)
        scheduler.latest, scheduler._answered = (
            schedule,
            Question(pools=(), demands=(), series={}, constants={}),
        )
        zone = Zone(name="west", intensity=AverageIntensity(grams_per_kwh=grams), pue=1.1)
        scheduler.want(asked, forecast, (zone,), now)
        task = asyncio.create_task(scheduler.run())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        return bool(made)

    same = Question(pools=(), demands=(), series={}, constants={})
    held = replace(schedule(*[1.0] * 24), expected=((NOW, {"west": 300.0}),))
    cases = {
        "it holds": ({"schedule": held, "asked": same, "now": NOW + HOUR, "grams": 303.0}, False),
        "there is none": ({"schedule": None, "asked": same, "now": NOW, "grams": 300.0}, True),
        "another question": (
            {"schedule": held, "asked": replace(same, constants={"east": 1.0}), "now": NOW, "grams": 300.0},
            True,
        ),
        "a surprise": ({"schedule": held, "asked": same, "now": NOW, "grams": 350.0}, True),
        "a quarter has passed": (
            {"schedule": held, "asked": same, "now": NOW + 6 * HOUR, "grams": 300.0},
            True,
        ),
    }
    for name, (arguments, expected) in cases.items():
        assert asyncio.run(wanted(**arguments)) is expected, name
