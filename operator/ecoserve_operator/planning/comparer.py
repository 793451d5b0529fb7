"""The design points that carbon is compared with: computed beside the loop, in a process of their own, rarely.

They are for reporting only, so they never delay a plan: the latest decision is compared at most every so often.
"""

import asyncio
import logging
from collections.abc import Callable

from ecoserve_operator.planning.calls import Comparison, compare_objectives
from ecoserve_operator.planning.capacities import Capacities
from ecoserve_operator.planning.planner import Decision
from ecoserve_operator.planning.process import PlannerFailedError, PlannerProcess
from ecoserve_operator.settings import Settings

logger = logging.getLogger(__name__)

_PLANS = 8  # one per objective, and one without each lever


class Comparer:
    """Compares the decision it was given last; `latest` is what it found last."""

    def __init__(self, settings: Settings, capacities: Capacities, done: Callable[[], None]) -> None:
        self.latest: Comparison | None = None
        self._capacities = capacities
        self._limit_seconds = _PLANS * settings.plan_limit_seconds
        self._interval_seconds = settings.compare_interval_seconds
        self._done = done
        self._wanted: Decision | None = None
        self._event = asyncio.Event()
        self._works = False
        self._rests = False

    def want(self, decision: Decision) -> None:
        """Ask for a comparison of a decision, instead of any asked for before."""
        if decision.plan is not None and decision.snapshot.servings:
            self._wanted = decision
            self._event.set()

    @property
    def pending(self) -> bool:
        """Whether a comparison is being made, or about to be."""
        return self._works or (self._event.is_set() and not self._rests)

    async def run(self) -> None:
        """Compare for ever."""
        while True:
            await self._event.wait()
            self._event.clear()
            self._works = True
            if self._wanted is not None and self._wanted.plan is not None:
                process = PlannerProcess(self._limit_seconds, yields=True)
                try:
                    await self._capacities.learn(process, self._wanted.snapshot)
                    self.latest = await process.call(
                        compare_objectives, self._wanted.snapshot, self._wanted.plan
                    )
                    await self._capacities.note(process)
                except PlannerFailedError as error:
                    logger.warning("design points are not brought up to date: %s", error)
                finally:
                    await process.close()
            self._works, self._rests = False, True
            self._done()
            await asyncio.sleep(self._interval_seconds)
            self._rests = False
