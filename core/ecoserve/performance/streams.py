"""Streams of requests for lanes: gaps with a coefficient of variation, as little scattered as their law allows.

What is averaged over lanes depends above all on how many requests came, and where the rate moves the answer by more than the
answer may err, that must not be left to chance. So gaps come in pairs of opposite quantiles, and all lanes together have
exactly the rate asked for. The number within any stretch of a lane scatters as the law has it.
"""

import functools

import numpy as np

from ecoserve.performance.step_table import Floats

_SEED = 20_240_607
LEAST_CV = 0.05


@functools.lru_cache(maxsize=64)
def gaps(lanes: int, requests: int, arrival_cv: float, stream: int = 0) -> Floats:
    """Return gamma-distributed gaps of mean 1, one row per lane; `lanes` is even. The same for the same arguments.

    Those of another `stream` are independent.
    """
    if arrival_cv < LEAST_CV:
        return np.ones((lanes, requests))
    rng = np.random.default_rng((_SEED, stream))
    count = lanes * requests
    shape = 1.0 / arrival_cv**2
    in_order = np.sort(rng.gamma(shape, 1.0 / shape, count))
    low = rng.permutation(count // 2)
    rank = np.where(rng.random(count // 2) < 0.5, low, count - 1 - low)
    drawn = in_order[np.concatenate([rank, count - 1 - rank])].reshape(lanes, requests)
    return np.asarray(drawn / drawn.mean())


def arrivals(of: Floats, requests_per_second: float) -> Floats:
    """Return the times of arrival that gaps of mean 1 make at a rate."""
    return np.cumsum(of, axis=1) / requests_per_second
