"""What a status tells of changes and of why nothing changed."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ecoserve.api import LLMServingStatus
from ecoserve.fleet.snapshot import Snapshot
from ecoserve_operator.planning.decision import Choice, Taken
from ecoserve_operator.planning.planner import Decision
from ecoserve_operator.planning.session import Route
from ecoserve_operator.reporting.conditions import Aspect, Reason, Status, Verdict
from ecoserve_operator.reporting.outcomes import outcome_of
from ecoserve_operator.reporting.status import ServingFacts, build_status
from ecoserve_operator.watch.records import ServingRecord

ChoiceOf = Callable[..., Choice]

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
FRESH = Verdict(aspect=Aspect.CARBON_DATA_FRESH, status="True", reason=Reason.MEASURED, message="")
STALE = replace(FRESH, status="False", reason=Reason.STALE, message="zone west: held at 50 gCO2e/kWh")


def applied(reason: Reason = Reason.PLACED, status: Status = "True", message: str = "as planned") -> Verdict:
    return Verdict(aspect=Aspect.APPLIED, status=status, reason=reason, message=message)


def decided(route: Route = Route.PLANNED, at: datetime = NOW) -> Decision:
    return Decision(
        snapshot=Snapshot(taken_at=at, zones=(), pools=(), servings=()),
        plan=None,
        choices={},
        decided_at=at,
        route=route,
        detail="the replicas stay: the best plan found would gain less than 1.0%",
        changes=("intensity of west 50 → 600 gCO2e/kWh", "b", "c", "d"),
    )


@pytest.mark.parametrize(
    ("choice", "route", "fresh", "done", "change", "reason", "words"),
    [
        ({}, Route.PLANNED, FRESH, applied(), "west: 0 → 2", "Changed", "west: 0 → 2"),
        ({}, Route.PLANNED, FRESH, applied(), "", "NothingBetter", "b, c and 1 more"),
        ({}, Route.KEPT, FRESH, applied(), "", "KeptWithinHysteresis", "less than 1.0%"),
        ({}, Route.REROUTED, FRESH, applied(), "", "Rerouted", "the replicas stay"),
        ({}, Route.REROUTED, STALE, applied(), "", "SignalStale", "held at 50"),
        ({}, Route.PLANNED, STALE, applied(), "a: 1 → 2", "Changed", "a: 1 → 2"),
        (
            {},
            Route.PLANNED,
            FRESH,
            applied(Reason.PROGRESSING, "False", "waiting for room"),
            "a: 1 → 2",
            "Progressing",
            "waiting for room",
        ),
        (
            {"taken": Taken.HELD, "reason": "NoCapacity", "problem": "slice s: no room"},
            Route.PLANNED,
            STALE,
            applied(Reason.HELD, "False"),
            "",
            "NoCapacity",
            "no room",
        ),
        (None, Route.PLANNED, FRESH, applied(Reason.PAUSED, "Unknown", "as it is"), "", "Paused", "as it is"),
        (None, Route.PLANNED, FRESH, applied(Reason.HELD, "False"), "", "NotPlannedYet", "no plan"),
    ],
)
def test_every_outcome_says_why(
    choice: dict[str, Any] | None,
    route: Route,
    fresh: Verdict,
    done: Verdict,
    change: str,
    reason: str,
    words: str,
    choice_of: ChoiceOf,
) -> None:
    found = outcome_of(
        None if choice is None else choice_of(**choice), decided(route), (fresh,), done, change
    )
    assert found.reason == reason
    assert words in found.message


def story(before: dict[str, Any], decision: Decision, choice: Choice) -> dict[str, Any]:
    facts = ServingFacts(
        record=ServingRecord(namespace="n", name="chat", uid="u", generation=1, serving=None),
        choice=choice,
        decision=decision,
        fresh=FRESH,
        applied=applied(),
        before=before,
    )
    status = build_status(facts, (), "plan-1")
    LLMServingStatus.model_validate(status)
    return status


def test_the_last_change_is_told_until_the_next_also_by_those_who_did_not_see_it(
    choice_of: ChoiceOf,
) -> None:
    west, east = choice_of("west", 2), choice_of("east", 1)
    first = story({}, decided(), west)
    change = (
        "intensity of west 50 → 600 gCO2e/kWh, b, c and 1 more: west both online tensor parallel 1: 0 → 2"
    )
    assert first["lastChange"] == {"time": "2026-06-01T12:00:00Z", "message": change}
    assert first["decision"] == {"reason": "Changed", "message": change}

    looked_again = story(first, decided(), west)
    assert (looked_again["decision"], looked_again["lastChange"]) == (first["decision"], first["lastChange"])

    later = story(looked_again, decided(Route.KEPT, NOW + timedelta(hours=1)), west)
    assert later["decision"]["reason"] == "KeptWithinHysteresis"
    assert later["lastChange"] == first["lastChange"]

    moved = story(later, decided(at=NOW + timedelta(hours=2)), east)
    assert moved["lastChange"]["time"] == "2026-06-01T14:00:00Z"
    assert "east both online tensor parallel 1: 0 → 1" in moved["lastChange"]["message"]
