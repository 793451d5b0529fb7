"""The intensity of a grid at a moment, and what happens when its source fails, as pure functions.

A source that fails is held at its last value and marked stale; after a while, or where there never was a
value, the zone's fallback is taken. So a plan always has an intensity, and never a NaN or a negative one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from pydantic import ValidationError

from ecoserve.api import GridZone
from ecoserve.api.gridzone import GridZoneStatus
from ecoserve.carbon import Accounting, IntensitySeries
from ecoserve.errors import InvalidInputError
from ecoserve_operator.signals.providers.parsing import CLOCK_SKEW
from ecoserve_operator.signals.providers.port import Answer


class Freshness(StrEnum):
    """Where a reading comes from: the reason of condition Fresh."""

    CONSTANT = "Constant"
    SERIES = "Series"
    PROVIDER = "Provider"
    HELD = "HeldAtLastValue"
    FALLBACK = "Fallback"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The intensity of one GridZone at a moment.

    `observed_at` is when the source last told the value, `next_step` when it will change by itself; `accounting` is what
    the value counts.
    """

    grams_per_kwh: float
    freshness: Freshness
    message: str
    observed_at: datetime
    next_step: datetime | None = None
    accounting: Accounting = Accounting.UNSTATED

    @property
    def stale(self) -> bool:
        """Whether the source did not tell this value for this moment."""
        return self.freshness in (Freshness.HELD, Freshness.FALLBACK)


def read_constant(
    grams_per_kwh: float,
    now: datetime,
    last: Reading | None,
    accounting: Accounting = Accounting.UNSTATED,
) -> Reading:
    """The reading of a zone whose intensity stands in its spec."""
    message = f"{grams_per_kwh:g} gCO2e/kWh, a constant of the spec"
    if last is not None and last.message == message and last.accounting is accounting:
        return last
    return Reading(
        grams_per_kwh=grams_per_kwh,
        freshness=Freshness.CONSTANT,
        message=message,
        observed_at=now,
        accounting=accounting,
    )


def read_series(series: IntensitySeries, repeat: bool, now: datetime) -> Reading:
    """The reading of a series; raises InvalidInputError where it does not reach to `now`."""
    grams_per_kwh = series.at(now, repeat=repeat)
    since_step = (now - series.times[0]) % series.step
    step = now - since_step
    return Reading(
        grams_per_kwh=grams_per_kwh,
        freshness=Freshness.SERIES,
        message=f"{grams_per_kwh:g} gCO2e/kWh from the series, in steps of {_spoken(series.step)}",
        observed_at=step,
        next_step=step + series.step,
        accounting=series.accounting,
    )


def read_answer(answer: Answer, problem: str, now: datetime) -> Reading:
    """The reading of a provider; raises InvalidInputError where its answer is too old for `now`.

    `problem` says why it has not answered since, if it has not: until the answer is too old that changes nothing.
    """
    since = f"; no newer answer: {problem}" if problem else ""
    if answer.latest is not None:
        observed_at, grams_per_kwh = answer.latest.time, answer.latest.grams_per_kwh
        ends = observed_at + answer.valid_for
        next_step = ends
    elif answer.series is not None:
        step = read_series(answer.series, repeat=False, now=_begun(answer.series, now))
        observed_at, grams_per_kwh = step.observed_at, step.grams_per_kwh
        ends = answer.asked_at + answer.valid_for
        next_step = min(ends, step.next_step or ends)
    else:
        raise InvalidInputError(answer.source, None, "an answer with a value")
    if now >= ends:
        raise InvalidInputError(
            f"{answer.source}, last value",
            f"{observed_at:%Y-%m-%d %H:%M}Z",
            f"one of the last {_spoken(answer.valid_for)}{since}",
        )
    return Reading(
        grams_per_kwh=grams_per_kwh,
        freshness=Freshness.PROVIDER,
        message=f"{grams_per_kwh:g} gCO2e/kWh from {answer.source}, at most {_spoken(answer.valid_for)} old{since}",
        observed_at=observed_at,
        next_step=next_step,
        accounting=answer.accounting,
    )


def told_before(status: Mapping[str, Any], accounting: Accounting) -> Reading | None:
    """The provider's last value as a GridZone's status keeps it over a restart; None where it holds none.

    A fallback is none, and neither is what a status of another hand can't mean.
    """
    try:
        kept = GridZoneStatus.model_validate(status)
        observed_at = datetime.fromisoformat(kept.observed_at or "")
    except (ValidationError, ValueError):
        return None
    reasons = {condition.reason for condition in kept.conditions}
    if kept.grams_per_kilowatt_hour is None or observed_at.tzinfo is None:
        return None
    if not reasons & {Freshness.PROVIDER, Freshness.HELD}:
        return None
    return Reading(
        grams_per_kwh=kept.grams_per_kilowatt_hour,
        freshness=Freshness.HELD,
        message="as told before a restart",
        observed_at=observed_at,
        accounting=accounting,
    )


def _begun(series: IntensitySeries, now: datetime) -> datetime:
    """Now, or the begin of a series that a clock within the usual skew says is to begin shortly."""
    return series.times[0] if timedelta(0) < series.times[0] - now <= CLOCK_SKEW else now


def hold(grid: GridZone, problem: str, now: datetime, last: Reading | None, hold_for: timedelta) -> Reading:
    """The reading of a source that failed: its last value for a while, then the zone's fallback."""
    known = last is not None and last.freshness is not Freshness.FALLBACK
    if last is not None and known and now - last.observed_at <= hold_for:
        return Reading(
            grams_per_kwh=last.grams_per_kwh,
            freshness=Freshness.HELD,
            message=f"held at {last.grams_per_kwh:g} gCO2e/kWh of {last.observed_at:%Y-%m-%d %H:%M}Z: {problem}",
            observed_at=last.observed_at,
            accounting=last.accounting,
        )
    fallback = grid.spec.fallback_grams_per_kilowatt_hour
    observed_at = last.observed_at if last is not None and not known else now
    return Reading(
        grams_per_kwh=fallback,
        freshness=Freshness.FALLBACK,
        message=f"fallback of {fallback:g} gCO2e/kWh: {problem}",
        observed_at=observed_at,
        accounting=grid.spec.accounting,
    )


def _spoken(step: timedelta) -> str:
    minutes = step.total_seconds() / 60
    if minutes < 1:
        return f"{step.total_seconds():g} s"
    return f"{minutes / 60:g} h" if minutes >= 60 else f"{minutes:g} min"
