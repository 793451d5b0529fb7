"""What the planner's processes have found out about replicas, kept here and handed from one to the next.

To find the capacities of hundreds of servings takes longer than a plan may. So a process learns them in pieces, each well
within its limit, and one that is started anew, or for a comparison or a schedule, begins with what others know.
"""

from ecoserve.fleet.snapshot import Snapshot
from ecoserve.performance import Answer, Question, take_over_capacities
from ecoserve_operator.planning.calls import count_capacities, learn_capacities
from ecoserve_operator.planning.process import PlannerProcess

_MOST_KEPT = 100_000


class Capacities:
    """All that is known."""

    def __init__(self) -> None:
        self._known: dict[tuple[Question, bool], Answer] = {}

    async def learn(self, process: PlannerProcess, snapshot: Snapshot) -> None:
        """Have a process know what a plan of a snapshot needs; raises PlannerFailedError."""
        if await process.call(count_capacities) < len(self._known):
            await process.call(take_over_capacities, self._known)
        while True:
            whole, found = await process.call(learn_capacities, snapshot)
            if len(self._known) + len(found) > _MOST_KEPT:
                self._known.clear()
            self._known |= found
            if whole or not found:  # a process that forgets as fast as it learns would never be done
                return
