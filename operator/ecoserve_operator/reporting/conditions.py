"""Conditions: what is true of an object now, with a reason, and since when.

Builders say what they found as `Verdict`s; `settle` turns those into conditions that keep their transition time
while their status stays; `transitions` names those worth an event.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal

from ecoserve.api.base import Condition

Status = Literal["True", "False", "Unknown"]


class Aspect(StrEnum):
    """Condition types of an LLMServing and, the last two, of a GridZone and of the PlacementPlan."""

    READY = "Ready"
    FEASIBLE = "Feasible"
    CARBON_DATA_FRESH = "CarbonDataFresh"
    LOAD_DATA_FRESH = "LoadDataFresh"
    LOAD_AS_EXPECTED = "LoadAsExpected"
    APPLIED = "Applied"
    FRESH = "Fresh"
    NODES_KNOWN = "NodesKnown"


class Reason(StrEnum):
    """Why a condition is what it is, beside the planner's own reasons for unserved demand."""

    PLANNED = "Planned"
    INVALID_SPEC = "InvalidSpec"
    UNKNOWN_NAME = "UnknownName"
    PLANNER_FAILED = "PlannerFailed"
    PLACED = "Placed"
    ROUTE_MISSING = "RouteMissing"
    TAKEN_BACK = "FieldsTakenBack"
    SCALED_BY_OTHERS = "ScaledByOthers"
    PROGRESSING = "Progressing"
    PROGRESS_TIMEOUT = "ProgressTimeout"
    NO_ROOM = "NoRoom"
    MAKING_ROOM = "MakingRoom"
    TEMPLATE_INVALID = "TemplateInvalid"
    APPLY_REFUSED = "ApplyRefused"
    HELD = "HeldAtLastGood"
    RECOMMENDED = "Recommended"
    PAUSED = "Paused"
    MEASURED = "Measured"
    LOAD_STATED = "Stated"
    LOAD_NOT_MEASURED = "LoadNotMeasured"
    SEASONAL = "Seasonal"
    NO_HISTORY = "NoHistory"
    DRIFTED = "Drifted"
    LENGTHS_SHIFTED = "LengthsShifted"
    STALE = "Stale"
    ZONE_TAKEN = "ZoneTaken"
    NODES_IDENTIFIED = "NodesIdentified"
    UNKNOWN_NODES = "UnknownNodes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was found of one aspect."""

    aspect: Aspect
    status: Status
    reason: str
    message: str


def settle(
    verdicts: Iterable[Verdict], before: Sequence[Condition], generation: int, now: datetime
) -> tuple[Condition, ...]:
    """Conditions for the verdicts; the transition time stays where the status does."""
    known = {condition.type: condition for condition in before}
    return tuple(_condition(verdict, known.get(verdict.aspect), generation, now) for verdict in verdicts)


def transitions(after: Iterable[Condition], before: Sequence[Condition]) -> tuple[Condition, ...]:
    """The conditions whose status or reason is another than before."""
    known = {condition.type: (condition.status, condition.reason) for condition in before}
    return tuple(
        condition for condition in after if known.get(condition.type) != (condition.status, condition.reason)
    )


def _condition(verdict: Verdict, before: Condition | None, generation: int, now: datetime) -> Condition:
    stays = before is not None and before.status == verdict.status
    return Condition(
        type=verdict.aspect,
        status=verdict.status,
        reason=verdict.reason,
        message=verdict.message[:32768],
        last_transition_time=before.last_transition_time
        if before is not None and stays
        else now.replace(microsecond=0),
        observed_generation=generation,
    )
