"""Solve a planning instance in stages: linear bound, rounding, mixed-integer search, packing check with cuts.

1. GLOP solves the relaxation: the LP bound, and reduced costs that say which columns can matter.
2. Its replicas are rounded up where supply allows and flows are routed again: a feasible plan within a moment.
3. HiGHS improves on it to the gap asked for or until time is up; large programs keep only columns whose reduced
   cost is a small part of the bound, and are then certified by the full LP bound.
4. The plan is packed onto nodes. Where the aggregate rows promised too much, a disjunctive cut (fewer replicas
   of one kind, or more nodes) is added and the search repeated.

Shedding is lexicographic: online load is shed only where it must be, then offline load, then the objective
counts. That takes solves of their own rather than one huge penalty, which would drown the objective.
Every result carries fluid ≤ LP ≤ MIP ≤ plan.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import ceil, floor, inf

from ecoserve.planner.bounds import fluid_bound
from ecoserve.planner.candidate import Candidate, candidate, pack_pools
from ecoserve.planner.formulation import Coefficients, Formulation, formulate
from ecoserve.planner.instance import BoundsResult, FlowResult, PlanningInstance, PlanningResult
from ecoserve.planner.mathopt_backend import Solution, solve_linear, solve_mixed
from ecoserve.planner.program import Program, Row, row

_FULL_SEARCH_COLUMNS = 8_000
"""Up to so many columns HiGHS gets the whole program; beyond, only those that the LP calls promising."""
_PROMISING = 0.002
_MAX_CUT_ROUNDS = 8
_SMALL_COLUMNS = 400
"""Below, the whole search takes a moment and needs no better start than the rounded plan."""
_FOCUSED_GAP = 0.01
_FOCUSED_SHARE = 0.4
_TIER_TOLERANCE = 1e-7
_LEAST_SHARE = 1e-6
"""Smaller upper bounds are zero: HiGHS can't tell them apart, and fails on some."""

_TIE_BREAKS: Mapping[str, tuple[str, ...]] = {
    "performance": ("cost",),
    "energy": ("operational", "embodied"),
    "cost": ("operational", "embodied"),
}

Solve = Callable[[Program, Coefficients], Solution]


@dataclass(frozen=True, slots=True)
class Allowance:
    """Requests/s that may be shed at most, by class."""

    online: float = 0.0
    offline: float = 0.0

    @property
    def nothing(self) -> bool:
        """Tell whether everything is to be served."""
        return self.online <= 0.0 and self.offline <= 0.0


def solve(instance: PlanningInstance) -> PlanningResult:
    """Solve an instance; capacity that is short gives a result with `unserved`, never an exception."""
    started = time.perf_counter()
    formulation = formulate(instance.spec)
    search = _Search(formulation, deadline=started + instance.spec.time_limit_seconds)
    best, bounds = search.run()
    return _result(formulation, best, bounds, time.perf_counter() - started)


class _Search:
    """One run over one formulation; keeps the deadline and the cuts found so far."""

    def __init__(self, formulation: Formulation, deadline: float) -> None:
        self.formulation = formulation
        self.spec = formulation.spec
        self.deadline = deadline
        self.objective = formulation.objective()
        self.tiers = (formulation.shed_rate("online"), formulation.shed_rate("offline"))

    def run(self) -> tuple[Candidate, BoundsResult]:
        relaxed, allowance = self._lexicographic(self.formulation.program, solve_linear)
        rounded = self._round(relaxed)
        if relaxed.values and allowance.nothing and len(self.formulation.program.lower) > _SMALL_COLUMNS:
            rounded = self._better(rounded, self._focused(relaxed))
        best, allowance, mip_bound = self._mixed(relaxed, rounded, allowance)
        if not allowance.nothing:
            relaxed = solve_linear(self._allowing(self.formulation.program, allowance), self.objective)
        fluid = fluid_bound(self.formulation, allowance.online, allowance.offline)
        return best, _chain(fluid, relaxed.bound, mip_bound, best.total(self.objective))

    def _left(self) -> float:
        return max(0.05, self.deadline - time.perf_counter())

    def _mixed_solver(self, hint: Candidate | None, gap: float) -> Solve:
        def run(program: Program, objective: Coefficients) -> Solution:
            # A cut appends columns to the program: the hint then leaves them at zero.
            values = () if hint is None else (*hint.values, *[0.0] * (len(program.lower) - len(hint.values)))
            return solve_mixed(
                program, objective, relative_gap=gap, time_limit_seconds=self._left(), hint=values
            )

        return run

    def _lexicographic(
        self, program: Program, run: Solve, *, short: bool = False
    ) -> tuple[Solution, Allowance]:
        """Serve everything if that can be; else shed as little as can be, online first; then the objective.

        `short` tells that supply is known not to suffice, which saves the attempt to serve everything.
        """
        if not short:
            solution = run(self._allowing(program, Allowance()), self.objective)
            if solution.values or solution.status == "unknown":
                return solution, Allowance()
        online = run(program, self.tiers[0])
        if not online.values:
            return online, Allowance()
        allowance = Allowance(_total(self.tiers[0], online), sum(self.tiers[1].values()))
        if self.tiers[1]:
            offline = run(self._allowing(program, allowance), self.tiers[1])
            if offline.values:
                allowance = replace(allowance, offline=_total(self.tiers[1], offline))
        return run(self._allowing(program, allowance), self.objective), allowance

    def _allowing(self, program: Program, allowance: Allowance) -> Program:
        """Return the program with shedding bounded by class."""
        for tier, limit in zip(self.tiers, (allowance.online, allowance.offline), strict=True):
            if limit <= 0.0:
                program = program.bounded(dict.fromkeys(tier, (0.0, 0.0)))
            elif tier:
                slack = _TIER_TOLERANCE * (1.0 + limit)
                program = program.constrained(row(list(tier.items()), upper=limit + slack))
        return program

    def _round(self, relaxed: Solution) -> Candidate | None:
        """Round replicas up where the pools can hold them, route the flows again; None for whole slices."""
        if not relaxed.values or not self.spec.divisible:
            return None
        wanted = {name: relaxed.values[column] for name, column in self.formulation.replicas.items()}
        counts = {name: floor(value + 1e-6) for name, value in wanted.items()}
        pools = {pool.name: pool.nodes for pool in self.spec.pools}
        by_pool: dict[str, list[str]] = {}
        for item in self.spec.configurations:
            if item.name in counts and wanted[item.name] > 1e-9:
                by_pool.setdefault(item.pool, []).append(item.name)
        for pool, names in by_pool.items():
            for name in sorted(names, key=lambda n: (counts[n] - wanted[n], n)):
                if wanted[name] <= counts[name] + 1e-6:
                    continue
                raised = counts | {name: counts[name] + 1}
                packing = pack_pools(self.formulation, {n: raised[n] for n in names})
                upper = self.formulation.program.upper[self.formulation.replicas[name]]
                if packing[pool].nodes <= pools[pool] and raised[name] <= upper:
                    counts = raised
        return self._routed(counts)

    def _focused(self, relaxed: Solution) -> Candidate | None:
        """Search on the nodes that a dive settles on, which closes the least used half of the pools at a time.

        Rounding alone scatters replicas over a little of everything; with the nodes settled the program is
        small, and what it finds cuts the whole search down.
        """
        bounds: dict[int, tuple[float, float]] = {}
        program = self._allowing(self.formulation.program, Allowance())
        solution = relaxed
        while True:
            used = {c: solution.values[c] for c in self.formulation.nodes.values() if c not in bounds}
            fractions = {c: value % 1.0 for c, value in used.items() if 1e-6 < value % 1.0 < 1 - 1e-6}
            if not fractions or self._left() <= 0.05:
                break
            order = sorted(fractions, key=lambda c: (fractions[c], c))
            for least in (order[: (len(order) + 1) // 2], order[:1]):
                closed = bounds | {c: (0.0, float(floor(used[c]))) for c in least}
                attempt = solve_linear(program.bounded(closed), self.objective)
                if attempt.values:
                    bounds, solution = closed, attempt
                    break
            else:
                bounds = bounds | {order[0]: (0.0, float(ceil(used[order[0]])))}
        settled = {c: (0.0, float(ceil(solution.values[c] - 1e-6))) for c in self.formulation.nodes.values()}
        found = solve_mixed(
            program.bounded(settled),
            self.objective,
            relative_gap=max(self.spec.relative_gap, _FOCUSED_GAP),
            time_limit_seconds=_FOCUSED_SHARE * self._left(),
        )
        if not found.values:
            return None
        made = candidate(self.formulation, found.values)
        return made if made.fits(self.formulation) else None

    def _routed(self, counts: Mapping[str, int]) -> Candidate | None:
        """Return the best plan with these replicas at most, or None where they do not pack."""
        fixed = {
            column: (0.0, float(counts.get(name, 0))) for name, column in self.formulation.replicas.items()
        }
        relaxed, _ = self._lexicographic(self.formulation.program.bounded(fixed), solve_linear)
        if not relaxed.values:
            return None
        values = list(relaxed.values)
        for column in self.formulation.replicas.values():
            values[column] = float(ceil(values[column] - 1e-6))
        made = candidate(self.formulation, values)
        return made if made.fits(self.formulation) and self._within_limits(made) else None

    def _within_limits(self, made: Candidate) -> bool:
        return all(
            limit.max_replicas is None
            or sum(made.replicas.get(name, 0) for name in set(limit.configurations)) <= limit.max_replicas
            for limit in self.spec.limits
        )

    def _mixed(
        self, relaxed: Solution, rounded: Candidate | None, allowance: Allowance
    ) -> tuple[Candidate, Allowance, float]:
        """Search for whole replicas until the plan also packs; returns plan, shedding and its bound."""
        program, restricted = self._promising(relaxed, rounded, allowance)
        best, bound = rounded, relaxed.bound
        first_bound: float | None = None
        for _ in range(_MAX_CUT_ROUNDS):
            run = self._mixed_solver(best, self.spec.relative_gap)
            solution, allowance = self._lexicographic(program, run, short=not allowance.nothing)
            if not solution.values:
                break
            if first_bound is None:
                first_bound = relaxed.bound if restricted else solution.bound
            found = candidate(self.formulation, solution.values)
            if found.fits(self.formulation):
                best = self._better(best, found)
            overflowing = self._overflowing(found, solution)
            if not restricted:
                bound = max(first_bound, solution.bound)
            if not overflowing or self._left() <= 0.05:
                break
            program = _cut(self.formulation, program, found, overflowing)
        best = best or self._nothing()
        if len(program.lower) == len(best.values):  # cuts add columns of their own
            best = self._settled(program, allowance, best)
        shed = Allowance(best.total(self.tiers[0]), best.total(self.tiers[1]))
        if shed.nothing or (
            shed.online <= allowance.online + 1e-6 and shed.offline <= allowance.offline + 1e-6
        ):
            return best, allowance, bound
        return best, shed, float("-inf")

    def _promising(
        self, relaxed: Solution, rounded: Candidate | None, allowance: Allowance
    ) -> tuple[Program, bool]:
        """Return the program with columns that cannot matter held down, and whether some were closed unproven.

        No better plan raises a column by more than what separates the rounded plan from the bound, divided by
        the column's reduced cost. In large programs columns that would cost a share of the bound are closed
        besides, and only the full linear bound holds then.
        """
        program = self.formulation.program
        if not relaxed.reduced_costs or rounded is None or not allowance.nothing:
            return program, False
        if any(rounded.total(tier) > 0 for tier in self.tiers):
            return program, False  # what it sheds made it cheap: it bounds no plan that serves everything
        room = (rounded.total(self.objective) - relaxed.bound) * (1 + 1e-6) + 1e-9
        large = len(program.lower) > _FULL_SEARCH_COLUMNS
        limit = _PROMISING * abs(relaxed.bound) if large else inf
        bounds: dict[int, tuple[float, float]] = {}
        restricted = False
        for column, cost in enumerate(relaxed.reduced_costs):
            if cost <= 0 or rounded.values[column] > 0 or program.lower[column] != 0:
                continue
            most = floor(room / cost + 1e-9) if program.integer[column] else room / cost
            most = 0.0 if most < _LEAST_SHARE else most
            if cost > limit and most > 0:
                most, restricted = 0.0, True
            if most < program.upper[column]:
                bounds[column] = (0.0, float(most))
        return program.bounded(bounds), restricted

    def _settled(self, program: Program, allowance: Allowance, best: Candidate) -> Candidate:
        """Among plans as good as the best take the cheapest (performance) or the greenest (energy, cost).

        What is compared with a carbon plan must not look worse than its objective makes it.
        """
        tie_break = _TIE_BREAKS.get(self.spec.objective)
        if tie_break is None:
            return best
        limit = best.total(self.objective) * (1 + 1e-6) + 1e-9
        equal = self._allowing(program, allowance).constrained(row(list(self.objective.items()), upper=limit))
        settled = solve_mixed(
            equal,
            self.formulation.combined(*tie_break),
            relative_gap=max(self.spec.relative_gap, 1e-6),
            time_limit_seconds=self._left(),
            hint=best.values,
        )
        if not settled.values:
            return best
        found = candidate(self.formulation, settled.values)
        return found if found.total(self.objective) <= limit and found.fits(self.formulation) else best

    def _better(self, best: Candidate | None, found: Candidate | None) -> Candidate | None:
        return min((plan for plan in (best, found) if plan is not None), key=self._rank, default=None)

    def _rank(self, plan: Candidate) -> tuple[float, float, float]:
        online, offline = (round(plan.total(tier), 6) for tier in self.tiers)
        return (online, offline, plan.total(self.objective))

    def _overflowing(self, found: Candidate, solution: Solution) -> dict[str, int]:
        """Return the pools that need more nodes than the program paid for, with the nodes needed."""
        return {
            name: found.nodes[name]
            for name, column in self.formulation.nodes.items()
            if found.nodes[name] > round(solution.values[column])
        }

    def _nothing(self) -> Candidate:
        """Return the plan that serves nothing: always there, never broken."""
        values = [0.0] * len(self.formulation.program.lower)
        for column in self.formulation.shed.values():
            values[column] = 1.0
        return candidate(self.formulation, values)


def _cut(
    formulation: Formulation, program: Program, found: Candidate, overflowing: Mapping[str, int]
) -> Program:
    """Forbid these replicas on so few nodes: one kind must shrink, or the pool must turn on more nodes."""
    lower, upper, integer = list(program.lower), list(program.upper), list(program.integer)
    rows: list[Row] = list(program.rows)

    def binary() -> int:
        lower.append(0.0)
        upper.append(1.0)
        integer.append(True)
        return len(lower) - 1

    for pool, nodes in overflowing.items():
        choices: list[tuple[int, float]] = []
        for item in formulation.spec.configurations:
            count = found.replicas.get(item.name, 0)
            if item.pool == pool and count > 0:
                choice, column = binary(), formulation.replicas[item.name]
                most = program.upper[column]
                rows.append(row([(column, 1.0), (choice, most - count + 1)], upper=most))
                choices.append((choice, 1.0))
        more = binary()
        column = formulation.nodes[pool]
        if nodes <= program.upper[column]:
            rows.append(row([(column, 1.0), (more, -float(nodes))], lower=0.0))
            choices.append((more, 1.0))
        rows.append(row(choices, lower=1.0))
    return Program(tuple(lower), tuple(upper), tuple(integer), tuple(rows))


def _total(coefficients: Coefficients, solution: Solution) -> float:
    return sum(value * solution.values[column] for column, value in coefficients.items())


def _chain(fluid: float, linear: float, mixed: float, plan: float) -> BoundsResult:
    """Return the bounds in order; tolerances of solvers must not make a bound exceed what it bounds."""
    mixed = min(max(linear, mixed), plan)
    linear = min(linear, mixed)
    return BoundsResult(fluid=min(fluid, linear), lp=linear, mip=mixed)


def _result(
    formulation: Formulation, plan: Candidate, bounds: BoundsResult, seconds: float
) -> PlanningResult:
    spec = formulation.spec
    objective = plan.total(formulation.objective())
    gap = max(0.0, objective - bounds.mip) / abs(objective) if abs(objective) > 1e-12 else 0.0
    unserved = {item.name: item.rate * plan.shed.get(item.name, 0.0) for item in spec.slices}
    missing = {name: round(plan.values[c]) for name, c in formulation.missing.items() if plan.values[c] > 0.5}
    short = any(rate > 0 for rate in unserved.values()) or bool(missing)
    proven = gap <= max(spec.relative_gap, 1e-6)
    flows = tuple(
        FlowResult(
            slice=usable.option.slice,
            configuration=usable.option.configuration,
            rate=usable.rate * plan.shares[usable.column],
            phase=usable.option.phase,
        )
        for usable in formulation.options
        if usable.column in plan.shares
    )
    return PlanningResult(
        status="infeasible" if short else "optimal" if proven else "feasible",
        objective=objective,
        lower_bound=bounds.mip,
        gap=gap,
        bounds=bounds,
        nodes={pool.name: plan.nodes[pool.name] for pool in spec.pools},
        replicas={item.name: plan.replicas.get(item.name, 0) for item in spec.configurations},
        flows=flows,
        unserved=unserved,
        missing_replicas=missing,
        operational_grams_per_hour=plan.total(formulation.metrics["operational"]),
        embodied_grams_per_hour=plan.total(formulation.metrics["embodied"]),
        cold_start_grams=plan.total(formulation.metrics["cold_start"]),
        power_watts=plan.total(formulation.metrics["watts"]),
        cost_per_hour=plan.total(formulation.metrics["cost"]),
        latency_seconds=plan.total(formulation.metrics["latency"]),
        solve_seconds=seconds,
    )
