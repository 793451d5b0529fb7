"""A tick of the grid: only intensities changed, so replicas stay and load is routed anew among them.

Both linear programs are written once and stay with GLOP. One column per zone holds the zone's kilowatts, so a
change of intensity changes one price per zone and nothing else: the last basis stays feasible and is mostly
still optimal. The held program knows only the configurations that run, and of their options those in use, until
prices call for others. The other one is the full relaxation under the new intensities, which tells how much a plan
made anew could save at most.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf

import numpy as np

from ecoserve.errors import InvalidInputError, UnknownNameError
from ecoserve.planner.bounds import offer_zones
from ecoserve.planner.formulation import Formulation, formulate
from ecoserve.planner.instance import FlowResult, MarginalsResult, PlanningInstance, PlanningResult
from ecoserve.planner.marginals import marginals
from ecoserve.planner.mathopt_backend import Solution, SolverError
from ecoserve.planner.merging import merge_slices, split_flows
from ecoserve.planner.outcome import flows_of
from ecoserve.planner.pricing import LOOSE, PER_ROUND, TOLERANCE, PricedSession, Relaxation
from ecoserve.planner.program import Indices, Program, Row

_NOISE = 1e-7
_MOST_TIED = 6_000
"""Options of programs whose shares are tied to nodes: in small clusters the bound is far off without; large ones would wait for it."""


@dataclass(frozen=True, slots=True)
class Rerouted:
    """Flows over the replicas that run, and gCO2e/h of them (cold starts aside)."""

    objective: float
    flows: tuple[FlowResult, ...]


class HeldPlan:
    """A carbon plan that serves everything, kept while intensities move; raises InvalidInputError for others."""

    def __init__(self, instance: PlanningInstance, plan: PlanningResult) -> None:
        spec = instance.spec
        if spec.objective != "carbon" or not spec.divisible:
            raise InvalidInputError(
                "spec", spec.objective, "carbon plans of divisible slices follow the grid"
            )
        if plan.status == "infeasible":
            raise InvalidInputError("status", plan.status, "a plan that serves everything is needed")
        self._merged = merge_slices(spec)
        self._formulation = formulate(self._merged.spec, options=self._merged.options)
        self._zones = {zone.name: zone.carbon_intensity for zone in spec.zones}
        self._free = _priced(self._formulation, self._zones, plan)
        self._bound = self._free
        if len(spec.options) <= _MOST_TIED:
            tied = formulate(self._merged.spec, options=self._merged.options, tied=True)
            self._bound = _priced(tied, self._zones, plan)
        running = np.array([plan.replicas.get(item.name, 0) > 0 for item in spec.configurations])
        options = self._merged.options
        self._routes = formulate(self._merged.spec, options=options.chosen(running[options.configurations]))
        self._held = _priced(self._routes, self._zones, plan, held=True)

    def reroute(self, intensities: Mapping[str, float]) -> Rerouted:
        """Return the least gCO2e/h of the running replicas; zones that are not named keep their intensity."""
        solution = self._solved(self._held, intensities)
        if solution.point is None:
            raise SolverError("the held replicas cannot serve the load that they were planned for")
        shares = self._routes.offered.within(solution.point)
        flows = flows_of(self._routes, np.where(shares > _NOISE, shares, 0.0))
        return Rerouted(solution.objective, split_flows(self._merged, flows))

    def lower_bound(self, intensities: Mapping[str, float], hopeless: float = -inf) -> float:
        """Return gCO2e/h that no plan under these intensities can be below; no good bound once it is below `hopeless`."""
        return self._solved(self._bound, intensities, LOOSE, hopeless).bound

    def marginals(self, intensities: Mapping[str, float]) -> MarginalsResult | None:
        """Return prices at the margin of replicas chosen anew under these intensities."""
        relaxed = self._solved(self._free, intensities)
        if relaxed.point is None:
            return None
        metrics, first = self._formulation.metrics, self._formulation.program.columns
        places = _zone_columns(self._formulation)
        grams = np.array([*self._zones.values(), 0.0])  # the last for columns of no zone
        prices = metrics["watts"] / 1000 * grams[np.where(places < 0, -1, places - first)]
        own = replace(relaxed, point=relaxed.point[:first])
        return marginals(self._merged, self._formulation, prices + metrics["embodied"], own)

    def _solved(
        self,
        priced: PricedSession,
        intensities: Mapping[str, float],
        tolerance: float = TOLERANCE,
        hopeless: float = -inf,
    ) -> Solution:
        """Solve one of the programs under the zones' intensities; the others learn them when they are asked."""
        for name, grams in intensities.items():
            if name not in self._zones:
                raise UnknownNameError("zone", name, self._zones)
            if not 0 <= grams <= 1e15:
                raise InvalidInputError(f"intensity of {name}", grams, "grams per kWh from zero up")
            self._zones[name] = grams
        priced.session.reprice(dict(enumerate(self._zones.values(), priced.formulation.program.columns)))
        return priced.solve(tolerance=tolerance, hopeless=hopeless)


def _priced(
    formulation: Formulation, intensities: Mapping[str, float], plan: PlanningResult, *, held: bool = False
) -> PricedSession:
    """Write a program that serves everything, with the plan's replicas and nodes where they are held.

    Routes start with the options in use: few others ever pay among replicas that stay, and the prices call for those.
    """
    bounds = dict.fromkeys(formulation.shed.values(), (0.0, 0.0))
    if formulation.churn is not None:  # what is compared with the plan may move no more than it did
        excess = max(0, plan.churn - (formulation.spec.churn_budget or 0))
        bounds[formulation.churn.excess] = (0.0, float(excess))
    if held:
        bounds |= {
            column: (float(plan.replicas.get(name, 0)),) * 2 for name, column in formulation.replicas.items()
        }
        bounds |= {column: (float(plan.nodes[name]),) * 2 for name, column in formulation.nodes.items()}
    relaxation = Relaxation(formulation)
    now = relaxation.solve(formulation.program.bounded(bounds), formulation.objective())
    known, per_round = relaxation.useful, PER_ROUND
    if held and now.point is not None:
        known, per_round = formulation.offered.within(now.point) > 0, 1
    prices = np.append(formulation.metrics["embodied"], list(intensities.values()))
    priced = PricedSession(formulation, _with_zones(formulation).bounded(bounds), prices, known, per_round)
    priced.solve()  # ticks go on from here
    return priced


def _with_zones(formulation: Formulation) -> Program:
    """Return the program with kilowatts per zone as columns, after its own."""
    places = _zone_columns(formulation)
    columns = range(formulation.program.columns, formulation.program.columns + len(formulation.spec.zones))
    watts = formulation.metrics["watts"]
    rows = []
    for column in columns:
        members = np.flatnonzero((places == column) & (watts != 0))
        rows.append(Row(0.0, 0.0, np.append(members, column), np.append(watts[members] / 1000, -1.0)))
    return formulation.program.extended(len(columns), *rows)


def _zone_columns(formulation: Formulation) -> Indices:
    """Return by column of the formulation the column of the zone whose power it draws, -1 for those of no zone."""
    spec = formulation.spec
    columns = {zone.name: k for k, zone in enumerate(spec.zones, formulation.program.columns)}
    pools = {pool.name: pool.zone for pool in spec.pools}
    zones = {item.name: pools[item.pool] for item in spec.configurations}
    places = np.full(formulation.program.columns, -1, np.int64)
    places[list(formulation.replicas.values())] = [columns[zones[name]] for name in formulation.replicas]
    places[list(formulation.nodes.values())] = [columns[pools[name]] for name in formulation.nodes]
    of_zone = np.array([columns[zone.name] for zone in spec.zones], np.int64)
    places[formulation.offered.columns] = of_zone[offer_zones(formulation)]
    return places
