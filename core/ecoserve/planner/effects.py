"""What each lever saves: the same snapshot planned for least carbon with and without it.

A lever's effect has two sides: what it saves by itself against no lever at all, and what is lost where it alone is
missing. They differ where levers overlap (a cleaner node chosen by Rightsize leaves less for Reuse to save).

Whatever can be done with fewer levers can be done with more, and counts no more carbon. So a plan that a search
with fewer levers found is taken over where a search with more, which stops within its gap, found none as good:
turning a lever off never lowers emissions.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from ecoserve.api.llmserving import Objective
from ecoserve.fleet.snapshot import Snapshot
from ecoserve.planner.build import SearchEffort
from ecoserve.planner.design_points import as_carbon_plan
from ecoserve.planner.levers import ALL_LEVERS, Lever
from ecoserve.planner.plan import Plan, make_plan

NO_LEVERS: frozenset[Lever] = frozenset()
_ROUNDING = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class LeverEffects:
    """Plans by the levers that were on: none, each alone, all but each, all. `levers` are those measured."""

    levers: frozenset[Lever]
    plans: Mapping[frozenset[Lever], Plan]

    @property
    def none(self) -> Plan:
        """The plan without any of the levers."""
        return self.plans[NO_LEVERS]

    @property
    def full(self) -> Plan:
        """The plan with all of them."""
        return self.plans[self.levers]

    def saved_share(self, levers: frozenset[Lever]) -> float:
        """Return the share of the grams without any lever that these save."""
        return _share(self.none.grams_per_hour - self.plans[levers].grams_per_hour, self.none)

    def without(self, lever: Lever) -> Plan:
        """The plan in which one lever is missing."""
        return self.plans[self.levers - {lever}]

    def lost_share(self, lever: Lever) -> float:
        """Return how much more is emitted where one lever is missing, as a share of the grams with all."""
        return _share(self.without(lever).grams_per_hour - self.full.grams_per_hour, self.full)

    def serves_as_much(self, lever: Lever) -> bool:
        """Whether as much is served where one lever is missing: grams of different loads are not comparable."""
        return _rank(self.without(lever))[0] == _rank(self.full)[0]


def measure_effects(
    snapshot: Snapshot,
    *,
    levers: frozenset[Lever] = ALL_LEVERS,
    effort: SearchEffort | None = None,
    full: Plan | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> LeverEffects:
    """Plan with every set of levers that tells an effect; `full` is a carbon plan with all of them, if there is one.

    `progress` is told how many of how many plans are done.
    """
    sets = measured_sets(levers)
    plans: dict[frozenset[Lever], Plan] = {}
    for done, chosen in enumerate(sets):
        if progress is not None:
            progress(done, len(sets))
        if chosen == levers and full is not None:
            found = full
        else:
            found = make_plan(snapshot, objective=Objective.CARBON, levers=chosen, effort=effort)
        plans[chosen] = _no_worse(found, (plan for fewer, plan in plans.items() if fewer < chosen))
    if progress is not None:
        progress(len(sets), len(sets))
    return LeverEffects(levers=levers, plans=plans)


def measure_losses(snapshot: Snapshot, full: Plan, *, effort: SearchEffort | None = None) -> LeverEffects:
    """Plan with all levers but each, and no others: half the work where only what is lost is asked for.

    `full` is a carbon plan with all of them; a better one that a search with fewer finds takes its place.
    """
    plans = {
        ALL_LEVERS - {lever}: make_plan(
            snapshot,
            objective=Objective.CARBON,
            levers=ALL_LEVERS - {lever},
            effort=effort,
            reasons=False,
        )
        for lever in sorted(ALL_LEVERS)
    }
    return LeverEffects(levers=ALL_LEVERS, plans={**plans, ALL_LEVERS: _no_worse(full, plans.values())})


def measured_sets(levers: frozenset[Lever]) -> tuple[frozenset[Lever], ...]:
    """Return none, each alone, all but each, all: every set once, smaller ones before those that hold them."""
    ordered = sorted(levers)
    alone = [frozenset({lever}) for lever in ordered]
    all_but = [levers - {lever} for lever in ordered]
    return tuple(dict.fromkeys([NO_LEVERS, *alone, *all_but, levers]))


def _no_worse(found: Plan, with_fewer: Iterable[Plan]) -> Plan:
    best = min(with_fewer, key=_rank, default=found)
    return as_carbon_plan(best, found) if _rank(best) < _rank(found) else found


def _rank(plan: Plan) -> tuple[float, float]:
    return (round(plan.unserved_requests_per_second, _ROUNDING), plan.grams_per_hour)


def _share(grams: float, of: Plan) -> float:
    return grams / of.grams_per_hour if of.grams_per_hour > 0 else 0.0
