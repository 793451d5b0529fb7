"""A step model corrected by measurements of the very engine: measured step times inside, their ratio beyond.

A measured TPOT is the decode step and what prefills of other requests add to it; with the model's share of that
taken off, it is a step time at a batch and a context. Between measured batches and contexts step times are
interpolated in logarithms; outside of them the model's own is scaled by the ratio at the nearest measured point, so
that nothing jumps at the edge. Prefill is corrected by times to first token of lone requests (or of phases measured
apart), power by the ratio of what was drawn above idle to what the model says.
"""

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from ecoserve.catalog import MeasuredPoint, MeasuredProfile
from ecoserve.performance.engine import Engine, Rejection, engine_loaded_idle_watts

if TYPE_CHECKING:
    from ecoserve.performance.steps import Steps

_LONE = 1.5
"""Most requests in flight at which a time to first token holds no wait behind others."""
_LEAST_SHARE = 0.25
"""Least of a measured time that is left once the model's share of something else is taken off."""
_LEAST_DYNAMIC = 0.02


@dataclass(frozen=True, slots=True)
class Ratios:
    """Logarithms of ratios over the logarithm of some quantity: interpolated inside, the nearest outside."""

    at: tuple[float, ...] = ()
    values: tuple[float, ...] = ()

    def factor(self, value: float) -> float:
        """Return the ratio at a value; 1 where nothing was measured."""
        return math.exp(_interpolated(self.at, self.values, math.log(value))) if self.at else 1.0

    @property
    def mean_factor(self) -> float:
        """The geometric mean of all ratios."""
        return math.exp(fmean(self.values)) if self.values else 1.0


@dataclass(frozen=True, slots=True)
class StepLine:
    """Measured decode steps at one context: logarithms of batch and of seconds."""

    context_tokens: float
    batches: tuple[float, ...]
    seconds: tuple[float, ...]

    def decode_seconds(self, base: "Steps", batch: float) -> float:
        """Return the step time at this line's context."""
        nearest = min(max(batch, math.exp(self.batches[0])), math.exp(self.batches[-1]))
        measured = math.exp(_interpolated(self.batches, self.seconds, math.log(nearest)))
        if nearest == batch:
            return measured
        context = self.context_tokens
        return measured * base.decode_seconds(batch, context) / base.decode_seconds(nearest, context)


@dataclass(frozen=True, slots=True)
class ProfiledSteps:
    """Step times and power of an engine with measurements; what wasn't measured is the base's."""

    base: "Steps"
    lines: tuple[StepLine, ...]
    prefill: Ratios
    power: Ratios

    @property
    def kv_tokens(self) -> float:
        """Tokens of KV that fit; negative where not even the weights do."""
        return self.base.kv_tokens

    def sequences_held(self, context_tokens: float) -> float:
        """Sequences of that context whose KV fits."""
        return self.base.sequences_held(context_tokens)

    @property
    def max_batch(self) -> int:
        """Most sequences at once."""
        return self.base.max_batch

    @property
    def prefill_latency_seconds(self) -> float:
        """Waiting around a prefill that doesn't occupy the devices."""
        return self.base.prefill_latency_seconds

    def rejection(self) -> Rejection | None:
        """Why the engine can't run at all, or None."""
        return self.base.rejection()

    def prefill_seconds(self, tokens: float) -> float:
        """Time one prompt's prefill occupies the devices."""
        return self.prefill.factor(tokens) * self.base.prefill_seconds(tokens)

    def decode_seconds(self, batch: float, context_tokens: float) -> float:
        """Time of one decode step."""
        contexts = [line.context_tokens for line in self.lines]
        upper = bisect.bisect_left(contexts, context_tokens)
        if 0 < upper < len(self.lines):
            low, high = self.lines[upper - 1], self.lines[upper]
            share = math.log(context_tokens / low.context_tokens) / math.log(
                high.context_tokens / low.context_tokens
            )
            below, above = (line.decode_seconds(self.base, batch) for line in (low, high))
            return float(below ** (1.0 - share) * above**share)
        nearest = self.lines[min(upper, len(self.lines) - 1)]
        shift = self.base.decode_seconds(batch, context_tokens) / self.base.decode_seconds(
            batch, nearest.context_tokens
        )
        return nearest.decode_seconds(self.base, batch) * shift

    def interference_seconds(
        self, batch: float, context_tokens: float, tokens: float, prompts_per_step: float
    ) -> float:
        """Mean time per decode step that the prefills of `prompts_per_step` prompts of `tokens` tokens add."""
        added = self.base.interference_seconds(batch, context_tokens, tokens, prompts_per_step)
        return self.prefill.factor(tokens) * added

    def watts(self, batch: float, context_tokens: float, tokens: float, prompts_per_step: float) -> float:
        """Mean dynamic power of decode steps with so many prefills among them."""
        return self.power.factor(batch) * self.base.watts(batch, context_tokens, tokens, prompts_per_step)

    def prefill_watts(self) -> float:
        """Dynamic power during prefill."""
        return self.power.mean_factor * self.base.prefill_watts()

    def decode_watts(self, batch: float, context_tokens: float) -> float:
        """Dynamic power during a decode step."""
        return self.power.factor(batch) * self.base.decode_watts(batch, context_tokens)


def profiled(engine: Engine, base: "Steps", profile: MeasuredProfile) -> ProfiledSteps:
    """Return the step model of `engine` corrected by its profile."""
    prefill = _prefill_ratios(base, profile.points)
    return ProfiledSteps(
        base=base,
        lines=_step_lines(base, prefill, profile.points),
        prefill=prefill,
        power=_power_ratios(engine, base, profile.points),
    )


def _context(point: MeasuredPoint) -> float:
    return point.input_tokens + point.output_tokens / 2.0


def _prefill_ratios(base: "Steps", points: Sequence[MeasuredPoint]) -> Ratios:
    ratios: dict[float, list[float]] = {}
    for point in points:
        if point.ttft_seconds is None or not (point.phases_apart or point.batch <= _LONE):
            continue
        measured = point.ttft_seconds / point.batch
        if not point.phases_apart:
            waiting = base.prefill_latency_seconds
            measured = max(point.ttft_seconds - waiting, _LEAST_SHARE * point.ttft_seconds)
        ratio = measured / base.prefill_seconds(point.input_tokens)
        ratios.setdefault(math.log(point.input_tokens), []).append(math.log(ratio))
    return _ratios(ratios)


def _step_lines(base: "Steps", prefill: Ratios, points: Sequence[MeasuredPoint]) -> tuple[StepLine, ...]:
    by_context: dict[float, dict[float, list[float]]] = {}
    for point in points:
        context, added = _context(point), 0.0
        if not point.phases_apart and point.batch > 1.0:
            prompts = (
                point.batch - 1.0
            ) / point.output_tokens  # a request's own prefill is before its tokens
            added = base.interference_seconds(point.batch, context, point.input_tokens, prompts)
            added *= prefill.factor(point.input_tokens)
        step = max(point.tpot_seconds - added, _LEAST_SHARE * point.tpot_seconds)
        by_context.setdefault(context, {}).setdefault(math.log(point.batch), []).append(math.log(step))
    lines = []
    for context, steps in sorted(by_context.items()):
        batches, longest, seconds = sorted(steps), -math.inf, []
        for batch in batches:
            longest = max(longest, fmean(steps[batch]))  # noise aside, a step is no shorter with more to do
            seconds.append(longest)
        lines.append(StepLine(context_tokens=context, batches=tuple(batches), seconds=tuple(seconds)))
    return tuple(lines)


def _power_ratios(engine: Engine, base: "Steps", points: Sequence[MeasuredPoint]) -> Ratios:
    idle = _idle_watts(engine)
    ratios: dict[float, list[float]] = {}
    for point in points:
        if point.power_watts is None:
            continue
        prompts = point.batch / point.output_tokens
        modelled = base.watts(point.batch, _context(point), point.input_tokens, prompts)
        dynamic = max(point.power_watts - idle, _LEAST_DYNAMIC * point.power_watts)
        ratios.setdefault(math.log(point.batch), []).append(math.log(dynamic / modelled))
    return _ratios(ratios)


def _idle_watts(engine: Engine) -> float:
    """What a power meter sees of the engine's devices, or of all its host's sockets, when nothing runs."""
    if engine.on_cpu:
        return engine.instance.hardware_threads * engine.instance.cpu.min_watts_per_vcpu
    return engine.devices * engine.accelerator.idle_watts + engine_loaded_idle_watts(engine)


def _ratios(by_place: dict[float, list[float]]) -> Ratios:
    at = tuple(sorted(by_place))
    return Ratios(at=at, values=tuple(fmean(by_place[place]) for place in at))


def _interpolated(places: Sequence[float], values: Sequence[float], place: float) -> float:
    """Interpolate linearly; outside, the nearest value."""
    upper = bisect.bisect_left(places, place)
    if upper == 0:
        return values[0]
    if upper == len(places):
        return values[-1]
    share = (place - places[upper - 1]) / (places[upper] - places[upper - 1])
    return values[upper - 1] + share * (values[upper] - values[upper - 1])
