"""Measured load from readings to the snapshot, offline work, status and conditions."""

import math
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoserve.api.crds import build_crds
from ecoserve.api.llmserving import LLMServingStatus
from ecoserve.catalog import load_catalog
from ecoserve.fleet.snapshot import Snapshot
from ecoserve.planner.backlog import Cohort, matched, total
from ecoserve.workload.forecast import DAY, HOUR
from ecoserve.workload.histograms import Marginal
from ecoserve_operator.planning.offline import OfflineWork
from ecoserve_operator.planning.planner import Decision
from ecoserve_operator.planning.snapshot import View, view_world
from ecoserve_operator.reporting.conditions import Aspect, Reason, Verdict
from ecoserve_operator.reporting.load import load_verdicts
from ecoserve_operator.reporting.metrics import Metrics
from ecoserve_operator.reporting.status import ServingFacts, build_status, is_news
from ecoserve_operator.signals.load.client import Lengths, LoadAnswer
from ecoserve_operator.signals.load.reading import LoadFreshness
from ecoserve_operator.signals.load.signals import LoadSignals, coarse_loads, expected_loads
from ecoserve_operator.signals.providers.follow import Known
from ecoserve_operator.watch.records import ServingRecord, serving_record
from ecoserve_operator.watch.world import Nudges, World

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
LENGTHS = Lengths(
    inputs=Marginal(cells=((200.0, 0.5), (1800.0, 0.5))), outputs=Marginal(cells=((50.0, 0.5), (350.0, 0.5)))
)
LONGER = Lengths(inputs=Marginal(cells=((4000.0, 1.0),)), outputs=LENGTHS.outputs)


def serving(online: dict[str, Any] | None = None, offline: dict[str, Any] | None = None) -> ServingRecord:
    spec: dict[str, Any] = {
        "model": {"name": "meta-llama/Llama-3.1-8B-Instruct"},
        "policy": {"mode": "Recommend"},
        "template": {"spec": {"containers": [{"name": "engine", "image": "vllm/vllm-openai:v0.11.0"}]}},
    }
    if online is not None:
        spec["online"] = {"slo": {"ttft": "2s", "tpot": "100ms"}, "load": online}
    if offline is not None:
        spec["offline"] = {"load": offline}
    record = serving_record(
        {"metadata": {"name": "chat", "namespace": "n", "uid": "u", "generation": 1}, "spec": spec}
    )
    assert record.problem == ""
    return record


def answer(rate: float, at: datetime = NOW, **more: Any) -> LoadAnswer:
    return LoadAnswer(told_at=at, requests_per_second=rate, **{"lengths": LENGTHS, **more})


class Followed:
    """What followers know, as it is put there by hand."""

    def __init__(self) -> None:
        self.wanted: list[Any] = []
        self.told: Known[LoadAnswer] = Known()

    def want(self, questions: Iterable[Any]) -> None:
        self.wanted = list(questions)

    def known(self, question: Any) -> Known[LoadAnswer]:
        del question
        return self.told


class Play:
    """LoadSignals as the operator has them; `tell` is an answer, or a failure."""

    def __init__(self, *records: ServingRecord, statuses: dict[str, Any] | None = None) -> None:
        self.followed = Followed()
        self.signals = LoadSignals(self.followed, "http://prometheus:9090")  # type: ignore[arg-type]  # a stand-in
        self.records = records
        self.statuses = statuses or {}

    def read(self, now: datetime = NOW) -> Any:
        self.signals.read(self.records, now, self.statuses)
        return self.signals.latest

    def tell(self, told: LoadAnswer | None, now: datetime = NOW) -> Any:
        self.followed.told = (
            Known(self.followed.told.answer, "no answer (ConnectError)", asked=True)
            if told is None
            else Known(told, "", asked=True)
        )
        return self.read(now)


def view(play: Play) -> View:
    world = World(nudges=Nudges(0.0), servings={record.key: record for record in play.records})
    return view_world(world, {}, load_catalog(), NOW, 900.0, play.signals.latest)


MEASURED = {"prometheus": {}}
WITH_FALLBACK = {"requestsPerSecond": 3.0, "inputTokens": 500, "outputTokens": 100, "prometheus": {}}


def rate_of(found: View, traffic_class: str = "online") -> float:
    (demand,) = found.snapshot.servings
    traffic = demand.online if traffic_class == "online" else demand.offline
    assert traffic is not None
    return traffic.rate_per_second


def test_measured_load_is_planned_for_with_its_lengths() -> None:
    play = Play(serving(MEASURED))
    play.tell(answer(10.0))
    found = view(play)
    assert 10.0 <= rate_of(found) <= 10.6
    traffic = found.snapshot.servings[0].online
    assert traffic is not None
    assert sum(b.share * b.input_tokens for b in traffic.buckets) == pytest.approx(1000.0)
    assert len(play.followed.wanted) == 1


def test_chance_makes_no_other_question_and_a_step_does() -> None:
    play = Play(serving(MEASURED))
    play.tell(answer(10.0))
    before = view(play).snapshot.servings
    for minute, rate in enumerate((10.1, 9.6, 9.9, 10.2, 9.5), start=1):
        play.tell(answer(rate, NOW + timedelta(minutes=minute)))
        assert view(play).snapshot.servings == before
    play.tell(answer(20.0, NOW + HOUR))
    assert rate_of(view(play)) >= 20.0
    play.tell(answer(0.0, NOW + 2 * HOUR, lengths=None))
    assert view(play).snapshot.servings[0].online is not None
    assert rate_of(view(play)) == 0.0, "measured nothing is nothing"


@given(st.lists(st.none() | st.floats(0.0, 1e5), max_size=30))
def test_load_that_fails_is_held_whatever_came_before(script: list[float | None]) -> None:
    play = Play(serving(MEASURED))
    last: float | None = None
    for minute, rate in enumerate(script):
        now = NOW + timedelta(hours=minute)
        reading = play.tell(None if rate is None else answer(rate, now), now)["n/chat"]["online"]
        if rate is not None:
            assert reading.load.requests_per_second >= rate or rate < 5e-4
            last = reading.load.requests_per_second
        elif last is None:
            assert reading.freshness is LoadFreshness.UNKNOWN
        else:
            assert reading.load.requests_per_second == last


def test_what_was_never_measured_is_the_specs_or_leaves_everything_as_it_is() -> None:
    bare, stated = Play(serving(MEASURED)), Play(serving(WITH_FALLBACK))
    for play in (bare, stated):
        play.read()
        assert view(play).refused["n/chat"].reason is Reason.LOAD_NOT_MEASURED, "it has not been asked yet"
        play.tell(None)
    assert rate_of(view(stated)) == 3.0
    refusal = view(bare).refused["n/chat"]
    assert refusal.reason is Reason.LOAD_NOT_MEASURED
    assert "no answer (ConnectError)" in refusal.problem


def test_lengths_that_nobody_tells_are_refused_by_name() -> None:
    play = Play(serving(MEASURED))
    play.tell(answer(5.0, lengths=None))
    assert "lengths beside it" in view(play).refused["n/chat"].problem


def test_a_template_that_tells_no_engine_falls_back_and_says_so() -> None:
    record = serving(WITH_FALLBACK)
    assert record.serving is not None
    unknown = record.serving.model_copy(
        update={"spec": record.serving.spec.model_copy(update={"template": None})}
    )
    play = Play(replace(record, serving=unknown))
    reading = play.read()["n/chat"]["online"]
    assert reading.freshness is LoadFreshness.FALLBACK
    assert "prometheus.engine" in reading.message
    assert play.followed.wanted == []
    own = serving(
        {
            "prometheus": {"queries": {"requests": "gateway_rps"}},
            "requestsPerSecond": 3.0,
            "lengths": "azure-code-2023",
        }
    )
    assert own.serving is not None
    without = own.serving.model_copy(update={"spec": own.serving.spec.model_copy(update={"template": None})})
    asks = Play(replace(own, serving=without))
    asks.read()
    assert [question.requests for question in asks.followed.wanted] == ["gateway_rps"], (
        "own queries need no engine"
    )


def test_a_restart_goes_on_from_the_status_until_prometheus_answers() -> None:
    play = Play(serving(MEASURED))
    play.tell(answer(10.0))
    before = view(play).snapshot.servings
    status = status_of(play)
    LLMServingStatus.model_validate(status)
    again = Play(*play.records, statuses={"n/chat": status})
    again.read(NOW + HOUR)
    held = view(again).snapshot.servings
    assert rate_of(view(again)) == rate_of(view(play))
    assert held[0].online is not None
    assert before[0].online is not None
    assert [b.input_tokens for b in held[0].online.buckets] == [
        b.input_tokens for b in before[0].online.buckets
    ]
    again.tell(answer(9.8, NOW + HOUR), NOW + HOUR)
    assert rate_of(view(again)) == rate_of(view(play)), "within chance of what was planned for"


def test_a_status_of_another_hand_is_no_load() -> None:
    for load in ({"online": {"requestsPerSecond": "many"}}, {"online": {"observedAt": "then"}}, 3, []):
        play = Play(serving(WITH_FALLBACK), statuses={"n/chat": {"load": load}})
        assert play.tell(None)["n/chat"]["online"].freshness is LoadFreshness.FALLBACK


def weeks(count: int = 1) -> dict[datetime, float]:
    """Hours of weeks with a day of 2:1."""
    return {
        NOW - hour * HOUR: 10.0 * (1 + math.cos(2 * math.pi * ((NOW - hour * HOUR).hour - 18) / 24) / 3)
        for hour in range(1, 168 * count + 1)
    }


def test_what_is_expected_of_the_next_hour_is_planned_for_now() -> None:
    play = Play(serving(MEASURED))
    play.tell(answer(10.0, hours=weeks()))
    following = weeks()[NOW - 23 * HOUR]
    assert following > 10.0
    assert rate_of(view(play)) >= following
    ahead = expected_loads(play.signals.latest)["n/chat/online"]
    assert len(ahead.values) == 168
    metrics = Metrics()
    metrics.show_loads(play.signals.latest, NOW)
    labels = {"serving": "n/chat", "class": "online"}
    shown = metrics.registry.get_sample_value("ecoserve_serving_expected_requests_per_second", labels)
    assert shown == pytest.approx(following)


def test_the_schedules_question_is_the_same_while_load_is_as_expected() -> None:
    play = Play(serving(MEASURED))
    play.tell(answer(10.0, hours=weeks()))
    before = coarse_loads(play.signals.latest["n/chat"], NOW)
    play.tell(answer(10.9, NOW + HOUR / 2, hours=weeks()), NOW + HOUR / 2)
    assert coarse_loads(play.signals.latest["n/chat"], NOW + HOUR / 2) == before
    play.tell(answer(25.0, NOW + HOUR / 2, hours=weeks()), NOW + HOUR / 2)
    assert coarse_loads(play.signals.latest["n/chat"], NOW + HOUR / 2) != before


def condition(play: Play, kind: str, now: datetime = NOW) -> tuple[str, str, str]:
    found = {
        verdict.aspect.value: verdict for verdict in load_verdicts(play.signals.latest.get("n/chat", {}), now)
    }
    return found[kind].status, found[kind].reason, found[kind].message


def test_conditions_tell_where_load_comes_from() -> None:
    stated = Play(serving({"requestsPerSecond": 3.0, "inputTokens": 500, "outputTokens": 100}))
    stated.read()
    assert condition(stated, "LoadDataFresh")[:2] == ("True", "Stated")
    play = Play(serving(MEASURED))
    play.tell(answer(10.0))
    assert condition(play, "LoadDataFresh")[:2] == ("True", "Measured")
    assert condition(play, "LoadAsExpected")[:2] == ("Unknown", "NoHistory")
    later = NOW + HOUR
    play.tell(None, later)
    status, reason, message = condition(play, "LoadDataFresh", later)
    assert (status, reason) == ("False", "HeldAtLastValue")
    assert "of 2026-06-15 12:00Z: no answer" in message


def test_a_source_that_fails_is_looked_at_again_when_its_load_is_too_old() -> None:
    play = Play(serving(MEASURED))
    play.tell(answer(10.0))
    assert play.signals.due() is None
    play.tell(None)
    due = play.signals.due()
    assert due == NOW + timedelta(minutes=5)
    play.read(due)
    assert condition(play, "LoadDataFresh", due)[1] == "HeldAtLastValue"
    assert play.signals.due() is None


def test_conditions_tell_of_drift_and_of_other_lengths() -> None:
    play = Play(serving(MEASURED))
    hours = weeks(2)
    play.tell(answer(10.0, hours=hours))
    assert condition(play, "LoadAsExpected")[:2] == ("True", "Seasonal")
    doubled = {hour: rate * (2.0 if hour >= NOW - 4 * HOUR else 1.0) for hour, rate in hours.items()}
    later = NOW + timedelta(minutes=1)
    play.tell(answer(20.0, later, hours=doubled), later)
    status, reason, message = condition(play, "LoadAsExpected", later)
    assert (status, reason) == ("False", "Drifted")
    assert "since 2026-06-15 08:00Z" in message

    shifts = Play(serving(MEASURED))
    shifts.tell(answer(10.0))
    before = shifts.signals.latest["n/chat"]["online"].load
    shifts.tell(answer(10.0, later, lengths=LONGER), later)
    assert condition(shifts, "LoadAsExpected", later)[1] == "LengthsShifted"
    assert shifts.signals.latest["n/chat"]["online"].load != before
    assert condition(shifts, "LoadAsExpected", later + 2 * DAY)[1] == "NoHistory"


def status_of(play: Play) -> dict[str, Any]:
    fine = Verdict(aspect=Aspect.APPLIED, status="True", reason="Placed", message="fine")
    snapshot = Snapshot(taken_at=NOW, zones=(), pools=(), servings=())
    facts = ServingFacts(
        record=play.records[0],
        choice=None,
        decision=Decision(snapshot=snapshot, plan=None, choices={}, decided_at=NOW),
        fresh=fine,
        applied=fine,
        loads=play.signals.latest.get("n/chat", {}),
    )
    return build_status(facts, (), "p")


def test_a_measurement_alone_is_no_news_and_another_rate_is() -> None:
    play = Play(serving(MEASURED))
    play.tell(answer(10.0))
    before = status_of(play)
    play.tell(answer(10.05, NOW + HOUR), NOW + HOUR)
    assert not is_news(status_of(play), before)
    play.tell(answer(30.0, NOW + HOUR), NOW + HOUR)
    assert is_news(status_of(play), before)


@given(
    st.lists(st.floats(0.0, 1e4), max_size=10),
    st.floats(0.0, 1e5),
)
def test_a_measured_queue_is_the_backlog_with_the_oldest_gone_first(
    waiting: list[float], queue: float
) -> None:
    backlog = tuple(
        Cohort(arrived_at=NOW - (10 - index) * HOUR, requests=requests)
        for index, requests in enumerate(waiting)
        if requests > 0
    )
    found = matched(backlog, queue, NOW)
    assert total(found) == pytest.approx(queue, abs=1e-3)
    assert list(found) == sorted(found, key=lambda cohort: cohort.arrived_at)
    if queue <= total(backlog):
        assert all(cohort.arrived_at in {old.arrived_at for old in backlog} for cohort in found)


def test_offline_work_is_what_waits_in_the_queue() -> None:
    play = Play(serving(offline={"requestsPerSecond": 1.0, "inputTokens": 500, "outputTokens": 100}))
    snapshot = view(play).snapshot
    work = OfflineWork()

    def coming(name: str, time: datetime) -> float:
        del name, time
        return 1.0

    assert work.ordered(snapshot, None, {"n/chat": {}}, coming, NOW, {"n/chat": 100.0}) == snapshot
    assert work.orders == {}, "what comes within five minutes is just passing through"
    ordered = work.ordered(snapshot, None, {"n/chat": {}}, coming, NOW, {"n/chat": 7200.0})
    offline = ordered.servings[0].offline
    assert offline is not None
    assert offline.rate_per_second == pytest.approx(1.0 + 7200 / 3600)
    order = work.orders["n/chat"]
    assert total(order.backlog) == 7200.0
    assert order.until == NOW + HOUR
    assert total(work.waiting(NOW + HOUR / 2, coming, {"n/chat": 500.0})["n/chat"]) == pytest.approx(500.0)
    after = work.ordered(snapshot, None, {"n/chat": {}}, coming, NOW + HOUR, {"n/chat": 3.0})
    assert after == snapshot, "an empty queue is nothing to work off"


def test_the_two_classes_of_a_serving_may_not_measure_the_same() -> None:
    with pytest.raises(AssertionError, match="count twice"):
        serving(MEASURED, MEASURED)
    queries = {"prometheus": {"queries": {"requests": "offline_rps"}}}
    assert serving(MEASURED, queries).serving is not None
    (crd,) = (crd for crd in build_crds() if crd["metadata"]["name"].startswith("llmservings"))
    assert "count twice" in str(crd)
