"""Does the decision hang on a figure nobody knows well? The same question planned under several answers.

Each case plans anew, and the decision of the figures in use is kept beside it: its replicas pinned, load routed anew,
its carbon counted by the case's figures. What keeping it would cost is the regret. Where that is nothing, the
uncertainty changes totals and not the decision. All cases seek the least carbon.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from ecoserve.api.llmserving import Objective
from ecoserve.carbon import Lifetimes, coefficient_sets
from ecoserve.errors import InvalidInputError
from ecoserve.fleet.snapshot import Snapshot
from ecoserve.planner.build import SearchEffort
from ecoserve.planner.levers import ALL_LEVERS, Lever
from ecoserve.planner.pinning import Pinned
from ecoserve.planner.plan import Plan, make_plan

LIFETIMES: Mapping[str, Lifetimes] = {
    "3 years (EcoLogits)": Lifetimes(host_years=3, accelerator_years=3),
    "4 years (EcoServe)": Lifetimes(host_years=4, accelerator_years=4),
    "5 years (Nguyen et al.)": Lifetimes(host_years=5, accelerator_years=5),
    "6 years (GreenSKU)": Lifetimes(host_years=6, accelerator_years=6),
    "hosts 10, accelerators 3 (EcoServe's Recycle)": Lifetimes(host_years=10, accelerator_years=3),
}
"""Lifetimes that published studies assume."""

_ROUNDING = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One answer: the snapshot with it in place."""

    name: str
    snapshot: Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one answer leads to; `reason` says why there is no plan.

    `kept` is the decision in use, counted by this case's figures. `plan` is never worse than it: where a search ended
    on a worse one, the kept one is the plan.
    """

    name: str
    plan: Plan | None
    kept: Plan | None
    reason: str = ""

    @property
    def kept_grams_per_hour(self) -> float:
        """What the decision in use emits by this case's figures; 0 where there is no plan."""
        return 0.0 if self.kept is None else self.kept.grams_per_hour

    @property
    def regret_grams_per_hour(self) -> float:
        """What keeping the decision in use would emit more than this case's own plan."""
        if self.plan is None:
            return 0.0
        return max(0.0, self.kept_grams_per_hour - self.plan.grams_per_hour)

    @property
    def regret_share(self) -> float:
        """The regret as a share of what this case's own plan emits."""
        grams = 0.0 if self.plan is None else self.plan.grams_per_hour
        return self.regret_grams_per_hour / grams if grams > 0 else 0.0

    @property
    def keeps(self) -> bool:
        """Whether the same replicas run as in the decision in use."""
        return self.plan is not None and self.kept is not None and replicas(self.plan) == replicas(self.kept)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """The plan in use and what other answers lead to."""

    over: str
    plan: Plan
    outcomes: tuple[Outcome, ...]
    relative_gap: float

    @property
    def changes(self) -> tuple[Outcome, ...]:
        """The cases under which keeping the decision costs more than searches are exact to."""
        return tuple(item for item in self.outcomes if item.regret_share > self.relative_gap)

    @property
    def kept_range(self) -> tuple[Outcome, Outcome] | None:
        """The cases by which the decision in use emits least and most; None where no case has a plan."""
        known = [item for item in self.outcomes if item.kept is not None]
        if not known:
            return None
        return min(known, key=_kept), max(known, key=_kept)


def _kept(outcome: Outcome) -> float:
    return outcome.kept_grams_per_hour


def replicas(plan: Plan) -> Mapping[str, int]:
    """Return a plan's decision: the replicas that run, by configuration."""
    return {item.configuration: item.replicas for item in plan.placements}


def coefficient_cases(snapshot: Snapshot) -> tuple[Case, ...]:
    """Return a case for each coefficient set."""
    return tuple(
        Case(name=name, snapshot=replace(snapshot, coefficients=coefficients))
        for name, coefficients in coefficient_sets().items()
    )


def lifetime_cases(snapshot: Snapshot) -> tuple[Case, ...]:
    """Return a case for each published pair of lifetimes, over which all hardware of the fleet is written off."""
    return tuple(
        Case(
            name=name,
            snapshot=replace(
                snapshot, pools=tuple(replace(pool, lifetimes=lifetimes) for pool in snapshot.pools)
            ),
        )
        for name, lifetimes in LIFETIMES.items()
    )


def sweep(
    snapshot: Snapshot,
    cases: Sequence[Case],
    *,
    over: str,
    levers: frozenset[Lever] = ALL_LEVERS,
    effort: SearchEffort | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Sweep:
    """Plan a snapshot, then each case beside the first plan's decision.

    Raises InvalidInputError where the snapshot itself can't be planned; a case that can't says why.
    """
    effort = effort or SearchEffort()
    plan = make_plan(snapshot, objective=Objective.CARBON, levers=levers, effort=effort)
    outcomes = []
    for done, case in enumerate(cases, start=1):
        outcomes.append(_outcome(case, plan, levers, effort))
        if progress is not None:
            progress(done, len(cases))
    return Sweep(over=over, plan=plan, outcomes=tuple(outcomes), relative_gap=effort.relative_gap)


def _outcome(case: Case, plan: Plan, levers: frozenset[Lever], effort: SearchEffort) -> Outcome:
    try:
        own = make_plan(case.snapshot, objective=Objective.CARBON, levers=levers, effort=effort)
        pinned = Pinned(replicas=replicas(plan))
        kept = make_plan(
            case.snapshot, objective=Objective.CARBON, levers=levers, effort=effort, pinned=pinned
        )
    except InvalidInputError as error:  # a set without a figure for some card
        return Outcome(name=case.name, plan=None, kept=None, reason=str(error))
    return Outcome(name=case.name, plan=min(kept, own, key=_rank), kept=kept)


def _rank(plan: Plan) -> tuple[float, float]:
    return (round(plan.unserved_requests_per_second, _ROUNDING), plan.grams_per_hour)
