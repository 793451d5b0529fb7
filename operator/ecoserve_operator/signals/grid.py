"""Readings of all GridZones, with their ConfigMaps polled by name and their providers followed in the background.

ConfigMaps are read one by one with `get` instead of watched: a watch needs the right to list all ConfigMaps of
the cluster, whatever they hold, while these few are named by GridZones. One small request a second each, answered
from the API server's memory, is what that costs.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ecoserve.api.gridsource import ConfigMapSeries
from ecoserve.api.gridzone import GridZone
from ecoserve.carbon import Accounting, IntensitySeries, Signal, parse_intensity_csv
from ecoserve.errors import EcoserveError, InvalidInputError
from ecoserve_operator.kube import CONFIG_MAP, KubeApi
from ecoserve_operator.signals.intensity import (
    Reading,
    hold,
    read_answer,
    read_constant,
    read_series,
    told_before,
)
from ecoserve_operator.signals.providers.build import Question, question_of
from ecoserve_operator.signals.providers.follow import Followers
from ecoserve_operator.signals.providers.port import Answer
from ecoserve_operator.watch.records import ZoneRecord

logger = logging.getLogger(__name__)


def _covered(grid: GridZone) -> tuple[str, ...]:
    """The zones that nodes stand in which a GridZone is for."""
    return tuple(grid.spec.zones) or (grid.metadata.name,)


def taken_zones(zones: Iterable[ZoneRecord]) -> dict[str, str]:
    """GridZones that claim a zone which another, first by name, covers already; each with a sentence."""
    owners: dict[str, str] = {}
    taken: dict[str, str] = {}
    for record in sorted(zones, key=lambda zone: zone.name):
        claimed = _covered(record.grid) if record.grid is not None else ()
        conflict = next((zone for zone in claimed if zone in owners), None)
        if conflict is not None:
            taken[record.name] = (
                f"spec.zones: {conflict!r} is not accepted; GridZone {owners[conflict]} covers it already"
            )
            continue
        owners |= dict.fromkeys(claimed, record.name)
    return taken


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A series of a ConfigMap, and what its figures are to mean: one may hold columns of several kinds."""

    place: ConfigMapSeries
    signal: Signal
    accounting: Accounting


def _wanted(grid: GridZone) -> _Wanted | None:
    place = grid.spec.intensity.config_map
    if place is None:
        return None
    return _Wanted(place=place, signal=grid.spec.signal, accounting=grid.spec.accounting)


@dataclass(frozen=True, slots=True)
class _Source:
    """A ConfigMap as last read: its version and its series, or why there is none."""

    version: str
    series: IntensitySeries | None
    problem: str


class GridSignals:
    """Keeps the last good reading of each zone and the parsed series of each ConfigMap."""

    def __init__(self, api: KubeApi, followers: Followers[Question, Answer], hold_seconds: float) -> None:
        self._api = api
        self._followers = followers
        self._hold_for = timedelta(seconds=hold_seconds)
        self._sources: dict[_Wanted, _Source] = {}
        self._last: dict[str, Reading] = {}

    async def poll(self, zones: list[ZoneRecord]) -> bool:
        """Read the ConfigMaps that zones name, and have their providers followed; tell whether a ConfigMap has changed."""
        self._followers.want(
            question for zone in zones if zone.grid and (question := question_of(zone.grid)) is not None
        )
        named = {wanted for zone in zones if zone.grid and (wanted := _wanted(zone.grid)) is not None}
        before = dict(self._sources)
        self._sources = {wanted: await self._read(wanted) for wanted in named}
        return self._sources != before

    def readings(
        self, zones: list[ZoneRecord], now: datetime, statuses: Mapping[str, Mapping[str, Any]]
    ) -> Mapping[str, Reading]:
        """The reading of each zone that has a usable spec.

        `statuses` are those that the zones carry: after a restart a provider's value is held as it stands there until the
        provider has answered, so that a restart moves nothing.
        """
        for zone in zones:
            if zone.name not in self._last and zone.grid is not None and zone.grid.spec.intensity.asked:
                before = told_before(statuses.get(zone.name, {}), zone.grid.spec.accounting)
                self._last |= {} if before is None else {zone.name: before}
        readings = {zone.name: self._reading(zone.grid, now) for zone in zones if zone.grid is not None}
        for name, reading in readings.items():
            last = self._last.get(name)
            if reading.stale and (last is None or last.freshness is not reading.freshness):
                logger.warning("GridZone %s: %s", name, reading.message)
        self._last = dict(readings)
        return readings

    def series(self, zones: Iterable[ZoneRecord]) -> dict[str, tuple[IntensitySeries, bool]]:
        """The series behind each zone that nodes stand in, and whether it repeats; none where a reading is stale."""
        return {
            zone: known
            for grid, _ in self._fresh(zones)
            if (known := self._series(grid)) is not None
            for zone in _covered(grid)
        }

    def constants(self, zones: Iterable[ZoneRecord]) -> dict[str, float]:
        """The value, in gCO2e/kWh, of each zone that nodes stand in without a series behind it; none where a reading is stale."""
        return {
            zone: reading.grams_per_kwh
            for grid, reading in self._fresh(zones)
            if self._series(grid) is None
            for zone in _covered(grid)
        }

    def _fresh(self, zones: Iterable[ZoneRecord]) -> Iterator[tuple[GridZone, Reading]]:
        """The grids that count, and their readings that are not stale."""
        records = list(zones)
        taken = taken_zones(records)
        for record in records:
            last = self._last.get(record.name)
            if record.grid is not None and record.name not in taken and last is not None and not last.stale:
                yield record.grid, last

    def unread(self, zones: Iterable[ZoneRecord]) -> bool:
        """Whether some zone's source has yet to be looked at for the first time: its forecast is not known, but may be there."""
        return any(self._is_unread(record.grid) for record in zones if record.grid is not None)

    def _is_unread(self, grid: GridZone) -> bool:
        question, wanted = question_of(grid), _wanted(grid)
        if question is not None:
            looked_at = self._followers.known(question).asked
        else:
            looked_at = wanted is None or wanted in self._sources
        return not looked_at or grid.metadata.name not in self._last

    def failing(self, zones: Iterable[ZoneRecord]) -> frozenset[str]:
        """The zones that nodes stand in whose source tells nothing for now: it failed, or was not looked at yet."""
        names: set[str] = set()
        for record in zones:
            last = self._last.get(record.name)
            if record.grid is not None and (last is None or last.stale):
                names.update(_covered(record.grid))
        return frozenset(names)

    def forecasts(self, zones: Iterable[ZoneRecord]) -> dict[str, IntensitySeries]:
        """The series behind each GridZone, by its name; none of one that is played over and over."""
        found = {record.name: self._series(record.grid) for record in zones if record.grid is not None}
        return {name: known[0] for name, known in found.items() if known is not None and not known[1]}

    def _series(self, grid: GridZone) -> tuple[IntensitySeries, bool] | None:
        question, wanted = question_of(grid), _wanted(grid)
        if question is not None:
            answer = self._followers.known(question).answer
            return None if answer is None or answer.series is None else (answer.series, False)
        source = self._sources.get(wanted) if wanted is not None else None
        if wanted is None or source is None or source.series is None:
            return None
        return source.series, wanted.place.repeat

    async def _read(self, wanted: _Wanted) -> _Source:
        place = wanted.place
        where = f"ConfigMap {place.namespace}/{place.name}"
        known = self._sources.get(wanted)
        try:
            found = await self._api.get(CONFIG_MAP, place.name, place.namespace)
        except EcoserveError as error:
            return known or _Source("", None, f"{where}: {error}")
        if found is None:
            return _Source("", None, f"{where} does not exist")
        version = found["metadata"]["resourceVersion"]
        if known is not None and known.version == version:
            return known
        text = (found.get("data") or {}).get(place.key)
        if text is None:
            return _Source(version, None, f"{where} has no key {place.key}")
        try:
            series = parse_intensity_csv(text, f"{where} {place.key}", wanted.signal, wanted.accounting)
            return _Source(version, series, "")
        except InvalidInputError as error:
            return _Source(version, None, str(error))

    def _reading(self, grid: GridZone, now: datetime) -> Reading:
        name, intensity = grid.metadata.name, grid.spec.intensity
        last = self._last.get(name)
        if intensity.grams_per_kilowatt_hour is not None:
            return read_constant(intensity.grams_per_kilowatt_hour, now, last, grid.spec.accounting)
        question = question_of(grid)
        if question is not None:
            return self._told(grid, question, now, last)
        wanted = _wanted(grid)
        source = self._sources.get(wanted) if wanted is not None else None
        if wanted is None or source is None or source.series is None:
            problem = source.problem if source is not None else "its ConfigMap has not been read yet"
            return hold(grid, problem, now, last, self._hold_for)
        try:
            return read_series(source.series, wanted.place.repeat, now)
        except InvalidInputError as error:
            return hold(grid, str(error), now, last, self._hold_for)

    def _told(self, grid: GridZone, question: Question, now: datetime, last: Reading | None) -> Reading:
        known = self._followers.known(question)
        if known.answer is None:
            return hold(grid, known.problem, now, last, self._hold_for)
        try:
            return read_answer(known.answer, known.problem, now)
        except InvalidInputError as error:
            return hold(grid, str(error), now, last, self._hold_for)
