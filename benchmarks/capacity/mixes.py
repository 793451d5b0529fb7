"""Replicas that serve other lengths than their capacity was found for.

A distribution's lengths in its mix, as plans let them, at the rate that the capacities of its buckets add up to; lengths
that scatter around the one a replica was sized for; and the very lengths of a trace, on replicas sized for the buckets
that a histogram of them gives.
"""

import csv
import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from grid import MODELS, named, smallest
from numpy.typing import NDArray

from ecoserve.catalog import load_catalog
from ecoserve.performance import Engine, ReplicaCapacity, Slo, replica_capacity
from ecoserve.simulation.arrivals import Requests, Stream
from ecoserve.simulation.attainment import Share, replay
from ecoserve.workload.histograms import length_buckets, marginal
from ecoserve.workload.lengths import LengthBucket, length_distribution, single_length

DISTRIBUTIONS = ("azure-conversation-2023", "azure-code-2023")
TRACES = {
    "conversation": "AzureLLMInferenceTrace_conv.csv",
    "code": "AzureLLMInferenceTrace_code.csv",
}
ON = (MODELS[0], "p4de.24xlarge"), (MODELS[0], "p5.48xlarge"), (MODELS[2], "p5.48xlarge")
SLO = Slo(ttft_seconds=2.0, tpot_seconds=0.1, percentile=90.0)
SCATTERS = (0.25, 0.5, 1.0)
_BOUNDS = tuple(float(digit * 10**power) for power in range(5) for digit in (1, 2, 5))  # of vLLM's histograms
_BISECTIONS = 6
_LEAST_FACTOR = 0.5
_WARM_UP = 0.1

Lengths = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixed:
    """A replica at a capacity that was found for other lengths than it serves.

    `lengths` are tokens in and out, one row per request, to draw from; without them the buckets' own scatter by `length_cv`.
    """

    engine: Engine
    name: str
    buckets: tuple[LengthBucket, ...]
    length_cv: float = 0.0
    lengths: Lengths | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MixedOutcome:
    """What it attained at the rate of its capacity, and the highest share of that rate which holds the objective, 1 at most."""

    mixed: Mixed
    on: str
    met: Share
    holds: float


def mixes(traces: Path | None) -> Iterator[Mixed]:
    """All of them; a trace's own lengths where there is a folder of traces."""
    catalog = load_catalog()
    for model, instance in ON:
        engine = smallest(catalog, model, instance)
        assert engine is not None
        for name in DISTRIBUTIONS:
            yield Mixed(engine=engine, name=f"{name}, in buckets", buckets=length_distribution(name))
        for scatter in SCATTERS:
            name = f"1000 in 250 out ± {scatter:.0%}"
            yield Mixed(engine=engine, name=name, buckets=single_length(1000, 250), length_cv=scatter)
        for name, file in TRACES.items() if traces else ():
            lengths = _lengths(traces / file)
            buckets = _from_histograms(lengths)
            inside = (
                _scatter(lengths[:, 0], buckets, "input_tokens"),
                _scatter(lengths[:, 1], buckets, "output_tokens"),
            )
            yield Mixed(
                engine=engine,
                name=f"the trace's own: {name} 2023 (in a bucket ± {inside[0]:.0%} in, ± {inside[1]:.0%} out)",
                buckets=buckets,
                lengths=lengths,
            )


def checked_mix(mixed: Mixed, requests: int) -> MixedOutcome:
    """Simulate a replica at the rate that the capacities of its buckets add up to; a bucket nothing can serve is left out."""
    pairs = [
        (bucket, found)
        for bucket in mixed.buckets
        if isinstance(
            found := replica_capacity(mixed.engine, bucket.input_tokens, bucket.output_tokens, SLO),
            ReplicaCapacity,
        )
    ]
    shares = sum(bucket.share for bucket, _ in pairs)
    rate = shares / sum(bucket.share / found.max_requests_per_second for bucket, found in pairs)
    served = replace(mixed, buckets=tuple(bucket for bucket, _ in pairs))
    met = _met(served, rate, requests)
    low, high = (_LEAST_FACTOR, 1.0) if met.share < SLO.percentile / 100.0 else (1.0, 1.0)
    for _ in range(_BISECTIONS * (high > low)):
        middle = (low + high) / 2.0
        holds = _met(served, rate * middle, requests).share >= SLO.percentile / 100.0
        low, high = (middle, high) if holds else (low, middle)
    return MixedOutcome(mixed=mixed, on=named(mixed.engine), met=met, holds=low)


def _met(mixed: Mixed, rate: float, requests: int) -> Share:
    """The share that meets both times in a stream whose sample has exactly its rate: chance in how many come is left out."""
    rng = np.random.default_rng(1)
    stream = Stream(requests_per_second=rate, buckets=mixed.buckets, length_cv=mixed.length_cv)
    drawn = stream.draw(requests, rng)
    exact = requests / rate / drawn.arrival_seconds[-1]
    drawn = replace(drawn, arrival_seconds=drawn.arrival_seconds * exact)
    if mixed.lengths is not None:
        tokens = rng.choice(mixed.lengths, size=requests)
        drawn = Requests(
            arrival_seconds=drawn.arrival_seconds, input_tokens=tokens[:, 0], output_tokens=tokens[:, 1]
        )
    return replay(mixed.engine, drawn, warm_up=_WARM_UP).attainment(SLO).both


def _lengths(trace: Path) -> Lengths:
    with trace.open(encoding="utf-8") as file:
        rows = [(int(row["ContextTokens"]), int(row["GeneratedTokens"])) for row in csv.DictReader(file)]
    return np.maximum(np.array(rows), 1)


def _from_histograms(lengths: Lengths) -> tuple[LengthBucket, ...]:
    """The buckets that a plan would make of vLLM's histograms of these lengths."""
    sides = []
    for tokens in lengths.T:
        up_to = {bound: float((tokens <= bound).sum()) for bound in (*_BOUNDS, np.inf)}
        side = marginal(up_to, float(tokens.mean()), "lengths")
        assert side is not None
        sides.append(side)
    return length_buckets(*sides)


def _scatter(tokens: Lengths, buckets: tuple[LengthBucket, ...], side: str) -> float:
    """Coefficient of variation of the lengths that one bucket stands for, over all requests (root mean square)."""
    shares: dict[float, float] = defaultdict(float)
    for bucket in buckets:
        shares[getattr(bucket, side)] += bucket.share
    ends = np.rint(np.cumsum([shares[mean] for mean in sorted(shares)])[:-1] * len(tokens)).astype(int)
    parts = np.split(np.sort(tokens), ends)
    return math.sqrt(
        sum(part.var() / part.mean() ** 2 * len(part) for part in parts if len(part)) / len(tokens)
    )
