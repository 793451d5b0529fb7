"""Conditions, statuses, the PlacementPlan and events, as values."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoserve.api import GridZoneStatus, LLMServingStatus, PlacementPlanSpec
from ecoserve.api.base import Condition
from ecoserve.api.llmserving import Objective
from ecoserve.api.placementplan import PlacementPlanStatus
from ecoserve.fleet.pools import UnknownNode
from ecoserve.fleet.snapshot import Snapshot
from ecoserve.planner.placement import Placement
from ecoserve.planner.plan import Plan
from ecoserve_operator.kube import EVENT, LLM_SERVING, ApiRefusedError, Kind
from ecoserve_operator.planning.decision import Choice, Taken
from ecoserve_operator.planning.planner import Decision
from ecoserve_operator.planning.session import Route
from ecoserve_operator.reporting import allowance
from ecoserve_operator.reporting.allowance import FIGURES_A_MINUTE, Allowance, FigureRate
from ecoserve_operator.reporting.conditions import Aspect, Reason, Verdict, settle, transitions
from ecoserve_operator.reporting.events import moves_between, transition_events
from ecoserve_operator.reporting.placement_plan import build_plan_spec, build_plan_status
from ecoserve_operator.reporting.reporter import Reporter
from ecoserve_operator.reporting.status import (
    ServingFacts,
    build_status,
    build_zone_status,
    is_news,
    is_urgent,
)
from ecoserve_operator.reporting.verdicts import nodes_verdict, serving_verdicts, zone_verdict
from ecoserve_operator.signals.intensity import Freshness, Reading
from ecoserve_operator.watch.records import DeploymentRecord, Reported, ServingRecord, serving_record
from ecoserve_operator.watch.world import Nudges, World

ChoiceOf = Callable[..., Choice]

NOW = datetime(2024, 7, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


def record(mode: str = "Recommend") -> ServingRecord:
    template = {"spec": {"containers": [{"name": "engine", "image": "x"}]}}
    return serving_record(
        {
            "metadata": {"name": "chat", "namespace": "n", "uid": "u", "generation": 3},
            "spec": {
                "model": {"name": "m"},
                "offline": {"load": {"requestsPerSecond": 1, "lengths": "azure-code-2023"}},
                "policy": {"mode": mode},
                "template": template,
            },
        }
    )


def verdict(aspect: Aspect, status: Any = "True", reason: str = "Placed", message: str = "fine") -> Verdict:
    return Verdict(aspect=aspect, status=status, reason=reason, message=message)


def test_the_transition_time_stays_while_the_status_does() -> None:
    first = settle([verdict(Aspect.APPLIED)], (), 1, NOW)
    same = settle([verdict(Aspect.APPLIED, reason="Other")], first, 2, LATER)
    assert same[0].last_transition_time == NOW
    assert same[0].observed_generation == 2
    turned = settle([verdict(Aspect.APPLIED, status="False")], same, 2, LATER)
    assert turned[0].last_transition_time == LATER


@given(st.lists(st.sampled_from(["True", "False", "Unknown"]), min_size=1, max_size=8))
def test_a_condition_turns_exactly_when_its_status_does(statuses: list[Any]) -> None:
    before: tuple[Condition, ...] = ()
    for hour, status in enumerate(statuses):
        after = settle([verdict(Aspect.READY, status=status)], before, 1, NOW + timedelta(hours=hour))
        turned = not before or before[0].status != status
        assert (after[0].last_transition_time == NOW + timedelta(hours=hour)) is turned
        before = after


def test_transitions_are_changes_of_status_or_reason_not_of_words() -> None:
    before = settle([verdict(Aspect.APPLIED), verdict(Aspect.FEASIBLE)], (), 1, NOW)
    after = settle(
        [verdict(Aspect.APPLIED, message="other words"), verdict(Aspect.FEASIBLE, reason="Planned")],
        before,
        1,
        NOW,
    )
    assert [condition.type for condition in transitions(after, before)] == ["Feasible"]


@pytest.mark.parametrize(
    ("choice", "applied", "ready"),
    [
        ({}, verdict(Aspect.APPLIED), ("True", "Placed")),
        ({}, verdict(Aspect.APPLIED, "False", "Progressing"), ("False", "Progressing")),
        ({}, verdict(Aspect.APPLIED, "Unknown", "Recommended"), ("Unknown", "Recommended")),
        (
            {"taken": Taken.HELD, "reason": "NoCapacity", "problem": "slice s: no room"},
            verdict(Aspect.APPLIED, "False", "HeldAtLastGood"),
            ("False", "NoCapacity"),
        ),
        (
            {"placed": False, "taken": Taken.HELD, "reason": "PlannerFailed", "problem": "too slow"},
            verdict(Aspect.APPLIED, "False", "HeldAtLastGood"),
            ("Unknown", "PlannerFailed"),
        ),
        (None, verdict(Aspect.APPLIED, "False", "HeldAtLastGood"), ("Unknown", "PlannerFailed")),
    ],
)
def test_ready_is_the_first_that_is_not_true(
    choice: dict[str, Any] | None, applied: Verdict, ready: tuple[str, str], choice_of: ChoiceOf
) -> None:
    made = None if choice is None else choice_of(**choice)
    found = serving_verdicts(record(), made, verdict(Aspect.CARBON_DATA_FRESH), applied)
    assert [each.aspect for each in found] == ["Ready", "Feasible", "CarbonDataFresh", "Applied"]
    assert (found[0].status, found[0].reason) == ready


def test_what_cannot_be_met_says_which_slice_and_that_the_rest_stays(choice_of: ChoiceOf) -> None:
    held = choice_of(taken=Taken.HELD, reason="NoCapacity", problem="slice s: no room")
    feasible = serving_verdicts(record(), held, verdict(Aspect.FRESH), verdict(Aspect.APPLIED))[1]
    assert feasible.message == "slice s: no room; the last good placement stays"


def decided(
    *choices: Choice, at: datetime = NOW, route: Route = Route.PLANNED, detail: str = "planned anew"
) -> Decision:
    return Decision(
        snapshot=Snapshot(taken_at=at, zones=(), pools=(), servings=()),
        plan=None,
        choices={choice.serving: choice for choice in choices},
        decided_at=at,
        route=route,
        detail=detail,
        changes=("intensity of west 50 → 600 gCO2e/kWh", "b", "c", "d"),
    )


def facts_of(choice: Choice, ready: int) -> ServingFacts:
    running = DeploymentRecord(
        namespace="n",
        name="d",
        uid="d",
        owner_uid="u",
        pool="p",
        configuration=choice.placements[0].configuration,
        replicas=2,
        ready=ready,
        settled=True,
        digest="",
    )
    return ServingFacts(
        record=record(),
        choice=choice,
        decision=decided(choice),
        fresh=verdict(Aspect.CARBON_DATA_FRESH),
        applied=verdict(Aspect.APPLIED),
        deployments=(running,),
    )


def status_of(choice: Choice, ready: int) -> dict[str, Any]:
    conditions = settle([verdict(Aspect.READY)], (), 3, NOW)
    return build_status(facts_of(choice, ready), conditions, "plan-1")


class _Api:
    """The part of KubeApi that tells of servings: whose statuses were written, and what events said."""

    def __init__(self, *, refuses: bool = False) -> None:
        self.told: list[str] = []
        self.reasons: list[str] = []
        self._refuses = refuses

    async def apply(self, kind: Kind, manifest: Mapping[str, Any], *, subresource: str) -> None:
        assert (kind, subresource) == (LLM_SERVING, "status")
        if self._refuses:
            raise ApiRefusedError(403, "the namespace is frozen")
        self.told.append(manifest["metadata"]["name"])

    async def create(self, kind: Kind, event: Mapping[str, Any]) -> None:
        assert kind is EVENT
        self.reasons.append(event["reason"])


def a_reporter(api: _Api) -> Reporter:
    return Reporter(api, World(nudges=Nudges(0.0)), "system")  # type: ignore[arg-type]  # a fake of two methods


def told_of(*facts: tuple[ServingFacts, bool]) -> _Api:
    """What is written of one serving, told of in pass after pass, each while replicas are awaited or not."""

    async def tell() -> _Api:
        api = _Api()
        telling = a_reporter(api)
        for each, unfinished in facts:
            await telling.report_serving(each, Allowance(unfinished=unfinished))
        return api

    return asyncio.run(tell())


def statuses_for(*told: tuple[Choice, bool]) -> int:
    """How many statuses are written for these choices of one serving, each told while others change or not."""
    return len(told_of(*((facts_of(choice, ready=1), unfinished) for choice, unfinished in told)).told)


def test_what_a_pass_may_not_write_any_more_comes_first_in_the_next(
    choice_of: ChoiceOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though there is something new of the first one in each pass."""

    monkeypatch.setattr(allowance, "UNFINISHED_SERVINGS", 2)
    monkeypatch.setattr(allowance, "UNFINISHED_SECONDS", 0.0)

    async def tell() -> tuple[list[str], list[bool]]:
        api, behind = _Api(), []
        telling = a_reporter(api)
        for ready in range(4):
            allowed = Allowance(unfinished=True)
            for mine in telling.longest_waiting(replace(record(), name=name) for name in "abcde"):
                now = facts_of(choice_of(), min(2, ready) if mine.name == "a" else 1)
                await telling.report_serving(replace(now, record=mine), allowed)
            behind.append(allowed.behind)
        return api.told, behind

    assert asyncio.run(tell()) == (list("abcdea"), [True, True, False, False])


def test_statuses_that_are_refused_are_not_tried_again_at_once(
    choice_of: ChoiceOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(allowance, "UNFINISHED_SERVINGS", 1)

    async def tell() -> tuple[bool, bool]:
        telling, allowed = a_reporter(_Api(refuses=True)), Allowance(unfinished=True)
        for name in "ab":
            facts = replace(facts_of(choice_of(), 1), record=replace(record(), name=name))
            await telling.report_serving(facts, allowed)
        return allowed.left_out, allowed.behind

    assert asyncio.run(tell()) == (True, False)


def test_a_change_is_one_status_and_one_event_where_it_is_over_soon(
    choice_of: ChoiceOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it takes a while, it is told before, too; and at once where the spec is another than was told of."""

    def facts(replicas: int, *, generation: int = 3, waits: bool = False) -> ServingFacts:
        applied = verdict(Aspect.APPLIED, "False", Reason.PROGRESSING) if waits else verdict(Aspect.APPLIED)
        fresh = verdict(Aspect.CARBON_DATA_FRESH, reason=Reason.MEASURED)
        mine = replace(facts_of(choice_of(replicas=replicas), ready=1), applied=applied, fresh=fresh)
        return replace(mine, record=replace(mine.record, generation=generation))

    first = facts(2, waits=True), True
    api = told_of(first, (facts(2), False))
    assert len(api.told) == 2
    assert api.reasons.count("PlacementChanged") == api.reasons.count("Placed") == 1
    assert "Progressing" not in api.reasons

    quick = ((facts(3, waits=True), True), (facts(3), False))
    both = told_of((facts(2), False), *quick)
    assert len(both.told) == 2
    assert both.reasons[-1] == "PlacementChanged"
    anew = tuple((replace(each, record=replace(each.record, generation=4)), amid) for each, amid in quick)
    assert len(told_of((facts(2), False), *anew).told) == 3
    monkeypatch.setattr(allowance, "UNFINISHED_SECONDS", 0.0)
    assert len(told_of((facts(2), False), *quick).told) == 3


def test_what_was_taken_back_is_told_in_the_pass_that_did_it(choice_of: ChoiceOf) -> None:
    """Though replicas are awaited: the next pass finds nothing to take back."""
    mine = facts_of(choice_of(), ready=1)
    taken_back = replace(mine, applied=verdict(Aspect.APPLIED, "False", Reason.TAKEN_BACK))
    waits = replace(mine, applied=verdict(Aspect.APPLIED, "False", Reason.PROGRESSING))
    api = told_of((mine, False), (taken_back, True), (waits, True), (mine, False))
    assert Reason.TAKEN_BACK in api.reasons
    assert len(api.told) == 3


def test_news_does_not_come_sooner_where_figures_have_waited(choice_of: ChoiceOf) -> None:
    async def tell() -> list[int]:
        now, told, api, first = 0.0, [], _Api(), choice_of()
        telling = Reporter(api, World(nudges=Nudges(0.0)), "system", lambda: now)  # type: ignore[arg-type]  # a fake of two methods
        dearer = tuple(replace(item, operational_grams_per_hour=7.0) for item in first.placements)
        moved = choice_of(replicas=3)
        for choice in (first, replace(first, placements=dearer), moved, moved):
            await telling.report_serving(facts_of(choice, ready=1), Allowance(unfinished=True))
            told.append(len(api.told))
            now += allowance.UNFINISHED_SECONDS
        return told

    assert asyncio.run(tell()) == [1, 1, 1, 2]


def test_a_pass_says_when_a_change_under_way_is_to_be_told(choice_of: ChoiceOf) -> None:
    async def tell() -> list[float]:
        telling, until = a_reporter(_Api()), []
        applied = verdict(Aspect.APPLIED, "False", Reason.PROGRESSING)
        for mine in (facts_of(choice_of(), 1), replace(facts_of(choice_of(), 0), applied=applied)):
            allowed = Allowance(unfinished=True)
            await telling.report_serving(mine, allowed)
            until.append(allowed.until_due)
        return until

    at_rest, changing = asyncio.run(tell())
    assert at_rest == inf
    assert 0 < changing <= allowance.UNFINISHED_SECONDS


def test_figures_of_many_servings_are_written_at_a_steady_rate() -> None:
    now = 0.0
    rate = FigureRate(lambda: now)

    def taken() -> int:
        return sum(rate.take() for _ in range(200))

    assert taken() == FIGURES_A_MINUTE
    now += 30.0
    assert taken() == FIGURES_A_MINUTE // 2
    now += 3600.0
    assert taken() == FIGURES_A_MINUTE


def test_figures_alone_are_not_written_of_all_at_once(choice_of: ChoiceOf) -> None:
    """News is, beside them."""

    async def tell() -> list[str]:
        api = _Api()
        telling = a_reporter(api)
        names = [f"s{number}" for number in range(2 * FIGURES_A_MINUTE)]
        for grams in (100.0, 7.0):
            choice = choice_of()
            placed = tuple(replace(item, operational_grams_per_hour=grams) for item in choice.placements)
            for name in names:
                is_new = grams == 7.0 and name == names[-1]
                mine = facts_of(replace(choice, placements=placed), ready=2 if is_new else 1)
                mine = replace(mine, record=replace(mine.record, name=name))
                await telling.report_serving(mine, Allowance(unfinished=False))
        return api.told[len(names) :]

    told = asyncio.run(tell())
    assert told == [*(f"s{number}" for number in range(FIGURES_A_MINUTE)), f"s{2 * FIGURES_A_MINUTE - 1}"]


def test_a_status_is_what_the_schema_says_and_carries_the_figures(choice_of: ChoiceOf) -> None:
    status = status_of(choice_of(), ready=1)
    parsed = LLMServingStatus.model_validate(status)
    assert parsed.grams_per_hour == 120.0
    assert (parsed.replicas, parsed.ready_replicas) == (2, 1)
    assert parsed.pools[0].ready_replicas == 1
    assert parsed.observed_generation == 3


def test_only_news_is_written(choice_of: ChoiceOf) -> None:
    status = status_of(choice_of(), ready=1)
    assert not is_news({**status, "lastPlanned": "later", "plan": "plan-2"}, status)
    assert is_news(status_of(choice_of(), ready=2), status)
    assert is_news(status, {})


def test_figures_that_follow_the_grid_can_wait_and_nothing_else(choice_of: ChoiceOf) -> None:
    choice = choice_of()
    status = status_of(choice, ready=1)
    dirtier = tuple(replace(item, operational_grams_per_hour=7.0) for item in choice.placements)
    figures = status_of(replace(choice, placements=dirtier), ready=1)
    assert figures["gramsPerHour"] != status["gramsPerHour"]
    assert is_news(figures, status)
    assert not is_urgent(figures, status)
    more = tuple(replace(item, replicas=item.replicas + 1) for item in choice.placements)
    for urgent in (status_of(choice, ready=2), status_of(replace(choice, placements=more), ready=1), {}):
        assert is_urgent(urgent, status)
    turned = settle([verdict(Aspect.READY, "False", "Progressing")], (), 3, NOW)
    told = [item.model_dump(by_alias=True, mode="json") for item in turned]
    assert is_urgent({**status, "conditions": told}, status)


def test_figures_wait_until_all_is_calm_but_not_for_ever(
    choice_of: ChoiceOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = choice_of()
    dearer = tuple(replace(item, operational_grams_per_hour=7.0) for item in first.placements)
    then = replace(first, placements=dearer)
    assert statuses_for((first, True), (then, True), (then, True)) == 1
    assert statuses_for((first, True), (then, True), (then, False), (then, False)) == 2
    monkeypatch.setattr(allowance, "FIGURES_SECONDS", 0.0)
    assert statuses_for((first, True), (then, True), (then, True)) == 2


def test_the_zones_status_carries_value_and_freshness() -> None:
    reading = Reading(grams_per_kwh=250.0, freshness=Freshness.HELD, message="held", observed_at=NOW)
    conditions = settle([zone_verdict(reading, "")], (), 1, LATER)
    parsed = GridZoneStatus.model_validate(build_zone_status(reading, 1, conditions))
    assert (parsed.grams_per_kilowatt_hour, parsed.observed_at) == (250.0, "2024-07-01T12:00:00Z")
    assert (parsed.conditions[0].status, parsed.conditions[0].reason) == ("False", "HeldAtLastValue")
    assert zone_verdict(reading, "taken").reason is Reason.ZONE_TAKEN


def plan(*placements: Placement) -> Plan:
    return Plan(
        taken_at=NOW,
        objective=Objective.CARBON,
        levers=frozenset(),
        coefficients="ecoserve",
        zones=(),
        pools=(),
        placements=placements,
        unserved=(),
        recommendations=(),
        reuse=(),
        operational_grams_per_hour=0.0,
        embodied_grams_per_hour=0.0,
        watts=0.0,
        cost_per_hour=0.0,
        latency_seconds=0.0,
        bounds=None,
        gap=None,
        solve_seconds=0.0,
        solved=(),
    )


def test_the_same_decision_keeps_its_id_and_another_gets_another(choice_of: ChoiceOf) -> None:
    one = build_plan_spec(plan(), [choice_of()], ())
    again = build_plan_spec(replace(plan(), taken_at=LATER), [choice_of()], ())
    other = build_plan_spec(plan(), [choice_of(replicas=3)], ())
    assert one["id"] == again["id"] != other["id"]
    parsed = PlacementPlanSpec.model_validate(one)
    assert (parsed.grams_per_hour, parsed.placements[0].serving) == (120.0, "chat")


class _PlansApi:
    """The part of KubeApi that keeps PlacementPlans; there is none at first."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    async def list(self, _: Kind) -> list[dict[str, Any]]:
        return []

    async def apply(self, _: Kind, manifest: Mapping[str, Any]) -> dict[str, Any]:
        self.reasons.append(manifest["spec"]["placements"][0]["reason"])
        return {"metadata": {"uid": "p", "generation": 1}}


def test_a_decision_that_is_not_explained_yet_takes_no_reasons_away_from_the_same_one(
    choice_of: ChoiceOf,
) -> None:
    """An operator that is started anew decides the same, first in figures."""
    told = choice_of()
    bare = replace(told, placements=tuple(replace(item, reason="") for item in told.placements))

    async def tell() -> list[str]:
        api = _PlansApi()
        telling = Reporter(api, World(nudges=Nudges(0.0)), "system")  # type: ignore[arg-type]  # a fake of two methods
        for choice, explained in ((bare, False), (told, True), (bare, False)):
            decision = replace(decided(choice), plan=plan(*choice.placements), explained=explained)
            await telling.report_plan(decision, None)
        return api.reasons

    assert asyncio.run(tell()) == ["", "least"]


def test_the_plan_holds_what_is_chosen_not_what_was_planned(choice_of: ChoiceOf) -> None:
    held = choice_of("old", taken=Taken.HELD)
    spec = build_plan_spec(plan(*choice_of("new").placements), [held], ())
    assert [item["pool"] for item in spec["placements"]] == ["old"]


def test_events_follow_transitions_and_moves() -> None:
    before = settle([verdict(Aspect.READY), verdict(Aspect.APPLIED)], (), 1, NOW)
    after = settle(
        [verdict(Aspect.READY, "False", "Progressing"), verdict(Aspect.APPLIED, "False", "Progressing")],
        before,
        1,
        NOW,
    )
    (event,) = transition_events(record(), "LLMServing", transitions(after, before))
    assert (event["type"], event["reason"], event["involvedObject"]["uid"]) == ("Normal", "Progressing", "u")
    assert event["metadata"]["namespace"] == "n"

    old = [{"pool": "a", "role": "both", "class": "online", "tensorParallel": 2, "replicas": 2}]
    new = [{"pool": "b", "role": "both", "class": "online", "tensorParallel": 1, "replicas": 3}]
    moved = moves_between(old, new)
    assert moved == "a both online tensor parallel 2: 2 → 0; b both online tensor parallel 1: 0 → 3"
    assert moves_between(old, old) == ""


def test_unreadable_conditions_are_as_good_as_none() -> None:
    assert Reported(body={"conditions": [{"type": "Ready"}, None, "x"]}).conditions == ()


def test_nodes_that_are_not_known_are_told_with_what_to_add() -> None:
    now = datetime(2026, 6, 1, tzinfo=UTC)
    names = [f"n{index}" for index in range(7)]
    nodes = (
        *(UnknownNode(name=name, reason="add a HardwareProfile") for name in names),
        UnknownNode(name="z", reason="no zone"),
    )
    snapshot = Snapshot(taken_at=now, zones=(), pools=(), servings=(), unknown_nodes=nodes)
    verdict = nodes_verdict(snapshot)
    assert (verdict.aspect, verdict.status, verdict.reason) == (
        Aspect.NODES_KNOWN,
        "False",
        Reason.UNKNOWN_NODES,
    )
    assert verdict.message == (
        "8 nodes are not used. n0, n1, n2, n3, n4 and 2 more: add a HardwareProfile; z: no zone"
    )
    assert nodes_verdict(replace(snapshot, unknown_nodes=())).status == "True"
    conditions = settle([verdict], (), 3, now)
    status = build_plan_status(PlacementPlanStatus(phase="Applied", conditions=conditions))["status"]
    assert PlacementPlanStatus.model_validate(status).conditions == conditions
