"""WattTime, API v3: marginal intensity (co2_moer) in lb/MWh, of combustion.

The value of now is where the forecast begins. `signal-index` is a percentile, not an intensity, and never asked.
"""

import asyncio
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from aiolimiter import AsyncLimiter

from ecoserve.carbon import Accounting, Signal
from ecoserve_operator.signals.providers.http import Fetcher
from ecoserve_operator.signals.providers.keys import Keys, keyed_url
from ecoserve_operator.signals.providers.parsing import (
    CLOCK_SKEW,
    an_object,
    expect_text,
    objects,
    points_of,
    series_of,
)
from ecoserve_operator.signals.providers.port import Answer, BadReplyError, KeyProblemError, Point

GRAMS_PER_KWH = 0.45359237
"""One lb/MWh: the international pound is 453.59237 g, by definition."""
_URL = "https://api.watttime.org"
_SIGNAL = "co2_moer"
_TOKEN_SECONDS = 25 * 60.0  # tokens are valid for 30 minutes
_VALID_FOR = timedelta(hours=1)


def parse_token(document: object) -> str:
    """Return the token of `login`; raises BadReplyError, which never shows it."""
    token = an_object(document, "the answer to a login").get("token")
    if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not token:
        raise BadReplyError("the answer to a login holds no token")
    return token


def parse_forecast(document: object, region: str, now: datetime) -> list[Point]:
    """Return the values of `v3/forecast` in gCO2e/kWh; raises BadReplyError for any other unit, region or signal."""
    item = an_object(document, "the answer")
    meta = an_object(item.get("meta"), "meta")
    expect_text(meta, "units", "lbs_co2_per_mwh")
    expect_text(meta, "signal_type", _SIGNAL)
    expect_text(meta, "region", region)
    entries = objects(item.get("data"), "data")
    points = points_of(entries, "data", value="value", time="point_time", per_unit=GRAMS_PER_KWH)
    if not points:
        raise BadReplyError("the forecast holds no value")
    ahead = min(point.time for point in points) - now
    if ahead > CLOCK_SKEW:
        minutes = ahead.total_seconds() / 60
        raise BadReplyError(f"the forecast begins {minutes:.0f} min ahead of this machine's clock")
    return points


@dataclass(slots=True, kw_only=True)
class WattTimeAccount:
    """One account: its token and its quotas (3,000 requests and 100 logins in 5 minutes, half of each used)."""

    name: str
    keys: Keys
    fetcher: Fetcher
    requests: AsyncLimiter = field(default_factory=lambda: AsyncLimiter(1500, 300))
    logins: AsyncLimiter = field(default_factory=lambda: AsyncLimiter(50, 300))
    _token: str = field(default="", repr=False)
    _used_until: float = 0.0
    _login: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)

    async def get(self, path: str, params: dict[str, str]) -> object:
        """GET with a token; one that is refused (401) is replaced once. What a plan lacks (403) no token mends."""
        url = await keyed_url(self.keys, self.name, _URL)
        token = await self._valid_token(url, refused="")
        try:
            return await self._get(url + path, params, token)
        except KeyProblemError as error:
            if error.status != 401:
                raise
        return await self._get(url + path, params, await self._valid_token(url, refused=token))

    async def _get(self, url: str, params: dict[str, str], token: str) -> object:
        async with self.requests:
            return await self.fetcher.get(url, params, {"Authorization": f"Bearer {token}"})

    async def _valid_token(self, url: str, refused: str) -> str:
        """Return the account's token, of one login for all regions that wait for it."""
        async with self._login:
            if self._token in ("", refused) or time.monotonic() >= self._used_until:
                user = await self.keys.read(self.name, "username")
                password = await self.keys.read(self.name, "password")
                async with self.requests, self.logins:
                    self._token = parse_token(await self.fetcher.get(f"{url}/login", auth=(user, password)))
                self._used_until = time.monotonic() + _TOKEN_SECONDS
            return self._token


@dataclass(frozen=True, slots=True, kw_only=True)
class WattTimeClient:
    """One region of an account."""

    region: str
    account: WattTimeAccount
    interval_seconds: float = 300.0  # a new forecast every five minutes

    async def ask(self, now: datetime) -> Answer:
        """Ask for the forecast of a day; raises ProviderError."""
        params = {"region": self.region, "signal_type": _SIGNAL}
        points = parse_forecast(await self.account.get("/v3/forecast", params), self.region, now)
        series = series_of(points, now, Signal.MARGINAL, Accounting.DIRECT)
        if series is None:
            raise BadReplyError("the forecast holds no two values that follow each other")
        return Answer(
            source=f"WattTime, region {self.region}",
            asked_at=now,
            valid_for=_VALID_FOR,
            series=series,
            accounting=Accounting.DIRECT,
        )
