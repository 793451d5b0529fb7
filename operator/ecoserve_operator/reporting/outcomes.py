"""What a decision meant for a serving: a change and from where to where, or why nothing changed."""

from collections.abc import Sequence
from enum import StrEnum

from ecoserve.api.accounts import DecisionOutcome
from ecoserve_operator.planning.decision import Choice, Taken
from ecoserve_operator.planning.planner import Decision
from ecoserve_operator.planning.session import Route
from ecoserve_operator.reporting.conditions import Reason, Verdict

_MOST_CAUSES = 3


class Outcome(StrEnum):
    """Why a decision changed a serving's replicas, or not, beside the reasons of conditions and of the planner."""

    CHANGED = "Changed"
    NOTHING_BETTER = "NothingBetter"
    SIGNAL_STALE = "SignalStale"
    NOT_PLANNED = "NotPlannedYet"


def outcome_of(
    choice: Choice | None, decision: Decision, signals: Sequence[Verdict], applied: Verdict, change: str
) -> DecisionOutcome:
    """The outcome for one serving; `change` tells how this decision moved its replicas, empty where it did not;
    `signals` are the verdicts on intensity and load.

    What hinders a change comes before what made it unnecessary. A stale signal is named only where nothing else
    explains why all stayed: it hides a change that a fresh one might bring.
    """
    if applied.reason == Reason.PAUSED:
        return DecisionOutcome(reason=Reason.PAUSED, message=applied.message)
    if choice is None:
        return DecisionOutcome(reason=Outcome.NOT_PLANNED, message="no plan has been made yet")
    if choice.taken is not Taken.PLAN:
        return DecisionOutcome(reason=choice.reason, message=choice.problem)
    if applied.status == "False":
        return DecisionOutcome(reason=applied.reason, message=applied.message)
    if change:
        return DecisionOutcome(reason=Outcome.CHANGED, message=change)
    stale = next((signal for signal in signals if signal.status == "False"), None)
    if stale is not None:
        return DecisionOutcome(reason=Outcome.SIGNAL_STALE, message=f"nothing changes while {stale.message}")
    if decision.route is Route.PLANNED:
        message = f"{causes_of(decision)}: {decision.detail}, and its replicas stay"
        return DecisionOutcome(reason=Outcome.NOTHING_BETTER, message=message)
    return DecisionOutcome(reason=decision.route.value, message=decision.detail)


def causes_of(decision: Decision) -> str:
    """What was new in the question that a decision answers."""
    return shortened(decision.changes) or "looked at again"


def shortened(causes: Sequence[str]) -> str:
    """The first causes, and how many more there are."""
    more = f" and {len(causes) - _MOST_CAUSES} more" if len(causes) > _MOST_CAUSES else ""
    return ", ".join(causes[:_MOST_CAUSES]) + more
