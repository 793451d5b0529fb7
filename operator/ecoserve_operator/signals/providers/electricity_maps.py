"""Electricity Maps, API v3: average intensity, life-cycle unless direct is asked for.

The value of now comes from `latest`, the last day from `history`. A forecast needs a paid plan; without one the series
ends now, and the hours ahead are expected to be as yesterday's.
"""

import functools
from dataclasses import dataclass
from datetime import datetime, timedelta

from aiolimiter import AsyncLimiter

from ecoserve.carbon import Accounting, Signal
from ecoserve_operator.signals.providers.http import Fetcher
from ecoserve_operator.signals.providers.keys import Keys, keyed_url
from ecoserve_operator.signals.providers.parsing import (
    an_object,
    expect_text,
    newest,
    objects,
    points_of,
    series_of,
)
from ecoserve_operator.signals.providers.port import Answer, KeyProblemError, Point, StatusError

_URL = "https://api.electricitymaps.com/v3"
_FACTORS = {Accounting.DIRECT: "direct"}
_LIFE_CYCLE = "lifecycle"
_points = functools.partial(points_of, value="carbonIntensity", time="datetime")
_VALID_FOR = timedelta(hours=2)  # hourly figures, the present one estimated; one may be late


def parse_latest(document: object, zone: str, factor: str, now: datetime) -> Point:
    """Return the value of now from `carbon-intensity/latest`; raises BadReplyError."""
    item = an_object(document, "the answer")
    expect_text(item, "zone", zone)
    if "emissionFactorType" in item:
        expect_text(item, "emissionFactorType", factor)
    return newest(_points([item], "latest"), now, "latest")


def parse_list(document: object, zone: str, name: str) -> list[Point]:
    """Return the values of `carbon-intensity/history` or `forecast`, nulls left out; raises BadReplyError."""
    item = an_object(document, "the answer")
    expect_text(item, "zone", zone)
    return _points(objects(item.get(name), name), name)


@dataclass(frozen=True, slots=True, kw_only=True)
class ElectricityMapsClient:
    """One zone; `limiter` is shared by all zones of an account."""

    zone: str
    account: str
    accounting: Accounting
    keys: Keys
    fetcher: Fetcher
    limiter: AsyncLimiter
    interval_seconds: float = 900.0  # three requests each time: 12 an hour for each zone

    async def ask(self, now: datetime) -> Answer:
        """Ask for now, the last day and, where the plan has it, the hours ahead; raises ProviderError."""
        factor = _FACTORS.get(self.accounting, _LIFE_CYCLE)
        latest = parse_latest(await self._get("latest", factor), self.zone, factor, now)
        points = [
            *await self._list("forecast", factor),
            *await self._list("history", factor),
            latest,
        ]
        accounting = Accounting.DIRECT if factor == "direct" else Accounting.LIFE_CYCLE
        return Answer(
            source=f"Electricity Maps, zone {self.zone}",
            asked_at=now,
            valid_for=_VALID_FOR,
            latest=latest,
            series=series_of(points, now, Signal.AVERAGE, accounting),
            accounting=accounting,
        )

    async def _list(self, name: str, factor: str) -> list[Point]:
        try:
            document = await self._get(name, factor)
        except KeyProblemError:
            return []  # not in this account's plan: `latest` came, so the token itself is good
        except StatusError as error:
            if error.status == 404:
                return []
            raise
        return parse_list(document, self.zone, name)

    async def _get(self, what: str, factor: str) -> object:
        url = await keyed_url(self.keys, self.account, _URL)
        token = await self.keys.read(self.account, "token")
        async with self.limiter:
            return await self.fetcher.get(
                f"{url}/carbon-intensity/{what}",
                {"zone": self.zone, "emissionFactorType": factor},
                {"auth-token": token},
            )
