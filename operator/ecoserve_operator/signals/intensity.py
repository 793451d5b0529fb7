"""The intensity of a grid at a moment, and what happens when its source fails, as pure functions.

A source that fails is held at its last value and marked stale; after a while, or where there never was a
value, the zone's fallback is taken. So a plan always has an intensity, and never a NaN or a negative one.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from ecoserve.api import GridZone
from ecoserve.carbon import Accounting, IntensitySeries


class Freshness(StrEnum):
    """Where a reading comes from: the reason of condition Fresh."""

    CONSTANT = "Constant"
    SERIES = "Series"
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
    return f"{minutes / 60:g} h" if minutes >= 60 else f"{minutes:g} min"
