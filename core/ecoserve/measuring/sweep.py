"""A sweep over loads at an endpoint: so many requests in flight, of one length, held for a while.

The loop is closed: a finished request is replaced at once, so the number in flight is what was asked for. A first
wave warms up and is not counted. Prompts are random words, so that no prefix is met twice.
"""

import asyncio
import math
import random
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any

import httpx

from ecoserve.catalog import MeasuredPoint
from ecoserve.errors import InvalidInputError, MeasurementError
from ecoserve.measuring.endpoint import Endpoint, ExtensionsRefusedError, Timing, connected, stream_completion
from ecoserve.measuring.power import PrometheusPower

_WORDS = ["time", "year", "people", "way", "day", "man", "thing", "woman", "life", "child", "world", "school", "state", "family", "student", "group", "country", "problem", "hand", "part", "place", "case", "week", "company", "system", "program", "question", "work", "government"]  # fmt: skip
_ROUNDS = 3
_LEAST_TOKENS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """`concurrency` requests in flight for at least `seconds` and three rounds."""

    input_tokens: int
    output_tokens: int
    concurrency: int
    seconds: float = 10.0

    def __post_init__(self) -> None:
        for option, value, least in (
            ("--input", self.input_tokens, 1),
            ("--output-tokens", self.output_tokens, _LEAST_TOKENS),
            ("--concurrency", self.concurrency, 1),
        ):
            if value < least:
                raise InvalidInputError(option, value, f"{least} or more")
        if not 0 <= self.seconds < math.inf:
            raise InvalidInputError("--hold-seconds", self.seconds, "seconds, zero or more")


@dataclass(slots=True)
class _Window:
    """What has come back while a load is held."""

    load: Load
    started: float
    closed: float = math.inf
    timings: list[Timing] = field(default_factory=list)

    @property
    def open(self) -> bool:
        return math.isinf(self.closed)

    def add(self, timing: Timing) -> None:
        self.timings.append(timing)
        held = timing.last - self.started >= self.load.seconds
        if self.open and held and len(self.timings) >= _ROUNDS * self.load.concurrency:
            self.closed = time.perf_counter()


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A point for each load. Unless `tokens_reported`, words count as tokens of prompts and chunks as those of answers."""

    points: tuple[MeasuredPoint, ...]
    tokens_reported: bool


async def measure(
    endpoint: Endpoint,
    loads: Sequence[Load],
    power: PrometheusPower | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Measured:
    """Measure every load in turn; raises MeasurementError at the first that can't be."""
    if power is not None:
        await power.check()
    points: list[MeasuredPoint] = []
    async with connected(endpoint) as client:
        dialect, first = await _first_words(client, endpoint, loads[0])
        words_per_token = loads[0].input_tokens / first.input_tokens
        for done, load in enumerate(loads, start=1):
            points.append(await _hold(client, dialect, load, words_per_token, power))
            if progress is not None:
                progress(done, len(loads))
    return Measured(points=tuple(points), tokens_reported=first.reported)


async def _first_words(client: httpx.AsyncClient, endpoint: Endpoint, load: Load) -> tuple[Endpoint, Timing]:
    """Learn what the server understands, and how it counts a prompt of so many words."""
    prompt = _prompt(load.input_tokens)
    try:
        timing = await stream_completion(client, endpoint, prompt, _LEAST_TOKENS)
    except ExtensionsRefusedError:
        endpoint = replace(endpoint, extensions=False)
        timing = await stream_completion(client, endpoint, prompt, _LEAST_TOKENS)
    return endpoint, timing


async def _hold(
    client: httpx.AsyncClient,
    endpoint: Endpoint,
    load: Load,
    words_per_token: float,
    power: PrometheusPower | None,
) -> MeasuredPoint:
    words = max(round(load.input_tokens * words_per_token), 1)

    async def request() -> Timing:
        return await stream_completion(client, endpoint, _prompt(words), load.output_tokens)

    async def worker(window: _Window) -> None:
        while window.open:
            window.add(await request())

    await _together(request() for _ in range(load.concurrency))
    wall, window = time.time(), _Window(load=load, started=time.perf_counter())
    await _together(worker(window) for _ in range(load.concurrency))
    counted = [timing for timing in window.timings if timing.last <= window.closed]
    if min(timing.output_tokens for timing in counted) < _LEAST_TOKENS:
        raise MeasurementError(f"{endpoint.completions_url} ends answers after one token: there is no TPOT")
    seconds = window.closed - window.started
    tokens = sum(timing.tokens_between(window.started, window.closed) for timing in window.timings)
    return MeasuredPoint(
        input_tokens=fmean(timing.input_tokens for timing in counted),
        output_tokens=fmean(timing.output_tokens for timing in counted),
        batch=float(load.concurrency),
        ttft_seconds=fmean(timing.ttft_seconds for timing in counted),
        tpot_seconds=fmean(timing.tpot_seconds for timing in counted),
        output_tokens_per_second=tokens / seconds,
        power_watts=None if power is None else await power.mean_watts(wall, wall + seconds),
    )


async def _together(coroutines: Iterable[Coroutine[Any, Any, Any]]) -> None:
    """Run all; the first error ends the others and is raised by itself."""
    try:
        async with asyncio.TaskGroup() as group:
            for coroutine in coroutines:
                group.create_task(coroutine)
    except* MeasurementError as errors:
        raise errors.exceptions[0] from None


def _prompt(words: int) -> str:
    return " ".join(random.choices(_WORDS, k=words))  # noqa: S311  # prompts need no cryptographic randomness
