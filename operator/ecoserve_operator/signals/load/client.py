"""One stream's load, asked of a Prometheus: requests/s and the queue each time, lengths and history now and then.

An answer without series is no answer: metrics that have vanished say nothing about load, and never that there is none.
"""

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from ecoserve.errors import InvalidInputError
from ecoserve.workload.forecast import HOUR
from ecoserve.workload.histograms import Marginal, marginal
from ecoserve.workload.history import KEPT_HOURS, steps_between
from ecoserve_operator.signals.load.engines import MEAN, LoadQuestion
from ecoserve_operator.signals.providers.http import Fetcher
from ecoserve_operator.signals.providers.keys import Keys, keyed_url
from ecoserve_operator.signals.providers.parsing import CLOCK_SKEW, shown
from ecoserve_operator.signals.providers.port import (
    BadReplyError,
    KeyProblemError,
    ProviderError,
    StatusError,
)
from ecoserve_operator.signals.providers.samples import matrix, vector

MOST_PER_SECOND = 1e6
"""As in the spec: more requests than any serving has."""
_MOST_WAITING = 1e12
_SELDOM = 10
"""Lengths and history are asked for with every tenth question: they are means of an hour."""
_QUERY_REFUSED = (400, 422)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """Lengths of requests as they were measured."""

    inputs: Marginal
    outputs: Marginal


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadAnswer:
    """What a Prometheus told of a stream.

    `waiting` is None where nothing tells of a queue, `lengths` where there were no requests or none are told; `hours` are mean
    requests/s by the begin of their hour. `aside` says what could not be told beside the rate.
    """

    told_at: datetime
    requests_per_second: float
    waiting: float | None = None
    lengths: Lengths | None = None
    hours: Mapping[datetime, float] = field(default_factory=dict)
    aside: str = ""

    @property
    def news(self) -> object:
        """The rate in steps of a quarter, the queue in powers of two: less can wait for the next look at everything."""
        rate = steps_between(self.requests_per_second, 1.0)
        waiting = None if self.waiting is None else math.frexp(self.waiting)[1]
        return rate, waiting, self.lengths, max(self.hours, default=None), self.aside


@dataclass(slots=True, kw_only=True)
class LoadClient:
    """One question to one Prometheus, with what it was told before."""

    question: LoadQuestion
    keys: Keys
    fetcher: Fetcher
    _asked: int = 0
    _lengths: Lengths | None = None
    _hours: Mapping[datetime, float] = field(default_factory=dict)
    _aside: str = ""

    @property
    def interval_seconds(self) -> float:
        """How often it is asked."""
        return self.question.interval_seconds

    async def ask(self, now: datetime) -> LoadAnswer:
        """Ask anew; raises ProviderError."""
        asked = self.question
        queries = {"requests": asked.requests, "waiting": asked.waiting, "running": asked.running}
        told = await asyncio.gather(
            *(self._one(name, query, now) for name, query in queries.items() if query)
        )
        found = dict(zip((name for name, query in queries.items() if query), told, strict=True))
        time, rate = found["requests"]
        waiting = found["waiting"][1] if "waiting" in found else None
        _believable(rate, waiting, found.get("running", (time, 0.0))[1], asked.window_seconds)
        if self._asked % _SELDOM == 0:
            self._aside = await self._ask_seldom(now)
        self._asked += 1
        return LoadAnswer(
            told_at=time,
            requests_per_second=rate,
            waiting=waiting,
            lengths=self._lengths,
            hours=self._hours,
            aside=self._aside,
        )

    async def _one(self, name: str, query: str, now: datetime) -> tuple[datetime, float]:
        rows = vector(await self._get("query", {"query": query}, name))
        if len(rows) != 1:
            what = "nothing is measured" if not rows else "it must give one"
            raise BadReplyError(f"the query of {name} gives {len(rows)} series: {what}")
        _, (time, value) = rows[0]
        if time - now > CLOCK_SKEW:
            minutes = (time - now).total_seconds() / 60
            raise BadReplyError(
                f"it is {minutes:.0f} min ahead of this machine's clock: one of them is wrong"
            )
        return time, value

    async def _ask_seldom(self, now: datetime) -> str:
        """Ask for lengths and history; whatever fails there leaves the rate good. Returns what failed."""
        problems = []
        for part in (self._ask_lengths, self._ask_hours):
            try:
                await part(now)
            except (ProviderError, InvalidInputError) as error:
                problems.append(str(error))
        return "; ".join(problems)

    async def _ask_lengths(self, now: datetime) -> None:
        del now  # lengths are those of the last hour, whatever time it is
        inputs, outputs = await asyncio.gather(
            self._marginal("inputTokens", self.question.input_tokens),
            self._marginal("outputTokens", self.question.output_tokens),
        )
        if inputs is not None and outputs is not None:
            self._lengths = Lengths(inputs=inputs, outputs=outputs)

    async def _marginal(self, name: str, query: str) -> Marginal | None:
        rates: dict[float, float] = {}
        mean: float | None = None
        rows = vector(await self._get("query", {"query": query}, name))
        for labels, (_, value) in rows:
            bound = labels.get("le")
            if bound == MEAN or (bound is None and len(rows) == 1):
                mean = value
                continue
            try:
                rates[float(bound or "")] = value
            except ValueError:
                raise BadReplyError(f"le of {name} is {shown(bound)}, not a number of tokens") from None
        return marginal(rates, mean, name)

    async def _ask_hours(self, now: datetime) -> None:
        """Learn the hours that have ended since: at first all that are kept, later one at a time."""
        whole = now.replace(minute=0, second=0, microsecond=0)
        oldest = whole - KEPT_HOURS * HOUR
        start = max(self._hours) + HOUR if self._hours else oldest
        if start >= whole:
            return
        span = {
            "start": f"{(start + HOUR).timestamp():.0f}",
            "end": f"{whole.timestamp():.0f}",
            "step": "3600",
        }
        series = matrix(await self._get("query_range", {"query": self.question.hourly, **span}, "history"))
        told = series[0] if len(series) == 1 else []
        fresh = {time - HOUR: value for time, value in told if 0 <= value <= MOST_PER_SECOND}
        known = {**self._hours, **fresh}
        self._hours = {hour: rate for hour, rate in known.items() if hour >= oldest}

    async def _get(self, path: str, params: Mapping[str, str], name: str) -> object:
        url, headers, auth = await self._access()
        try:
            return await self.fetcher.get(f"{url}/api/v1/{path}", params, headers, auth)
        except StatusError as error:
            if error.status not in _QUERY_REFUSED:
                raise
            raise BadReplyError(f"it can't evaluate the query of {name} ({error.status})") from None

    async def _access(self) -> tuple[str, Mapping[str, str], tuple[str, str] | None]:
        """The address, and what an account adds: a token, or a user with a password."""
        account = self.question.account
        if not account:
            if not self.question.url:
                raise BadReplyError("no address: give url, or start the operator with --prometheus-url")
            return self.question.url, {}, None
        url = await keyed_url(self.keys, account, "")
        try:
            return url, {"Authorization": f"Bearer {await self.keys.read(account, 'token')}"}, None
        except KeyProblemError:
            user = await self.keys.read(account, "username")
            return url, {}, (user, await self.keys.read(account, "password"))


def _believable(rate: float, waiting: float | None, running: float, window_seconds: float) -> None:
    """Raise BadReplyError where figures can't be, or contradict each other."""
    if not 0 <= rate <= MOST_PER_SECOND:
        raise BadReplyError(f"requests/s are {shown(rate)}, which can't be")
    for name, value in (("waiting", waiting), ("running", running)):
        if value is not None and not 0 <= value <= _MOST_WAITING:
            raise BadReplyError(f"{name} requests are {shown(value)}, which can't be")
    if rate * window_seconds < 0.5 and waiting is not None and math.ceil(waiting) >= 1:
        span = timedelta(seconds=window_seconds)
        raise BadReplyError(
            f"{waiting:.0f} requests wait, yet none has come or ended for {span}: something stands still"
        )
