"""From histograms of token counts, as engines publish them, to the length buckets that the planner takes.

A histogram knows how many requests were no longer than each of its bounds, not how long they were, so each of its cells
is taken at its middle, and all are scaled so that their mean is the one that the histogram tells beside its cells. Input and
output lengths come as two histograms, never jointly; the buckets are the product of both, as if they were independent.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ecoserve.errors import InvalidInputError
from ecoserve.workload.lengths import LengthBucket

INPUT_GROUPS = 4
OUTPUT_GROUPS = 3
"""A dozen buckets: input lengths decide prefill and memory, and are spread wider than output lengths."""
_SHIFT_IN_MEAN = 0.15
_SHIFT_IN_SHARE = 0.15
_LONGEST = 10_000_000.0
"""More tokens than any request has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Marginal:
    """Lengths of one side of requests: cells of (tokens, share), ascending, whose shares sum to one."""

    cells: tuple[tuple[float, float], ...]

    @property
    def mean(self) -> float:
        """Mean tokens per request."""
        return sum(tokens * share for tokens, share in self.cells)

    def share_up_to(self, tokens: float) -> float:
        """The share of requests that are no longer than so many tokens."""
        return sum(share for length, share in self.cells if length <= tokens)


def marginal(rate_up_to: Mapping[float, float], mean: float | None, field: str) -> Marginal | None:
    """Read a histogram: requests/s by upper bound (infinity among them), cumulative, and the mean if it is told.

    None where there were no requests. Without any bounds all requests are of the mean. Raises InvalidInputError naming
    `field` where the figures contradict each other: a cumulative rate that falls, a bound or mean that no length can be.
    """
    if mean is not None and not 0 <= mean <= _LONGEST:
        raise InvalidInputError(f"{field} mean", mean, "a number of tokens")
    if not rate_up_to:
        return None if mean is None else Marginal(cells=((max(1.0, mean), 1.0),))
    bounds = sorted(rate_up_to)
    rates = [rate_up_to[bound] for bound in bounds]
    if any(math.isnan(bound) or bound < 0 for bound in bounds) or bounds[-1] != math.inf:
        raise InvalidInputError(f"{field} le", bounds[-1], "bounds of zero or more, the last of them +Inf")
    total = rates[-1]
    slack = 1e-6 * total  # rates are extrapolated one by one
    if (
        not math.isfinite(total)
        or rates[0] < 0
        or any(after < before - slack for before, after in pairwise(rates))
    ):
        raise InvalidInputError(f"{field} buckets", rates, "finite rates that do not fall as le rises")
    if total <= 0:
        return None
    lows = [0.0, *bounds[:-1]]
    cells = [
        (_middle(low, high), max(0.0, after - before) / total)
        for low, high, before, after in zip(lows, bounds, [0.0, *rates[:-1]], rates, strict=True)
    ]
    kept = [(tokens, share) for tokens, share in cells if share > 0]
    whole = sum(share for _, share in kept)
    found = Marginal(cells=tuple((tokens, share / whole) for tokens, share in kept))
    if mean is None or found.mean <= 0:
        return found
    scale = mean / found.mean
    return Marginal(cells=tuple((max(1.0, tokens * scale), share) for tokens, share in found.cells))


def length_buckets(inputs: Marginal, outputs: Marginal) -> tuple[LengthBucket, ...]:
    """Return the product of two marginals, each gathered into a few cells that keep its mean; shares sum to one."""
    return tuple(
        LengthBucket(input_tokens=tokens_in, output_tokens=tokens_out, share=share_in * share_out)
        for tokens_in, share_in in _gathered(inputs, INPUT_GROUPS)
        for tokens_out, share_out in _gathered(outputs, OUTPUT_GROUPS)
    )


def shifted(before: Marginal, after: Marginal) -> bool:
    """Whether lengths are others than before: their mean, or the share of requests below some length."""
    if abs(after.mean - before.mean) > _SHIFT_IN_MEAN * before.mean:
        return True
    lengths = {tokens for tokens, _ in (*before.cells, *after.cells)}
    return any(
        abs(_smooth_share(before, tokens) - _smooth_share(after, tokens)) > _SHIFT_IN_SHARE
        for tokens in lengths
    )


def _smooth_share(found: Marginal, tokens: float) -> float:
    """The share up to a length, each cell spread over a fifth about its middle, so that scaling moves it little."""
    total = 0.0
    for length, share in found.cells:
        low, high = 0.8 * length, 1.2 * length
        total += share * min(1.0, max(0.0, (tokens - low) / (high - low)))
    return total


def _middle(low: float, high: float) -> float:
    """The middle of a cell; the open one above all bounds is taken as half as long again as its bound."""
    return max(1.0, 1.5 * low if high == math.inf else (low + high) / 2)


def _gathered(found: Marginal, groups: int) -> Sequence[tuple[float, float]]:
    """Gather cells, ascending, into groups of about equal shares, each at its mean in whole tokens."""
    result: list[tuple[float, float]] = []
    tokens, share, passed = 0.0, 0.0, 0.0
    last = len(found.cells) - 1
    for index, (length, part) in enumerate(found.cells):
        tokens, share, passed = tokens + length * part, share + part, passed + part
        full = len(result) < groups - 1 and passed >= (len(result) + 1) / groups - 1e-9
        if index == last or full:
            result.append((float(max(1, round(tokens / share))), share))
            tokens, share = 0.0, 0.0
    return result
