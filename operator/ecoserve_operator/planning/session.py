"""What the planner's process remembers between two calls, and how it answers: by rerouting, keeping or planning.

Where only intensities changed, the replicas that run stay as long as load routed anew among them is near enough
to the new bound: no nearer than when they were chosen, give or take the hysteresis. A plan costs a search, this
two linear programs that start where they ended last. All else is planned anew, and so is the question of an
hour ago: the bound is of the fleet, in which the gain of a small serving is lost. Then the replicas that run are
evaluated, too, and those of each serving stay unless its own change pays (`hysteresis`).
"""

import gc
import lzma
from collections.abc import Mapping, Set
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from math import inf

from ecoserve.errors import EcoserveError
from ecoserve.fleet.snapshot import Snapshot
from ecoserve.planner.explained import explained, outlined
from ecoserve.planner.follow import KeptPlan
from ecoserve.planner.pinned import pinned_plan
from ecoserve.planner.pinning import Pinned
from ecoserve.planner.plan import Plan, make_plan
from ecoserve.planner.pricing import SEARCHED_OPTIONS
from ecoserve.planner.reasons import with_reasons
from ecoserve_operator.planning.hysteresis import Hysteresis, Patience, keeps_promise, near, own_gains

_SHOWN_NAMES = 3
_XZ_PRESET = 3
"""The least preset whose window spans the distance between like options: a sixth of gzip's size in the same time."""
_REPLAY_SECONDS = 60.0
"""Least time limit of an exported instance: nobody waits for a replay, and a slower machine should find the same."""


class Route(StrEnum):
    """How an answer was found."""

    PLANNED = "Planned"
    KEPT = "KeptWithinHysteresis"
    REROUTED = "Rerouted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A plan in figures, without what was solved, and how it was found, in an enum and a sentence; its reasons come later.

    `review_at` is when the same question is to be asked again, as a gain will have lasted by then.
    """

    plan: Plan
    route: Route
    detail: str
    review_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Followed:
    """What the replicas held come to under new intensities, and the answer that they are where that is near enough."""

    plan: Plan
    answer: Answer | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """The instances behind an answer, compressed, by file name; or why they can't be kept."""

    files: Mapping[str, bytes]
    problem: str = ""


class PlanningSession:
    """Plans snapshot after snapshot."""

    def __init__(self) -> None:
        self._patience = Patience()
        self._kept: KeptPlan | None = None
        self._searched_at: datetime | None = None
        self._taken: Plan | None = None

    def answer(self, snapshot: Snapshot, limits: Hysteresis) -> Answer:
        """Return the plan of a snapshot."""
        followed = self._followed(snapshot, limits)
        found = followed.answer if followed is not None else None
        if found is None:
            found = self._planned(snapshot, limits, followed.plan if followed is not None else None)
            follows = KeptPlan.can_follow(found.plan)
            self._kept = KeptPlan(snapshot, found.plan) if follows else None
            self._searched_at = snapshot.taken_at
        self._taken = found.plan
        return replace(found, plan=replace(outlined(found.plan), solved=()))

    def explained(self) -> Plan | None:
        """Return the plan of the last answer with its reasons; None before there was one.

        It takes a quarter of the answer's time again, and to act on a plan its figures are enough.
        """
        return None if self._taken is None else replace(explained(with_reasons(self._taken)), solved=())

    def make_ready(self) -> None:
        """Work out what the next tick will need, which else it had to wait for."""
        if self._kept is not None:
            _ = self._kept.accepted_excess
        _look_once_for_garbage()

    def export(self) -> Exported:
        """Return the instances of the last answer, one per objective, each its JSON in xz."""
        files = {}
        for part in self._taken.solved if self._taken is not None else ():
            if part.instance is not None:
                spec = part.instance.spec
                limit = max(spec.time_limit_seconds, _REPLAY_SECONDS)
                lasting = spec.model_copy(update={"time_limit_seconds": limit})
                text = part.instance.model_copy(update={"spec": lasting}).text()
                files[f"{spec.objective}.json.xz"] = lzma.compress(text.encode(), preset=_XZ_PRESET)
        return Exported(files=files)

    def _followed(self, snapshot: Snapshot, limits: Hysteresis) -> _Followed | None:
        """Return the plan kept and rerouted; None where the question is another, or is to be asked anew."""
        if (
            self._kept is None
            or self._searched_at is None
            or not self._kept.differs_in_intensity_only(snapshot)
        ):
            return None
        review_at = self._searched_at + limits.lasting
        if self._patience.due(limits) is not None or snapshot.taken_at >= review_at:
            return None
        try:
            accepted = self._kept.accepted_excess + limits.fraction
            followed = self._kept.at(snapshot, accepted)
        except EcoserveError:
            return None  # a plan made anew tells what is wrong
        if followed.plan.unserved:
            return None
        if followed.excess > accepted:
            return _Followed(plan=followed.plan)
        detail = (
            f"only intensities changed: the replicas stay, {followed.excess:.1%} above the new bound "
            f"(up to {accepted:.1%} they do)"
        )
        answer = Answer(
            plan=self._kept.completed(followed.plan), route=Route.REROUTED, detail=detail, review_at=review_at
        )
        return _Followed(plan=followed.plan, answer=answer)

    def _planned(self, snapshot: Snapshot, limits: Hysteresis, followed: Plan | None) -> Answer:
        """Plan anew; `followed` is what the replicas held come to, where that is known already."""
        best = make_plan(snapshot, reasons=False)
        if short := snapshot.stays & {item.serving for item in best.unserved}:
            # Beside what is ready of these the load can't be served: their change can only wait for room.
            snapshot = replace(snapshot, stays=snapshot.stays - short)
            best = make_plan(snapshot, reasons=False)
        if not snapshot.held or same_replicas(best, snapshot.held):
            self._patience.forget()
            return Answer(plan=best, route=Route.PLANNED, detail="planned anew")
        held = followed or pinned_plan(snapshot, best, Pinned(replicas=snapshot.held))
        gains = own_gains(held, best, snapshot)
        movers = self._patience.movers(gains, snapshot.taken_at, limits)
        due = self._patience.due(limits)
        if movers and movers == gains.keys():
            return Answer(plan=best, route=Route.PLANNED, detail="planned anew")
        mixed = _moved(snapshot, held, best, movers, gains, limits) if movers else None
        if mixed is None and (not movers or _may_stay(held, best, snapshot, movers, gains, limits)):
            if followed is not None and self._kept is not None:
                held = self._kept.completed(
                    self._kept.at(snapshot).plan
                )  # whose bound was not looked for to its end
            why = f"no serving's own change would gain {_worth(limits)}"
            why = "what some would gain is lost on nodes that others are left on" if movers else why
            return Answer(
                plan=_priced(held, best), route=Route.KEPT, detail=f"the replicas stay: {why}", review_at=due
            )
        if mixed is None or not near(mixed, best, snapshot, limits.at_once_fraction):
            self._patience.forget()
            detail = "planned anew: the changes that pay are possible only together with others"
            return Answer(plan=best, route=Route.PLANNED, detail=detail)
        shown = ", ".join(sorted(movers)[:_SHOWN_NAMES])
        more = f" and {len(movers) - _SHOWN_NAMES} more" if len(movers) > _SHOWN_NAMES else ""
        detail = f"planned anew for {shown}{more}; the others stay, as none would gain {_worth(limits)}"
        return Answer(plan=_priced(mixed, best), route=Route.PLANNED, detail=detail, review_at=due)


def _moved(
    snapshot: Snapshot,
    held: Plan,
    best: Plan,
    movers: Set[str],
    gains: Mapping[str, float],
    limits: Hysteresis,
) -> Plan | None:
    """Return the plan of movers as in the best plan and the others as they run; it is searched for only where that disappoints.

    Of a large cluster, whose search would not come to an end, it may disappoint as far as a searched one may. None where it
    does so by more, or is no better than what runs though nobody has to move.
    """
    stays = {
        item.configuration: snapshot.held[item.configuration]
        for item in held.placements
        if item.serving not in movers
    }
    moves = {item.configuration: item.replicas for item in best.placements if item.serving in movers}
    plan = pinned_plan(snapshot, best, Pinned(replicas=stays | moves))
    if keeps_promise(plan, held, best, snapshot, movers, limits.fraction):
        return plan
    if not any(len(part.spec.options) > SEARCHED_OPTIONS for part in best.instances):
        return pinned_plan(snapshot, best, Pinned(replicas=snapshot.held, free=movers))
    of_use = _must(movers, gains) or near(plan, held, snapshot, 0.0)
    return plan if of_use and near(plan, best, snapshot, limits.at_once_fraction) else None


def _may_stay(
    held: Plan,
    best: Plan,
    snapshot: Snapshot,
    movers: Set[str],
    gains: Mapping[str, float],
    limits: Hysteresis,
) -> bool:
    """Whether all may stay though some would gain by themselves: nobody has to move, and moving all gains next to nothing."""
    return not _must(movers, gains) and near(held, best, snapshot, limits.fraction)


def _must(movers: Set[str], gains: Mapping[str, float]) -> bool:
    return any(gains[name] == inf for name in movers)


def _look_once_for_garbage() -> None:
    """Have later collections look only at what comes up from here on.

    To look through hundreds of thousands of capacities and options again and again takes time of each plan.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def _worth(limits: Hysteresis) -> str:
    """What makes a change worth it, in words."""
    hours = limits.lasting.total_seconds() / 3600
    return f"{limits.at_once_fraction:.0%}, or {limits.fraction:.0%} for {hours:g} h"


def _priced(held: Plan, best: Plan) -> Plan:
    """Return pinned replicas with the prices of the problem that leaves them free: pinned, nothing could be saved."""
    prices = {
        part.instance.spec.objective: part.result.marginals
        for part in best.solved
        if part.instance is not None and part.result is not None
    }
    solved = tuple(
        replace(
            part,
            result=part.result.model_copy(update={"marginals": prices.get(part.instance.spec.objective)}),
        )
        if part.instance is not None and part.result is not None
        else part
        for part in held.solved
    )
    return replace(held, solved=solved)


def same_replicas(plan: Plan, held: Mapping[str, int]) -> bool:
    """Whether a plan's replicas are just those held."""
    return {item.configuration: item.replicas for item in plan.placements} == dict(held)
