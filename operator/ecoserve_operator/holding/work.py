"""Held work, a Job or a pod of its own, as its decision needs it, read off the API object."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from ecoserve.api.labels import DEADLINE, DURATION, HELD_UNTIL, PLANNED_START, ZONE
from ecoserve.errors import InvalidInputError
from ecoserve.planner.starting import PlannedStart
from ecoserve.units import parse_duration

_LONGEST = timedelta(days=10_000)
"""As long as a duration that is written out may be; an `activeDeadlineSeconds` may be longer than calendars reach."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldWork:
    """One Job or pod that waits; `told` and `planned` are what its annotations say already, `zone` is one that its nodeSelector asks for."""

    made: datetime
    deadline: datetime
    duration: timedelta | None
    zone: str | None
    told: str
    planned: PlannedStart | None


def held_work(body: Mapping[str, Any], at: Callable[[datetime], datetime]) -> HeldWork:
    """Read a Job or a pod; `at` turns real times into the operator's. A Job's pods may carry its annotations.

    Raises InvalidInputError where a deadline or duration can't be understood.
    """
    metadata = body["metadata"]
    template = body["spec"].get("template") or {"spec": body["spec"]}
    of_pods = (template.get("metadata") or {}).get("annotations") or {}
    annotations = {**of_pods, **(metadata.get("annotations") or {})}
    created = at(datetime.fromisoformat(metadata["creationTimestamp"]))
    return HeldWork(
        made=created,
        deadline=_deadline(annotations.get(DEADLINE, ""), created),
        duration=_duration(annotations.get(DURATION), body["spec"].get("activeDeadlineSeconds")),
        zone=(template["spec"].get("nodeSelector") or {}).get(ZONE),
        told=annotations.get(HELD_UNTIL, ""),
        planned=_planned(annotations.get(PLANNED_START, "")),
    )


def written(planned: PlannedStart) -> str:
    """A planned start as its annotation holds it."""
    return f"{planned.at.isoformat()} {planned.zone}"


def _planned(text: str) -> PlannedStart | None:
    """What `written` wrote; None for anything else, as then nothing was planned."""
    moment, _, zone = text.partition(" ")
    try:
        at = datetime.fromisoformat(moment)
    except ValueError:
        return None
    return PlannedStart(at, zone) if at.tzinfo is not None else None


def _deadline(text: str, created: datetime) -> datetime:
    """A time, or a duration from when the work was made."""
    with suppress(ValueError, OverflowError):
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    try:
        return created + timedelta(seconds=parse_duration(text, DEADLINE))
    except InvalidInputError:
        raise InvalidInputError(
            f"annotation {DEADLINE}", text, "a duration such as 24h, or a time such as 2026-01-31T06:00:00Z"
        ) from None


def _duration(text: str | None, active_deadline_seconds: object) -> timedelta | None:
    """What the work says it takes, or else the most that it may take."""
    if text is not None:
        duration = timedelta(seconds=parse_duration(text, f"annotation {DURATION}"))
        if not duration:
            raise InvalidInputError(f"annotation {DURATION}", text, "a duration of a microsecond or more")
        return duration
    if isinstance(active_deadline_seconds, int) and active_deadline_seconds > 0:
        return timedelta(seconds=min(active_deadline_seconds, _LONGEST.total_seconds()))
    return None
