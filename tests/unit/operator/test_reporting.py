"""Conditions, statuses, the PlacementPlan and events, as values."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
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
from ecoserve_operator.kube import ApiUnreachableError, Kind
from ecoserve_operator.planning.decision import Taken
from ecoserve_operator.reporting.conditions import Aspect, Reason, Verdict, settle, transitions
from ecoserve_operator.reporting.events import moves_between, transition_events
from ecoserve_operator.reporting.placement_plan import build_plan_spec, build_plan_status
from ecoserve_operator.reporting.reporter import Reporter
from ecoserve_operator.reporting.status import (
    build_zone_status,
    is_news,
    is_urgent,
)
from ecoserve_operator.reporting.verdicts import nodes_verdict, serving_verdicts, zone_verdict
from ecoserve_operator.signals.intensity import Freshness, Reading
from ecoserve_operator.watch.records import Reported
from ecoserve_operator.watch.world import Nudges, World
from unit.operator.told import LATER, NOW, ChoiceOf, decided, record, status_of, verdict


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


class _FailingOnce(_PlansApi):
    """Takes down what was written, and can't be reached for the first past plan."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[str] = []
        self._failed = False

    async def apply(
        self, kind: Kind, manifest: Mapping[str, Any], *, subresource: str = ""
    ) -> dict[str, Any]:
        name = manifest["metadata"]["name"]
        if name != "current" and not self._failed:
            self._failed = True
            raise ApiUnreachableError("away")
        if subresource:
            return {}
        self.written.append(name)
        return await super().apply(kind, manifest)


def test_past_plans_are_written_apart_from_the_current_one_and_again_where_that_fails(
    choice_of: ChoiceOf,
) -> None:
    async def tell() -> list[str]:
        api = _FailingOnce()
        telling = Reporter(api, World(nudges=Nudges(0.0)), "system")  # type: ignore[arg-type]  # a fake of two methods
        for pool in ("p", "q", "r"):
            choice = choice_of(pool)
            await telling.report_plan(replace(decided(choice), plan=plan(*choice.placements)), None)
        assert api.written == ["current"] * 3
        with pytest.raises(ApiUnreachableError):
            await telling.report_past_plans()
        await telling.report_past_plans()
        await telling.report_past_plans()
        return api.written[3:]

    assert len(set(asyncio.run(tell()))) == 2


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
