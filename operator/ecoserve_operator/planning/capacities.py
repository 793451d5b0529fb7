"""What the planner's processes have found out about replicas, kept here and handed from one to the next.

To find the capacities of hundreds of servings takes longer than a plan may. So a process learns them in pieces, each well
within its limit, and one that is started anew, or for a comparison or a schedule, begins with what others know. So does an
operator that is started anew (`reporting.capacity_store`).
"""

import asyncio
import itertools
import logging

from ecoserve.fleet.snapshot import Snapshot
from ecoserve.performance import Answer, Known, count_capacities, take_over_capacities
from ecoserve_operator.planning.calls import learn_capacities, new_capacities
from ecoserve_operator.planning.process import PlannerProcess

logger = logging.getLogger(__name__)

MOST_KEPT = 40_000
"""Two hundred servings of ten models on twelve pools ask for a quarter of them."""
FORGOTTEN_AT_ONCE = 5_000
"""Not one by one, so that of those in order most keep their places beside each other."""


class Capacities:
    """All that is known; `news` is set when something is found."""

    def __init__(self) -> None:
        self.news = asyncio.Event()
        self._before: dict[bytes, Answer] = {}
        self._asked: dict[bytes, Answer] = {}

    def __len__(self) -> int:
        return len(self._before) + len(self._asked)

    @property
    def known(self) -> Known:
        """Answers in order: what nothing has asked for since the start, and what was asked first longest ago."""
        return self._before | self._asked

    def take_over(self, known: Known) -> None:
        """Begin with what an operator before this one knew."""
        self._before = {key: answer for key, answer in known.items() if key not in self._asked}

    async def learn(self, process: PlannerProcess, snapshot: Snapshot) -> None:
        """Have a process know what a plan of a snapshot needs; raises PlannerFailedError."""
        if await process.call(count_capacities) < len(self):
            await process.call(take_over_capacities, self.known)
        while True:
            whole = await process.call(learn_capacities, snapshot)
            asked = await self.note(process)
            if whole or not asked:  # a process that forgets as fast as it learns would never be done
                return

    async def note(self, process: PlannerProcess) -> int:
        """Take down what a process was asked since the last time; returns how much. Raises PlannerFailedError."""
        asked = await process.call(new_capacities)
        found = len(asked.keys() - self._before.keys() - self._asked.keys())
        for key in self._before.keys() & asked.keys():
            del self._before[key]
        self._asked |= asked
        while len(self) > MOST_KEPT:
            oldest = self._before or self._asked
            for key in list(itertools.islice(oldest, FORGOTTEN_AT_ONCE)):
                del oldest[key]
        if found:
            logger.info("capacities of replicas: %d known, %d of them found now", len(self), found)
            self.news.set()
        return len(asked)
