"""When a batch job with a deadline starts: at the cleanest time at which it still ends early enough.

Candidates are now and every whole interval of the forecasts up to the last safe start, which leaves the job its expected
duration, a margin on it, and time to be scheduled and started. Each is judged by the mean intensity while the job runs,
in the zone where that is least. The earliest of equals is taken, and waiting for less than a hundredth is not worth it. A grid
whose intensity never falls thus changes nothing, and a job never waits past its last safe start, whatever the forecast. Where a job runs for longer
than its forecast reaches, the part that is known is what counts.
Where the forecast that a start was planned by fails, that start stands as long as it is safe.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from ecoserve.errors import InvalidInputError
from ecoserve.workload.forecast import HOUR, Forecast

MARGIN = 0.25
"""Of the expected duration: jobs run longer than their owners say."""
START_UP = timedelta(minutes=10)
"""To be scheduled, to pull an image, and to be tried once more."""
UNKNOWN_DURATION_SHARE = 0.5
"""A job that doesn't say how long it runs is taken to need this share of the time it was made with: not of what is left, which shrinks as it waits."""
WORTH_WAITING = 0.01
LONGEST_WAIT = timedelta(days=7)
"""Forecasts beyond a week are repetitions of repetitions: none is waited for."""


class StartReason(StrEnum):
    """Why a job starts when it does."""

    CLEANER_HOUR = "WaitsForCleanerHour"
    NO_CLEANER_HOUR = "NoCleanerHour"
    DEADLINE_NEAR = "DeadlineNear"
    NO_FORECAST = "NoForecast"
    KEPT = "KeepsPlannedHour"


@dataclass(frozen=True, slots=True)
class PlannedStart:
    """A start that was decided before, and the zone whose forecast it rests on."""

    at: datetime
    zone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """A decision: when, and the mean intensity over the job (None without a forecast), then and if it began now.

    `zone` is the one whose forecast a later start rests on.
    """

    at: datetime
    reason: StartReason
    zone: str = ""
    grams_per_kwh: float | None = None
    grams_per_kwh_now: float | None = None

    @property
    def sentence(self) -> str:
        """The decision in words."""
        match self.reason:
            case StartReason.CLEANER_HOUR:
                return (
                    f"starts at {self.at:%Y-%m-%d %H:%M} UTC: the grid of {self.zone} is expected at "
                    f"{self.grams_per_kwh:.0f} gCO2e/kWh while it runs then, which is less than at any other hour "
                    "before its deadline"
                )
            case StartReason.NO_CLEANER_HOUR:
                return "starts now: no hour before its deadline is expected to be cleaner"
            case StartReason.DEADLINE_NEAR:
                return "starts now: later it might miss its deadline"
            case StartReason.NO_FORECAST:
                return "starts now: no grid has a forecast"
            case StartReason.KEPT:
                return (
                    f"starts at {self.at:%Y-%m-%d %H:%M} UTC, as planned before the forecast of {self.zone} failed: "
                    "its GridZone says why"
                )


def best_start(
    now: datetime,
    deadline: datetime,
    duration: timedelta | None,
    forecasts: Mapping[str, Forecast],
    planned: PlannedStart | None = None,
    *,
    made: datetime | None = None,
) -> Start:
    """Decide for one job; times are aware. Forecasts by zone, of zones where it may run, reach from now on.

    `planned` is what was decided before by a forecast that fails now. `made` is when the job was, which may be long ago: now where left out.
    Raises InvalidInputError for a duration that is not positive.
    """
    if duration is not None and duration <= timedelta(0):
        raise InvalidInputError("duration", str(duration), "a positive time")
    runs = duration if duration is not None else (deadline - (made or now)) * UNKNOWN_DURATION_SHARE
    last = deadline - runs * (1 + (MARGIN if duration is not None else 0.0)) - START_UP
    if last <= now:
        return Start(at=now, reason=StartReason.DEADLINE_NEAR)
    if planned is not None and planned.at <= last:
        return Start(at=max(planned.at, now), reason=StartReason.KEPT, zone=planned.zone)
    judged = [
        (*mean, at)
        for at in _candidates(now, min(last, now + LONGEST_WAIT))
        if (mean := _mean(at, runs, forecasts)) is not None
    ]
    if not judged or judged[0][-1] != now:
        return Start(at=now, reason=StartReason.NO_FORECAST)
    mean_now = judged[0][0]
    best, zone, at = min(judged, key=lambda one: (one[0], one[-1]))
    if at == now or best > mean_now * (1 - WORTH_WAITING):
        return Start(
            at=now, reason=StartReason.NO_CLEANER_HOUR, grams_per_kwh=mean_now, grams_per_kwh_now=mean_now
        )
    return Start(
        at=at, reason=StartReason.CLEANER_HOUR, zone=zone, grams_per_kwh=best, grams_per_kwh_now=mean_now
    )


def _candidates(now: datetime, last: datetime) -> Iterator[datetime]:
    """Now, then whole hours up to the last."""
    yield now
    hour = now.replace(minute=0, second=0, microsecond=0) + HOUR
    while hour <= last:
        yield hour
        hour += HOUR


def _mean(at: datetime, runs: timedelta, forecasts: Mapping[str, Forecast]) -> tuple[float, str] | None:
    """Return the least mean intensity of any zone while the job runs, as far as its forecast reaches, and the zone."""
    means = []
    for zone, forecast in forecasts.items():
        covered = min(runs, forecast.end - at)
        if forecast.start <= at and covered > timedelta(0):
            means.append((forecast.mean(at, covered), zone))
    return min(means, default=None)
