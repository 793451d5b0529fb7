"""Where the shares of rates that were run cross the target, and how sure that is."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

_NORMAL = NormalDist()
_AT_ONCE = 3  # rates that are run together
_LEAST_OF_MISSES = 0.1  # of those that may miss: a share nearer to all or none is taken to be there
CLEARLY = 3.0  # standard errors
_LONG_ENOUGH = 0.4  # of the most requests at a rate so far
NEAR = 0.7  # in normal deviates: shares further off say little of where the target is crossed
_STRAIGHT = 0.5  # in normal deviates: shares further off count little, as they need not be on a line
_LEAST_WEIGHT = 0.02
LEAST_SLOPE = 0.01


@dataclass(frozen=True, slots=True)
class Seen:
    """The share at a rate's logarithm, its standard error, of how many requests, of about how many independent pieces of streams.

    `long` tells whether lanes were long enough to forget how they began.
    """

    log: float
    share: float
    error: float
    requests: int
    pieces: float
    long: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """Logarithm of the rate where the target is crossed; how fast shares fall and their error there, in deviates."""

    log: float
    slope: float
    error: float


def crossing_of(seen: Sequence[Seen], target: float) -> Crossing:
    """Where a line through the shares near the target crosses it; shares as normal deviates, which bends them least.

    The nearer to the target, the more a share counts. Short streams leave warm-up in the share: they don't count beside
    long ones. Far from the target the last three are all there is. Wherever the line points, the crossing lies between rates that were clearly above the target and
    rates that were clearly below it.
    """
    least = _LEAST_OF_MISSES * (1.0 - target)
    shares = np.clip([item.share for item in seen], least, 1.0 - least)
    away = np.array([_NORMAL.inv_cdf(share) for share in shares]) - _NORMAL.inv_cdf(target)
    requests = np.array([item.requests for item in seen])
    near = np.flatnonzero((np.abs(away) <= NEAR) & (requests >= _LONG_ENOUGH * requests.max()))
    if len(near) < _AT_ONCE:
        near = np.arange(len(seen))[-_AT_ONCE:]
    away = away[near]
    logs, errors = (np.array([getattr(item, name) for item in seen])[near] for name in ("log", "error"))
    weights = requests[near] * np.maximum(np.exp(-((away / _STRAIGHT) ** 2)), _LEAST_WEIGHT)
    weights /= weights.sum()
    middle = float(weights @ logs)
    spread = float(weights @ (logs - middle) ** 2)
    slope = min(float(weights @ ((logs - middle) * away)) / spread, -LEAST_SLOPE)
    lower, upper = _bracket(seen, target)
    log = min(max(middle - float(weights @ away) / slope, lower), upper)
    each = float(weights**2 @ errors**2) / density(target) ** 2
    return Crossing(log=log, slope=-slope, error=math.sqrt(each * (1.0 + (log - middle) ** 2 / spread)))


def _bracket(seen: Sequence[Seen], target: float) -> tuple[float, float]:
    """The highest rate whose share is clearly above the target, and the lowest whose share is clearly below it.

    A stream that no long busy time came up in is no proof: it is as sure as its independent pieces are many, whatever its scatter.
    """
    lower, upper = -math.inf, math.inf
    for item in seen:
        unsure = CLEARLY * max(item.error, math.sqrt(target * (1.0 - target) / item.pieces))
        if item.share - unsure > target:
            lower = max(lower, item.log)
        elif item.share + unsure < target:
            upper = min(upper, item.log)
    return (lower, upper) if lower < upper else (-math.inf, math.inf)


def density(share: float) -> float:
    """How much of a share a normal deviate is worth."""
    return _NORMAL.pdf(_NORMAL.inv_cdf(share))
