"""What is found of each serving and zone: pure functions from decisions and readings to verdicts."""

from collections.abc import Iterable, Mapping

from ecoserve.api.llmserving import Mode
from ecoserve.fleet.snapshot import Snapshot
from ecoserve_operator.planning.decision import Choice, Taken
from ecoserve_operator.planning.snapshot import mode_of
from ecoserve_operator.reporting.conditions import Aspect, Reason, Verdict
from ecoserve_operator.signals.intensity import Reading
from ecoserve_operator.watch.records import ServingRecord

_MOST_REASONS, _MOST_NAMES = 10, 5


def serving_verdicts(
    record: ServingRecord,
    choice: Choice | None,
    fresh: Verdict,
    applied: Verdict,
    load: Iterable[Verdict] = (),
) -> tuple[Verdict, ...]:
    """All conditions of one serving, Ready first."""
    feasible = _feasible(record, choice)
    return (_ready(feasible, applied), feasible, fresh, *load, applied)


def carbon_data_verdict(choice: Choice | None, snapshot: Snapshot, stale: Mapping[str, str]) -> Verdict:
    """Whether the intensities behind a placement are fresh; `stale` says of a node zone why it is not."""
    zone_of = {pool.name: pool.zone for pool in snapshot.pools}
    placements = choice.placements if choice is not None else ()
    used = {zone_of[item.pool] for item in placements if item.pool in zone_of} or set(zone_of.values())
    for zone in sorted(used & stale.keys()):
        message = f"zone {zone}: {stale[zone]}"
        return Verdict(aspect=Aspect.CARBON_DATA_FRESH, status="False", reason=Reason.STALE, message=message)
    return Verdict(
        aspect=Aspect.CARBON_DATA_FRESH,
        status="True",
        reason=Reason.MEASURED,
        message="every zone's intensity is what its source tells",
    )


def nodes_verdict(snapshot: Snapshot) -> Verdict:
    """Condition NodesKnown of the PlacementPlan: nodes that can't be planned for, by reason, and what to add."""
    by_reason: dict[str, list[str]] = {}
    for node in snapshot.unknown_nodes:
        by_reason.setdefault(node.reason, []).append(node.name)
    if not by_reason:
        message = "every node that is ready stands in a pool"
        return Verdict(
            aspect=Aspect.NODES_KNOWN, status="True", reason=Reason.NODES_IDENTIFIED, message=message
        )
    sentences = []
    for reason, names in sorted(by_reason.items())[:_MOST_REASONS]:
        more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
        sentences.append(f"{', '.join(names[:_MOST_NAMES])}{more}: {reason}")
    message = f"{len(snapshot.unknown_nodes)} nodes are not used. " + "; ".join(sentences)
    return Verdict(aspect=Aspect.NODES_KNOWN, status="False", reason=Reason.UNKNOWN_NODES, message=message)


def zone_verdict(reading: Reading, taken: str) -> Verdict:
    """Condition Fresh of a GridZone; `taken` says that it is not used, as another covers its zone."""
    if taken:
        return Verdict(aspect=Aspect.FRESH, status="False", reason=Reason.ZONE_TAKEN, message=taken)
    return Verdict(
        aspect=Aspect.FRESH,
        status="False" if reading.stale else "True",
        reason=reading.freshness,
        message=reading.message,
    )


def _feasible(record: ServingRecord, choice: Choice | None) -> Verdict:
    if mode_of(record) is Mode.PAUSED:
        return Verdict(
            aspect=Aspect.FEASIBLE, status="Unknown", reason=Reason.PAUSED, message="it is not planned"
        )
    if choice is None:
        message = "no plan has been made yet"
        return Verdict(
            aspect=Aspect.FEASIBLE, status="Unknown", reason=Reason.PLANNER_FAILED, message=message
        )
    if choice.problem:
        kept = choice.taken is Taken.HELD and choice.placements
        message = choice.problem + ("; the last good placement stays" if kept else "")
        unknown = choice.reason in (Reason.PLANNER_FAILED, Reason.LOAD_NOT_MEASURED)
        return Verdict(
            aspect=Aspect.FEASIBLE,
            status="Unknown" if unknown else "False",
            reason=choice.reason,
            message=message,
        )
    message = f"all slices are served; replicas: {sum(item.replicas for item in choice.placements)}"
    return Verdict(aspect=Aspect.FEASIBLE, status="True", reason=Reason.PLANNED, message=message)


def _ready(feasible: Verdict, applied: Verdict) -> Verdict:
    """Ready is the first of the others that is not true, or that all are."""
    for verdict in (feasible, applied):
        if verdict.status != "True":
            return Verdict(
                aspect=Aspect.READY, status=verdict.status, reason=verdict.reason, message=verdict.message
            )
    return Verdict(aspect=Aspect.READY, status="True", reason=Reason.PLACED, message=applied.message)
