"""The plan: which pools serve which part of each serving's load, at what carbon, and why.

`make_plan` plans the servings of each objective together (carbon first, then energy, cost, performance), each
group on what the groups before left (`left_over`). A serving that cannot be placed is listed with its reason and never
stops the others.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from ecoserve.api.llmserving import Objective
from ecoserve.carbon import Signal
from ecoserve.errors import InvalidInputError
from ecoserve.fleet.snapshot import Snapshot, Zone, signal_of
from ecoserve.performance import Role
from ecoserve.planner.build import SearchEffort, build_problem, doubted_of, misjudged
from ecoserve.planner.explanation import Unserved, explain_unserved
from ecoserve.planner.instance import PlanningInstance
from ecoserve.planner.left_over import left_over
from ecoserve.planner.levers import ALL_LEVERS, Lever
from ecoserve.planner.margins import Explanation
from ecoserve.planner.pinning import Pinned, with_pinned
from ecoserve.planner.placement import Placement, PoolUse, placements_of, pool_use
from ecoserve.planner.reasons import with_reasons
from ecoserve.planner.recommendations import recommendations
from ecoserve.planner.reduce import Recommendation, least_in_shapes
from ecoserve.planner.reuse import ReuseVerdict
from ecoserve.planner.solved import Solved
from ecoserve.planner.solver import solve
from ecoserve.units import GRAMS_PER_TONNE

_MOST_TURNS = 3
"""Plans that are made with some capacities estimated; one after that is made with all of them searched."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Lower bounds on the objective, each at most the next."""

    fluid: float
    lp: float
    mip: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A decision, whole. Totals are the sums over placements; watts are at the facility.

    `bounds` and `gap` are in the objective's unit; None where servings follow different objectives.
    `latency_seconds` is the mean over requests. `coefficients` names the set that embodied carbon is counted by.
    `solved` is what was solved, one part per objective.
    """

    taken_at: datetime
    objective: Objective
    levers: frozenset[Lever]
    zones: tuple[Zone, ...]
    coefficients: str
    pools: tuple[PoolUse, ...]
    placements: tuple[Placement, ...]
    unserved: tuple[Unserved, ...]
    recommendations: tuple[Recommendation, ...]
    reuse: tuple[ReuseVerdict, ...]
    operational_grams_per_hour: float
    embodied_grams_per_hour: float
    watts: float
    cost_per_hour: float
    latency_seconds: float
    bounds: Bounds | None
    gap: float | None
    solve_seconds: float
    solved: tuple[Solved, ...]
    explanation: Explanation | None = None

    @property
    def grams_per_hour(self) -> float:
        """Operational and embodied together."""
        return self.operational_grams_per_hour + self.embodied_grams_per_hour

    @property
    def signal(self) -> Signal:
        """What the intensities it was made with mean: average, or marginal for all zones."""
        return signal_of(self.zones)

    @property
    def instances(self) -> tuple[PlanningInstance, ...]:
        """The problems solved, one per objective with anything to place."""
        return tuple(part.instance for part in self.solved if part.instance is not None)

    @property
    def nodes_on(self) -> int:
        """Nodes in use."""
        return sum(use.nodes_on for use in self.pools)

    @property
    def unserved_requests_per_second(self) -> float:
        """Demand that is not met."""
        return sum(item.requests_per_second for item in self.unserved)

    @property
    def unchecked_figures(self) -> tuple[str, ...]:
        """Figures of the hardware in use that nobody has checked, as `l4.idle_watts`; whoever shows a plan shows them."""
        used = {item.pool for item in self.placements}
        figures = (use.pool.instance.unchecked_figures for use in self.pools if use.pool.name in used)
        return tuple(dict.fromkeys(figure for names in figures for figure in names))

    def kv_bytes_per_second(self, serving: str) -> float:
        """Return the bytes of KV that a serving's prefill replicas send to its decode replicas."""
        sent = (item for item in self.of_serving(serving) if item.role is Role.PREFILL)
        return sum(item.kv_bytes_per_second for item in sent)

    def of_serving(self, name: str) -> tuple[Placement, ...]:
        """Return the placements of one serving (`namespace/name`)."""
        return tuple(item for item in self.placements if item.serving == name)


def make_plan(
    snapshot: Snapshot,
    *,
    objective: Objective | None = None,
    levers: frozenset[Lever] = ALL_LEVERS,
    effort: SearchEffort | None = None,
    pinned: Pinned | None = None,
    carbon_price_per_tonne: float = 0.0,
    reasons: bool = True,
) -> Plan:
    """Plan a snapshot; `objective` overrides the servings' own. Never raises for what cannot be served.

    Raises InvalidInputError where zones' intensities are of different signals.

    A carbon price, in $ per tonne, is added to the objective cost: a plan that is to heed one has no other.
    `pinned` fixes replicas: what those that run are worth now, or what is best beside them. Plans that are only compared
    do without `reasons`: sentences on placements and verdicts on Reuse, which take as long as to attribute carbon.
    """
    if carbon_price_per_tonne > 0 and objective is not Objective.COST:
        raise InvalidInputError(
            "carbon price per tonne", carbon_price_per_tonne, "a price goes with the objective cost"
        )
    left = snapshot
    parts: list[Plan] = []
    for chosen, group in _groups(snapshot, objective):
        if parts:
            left = left_over(left, parts[-1].solved[0])
        question = _Question(chosen, levers, effort, pinned, carbon_price_per_tonne)
        parts.append(question.plan(replace(group, pools=left.pools)))
    plan = parts[0] if len(parts) == 1 else _combined(snapshot, parts, levers)
    return with_reasons(plan) if reasons else plan


def _groups(snapshot: Snapshot, objective: Objective | None) -> list[tuple[Objective, Snapshot]]:
    if objective is not None or not snapshot.servings:
        return [(objective or Objective.CARBON, snapshot)]
    groups = []
    for chosen in Objective:
        servings = tuple(item for item in snapshot.servings if item.objective is chosen)
        if servings:
            groups.append((chosen, replace(snapshot, servings=servings)))
    return groups


@dataclass(frozen=True, slots=True)
class _Question:
    """What is asked of the servings of one objective."""

    objective: Objective
    levers: frozenset[Lever]
    effort: SearchEffort | None
    pinned: Pinned | None
    carbon_price_per_tonne: float

    def plan(self, snapshot: Snapshot) -> Plan:
        """Plan with nodes in the shapes that serve best where Reduce may choose."""
        if Lever.REDUCE not in self.levers:
            return self._as_shaped(snapshot)
        return least_in_shapes(
            snapshot, self._as_shaped, lambda plan: {r.pool: r.need for r in plan.recommendations}, self._rank
        )

    def _as_shaped(self, snapshot: Snapshot) -> Plan:
        """Plan until all replicas in use have capacities that were searched, not estimated."""
        searched: frozenset[str] = frozenset()
        turns = 0
        while True:
            free = build_problem(
                snapshot, self.objective, self.levers, self.effort, self.carbon_price_per_tonne, searched
            )
            problem = free if self.pinned is None else with_pinned(free, self.pinned)
            result = None if problem.instance is None else solve(problem.instance)
            doubted = frozenset() if result is None else doubted_of(problem, result)
            if not misjudged(problem, doubted):
                solved = Solved(snapshot=snapshot, problem=problem, free=free, result=result)
                return plan_of(solved, self.objective, self.levers)
            turns += 1
            of = problem.configurations
            servings = {of[name].serving for name in doubted}
            searched |= {n for n in problem.estimated if turns == _MOST_TURNS or of[n].serving in servings}

    def _rank(self, found: Plan) -> tuple[float, ...]:
        value = {
            Objective.CARBON: found.grams_per_hour,
            Objective.ENERGY: found.watts,
            Objective.COST: found.cost_per_hour
            + found.grams_per_hour / GRAMS_PER_TONNE * self.carbon_price_per_tonne,
            Objective.PERFORMANCE: found.latency_seconds,
        }[self.objective]
        return (round(found.unserved_requests_per_second, 6), len(found.unserved), value)


def plan_of(solved: Solved, objective: Objective, levers: frozenset[Lever]) -> Plan:
    """Return the plan that a result means, in figures alone."""
    snapshot, problem, result = solved.snapshot, solved.problem, solved.result
    placements = placements_of(snapshot, problem, result)
    return Plan(
        taken_at=snapshot.taken_at,
        objective=objective,
        levers=levers,
        zones=snapshot.zones,
        coefficients=snapshot.coefficients.name,
        pools=tuple(pool_use(pool, problem, result) for pool in snapshot.pools),
        placements=placements,
        unserved=explain_unserved(snapshot, problem, result),
        recommendations=recommendations([solved]) if Lever.REDUCE in levers else (),
        reuse=(),
        operational_grams_per_hour=sum(item.operational_grams_per_hour for item in placements),
        embodied_grams_per_hour=sum(item.embodied_grams_per_hour for item in placements),
        watts=sum(item.watts for item in placements),
        cost_per_hour=sum(item.cost_per_hour for item in placements),
        latency_seconds=0.0 if result is None else result.latency_seconds,
        bounds=None
        if result is None
        else Bounds(fluid=result.bounds.fluid, lp=result.bounds.lp, mip=result.bounds.mip),
        gap=None if result is None else result.gap,
        solve_seconds=0.0 if result is None else result.solve_seconds,
        solved=(solved,),
    )


def _combined(snapshot: Snapshot, parts: list[Plan], levers: frozenset[Lever]) -> Plan:
    """Put the plans of several objectives together; the first part saw every pool."""
    nodes_on: dict[str, int] = {}
    for part in parts:
        for use in part.pools:
            if use.pool.part_of is None:  # other nodes are on already
                nodes_on[use.pool.name] = nodes_on.get(use.pool.name, 0) + use.nodes_on
    pools: Mapping[str, PoolUse] = {use.pool.name: use for use in parts[0].pools}
    served = [sum(item.requests_per_second for item in part.placements) for part in parts]
    weighted = sum(part.latency_seconds * rate for part, rate in zip(parts, served, strict=True))
    solved = tuple(solved for part in parts for solved in part.solved)
    return Plan(
        taken_at=snapshot.taken_at,
        objective=parts[0].objective,
        levers=levers,
        zones=snapshot.zones,
        coefficients=snapshot.coefficients.name,
        pools=tuple(replace(use, nodes_on=nodes_on[name]) for name, use in pools.items()),
        placements=tuple(item for part in parts for item in part.placements),
        unserved=tuple(item for part in parts for item in part.unserved),
        recommendations=recommendations(solved) if Lever.REDUCE in levers else (),
        reuse=(),
        operational_grams_per_hour=sum(part.operational_grams_per_hour for part in parts),
        embodied_grams_per_hour=sum(part.embodied_grams_per_hour for part in parts),
        watts=sum(part.watts for part in parts),
        cost_per_hour=sum(part.cost_per_hour for part in parts),
        latency_seconds=weighted / sum(served) if sum(served) > 0 else 0.0,
        bounds=None,
        gap=None,
        solve_seconds=sum(part.solve_seconds for part in parts),
        solved=solved,
    )
