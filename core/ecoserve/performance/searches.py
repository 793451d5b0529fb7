"""Many searches at once: they share pools of lanes, because an iteration over a thousand costs little more than one over a hundred."""

from collections import defaultdict
from collections.abc import Generator, Sequence

import numpy as np

from ecoserve.performance.lockstep import LanePool, Times
from ecoserve.performance.search import Asked, Case, Found, Told, search

_LANES_AT_ONCE = 3000  # more leave the processor's cache
_REQUESTS_AT_ONCE = 2_500_000  # some 150 MB
_REFILL_BELOW = 0.7  # of the lanes of a pool: others join when so many are left
_MOST_GROUPS = 8  # that a search asks for at once


def search_all(cases: Sequence[Case]) -> list[Found]:
    """Search all cases together; what is found of each does not depend on the others."""
    return _Searches(cases).found()


class _Searches:
    """Searches that share two pools of lanes, tight ones and others; as many are under way as keep the pools full.

    The longest begin first: at the end they would run alone.
    """

    def __init__(self, cases: Sequence[Case]) -> None:
        self._order = sorted(range(len(cases)), key=lambda place: -cases[place].memory)
        self._cases = [cases[place] for place in self._order]
        self._begun: list[Generator[Asked, Told, Found]] = []
        self._missing: list[int] = []  # by search: groups whose times aren't told yet
        self._told: list[list[Times | None]] = []
        self._found: dict[int, Found] = {}
        self._pools: dict[bool, LanePool] = defaultdict(LanePool)

    def found(self) -> list[Found]:
        """Search, and return what is found."""
        while len(self._found) < len(self._cases):
            self._begin()
            fullest = max(self._pools.values(), key=len)
            for key, times in fullest.advance(int(_REFILL_BELOW * len(fullest))):
                search, place = divmod(key, _MOST_GROUPS)
                self._told[search][place] = times
                self._missing[search] -= 1
                if not self._missing[search]:
                    self._go_on(search)
        places = np.argsort(self._order)
        return [self._found[int(search)] for search in places]

    def _begin(self) -> None:
        while len(self._begun) < len(self._cases) and not self._full:
            self._begun.append(search(self._cases[len(self._begun)]))
            self._missing.append(0)
            self._told.append([])
            self._go_on(len(self._begun) - 1)

    @property
    def _full(self) -> bool:
        lanes = sum(len(pool) for pool in self._pools.values())
        return (
            lanes >= _LANES_AT_ONCE
            or sum(pool.requests for pool in self._pools.values()) >= _REQUESTS_AT_ONCE
        )

    def _go_on(self, search: int) -> None:
        """Tell a search what its lanes did, and take in those it asks for next."""
        told = [times for times in self._told[search] if times is not None]
        try:
            asked = self._begun[search].send(told) if told else next(self._begun[search])
        except StopIteration as end:
            self._found[search] = end.value
            self._told[search] = []
            return
        self._missing[search], self._told[search] = len(asked), [None] * len(asked)
        for place, group in enumerate(asked):
            self._pools[group.table.tight].add(search * _MOST_GROUPS + place, group)
