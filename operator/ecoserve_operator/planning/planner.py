"""Decisions: a plan where the question is a new one, the last one where it is not or no plan can be had."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from ecoserve.fleet.snapshot import Snapshot
from ecoserve.planner.plan import Plan
from ecoserve_operator.planning.calls import (
    explain_plan,
    export_instances,
    make_ready,
    plan_snapshot,
    warm_up,
)
from ecoserve_operator.planning.capacities import Capacities
from ecoserve_operator.planning.decision import Choice, choose, hold, with_reasons_of
from ecoserve_operator.planning.process import PlannerFailedError, PlannerProcess
from ecoserve_operator.planning.session import Exported, Route
from ecoserve_operator.planning.snapshot import View, same_question, what_changed
from ecoserve_operator.reporting.conditions import Reason
from ecoserve_operator.settings import Settings
from ecoserve_operator.watch.records import DeploymentRecord

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A plan, the snapshot it answers, and what each serving gets; `plan` is None before the first one.

    `route` and `detail` tell how the plan was found; `changes` say what was new in the question, `failure` why it
    went without an answer of its own, `review_at` when the same question is asked again. Until it is `explained`, a plan has
    figures only.
    """

    snapshot: Snapshot
    plan: Plan | None
    choices: Mapping[str, Choice]
    decided_at: datetime
    route: Route = Route.PLANNED
    detail: str = ""
    review_at: datetime | None = None
    changes: tuple[str, ...] = ()
    failure: str = ""
    explained: bool = True


class Planner:
    """Keeps the last decision and the planner's process.

    What only tells of a decision (reasons, the instances behind it) is made beside the loop, and `done` is told of it: it takes
    as long again as the decision, and whoever acts on that needs none of it.
    """

    def __init__(self, settings: Settings, capacities: Capacities, done: Callable[[], None]) -> None:
        self._capacities = capacities
        self._hysteresis = settings.hysteresis
        self._process = PlannerProcess(settings.plan_limit_seconds)
        self._done = done
        self._wanted = asyncio.Event()
        self._last: Decision | None = None
        self._carried_out = True
        self.exported: Exported | None = None
        """The instances behind the last plan, until they are written."""
        self.follow_up_since: float | None = None
        """Since when there are decisions not compared, explained and exported yet, by the monotonic clock; None where there
        are none."""

    async def start(self) -> None:
        """Have the child import the planner before the first question."""
        try:
            await self._process.call(warm_up)
        except PlannerFailedError as error:
            logger.warning("%s; it is started again for the first plan", error)

    async def close(self) -> None:
        """End the child."""
        await self._process.close()

    async def decide(
        self, view: View, running: Mapping[str, Iterable[DeploymentRecord]]
    ) -> tuple[Decision, bool]:
        """Decide for every serving of a view, and tell whether the decision has not been carried out and told yet.

        `running` are the Deployments of each serving, by its full name.
        """
        last = self._last
        is_new = (
            last is None
            or bool(last.failure)
            or not same_question(last.snapshot, view.snapshot)
            or (last.review_at is not None and view.snapshot.taken_at >= last.review_at)
        )
        if last is None or is_new:
            decision = await self._answer(view, running)
            self.exported = None
            if self.follow_up_since is None:
                self.follow_up_since = time.monotonic()
        else:
            choices = self._with_refused(last.choices, view)
            decision = last if choices == last.choices else replace(last, choices=choices)
        self._last = decision
        self._carried_out = self._carried_out and not is_new
        return decision, not self._carried_out

    async def run(self) -> None:
        """Explain and export what is to be followed up, for ever."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            await self._explain()
            self._done()
            self.exported = await self._export()
            self._done()

    def follow_up(self) -> None:
        """Have the last decision explained and its instances exported; it is for the caller to have it compared."""
        self.follow_up_since = None
        self._wanted.set()

    def note_carried_out(self) -> None:
        """Take down that a pass over the last decision has ended well: until then its retries are as the first."""
        self._carried_out = True

    async def _explain(self) -> None:
        """Give the last decision the reasons of its plan; where they can't be had it is left without."""
        asked = self._last
        if asked is None or asked.explained:
            return
        plan = None
        try:
            plan = await self._process.call(explain_plan)
        except PlannerFailedError as error:
            logger.warning("the plan is told without reasons: %s", error)
        last, explained_at = self._last, asked.snapshot.taken_at if plan is None else plan.taken_at
        if last is None or last.snapshot.taken_at != explained_at:
            return  # decided anew meanwhile, and followed up anew
        choices = dict(last.choices)
        if plan is not None:
            choices = {name: with_reasons_of(plan, choice) for name, choice in choices.items()}
        self._last = replace(last, explained=True, plan=plan or last.plan, choices=choices)

    async def _export(self) -> Exported:
        """Return the instances behind the last plan."""
        try:
            await self._process.call(make_ready)
            return await self._process.call(export_instances)
        except PlannerFailedError as error:
            return Exported(files={}, problem=str(error))

    async def _answer(self, view: View, running: Mapping[str, Iterable[DeploymentRecord]]) -> Decision:
        known: Mapping[str, Choice] = self._last.choices if self._last is not None else {}
        stayed = self._last.snapshot.stays if self._last is not None else frozenset()
        held = _held(view.snapshot, known, running, view.snapshot.stays - stayed)
        snapshot = replace(view.snapshot, held=held)
        now = datetime.now(UTC)
        try:
            await self._capacities.learn(self._process, snapshot)
            answer = await self._process.call(plan_snapshot, snapshot, self._hysteresis)
            await self._capacities.note(self._process)
        except PlannerFailedError as error:
            logger.error("%s; the last good placement stays", error)
            choices = {
                demand.name: hold(known.get(demand.name), demand.name, Reason.PLANNER_FAILED, str(error))
                for demand in snapshot.servings
            }
            old = self._last.plan if self._last is not None else None
            choices = self._with_refused(choices, view)
            return Decision(snapshot=snapshot, plan=old, choices=choices, decided_at=now, failure=str(error))
        choices = self._with_refused(choose(answer.plan, known, running, snapshot), view)
        return Decision(
            snapshot=snapshot,
            plan=answer.plan,
            choices=choices,
            decided_at=now,
            route=answer.route,
            detail=answer.detail,
            review_at=answer.review_at,
            changes=what_changed(self._last.snapshot if self._last is not None else None, snapshot),
            explained=False,
        )

    def _with_refused(self, choices: Mapping[str, Choice], view: View) -> dict[str, Choice]:
        """The choices of planned servings, and what refused ones keep."""
        known: Mapping[str, Choice] = self._last.choices if self._last is not None else {}
        planned = {demand.name: choices[demand.name] for demand in view.snapshot.servings}
        refused = {
            name: hold(known.get(name), name, refusal.reason, refusal.problem)
            for name, refusal in view.refused.items()
        }
        return {**planned, **refused}


def _held(
    snapshot: Snapshot,
    known: Mapping[str, Choice],
    running: Mapping[str, Iterable[DeploymentRecord]],
    unreached: Set[str],
) -> dict[str, int]:
    """Replicas by configuration: as decided last or, after a restart, as they run.

    Of servings whose last decision can't be reached they are those that are ready.
    """
    held: dict[str, int] = {}
    for demand in snapshot.servings:
        deployments = [each for each in running.get(demand.name, ()) if each.configuration]
        if demand.name in unreached:
            held |= {each.configuration: each.ready for each in deployments if each.ready > 0}
        elif demand.name in known:
            held |= {item.configuration: item.replicas for item in known[demand.name].placements}
        else:
            held |= {each.configuration: each.replicas for each in deployments if each.replicas > 0}
    return held
