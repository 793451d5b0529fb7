"""The statuses of LLMServings and GridZones, built as values; what is unchanged is not written again."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ecoserve.api.accounts import Account, ForecastAccuracy
from ecoserve.api.base import Condition
from ecoserve.api.gridzone import GridZoneStatus
from ecoserve.api.llmserving import LLMServingStatus, OfflineStatus, PoolShare, WaitingRequests
from ecoserve.planner.backlog import total
from ecoserve.planner.margin_rows import serving_binding, serving_margins, serving_slices
from ecoserve.planner.placement import Placement
from ecoserve.times import written_utc
from ecoserve_operator.planning.calls import Comparison
from ecoserve_operator.planning.decision import Choice, Taken
from ecoserve_operator.planning.offline import Order
from ecoserve_operator.planning.planner import Decision
from ecoserve_operator.reporting.conditions import Verdict
from ecoserve_operator.reporting.events import moves_between
from ecoserve_operator.reporting.load import loads_accuracy, loads_status, without_times
from ecoserve_operator.reporting.outcomes import causes_of, outcome_of
from ecoserve_operator.signals.intensity import Reading
from ecoserve_operator.signals.load.reading import LoadReading
from ecoserve_operator.watch.records import DeploymentRecord, ServingRecord

_DIGITS = 3
_PLACEMENT = ("pools", "gramsPerHour", "operationalGramsPerHour", "embodiedGramsPerHour")
_FIGURES = (
    "gramsPerHour",
    "operationalGramsPerHour",
    "embodiedGramsPerHour",
    "savedPercent",
    "designPoints",
    "levers",
    "slices",
    "margins",
    "binding",
    "reason",
    "decision",
)
"""Fields that change with every step of intensity, also where nothing else does."""
_PLACED = ("pool", "role", "trafficClass", "tensorParallel", "replicas", "readyReplicas")
"""What is said of a pool besides figures."""
_NOT_NEWS = ("lastPlanned", "plan", "observedAt", "account")
"""Fields that change with every plan; alone they are no reason to write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingFacts:
    """What there is to tell of one LLMServing; `before` is the status it carries."""

    record: ServingRecord
    choice: Choice | None
    decision: Decision
    fresh: Verdict
    applied: Verdict
    deployments: tuple[DeploymentRecord, ...] = ()
    comparison: Comparison | None = None
    load: tuple[Verdict, ...] = ()
    loads: Mapping[str, LoadReading] = field(default_factory=dict)
    order: Order | None = None
    account: Account | None = None
    before: Mapping[str, Any] = field(default_factory=dict)


def build_status(facts: ServingFacts, conditions: tuple[Condition, ...], plan_id: str) -> dict[str, Any]:
    """The status of an LLMServing, as it is applied; an explanation is of what was planned, not of what is held."""
    record, choice, comparison = facts.record, facts.choice, facts.comparison
    ready: dict[str, int] = {}
    replicas = 0
    for deployment in facts.deployments:
        replicas += deployment.replicas
        ready[deployment.configuration] = min(deployment.ready, deployment.replicas)
    placements = choice.placements if choice is not None else ()
    operational = sum(item.operational_grams_per_hour for item in placements)
    embodied = sum(item.embodied_grams_per_hour for item in placements)
    name = record.full_name
    plan = facts.decision.plan
    explained = None
    if plan is not None and choice is not None and choice.taken is not Taken.HELD:
        explained = plan.explanation
    pools = [item.pool for item in placements]
    status = LLMServingStatus(
        observed_generation=record.generation,
        replicas=replicas or sum(item.replicas for item in placements),
        ready_replicas=sum(ready.values()),
        grams_per_hour=round(operational + embodied, _DIGITS) if placements else None,
        operational_grams_per_hour=round(operational, _DIGITS) if placements else None,
        embodied_grams_per_hour=round(embodied, _DIGITS) if placements else None,
        saved_percent=comparison.saved_percent.get(name) if comparison is not None and placements else None,
        pools=tuple(_share(item, ready.get(item.configuration, 0)) for item in placements),
        design_points=comparison.by_serving.get(name, ()) if comparison is not None else (),
        levers=comparison.levers_by_serving.get(name, ()) if comparison is not None else (),
        account=facts.account,
        slices=serving_slices(explained, name) if explained else (),
        margins=serving_margins(explained, name) if explained else (),
        binding=serving_binding(explained, name, pools) if explained else (),
        plan=plan_id,
        last_planned=written_utc(facts.decision.decided_at),
        reason=_reason(choice),
        offline=_offline(facts.order) if facts.order is not None else None,
        load=loads_status(facts.loads),
        forecasts=loads_accuracy(facts.loads),
        conditions=conditions,
    )
    told = status.model_dump(by_alias=True, mode="json", exclude_none=True)
    if choice is None or choice.taken is Taken.HELD:
        told = _with_kept(told, facts.before)
    return {**told, **_story(facts, told)}


def _story(facts: ServingFacts, told: Mapping[str, Any]) -> dict[str, Any]:
    """What the decision changed or why it changed nothing, and the last change there was."""
    decided_at = written_utc(facts.decision.decided_at)
    moves = moves_between(facts.before.get("pools", ()), told.get("pools", ()))
    last = facts.before.get("lastChange")
    if moves:
        last = {"time": decided_at, "message": f"{causes_of(facts.decision)}: {moves}"}
    change = last["message"] if last is not None and last["time"] == decided_at else ""
    outcome = outcome_of(facts.choice, facts.decision, (facts.fresh, *facts.load), facts.applied, change)
    return {
        "decision": outcome.model_dump(by_alias=True),
        **({"lastChange": last} if last is not None else {}),
    }


def build_zone_status(
    reading: Reading,
    generation: int,
    conditions: tuple[Condition, ...],
    forecasts: tuple[ForecastAccuracy, ...] = (),
) -> dict[str, Any]:
    """The status of a GridZone, as it is applied."""
    status = GridZoneStatus(
        observed_generation=generation,
        grams_per_kilowatt_hour=reading.grams_per_kwh,
        observed_at=written_utc(reading.observed_at),
        forecasts=forecasts,
        conditions=conditions,
    )
    return status.model_dump(by_alias=True, mode="json", exclude_none=True)


def is_news(status: Mapping[str, Any], reported: Mapping[str, Any]) -> bool:
    """Whether a status says anything that the object does not carry already."""
    return _essence(status) != _essence(reported)


def is_urgent(status: Mapping[str, Any], reported: Mapping[str, Any]) -> bool:
    """Whether a status says more than figures that follow intensity, and the words about them: those can wait a little."""
    return _without_figures(status) != _without_figures(reported)


def _with_kept(status: dict[str, Any], reported: Mapping[str, Any]) -> dict[str, Any]:
    """The status with the placement told before, where none is known now but what runs was left as it is.

    That is so while a serving is paused, and after a restart that finds it can't be planned.
    """
    if status.get("pools"):
        return status
    return {**status, **{key: reported[key] for key in _PLACEMENT if key in reported}}


def _essence(status: Mapping[str, Any]) -> dict[str, Any]:
    rest = {key: value for key, value in status.items() if key not in _NOT_NEWS}
    return {**rest, "load": without_times(status.get("load") or {})}


def _without_figures(status: Mapping[str, Any]) -> dict[str, Any]:
    rest = {key: value for key, value in _essence(status).items() if key not in _FIGURES}
    for name, said in (("pools", _PLACED), ("conditions", ("type", "status", "reason"))):
        rest[name] = [[item.get(key) for key in said] for item in status.get(name, ())]
    return rest


def _share(item: Placement, ready: int) -> PoolShare:
    return PoolShare(
        pool=item.pool,
        role=item.role.value,
        traffic_class=item.scheduling_class,
        tensor_parallel=item.tensor_parallel,
        replicas=item.replicas,
        ready_replicas=min(ready, item.replicas),
        share=round(item.share, 4),
        operational_grams_per_hour=round(item.operational_grams_per_hour, _DIGITS),
        embodied_grams_per_hour=round(item.embodied_grams_per_hour, _DIGITS),
        reason=item.reason,
    )


def _offline(order: Order) -> OfflineStatus:
    """What offline work does, as of when its order began: that and the rate tell what waits at any later time."""
    return OfflineStatus(
        as_of=written_utc(order.since),
        requests_per_second=order.done_per_second,
        backlog_requests=round(total(order.backlog), _DIGITS),
        backlog=tuple(
            WaitingRequests(
                arrived_at=written_utc(cohort.arrived_at), requests=round(cohort.requests, _DIGITS)
            )
            for cohort in order.backlog
        ),
        waits_until=None if order.waits_until is None else written_utc(order.waits_until),
        reason=order.reason.value,
        message=order.message,
    )


def _reason(choice: Choice | None) -> str:
    if choice is None:
        return ""
    if choice.taken is Taken.PLAN:
        largest = max(choice.placements, key=lambda item: item.share, default=None)
        return f"{largest.pool}: {largest.reason}" if largest is not None else "no load and no least replicas"
    if choice.taken is Taken.PART:
        return f"serves a part only; {choice.problem}"
    return f"the last good placement stays; {choice.problem}"
