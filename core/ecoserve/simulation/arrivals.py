"""Requests as they arrive: gaps between arrivals that are as even or as bursty as asked for, and lengths that scatter.

Gaps follow a gamma distribution with a coefficient of variation: 1 is Poisson, above 1 requests come in bursts,
below 1 they are spaced out. Lengths are drawn from joint buckets; within a bucket they may scatter by a lognormal
distribution with its own coefficient of variation, the mean kept.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecoserve.errors import InvalidInputError
from ecoserve.workload.lengths import LengthBucket

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """Requests in order of arrival: times in seconds from the start, tokens in and out."""

    arrival_seconds: Floats
    input_tokens: Integers
    output_tokens: Integers

    def __len__(self) -> int:
        return len(self.arrival_seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """A stationary stream of requests.

    Raises InvalidInputError where the rate isn't above zero, or a coefficient of variation is negative.
    """

    requests_per_second: float
    buckets: tuple[LengthBucket, ...]
    arrival_cv: float = 1.0
    length_cv: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.requests_per_second < math.inf:
            raise InvalidInputError("requestsPerSecond", self.requests_per_second, "a rate above zero")
        for field, value in (("arrivalCv", self.arrival_cv), ("lengthCv", self.length_cv)):
            if not 0 <= value < math.inf:
                raise InvalidInputError(field, value, "a coefficient of variation of 0 or more")

    def draw(self, count: int, rng: np.random.Generator) -> Requests:
        """Draw `count` requests; the same generator state gives the same requests."""
        mean_gap = 1.0 / self.requests_per_second
        if self.arrival_cv == 0.0:
            gaps = np.full(count, mean_gap)
        else:
            shape = 1.0 / self.arrival_cv**2
            gaps = rng.gamma(shape, mean_gap / shape, count)
        shares = np.array([bucket.share for bucket in self.buckets])
        chosen = rng.choice(len(self.buckets), size=count, p=shares / shares.sum())
        inputs = np.array([bucket.input_tokens for bucket in self.buckets])[chosen]
        outputs = np.array([bucket.output_tokens for bucket in self.buckets])[chosen]
        return Requests(
            arrival_seconds=np.cumsum(gaps),
            input_tokens=self._scattered(inputs, rng),
            output_tokens=self._scattered(outputs, rng),
        )

    def _scattered(self, means: Floats, rng: np.random.Generator) -> Integers:
        tokens = means
        if self.length_cv > 0.0:
            sigma = math.sqrt(math.log1p(self.length_cv**2))
            tokens = means * rng.lognormal(-(sigma**2) / 2.0, sigma, len(means))
        return np.maximum(np.rint(tokens), 1.0).astype(np.int64)
