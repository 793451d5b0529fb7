"""The hours ahead as the planner takes them: one snapshot per interval, from forecasts of grid and load.

Supply stays as it is now. Intensities come from each zone's series, load from the spec's daily profile or from a
series of measured load. `known_until` hides what lies beyond a moment, so that a replay forecasts with no more
than could have been known then; the interval that has begun counts as known.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import pairwise

from ecoserve.fleet.assemble import with_intensity
from ecoserve.fleet.snapshot import Snapshot
from ecoserve.planner.carry_out import Interval
from ecoserve.workload.forecast import GRID_SEASONS, HOUR, LOAD_SEASONS, Forecast, expect
from ecoserve.workload.slices import ServingDemand, TrafficDemand


@dataclass(frozen=True, slots=True, kw_only=True)
class GridSeries:
    """A zone's intensities in gCO2e/kWh; `repeat` plays them in a circle for ever."""

    series: Forecast
    repeat: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """Where the hours ahead come from.

    `snapshot_at` gives supply and spec'd demand at a time; zones without a series in `grids` keep its
    intensity. `loads` are requests/s by stream, such as `demo/chat/online`.
    """

    snapshot_at: Callable[[datetime], Snapshot]
    grids: Mapping[str, GridSeries] = field(default_factory=dict)
    loads: Mapping[str, Forecast] = field(default_factory=dict)

    def intervals(
        self, start: datetime, hours: int, *, known_until: datetime | None = None
    ) -> tuple[Interval, ...]:
        """Return so many intervals: the rest of the hour that `start` is in, and whole hours after it."""
        whole = start.replace(minute=0, second=0, microsecond=0)
        bounds = [start, *(whole + HOUR * (index + 1) for index in range(hours))]
        return tuple(self._interval(begin, end, known_until) for begin, end in pairwise(bounds))

    def _interval(self, begin: datetime, end: datetime, known_until: datetime | None) -> Interval:
        length = end - begin
        snapshot = self.snapshot_at(begin + length / 2)  # a profile is linear within the hour
        grams = {
            zone: _expected(grid.series, begin, length, GRID_SEASONS, grid.repeat, known_until)
            for zone, grid in self.grids.items()
        }
        servings = tuple(self._loaded(item, begin, length, known_until) for item in snapshot.servings)
        ahead = replace(with_intensity(snapshot, grams), taken_at=begin, servings=servings)
        return Interval(snapshot=ahead, hours=length / HOUR)

    def _loaded(
        self, serving: ServingDemand, begin: datetime, length: timedelta, known_until: datetime | None
    ) -> ServingDemand:
        def loaded(traffic: TrafficDemand | None, traffic_class: str) -> TrafficDemand | None:
            series = self.loads.get(f"{serving.name}/{traffic_class}")
            if traffic is None or series is None:
                return traffic
            rate = _expected(series, begin, length, LOAD_SEASONS, False, known_until)
            return replace(traffic, rate_per_second=rate)

        if not self.loads:
            return serving
        return replace(
            serving, online=loaded(serving.online, "online"), offline=loaded(serving.offline, "offline")
        )


def _expected(
    series: Forecast,
    begin: datetime,
    length: timedelta,
    seasons: tuple[timedelta, ...],
    repeat: bool,
    known_until: datetime | None,
) -> float:
    known = series if known_until is None else series.until(known_until)
    if known is None:  # nothing was known yet
        known = Forecast(start=series.start, interval=series.interval, values=series.values[:1])
    return expect(known, begin, 1, interval=length, seasons=seasons, repeat=repeat).values[0]
