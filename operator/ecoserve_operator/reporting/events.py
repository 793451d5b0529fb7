"""Events: one per transition of a condition or placement, so that `kubectl describe` tells the story."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from ecoserve.api.base import Condition
from ecoserve.api.labels import API_VERSION, FIELD_MANAGER
from ecoserve.times import written_utc
from ecoserve_operator.reporting.conditions import Aspect, Reason
from ecoserve_operator.watch.records import ServingRecord, ZoneRecord

_LONGEST_MESSAGE = 1024
_NAMESPACE_OF_CLUSTER_SCOPED = "default"  # the API server takes events of cluster-scoped objects nowhere else


def build_event(
    subject: ServingRecord | ZoneRecord, kind: str, reason: str, message: str, *, warning: bool
) -> dict[str, Any]:
    """A core/v1 Event about an LLMServing or a GridZone."""
    involved = {"apiVersion": API_VERSION, "kind": kind, "name": subject.name, "uid": subject.uid}
    if isinstance(subject, ServingRecord):
        involved["namespace"] = subject.namespace
    return event_about(involved, reason, message, warning=warning)


def event_about(involved: Mapping[str, str], reason: str, message: str, *, warning: bool) -> dict[str, Any]:
    """A core/v1 Event about the object that `involved` refers to."""
    now = written_utc(datetime.now(UTC))
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "generateName": f"{involved['name']}.",
            "namespace": involved.get("namespace", _NAMESPACE_OF_CLUSTER_SCOPED),
        },
        "involvedObject": dict(involved),
        "type": "Warning" if warning else "Normal",
        "reason": reason,
        "message": message[:_LONGEST_MESSAGE],
        "source": {"component": FIELD_MANAGER},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }


def moves_between(before: Iterable[Mapping[str, Any]], after: Iterable[Mapping[str, Any]]) -> str:
    """How replicas moved between the pools of two statuses; empty where they did not."""
    old, new = _replicas(before), _replicas(after)
    return "; ".join(
        f"{place}: {old.get(place, 0)} → {new.get(place, 0)}"
        for place in sorted(new.keys() | old.keys())
        if new.get(place, 0) != old.get(place, 0)
    )


def serving_events(
    serving: ServingRecord, changed: Iterable[Condition], moves: str
) -> tuple[dict[str, Any], ...]:
    """The events of what a status says anew: how replicas moved, and each condition that changed.

    That replicas which move are awaited, or are there by now, goes without an event of its own: one transition is one event.
    """
    if not moves:
        return transition_events(serving, "LLMServing", changed)
    told = [
        condition
        for condition in changed
        if condition.type != Aspect.APPLIED or condition.reason not in (Reason.PROGRESSING, Reason.PLACED)
    ]
    moved = build_event(serving, "LLMServing", "PlacementChanged", moves, warning=False)
    return (moved, *transition_events(serving, "LLMServing", told))


def _replicas(pools: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for pool in pools:
        parallel = pool.get("tensorParallel", 0)
        shape = f"tensor parallel {parallel}" if parallel else "CPU"
        place = f"{pool.get('pool')} {pool.get('role')} {pool.get('class')} {shape}"
        found[place] = found.get(place, 0) + int(pool.get("replicas", 0))
    return found


def transition_events(
    subject: ServingRecord | ZoneRecord, kind: str, changed: Iterable[Condition]
) -> tuple[dict[str, Any], ...]:
    """An event for each condition that changed, but for Ready, which only sums up the others.

    False is a warning, unless it just takes its time.
    """
    return tuple(
        build_event(
            subject,
            kind,
            condition.reason,
            f"{condition.type} is {condition.status}: {condition.message}",
            warning=condition.status == "False" and condition.reason != Reason.PROGRESSING,
        )
        for condition in changed
        if condition.type != Aspect.READY
    )
