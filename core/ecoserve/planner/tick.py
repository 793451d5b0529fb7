"""A tick of the grid: only intensities changed, so replicas stay and load is routed anew among them.

Both linear programs are written once and stay with GLOP. One column per zone holds the zone's kilowatts, so a
change of intensity changes one price per zone and nothing else: the last basis stays feasible and is mostly
still optimal. The held program knows only the configurations that run; the other one is the full relaxation
under the new intensities, which tells how much a plan made anew could save at most.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from ecoserve.errors import InvalidInputError, UnknownNameError
from ecoserve.planner.formulation import Formulation, formulate
from ecoserve.planner.instance import FlowResult, PlanningInstance, PlanningResult
from ecoserve.planner.mathopt_backend import LinearSession, SolverError
from ecoserve.planner.merging import merge_slices, split_flows
from ecoserve.planner.program import Program, row

_NOISE = 1e-7


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
        self._formulation = formulate(self._merged.spec)
        self._zones = {zone.name: zone.carbon_intensity for zone in spec.zones}
        first = len(self._formulation.program.lower)
        self._columns = {name: first + index for index, name in enumerate(self._zones)}
        served = dict.fromkeys(self._formulation.shed.values(), (0.0, 0.0))
        program = _with_zones(self._formulation, self._columns).bounded(served)
        if self._formulation.churn is not None:  # what is compared with the plan may move no more than it did
            excess = max(0, plan.churn - (spec.churn_budget or 0))
            program = program.bounded({self._formulation.churn.excess: (0.0, float(excess))})
        self._bound = LinearSession(program, self._prices())
        self._held = LinearSession(program.bounded(_running(self._formulation, plan)), self._prices())

    def reroute(self, intensities: Mapping[str, float]) -> Rerouted:
        """Return the least gCO2e/h of the running replicas; zones that are not named keep their intensity."""
        solution = self._held.solve(self._changed(intensities))
        if not solution.values:
            raise SolverError("the held replicas cannot serve the load that they were planned for")
        flows = tuple(
            FlowResult(
                slice=usable.option.slice,
                configuration=usable.option.configuration,
                rate=usable.rate * solution.values[usable.column],
                phase=usable.option.phase,
            )
            for usable in self._formulation.options
            if solution.values[usable.column] > _NOISE
        )
        return Rerouted(solution.objective, split_flows(self._merged, flows))

    def lower_bound(self, intensities: Mapping[str, float]) -> float:
        """Return gCO2e/h that no plan under these intensities can be below."""
        return self._bound.solve(self._changed(intensities)).bound

    def _prices(self) -> dict[int, float]:
        prices = dict(self._formulation.metrics["embodied"])
        return prices | {column: self._zones[name] for name, column in self._columns.items()}

    def _changed(self, intensities: Mapping[str, float]) -> dict[int, float]:
        for name, grams in intensities.items():
            if name not in self._zones:
                raise UnknownNameError("zone", name, self._zones)
            if not 0 <= grams <= 1e15:
                raise InvalidInputError(f"intensity of {name}", grams, "grams per kWh from zero up")
            self._zones[name] = grams
        return {column: self._zones[name] for name, column in self._columns.items()}


def _with_zones(formulation: Formulation, columns: Mapping[str, int]) -> Program:
    """Return the program with kilowatts per zone as columns."""
    pools = {pool.name: pool.zone for pool in formulation.spec.pools}
    zones = {item.name: pools[item.pool] for item in formulation.spec.configurations}
    places = {usable.column: zones[usable.option.configuration] for usable in formulation.options}
    places |= {column: zones[name] for name, column in formulation.replicas.items()}
    places |= {column: pools[name] for name, column in formulation.nodes.items()}
    entries: dict[str, list[tuple[int, float]]] = {name: [(column, -1.0)] for name, column in columns.items()}
    for column, watts in formulation.metrics["watts"].items():
        entries[places[column]].append((column, watts / 1000))
    rows = [row(values, 0.0, 0.0) for values in entries.values()]
    return formulation.program.extended(len(columns), *rows)


def _running(formulation: Formulation, plan: PlanningResult) -> dict[int, tuple[float, float]]:
    """Return bounds that fix replicas and nodes, and close the options of what does not run."""
    fixed: dict[int, tuple[float, float]] = {}
    for name, column in formulation.replicas.items():
        fixed[column] = (float(plan.replicas[name]), float(plan.replicas[name]))
    for name, column in formulation.nodes.items():
        fixed[column] = (float(plan.nodes[name]), float(plan.nodes[name]))
    for usable in formulation.options:
        if plan.replicas[usable.option.configuration] == 0:
            fixed[usable.column] = (0.0, 0.0)
    return fixed
