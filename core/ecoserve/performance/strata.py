"""Shares of a stream's requests as they are in the long run: each weighs as much as the state it met is common.

What share meets an objective depends above all on how often a replica is how busy, and a stream that can be simulated
shows that with much chance: where a change of the batch all but brings itself about, a hundred thousand requests are a few dozen
independent pieces. So a coarse replica is fed with the same gaps: one number, how many requests are beside each other, which a block
of arrivals lifts, the more the longer their prefills hold up who decodes, and which the time of the block lowers by as many as leave then. Kept on a grid it is
a Markov chain whose long-run shares of time are solved for. Requests are sorted into strata by the state half a stay after
they came, and each stratum weighs what it does in the long run, not in the stream (post-stratification). That holds however wrong
the coarse replica is: the worse, the less chance it takes away.
"""

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecoserve.performance.engine import Role
from ecoserve.performance.lockstep import Integers
from ecoserve.performance.step_table import Floats
from ecoserve.performance.work import Work

_STATES = 96  # more, and BLAS solves for the law on several threads, which cost more than they bring
_BLOCKS_PER_STAY, _BLOCKS_PER_MEMORY = 4.0, 64.0
_REACH = 5.0  # scatters of a memory's arrivals, to either side of the batch without scatter
_LAW_NODES = 1024
_LAW_REACH = 12.0
_TINY = 1e-300
_EDGES = np.array([0.02, 0.05, *np.arange(1, 10) / 10, 0.95, 0.98, 0.99])  # of strata, as shares of time


@dataclass(frozen=True, slots=True, kw_only=True)
class Strata:
    """The coarse replica at a rate.

    `block` arrivals lift the state by `rise[state]`; each mean time of a block lowers it by `fall[state]`. `beside[state]` requests are
    beside each other in it, for a share `law[state]` of time. `stratum[state]` is where
    requests belong that are in that state `lag` arrivals after their own, and `often[stratum]` the share of time spent there.
    """

    block: int
    rise: Floats
    fall: Floats
    beside: Integers
    law: Floats
    lag: int
    stratum: Integers
    often: Floats

    def starts(self, lanes: int) -> Integers:
        """States for an even number of lanes to begin in, together as often as in the long run; those of the second half are opposite."""
        low = (np.arange(lanes // 2) + 0.5) / lanes
        return np.searchsorted(np.cumsum(self.law), np.concatenate([low, 1.0 - low])).clip(0, _STATES - 1)

    def of(self, gaps: Floats, starts: Integers, first: int, requests: int) -> Integers:
        """Return the strata of `requests` requests of each lane from the `first` on; a row of `gaps`, of mean 1, per lane."""
        lanes, blocks = len(gaps), gaps.shape[1] // self.block
        times = gaps[:, : blocks * self.block].reshape(lanes, blocks, self.block).mean(axis=2)
        state = starts
        states = np.empty((lanes, blocks), np.int64)
        for index in range(blocks):
            moved = np.rint(state + self.rise[state] - self.fall[state] * times[:, index])
            state = np.clip(moved, 0, _STATES - 1).astype(np.int64)
            states[:, index] = state
        met = np.minimum((first + self.lag + np.arange(requests)) // self.block, blocks - 1)
        return np.asarray(self.stratum[states][:, met])


@dataclass(frozen=True, slots=True, eq=False)
class Weighing:
    """Requests, a row per lane, with their strata, and how often each stratum is met in the long run."""

    stratum: Integers
    often: Floats

    def share(self, met: NDArray[np.bool_]) -> float:
        """The share of requests that met something."""
        seen, within = self._counted(met)
        return self._weighed(seen.sum(axis=0), within.sum(axis=0))

    def error(self, met: NDArray[np.bool_]) -> float:
        """Standard error of a share, by the jackknife: how much it changes without a lane.

        The scatter within strata is no measure of it: a busy stratum that one lane alone has seen scatters little, and the
        share rests on that lane.
        """
        seen, within = self._counted(met)
        seen, within = seen.sum(axis=0) - seen, within.sum(axis=0) - within
        without = (within / np.maximum(seen, 1)) @ self.often
        for lane in np.flatnonzero((seen == 0).any(axis=1)):
            without[lane] = self._weighed(seen[lane], within[lane])
        lanes = len(without)
        return float(without.std() * (lanes - 1.0) ** 0.5)

    def _counted(self, met: NDArray[np.bool_]) -> tuple[Floats, Floats]:
        """How many requests each lane has in each stratum, and how many of them met it."""
        lanes, strata = len(met), len(self.often)
        place = (self.stratum + strata * np.arange(lanes)[:, None]).ravel()
        counts = (np.bincount(place, weights, lanes * strata) for weights in (None, met.ravel()))
        seen, within = (count.astype(float).reshape(lanes, strata) for count in counts)
        return seen, within

    def _weighed(self, seen: Floats, within: Floats) -> float:
        """The share; a stratum that no request fell into is like the nearest that some fell into."""
        strata, some = np.arange(len(seen)), seen > 0
        return min(float(self.often @ np.interp(strata, strata[some], within[some] / seen[some])), 1.0)


def strata_of(work: Work, requests_per_second: float, arrival_cv: float, memory: float) -> Strata:
    """Return the strata of a replica that forgets in `memory` requests how it was; `arrival_cv` is above 0."""
    batch = work.batch_at(requests_per_second)
    block = max(int(max(batch / _BLOCKS_PER_STAY, memory / _BLOCKS_PER_MEMORY)), 1)
    reach = _REACH * (max(arrival_cv, 1.0) * memory**0.5 + 1.0)
    beside = np.linspace(max(batch - reach, 0.0), batch + reach, _STATES)
    spacing = beside[1] - beside[0]
    leave, come = _flows(work, requests_per_second, beside)
    rise, fall = come * block / spacing, leave * block / spacing
    often = _long_run(rise, fall, _law(block, arrival_cv))
    stratum = np.searchsorted(_EDGES, np.cumsum(often) - often / 2.0)
    return Strata(
        block=block,
        rise=rise,
        fall=fall,
        beside=np.rint(beside).astype(np.int64),
        law=often,
        lag=int(batch / 2.0),
        stratum=stratum,
        often=np.bincount(stratum, weights=often, minlength=len(_EDGES) + 1).astype(float),
    )


def _flows(work: Work, requests_per_second: float, beside: Floats) -> tuple[Floats, Floats]:
    """How many leave in the mean time between two arrivals, and how many are beside each other for one that arrives.

    The first is for a time that all goes to decoding. The prefill of each arrival takes of that time, so that as many fewer leave
    and bursts lift the state by more than their number. Who waits for a slot takes nothing yet.
    """
    if work.role is Role.PREFILL:
        return np.full(len(beside), work.saturation / requests_per_second), np.ones(len(beside))
    prefill = work.prefill_seconds * (work.role is Role.BOTH)
    alone = np.append(0.0, np.arange(1, work.slots + 1) / (work.decode_steps * work.step_seconds))
    decode = np.interp(beside, np.arange(work.slots + 1), alone)
    held = 1.0 + prefill * decode
    full = beside >= work.slots
    return np.where(full, decode / held, decode) / requests_per_second, np.where(full, 1.0, held)


@functools.lru_cache(maxsize=256)
def _law(block: int, arrival_cv: float) -> tuple[Floats, Floats]:
    """Times of a block of arrivals, in its mean time, and the probability that it takes at least so long.

    The time is gamma-distributed. Below a shape of 1 its density has no bound at 0, that of time to the power of the shape has.
    """
    shape = block / arrival_cv**2
    power = min(shape, 1.0)
    longest = 1.0 + _LAW_REACH / shape**0.5 + _LAW_REACH / shape
    nodes = np.linspace(0.0, longest**power, _LAW_NODES)
    times = nodes ** (1.0 / power)
    logs = (shape / power - 1.0) * np.log(np.maximum(nodes, _TINY)) - shape * times
    density = np.exp(logs - logs.max())
    less = np.append(0.0, np.cumsum(density[1:] + density[:-1]))
    return times, 1.0 - less / less[-1]


def _long_run(rise: Floats, fall: Floats, law: tuple[Floats, Floats]) -> Floats:
    """Shares of time of the chain whose next state is round(state + rise − fall·time), kept on the grid."""
    states = np.arange(_STATES)
    # Below an edge is next who takes at least (state + rise − edge) / fall.
    least = ((states + rise)[:, None] - (states[1:] - 0.5)) / np.maximum(fall, 1e-9)[:, None]
    moves = np.diff(np.interp(least, *law, left=1.0, right=0.0), axis=1, prepend=0.0, append=1.0)
    balance = moves.T - np.eye(_STATES)
    balance[-1] = 1.0
    often = np.maximum(np.linalg.solve(balance, np.eye(_STATES)[-1]), 0.0)
    return np.asarray(often / often.sum())
