"""What load does to requests: the distributions of TTFT and TPOT of a replica at a request rate.

n requests in decode share the engine with the prefills of those that follow them. By Little's law as many prompts
interrupt a stay as requests run beside it, so with steps of d(n), M steps and prefills of p seconds

    TPOT(n) = d(n) + (n − a)·p / M,        requests leave at n / (M·TPOT(n)).

With arrivals at rate λ the number in decode is a birth-and-death process. Bursts, and prefills that hold up all
that decode, make it scatter K times as much as Poisson arrivals would:

    π(n) / π(n−1) = (λ·M·TPOT(n) / n)^(1/K)

Where all slots are in use requests wait, and the ratio stays. A request sees TPOT(n) averaged over its stay, which
narrows the distribution around its mean. Its TTFT is the rest of the running step, the wait of a queue with fixed
service and gamma-distributed gaps (exponential beyond one service; the decay y solves E[e^(−yA)]·e^y = 1 for gaps A in
services), its own prefill, and the wait for a slot. Those who miss the TTFT and those who miss the TPOT are in part
the same requests.

The constants were fitted to simulations of random engines, lengths and rates by `benchmarks/capacity`.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ecoserve.performance.engine import Role
from ecoserve.performance.work import Work

Floats = NDArray[np.float64]

_LEAST_VARIATION = 0.1
"""Squared coefficient of variation below which arrivals are not taken to be more even: formulas divide by it."""
_STEP_PARTS = np.array([0.125, 0.375, 0.625, 0.875])
"""Parts of the running step that are left when a request arrives: four of equal weight."""
_NEVER = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadConstants:
    """The fitted constants."""

    own_prefill: float = 0.823
    """a in TPOT(n): a request's own prefill isn't in its TPOT, others that come with it are."""
    prefill_scatter: float = 1.352
    """How much prefills add to K, where a step grows with the batch."""
    prefill_scatter_less: float = 0.569
    """How much less of that where TPOT(n) grows by prefills rather than by the step."""
    burst_shift: float = 2.586
    """Requests by which the distribution is shifted per unit of K − 1, which keeps its mean where bursts skew it."""
    stay_variance: float = 0.591
    """Variance of the mean over a stay, as a share of that at a moment."""
    stay_variance_prefill: float = 0.476
    """What is added to it where TPOT(n) grows by prefills."""
    queue_level: float = 0.591
    """Where between the probability of waiting at all and 1 the exponential tail of the wait begins."""
    shared_steps: float = 0.529
    """How much longer the wait is where several prompts share a step and all get their token at its end."""
    slot_seen: float = 0.908
    """Exponent of the load by which arrivals find all slots taken more often than they are."""
    slot_drain: float = 5.927
    """How much faster the wait for slots ends than overflow at its mean rate would."""
    together: float = 2.7
    """Exponent by which missed TTFT and missed TPOT add up: 1 never the same requests, infinite always."""


FITTED = LoadConstants()


@dataclass(frozen=True)
class LoadedReplica:
    """A replica at a rate; all shares are of requests, 0 to 1. At or beyond saturation nothing is within any time."""

    work: Work
    requests_per_second: float
    arrival_cv: float = 1.0
    constants: LoadConstants = FITTED

    @property
    def load(self) -> float:
        """Rate over saturation."""
        return self.requests_per_second / self.work.saturation

    @property
    def stable(self) -> bool:
        """Whether queues stay finite."""
        return self.load < 1.0 - _NEVER

    @property
    def mean_batch(self) -> float:
        """Mean number in decode; in the role prefill the share of time it is busy."""
        if self.work.role is Role.PREFILL:
            return self.load
        number, waiting, _ = self._number
        return float(number @ np.arange(len(number))) + waiting * self.work.slots

    def within_tpot(self, seconds: float | Floats) -> Floats:
        """Share of requests whose mean time per output token is at most `seconds`."""
        limit = np.asarray(seconds, dtype=float)
        if self.work.role is Role.PREFILL or not self.stable:
            return np.full(limit.shape, 1.0 if self.stable else 0.0)
        tpot, seen, mean, narrow = self._stay
        inner = mean + (limit - mean) / narrow
        edges = np.append(tpot[:-1] + np.diff(tpot) / 2.0, tpot[-1] * (1.0 + _NEVER))
        share = np.interp(inner, np.append(tpot[0] * (1.0 - _NEVER), edges), np.append(0.0, np.cumsum(seen)))
        if self.work.role is Role.DECODE:  # who waits for a slot waits for the second token
            share = share * (1.0 - self._waits_for_slot(self._slot_slack(limit)))
        return np.asarray(share, dtype=float)

    def within_ttft(self, seconds: float | Floats) -> Floats:
        """Share of requests whose first token comes within `seconds`."""
        limit = np.asarray(seconds, dtype=float) - self.work.latency_seconds
        if self.work.role is Role.DECODE or not self.stable:
            return np.full(limit.shape, 1.0 if self.stable else 0.0)
        slack = limit[..., None] - self._own_seconds - (_STEP_PARTS - 0.5) * self._mean_step
        late = self._waits_for_prefill(slack).mean(axis=-1)
        if self.work.role is Role.BOTH:
            late = 1.0 - (1.0 - late) * (1.0 - self._waits_for_slot(limit - self._own_seconds))
        return np.asarray(1.0 - late, dtype=float)

    def within_both(self, ttft_seconds: float, tpot_seconds: float) -> float:
        """Share of requests that meet both times."""
        late = max(1.0 - float(self.within_ttft(ttft_seconds)), 0.0)
        slow = max(1.0 - float(self.within_tpot(tpot_seconds)), 0.0)
        k = self.constants.together
        return float(1.0 - min((late**k + slow**k) ** (1.0 / k), 1.0))

    def misses_slot(self, ttft_seconds: float, tpot_seconds: float) -> float:
        """Share of requests that miss a time because no slot is free."""
        work = self.work
        if work.role is Role.PREFILL or not self.stable:
            return 0.0
        if work.role is Role.DECODE:
            return float(self._waits_for_slot(np.asarray(self._slot_slack(tpot_seconds))))
        return float(
            self._waits_for_slot(np.asarray(ttft_seconds - work.latency_seconds - self._own_seconds))
        )

    @property
    def _variation(self) -> float:
        return max(self.arrival_cv**2, _LEAST_VARIATION)

    @cached_property
    def _tpot(self) -> tuple[Floats, Floats]:
        """TPOT by the number in decode, and the part of its growth over a lone request that prefills make."""
        work = self.work
        n = np.arange(1, work.slots + 1)
        prefill = np.maximum(n - self.constants.own_prefill, 0.0) * work.prefill_seconds / work.decode_steps
        tpot = work.step_seconds + prefill
        grown = np.maximum(tpot - tpot[0], 1e-12)
        return tpot, 1.0 - (work.step_seconds - work.step_seconds[0]) / grown

    @cached_property
    def _number(self) -> tuple[Floats, float, float]:
        """Probabilities of 0, 1, … `slots` in decode, that of requests waiting for a slot, and its decay per request."""
        work, c, variation = self.work, self.constants, self._variation
        n = np.arange(1, work.slots + 1)
        tpot, by_prefill = self._tpot
        # Over few arrivals gamma-distributed gaps show less than their variation (second moment of renewal counts).
        bursts = 1.0 + (variation - 1.0) * n / (n + max((variation + 1.0) / 6.0, 0.0) * (variation > 1.0))
        busy = self.requests_per_second * work.prefill_seconds
        weight = np.maximum(1.0 - c.prefill_scatter_less * by_prefill, 0.0)
        scatter = bursts * (
            1.0 + c.prefill_scatter * weight * busy / max(1.0 - busy, 0.01) * (1.0 - tpot[0] / tpot)
        )
        shifted = np.maximum(n + c.burst_shift * (scatter - 1.0), 0.5)
        demand = np.interp(shifted, n, self.requests_per_second * work.decode_steps * tpot)
        logs = np.concatenate([[0.0], np.cumsum(np.log(demand / np.minimum(shifted, work.slots)) / scatter)])
        number = np.exp(logs - logs.max())
        decay = math.log(max(self.load, _NEVER)) / variation
        waiting = float(number[-1]) / math.expm1(max(-decay, _NEVER))
        total = float(number.sum()) + waiting
        return number / total, waiting / total, decay

    @cached_property
    def _stay(self) -> tuple[Floats, Floats, float, float]:
        """TPOT by number in decode, its share of requests, the mean, and how much a stay's mean narrows it."""
        work, c = self.work, self.constants
        number, waiting, _ = self._number
        tpot, _ = self._tpot
        n = np.arange(1, work.slots + 1)
        seen = n / tpot * (number[1:] + np.where(n == work.slots, waiting, 0.0))
        seen = seen / seen.sum()
        mean = float(seen @ tpot)
        grown = max(mean - float(tpot[0]), 1e-12)
        by_prefill = 1.0 - (float(seen @ work.step_seconds) - float(work.step_seconds[0])) / grown
        return tpot, seen, mean, math.sqrt(c.stay_variance + c.stay_variance_prefill * by_prefill)

    @cached_property
    def _mean_step(self) -> float:
        return 0.0 if self.work.role is Role.PREFILL else self.work.step_at(max(self.mean_batch, 1.0))

    @property
    def _service_seconds(self) -> float:
        """Time by which a prompt keeps those behind it waiting: its prefill and its part of the steps it rides in."""
        return self.work.prefill_seconds + self.work.chunks * self._mean_step

    @property
    def _own_seconds(self) -> float:
        """TTFT without waiting and latency: half a running step, and the prefill in at least one step."""
        return self.work.prefill_seconds + (max(self.work.chunks, 1.0) + 0.5) * self._mean_step

    def _slot_slack(self, tpot_seconds: float | Floats) -> Floats:
        """In the role decode, how long a request may wait for a slot and still meet its TPOT."""
        return np.asarray((tpot_seconds - self._tpot[0][-1]) * self.work.decode_steps)

    def _waits_for_slot(self, slack: Floats) -> Floats:
        """Share of requests that wait longer than `slack` seconds for a slot; all that wait where it is negative."""
        _, waiting, decay = self._number
        found = waiting * self.load**-self.constants.slot_seen
        found = found / (found + 1.0 - waiting)
        drained = np.maximum(slack, 0.0) * self.work.saturation * self.constants.slot_drain
        return np.asarray(found * np.exp(decay * drained), dtype=float)

    def _waits_for_prefill(self, slack: Floats) -> Floats:
        """Share of requests that wait longer than `slack` seconds for their prefill to begin."""
        c, variation, service = self.constants, self._variation, self._service_seconds
        busy = min(self.requests_per_second * service, 0.999)
        decay = _queue_decay(busy, variation)
        # Spitzer's identity for the probability of waiting, as a power of the load.
        power = 2.0 / (1.0 + variation) * (1.0 - max(1.0 - 1.0 / variation, 0.0) * (0.33 - 0.25 * busy))
        waits = busy**power
        level = waits + c.queue_level * (1.0 - waits)
        services = slack / (service * (1.0 + c.shared_steps / (1.0 + self.work.chunks)))
        near = 1.0 - (1.0 - waits) * np.exp(busy * np.clip(services, 0.0, 1.0))
        far = np.minimum(level * np.exp(-decay * np.maximum(services, 1.0)), 1.0)
        return np.where(services < 0.0, 1.0, np.where(services < 1.0, near, far))


def _queue_decay(busy: float, variation: float) -> float:
    """Solve ln(1 + y·c²/busy) = y·c², the decay per service of the wait with gamma-distributed gaps, by Newton."""
    y = 2.0 * (1.0 - busy) / (variation * busy)
    while variation * y < math.log1p(variation * y / busy):
        y *= 2.0
    for _ in range(40):
        value = variation * y - math.log1p(variation * y / busy)
        slope = variation - variation / (busy + variation * y)
        new = y - value / slope
        if abs(new - y) <= 1e-9 * y:
            break
        y = new
    return y
