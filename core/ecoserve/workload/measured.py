"""Measured load as it is planned for: in steps, raised at once, lowered when it has clearly fallen.

Every measurement differs from the last. Steps of five percent, and a band that is as wide as chance makes it, keep what
differs by chance from being another question to the planner.
"""

import math
from dataclasses import dataclass

from ecoserve.api.load import LoadStatus
from ecoserve.workload.lengths import LengthBucket

_STEP = 1.05
_BAND = 0.15
"""Load that has fallen by less than this is as it was."""
_DEVIATIONS = 6.0
"""Poisson arrivals scatter by one over the root of their number: three of those up and three down are a day's chance."""
_WIDEST_BAND = 0.75
"""A quarter of the load is less load, however few requests tell so."""
_NOTHING_PER_SECOND = 5e-4
"""Less than two requests an hour is no load."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredLoad:
    """What is planned for of one stream: requests/s, and lengths (none: as the spec says)."""

    requests_per_second: float
    buckets: tuple[LengthBucket, ...] = ()


def told_load(status: LoadStatus) -> MeasuredLoad:
    """Return the load that a serving's status tells of: what was planned for when it was last measured."""
    total = sum(each.share for each in status.lengths)
    buckets = tuple(
        LengthBucket(
            input_tokens=each.input_tokens, output_tokens=each.output_tokens, share=each.share / total
        )
        for each in status.lengths
    )
    return MeasuredLoad(requests_per_second=status.requests_per_second, buckets=buckets)


def settled(need_per_second: float, before_per_second: float | None, window_seconds: float) -> float:
    """Return the rate to plan for, given what is needed now and what was planned for before.

    It is at least what is needed, and at most a step above it when it has just been raised. `window_seconds` is what the
    rate was measured over, which tells how much of a difference can be chance.
    """
    if need_per_second < _NOTHING_PER_SECOND:
        need_per_second = 0.0
    if before_per_second is not None and need_per_second <= before_per_second:
        least = before_per_second / _STEP
        requests = least * window_seconds
        band = max(_BAND, min(_WIDEST_BAND, _DEVIATIONS / math.sqrt(requests))) if requests > 0 else _BAND
        if need_per_second >= least * (1.0 - band):
            return before_per_second
    return stepped_up(need_per_second)


def stepped_up(per_second: float) -> float:
    """Return the next step at or above a rate."""
    if per_second <= 0.0:
        return 0.0
    step = math.ceil(math.log(per_second) / math.log(_STEP) - 1e-4)
    return max(per_second, float(f"{_STEP**step:.6g}"))
