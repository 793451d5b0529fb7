"""Measured profiles looked up: a measured load as it is, one between measured loads interpolated, none beyond.

Loads lie on lines of one prompt and answer length over the batch, and lines on a grid of lengths. Between points of
a line figures are interpolated in the logarithms of both; between lines in the logarithms of the lengths, where all
four corners around the load are measured at its batch. Lengths within 2 % are taken for the same: benchmarks draw them.
"""

import functools
import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from statistics import fmean, median

from ecoserve.catalog import MeasuredPoint, MeasuredProfile, ModelArchitecture
from ecoserve.performance.engine import Engine

_SAME = 0.02
_SIXTEEN_BIT = ("bf16", "fp16")
REPEATED = 0.03
"""Relative difference between two runs of the same load, an assumption."""
_INTERPOLATED = 0.1
"""The same of interpolation where a profile has too few points to tell by leaving one out."""
_LEAST_LEFT_OUT = 3


class Source(StrEnum):
    """Where a figure is from."""

    MEASURED = "measured"
    INTERPOLATED = "interpolated"
    MODELLED = "modelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What is known of a load from measurements; None for what was not measured."""

    source: Source
    tpot_seconds: float
    ttft_seconds: float | None
    output_tokens_per_second: float | None
    power_watts: float | None


def profile_of(engine: Engine) -> MeasuredProfile | None:
    """Return the profile measured on such an engine: same shape, precision and share of the node."""
    for profile in engine.instance.measured:
        if not same_shape(profile.model, engine.model) or not _same_precision(profile, engine.precision):
            continue
        on_cpu = engine.on_cpu and profile.vcpus == round(engine.cpu_cores)
        if on_cpu or (
            not engine.on_cpu and profile.tensor_parallel == engine.tensor_parallel == engine.devices
        ):
            return profile
    return None


def same_shape(one: ModelArchitecture, other: ModelArchitecture) -> bool:
    """Tell whether two models differ by name alone: fine-tunings of a model serve alike."""
    return replace(one, name="", native_precision="bf16") == replace(other, name="", native_precision="bf16")


def figures_at(
    profile: MeasuredProfile, input_tokens: float, output_tokens: float, batch: float
) -> Figures | None:
    """Return what the profile tells of a load, or None where it lies outside of what was measured."""
    lines = _lines(profile)
    for (inputs, outputs), line in lines.items():
        if _same(inputs, input_tokens) and _same(outputs, output_tokens):
            return _along(line, batch)
    corners = []
    for inputs, input_share in _around({key[0] for key in lines}, input_tokens):
        for outputs, output_share in _around({key[1] for key in lines}, output_tokens):
            line = lines.get((inputs, outputs), ())
            found = _along(line, batch)
            if found is None:
                return None
            corners.append((found, input_share * output_share))
    return _mixed(corners) if corners else None


@functools.lru_cache(maxsize=256)
def interpolation_error(profile: MeasuredProfile) -> float:
    """Median relative error of TPOT when each inner point of a line is left out and interpolated."""
    errors = []
    for line in _lines(profile).values():
        for left, point, right in zip(line, line[1:], line[2:], strict=False):
            found = _along((left, right), point.batch)
            if found is not None:
                errors.append(abs(found.tpot_seconds / point.tpot_seconds - 1.0))
    return max(median(errors), REPEATED) if len(errors) >= _LEAST_LEFT_OUT else _INTERPOLATED


Line = tuple[MeasuredPoint, ...]


@functools.lru_cache(maxsize=256)
def _lines(profile: MeasuredProfile) -> dict[tuple[float, float], Line]:
    """Points by prompt and answer length, each line by batch; repeated loads are averaged."""
    inputs = _clusters(point.input_tokens for point in profile.points)
    outputs = _clusters(point.output_tokens for point in profile.points)
    lines: dict[tuple[float, float], list[MeasuredPoint]] = {}
    for point in sorted(profile.points, key=lambda item: item.batch):
        line = lines.setdefault((inputs[point.input_tokens], outputs[point.output_tokens]), [])
        if line and _same(line[-1].batch, point.batch):
            line[-1] = _average(line[-1], point)
        else:
            line.append(point)
    return {key: tuple(line) for key, line in lines.items()}


def _clusters(values: Iterable[float]) -> dict[float, float]:
    """Map each length to the mean of those it is taken for the same as."""
    groups: list[list[float]] = []
    for value in sorted(set(values)):
        if groups and _same(groups[-1][0], value):
            groups[-1].append(value)
        else:
            groups.append([value])
    return {value: fmean(group) for group in groups for value in group}


def _around(known: set[float], value: float) -> list[tuple[float, float]]:
    """Return the known lengths next to a value with their shares; nothing where it lies outside."""
    same = [item for item in known if _same(item, value)]
    if same:
        return [(same[0], 1.0)]
    below, above = [item for item in known if item < value], [item for item in known if item > value]
    if not below or not above:
        return []
    low, high = max(below), min(above)
    share = math.log(value / low) / math.log(high / low)
    return [(low, 1.0 - share), (high, share)]


def _along(line: Sequence[MeasuredPoint], batch: float) -> Figures | None:
    for point in line:
        if _same(point.batch, batch):
            return _figures(point, Source.MEASURED)
    for left, right in itertools.pairwise(line):
        if left.batch < batch < right.batch:
            share = math.log(batch / left.batch) / math.log(right.batch / left.batch)
            ends = (
                (_figures(left, Source.INTERPOLATED), 1.0 - share),
                (_figures(right, Source.INTERPOLATED), share),
            )
            return _mixed(ends)
    return None


def _figures(point: MeasuredPoint, source: Source) -> Figures:
    return Figures(
        source=source,
        tpot_seconds=point.tpot_seconds,
        ttft_seconds=point.ttft_seconds,
        output_tokens_per_second=point.output_tokens_per_second,
        power_watts=point.power_watts,
    )


def _mixed(parts: Sequence[tuple[Figures, float]]) -> Figures:
    """Return the geometric mean by share; a figure that one part lacks is lacking."""

    def mean(values: Sequence[float | None]) -> float | None:
        if any(value is None for value in values):
            return None
        return math.exp(
            sum(share * math.log(value or 1.0) for value, (_, share) in zip(values, parts, strict=True))
        )

    return Figures(
        source=parts[0][0].source if len(parts) == 1 else Source.INTERPOLATED,
        tpot_seconds=mean([part.tpot_seconds for part, _ in parts]) or 0.0,
        ttft_seconds=mean([part.ttft_seconds for part, _ in parts]),
        output_tokens_per_second=mean([part.output_tokens_per_second for part, _ in parts]),
        power_watts=mean([part.power_watts for part, _ in parts]),
    )


def _average(one: MeasuredPoint, other: MeasuredPoint) -> MeasuredPoint:
    def mean(left: float | None, right: float | None) -> float | None:
        return left if right is None else right if left is None else (left + right) / 2.0

    return replace(
        one,
        tpot_seconds=(one.tpot_seconds + other.tpot_seconds) / 2.0,
        ttft_seconds=mean(one.ttft_seconds, other.ttft_seconds),
        output_tokens_per_second=mean(one.output_tokens_per_second, other.output_tokens_per_second),
        power_watts=mean(one.power_watts, other.power_watts),
    )


def _same(one: float, other: float) -> bool:
    return abs(one - other) <= _SAME * max(one, other)


def _same_precision(profile: MeasuredProfile, precision: str) -> bool:
    alike = profile.precision in _SIXTEEN_BIT and precision in _SIXTEEN_BIT
    return alike or profile.precision == precision
