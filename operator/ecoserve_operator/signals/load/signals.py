"""Readings of all measured streams, followed in the background."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeAlias

import httpx
from pydantic import ValidationError

from ecoserve.api import LLMServing
from ecoserve.api.labels import CLASS_OFFLINE, CLASS_ONLINE
from ecoserve.api.load import Engine, Load, LoadsStatus, LoadStatus
from ecoserve.errors import InvalidInputError
from ecoserve.workload.forecast import Forecast
from ecoserve.workload.measured import MeasuredLoad
from ecoserve_operator.signals.load.client import LoadAnswer, LoadClient
from ecoserve_operator.signals.load.engines import LoadQuestion, default_selector, engine_of, question_of
from ecoserve_operator.signals.load.reading import LoadReading, read_load, told_before
from ecoserve_operator.signals.providers.follow import Followers, Known
from ecoserve_operator.signals.providers.http import Fetcher
from ecoserve_operator.signals.providers.keys import Keys
from ecoserve_operator.watch.records import ServingRecord

logger = logging.getLogger(__name__)

Loads: TypeAlias = Mapping[str, Mapping[str, LoadReading]]
"""Readings by serving (`namespace/name`) and class, of streams that are measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadClients:
    """Builds the client of a question."""

    keys: Keys
    client: httpx.AsyncClient

    def build(self, question: LoadQuestion) -> LoadClient:
        """Return the client that answers a question."""
        return LoadClient(question=question, keys=self.keys, fetcher=Fetcher(self.client))


class LoadSignals:
    """Keeps the last reading of each measured stream."""

    def __init__(self, followers: Followers[LoadQuestion, LoadAnswer], prometheus_url: str) -> None:
        self._followers = followers
        self._url = prometheus_url
        self._last: dict[tuple[str, str], LoadReading] = {}
        self.latest: Loads = {}
        """The readings made last."""

    def read(
        self, records: Iterable[ServingRecord], now: datetime, statuses: Mapping[str, Mapping[str, Any]]
    ) -> None:
        """Read all measured streams, and have them followed.

        `statuses` are those that the servings carry, by full name: what a restart finds.
        """
        questions: list[LoadQuestion] = []
        found: dict[str, dict[str, LoadReading]] = {}
        for record in records:
            streams = measured_loads(record.serving) if record.serving is not None else {}
            for traffic_class, load in streams.items():
                question, problem = self._question(record, load)
                questions += [] if question is None else [question]
                known = (
                    Known(problem=problem, asked=True)
                    if question is None
                    else self._followers.known(question)
                )
                found.setdefault(record.full_name, {})[traffic_class] = self._reading(
                    (record.full_name, traffic_class), load, question, known, now, statuses
                )
        self._followers.want(questions)
        self._last = {(name, kind): reading for name, by in found.items() for kind, reading in by.items()}
        self.latest = found

    def due(self) -> datetime | None:
        """When the first of the readings made last will be held, as its source fails; None where none does."""
        moments = (reading.held_from for by_class in self.latest.values() for reading in by_class.values())
        return min((moment for moment in moments if moment is not None), default=None)

    def _question(self, record: ServingRecord, load: Load) -> tuple[LoadQuestion | None, str]:
        serving, measured = record.serving, load.prometheus
        if serving is None or measured is None:
            return None, ""
        try:
            engine = measured.engine or engine_of(serving.spec.template)
        except InvalidInputError as error:
            if measured.queries.requests is None:
                return None, str(error)
            engine = Engine.VLLM  # asked for lengths only, and only those that no query of one's own tells
        selector = default_selector(engine, record.namespace, record.name, serving.spec.model.name)
        return question_of(measured, selector, engine, self._url), ""

    def _reading(
        self,
        key: tuple[str, str],
        load: Load,
        question: LoadQuestion | None,
        known: Known[LoadAnswer],
        now: datetime,
        statuses: Mapping[str, Mapping[str, Any]],
    ) -> LoadReading:
        last = self._last.get(key)
        if last is None or (last.load is None and not known.asked):
            told = _status(statuses.get(key[0], {}), key[1])
            last = last if told is None else told_before(told)
        reading = read_load(load, question, known, now, last)
        if reading.stale and known.asked and (last is None or last.freshness is not reading.freshness):
            logger.warning("%s load of %s: %s", key[1], key[0], reading.message)
        return reading


def measured_loads(serving: LLMServing) -> dict[str, Load]:
    """The loads of a serving, by class, that are to be measured."""
    spec = serving.spec
    loads = {
        CLASS_ONLINE: spec.online.load if spec.online is not None else None,
        CLASS_OFFLINE: spec.offline.load if spec.offline is not None else None,
    }
    return {name: load for name, load in loads.items() if load is not None and load.prometheus is not None}


def planned_loads(readings: Mapping[str, LoadReading]) -> dict[str, MeasuredLoad]:
    """What is planned for of one serving's measured streams, by class; one that falls back on its spec is none of them."""
    return {name: reading.load for name, reading in readings.items() if reading.load is not None}


def coarse_loads(readings: Mapping[str, LoadReading], now: datetime) -> dict[str, MeasuredLoad]:
    """As `planned_loads`, but with rates that tell only by how many steps of a quarter load differs from its forecast."""
    return {
        name: replace(load, requests_per_second=1.25 ** readings[name].surprise(now))
        for name, load in planned_loads(readings).items()
    }


def expected_loads(loads: Loads) -> dict[str, Forecast]:
    """Hourly requests/s of measured streams, by stream (`namespace/name/class`), for what is expected of the hours ahead."""
    return {
        f"{name}/{traffic_class}": reading.history.series
        for name, by_class in loads.items()
        for traffic_class, reading in by_class.items()
        if reading.history is not None
    }


def _status(status: Mapping[str, Any], traffic_class: str) -> LoadStatus | None:
    try:
        kept = LoadsStatus.model_validate(status.get("load") or {})
    except ValidationError:
        return None  # of another version, or another hand
    return kept.online if traffic_class == CLASS_ONLINE else kept.offline
