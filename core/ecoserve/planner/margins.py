"""What a plan's parts are worth at the margin: per slice, per serving, per pool, and which constraints bind.

Ways to serve a slice are compared as the plan stands: replicas, and nodes of pools that are on, count in
proportion, as in the fluid bound; a pool that is off would have to turn a whole node on.
Prices and values are duals of the linear relaxation (see `planner.marginals`). Units follow the objective: for
carbon, gCO2e per 1,000 requests and gCO2e/h.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ecoserve.api.llmserving import Objective
from ecoserve.planner.bounds import option_costs
from ecoserve.planner.configurations import Configuration
from ecoserve.planner.formulation import Formulation, formulate
from ecoserve.planner.instance import BindingResult, InstanceSpec, PlanningResult, PoolSpec
from ecoserve.planner.solved import Solved
from ecoserve.units import GRAMS_PER_TONNE

PER_HOUR = {"carbon": "gCO2e/h", "energy": "W", "cost": "$/h", "performance": "s of mean latency"}
PER_THOUSAND = {"carbon": "gCO2e", "energy": "Wh", "cost": "$", "performance": "s of latency"}
"""What 1,000 requests take; of latency each request has its own."""

_WAYS = 3
_HOURS_PER_THOUSAND = 1000 / 3600
_NOTHING = 1e-9
_RESOURCES = {
    "gpu": ("accelerators", "accelerator"),
    "cpu": ("cores", "core"),
    "memoryGiB": ("memory", "GiB"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceMargin:
    """How most of one slice is served, what the next best way would add, and what 1,000 requests more would.

    `runner_up_adds` and `marginal` are per 1,000 requests in the objective's unit; below zero, the runner-up would
    take less in proportion and `why` tells what stands against it.
    """

    serving: str
    traffic_class: str
    slice: str
    requests_per_second: float
    way: str
    share: float
    runner_up: str
    runner_up_adds: float | None
    marginal: float | None
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingMargin:
    """What 1,000 requests more of one class would add, by the mix of lengths there is; in the objective's unit."""

    serving: str
    traffic_class: str
    marginal: float
    objective: Objective


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """A constraint that holds the objective up, what one unit more of room would save, and that in words.

    `kind` is one of the instance format's or `slo`; `serving` and `pool` name what it concerns, where it is one.
    """

    kind: str
    name: str
    value: float
    sentence: str
    pool: str = ""
    serving: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SolvedObjective:
    """An objective that some servings follow: its value and bound in its unit, and the instance's name."""

    objective: Objective
    value: float
    lower_bound: float
    instance: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The margins of a whole plan; `node_values` is what one more node of a pool would save, by pool, per hour."""

    objectives: tuple[SolvedObjective, ...]
    slices: tuple[SliceMargin, ...]
    servings: tuple[ServingMargin, ...]
    node_values: dict[str, float]
    binding: tuple[Binding, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """One or two configurations that serve a slice, in words, and what the whole slice costs on them."""

    configurations: tuple[str, ...]
    hardware: tuple[tuple[str, str], ...]
    words: str
    cost: float


def explain(parts: Iterable[Solved]) -> Explanation:
    """Return the margins of everything that was solved."""
    solved = [
        (part, part.instance, part.result)
        for part in parts
        if part.instance is not None and part.result is not None
    ]
    objectives: list[SolvedObjective] = []
    slices: list[SliceMargin] = []
    servings: list[ServingMargin] = []
    binding: list[Binding] = []
    node_values: dict[str, float] = {}
    for part, instance, result in solved:
        objectives.append(
            SolvedObjective(
                objective=Objective(instance.spec.objective),
                value=result.objective,
                lower_bound=result.lower_bound,
                instance=instance.metadata.name,
            )
        )
        own = tuple(_Slices(part, result).margins())
        slices += own
        servings += _servings(own, Objective(instance.spec.objective))
        if result.marginals is not None:
            for name, value in result.marginals.nodes.items():
                node_values[name] = max(value, node_values.get(name, 0.0))
            binding += [_binding(part, item) for item in result.marginals.binding]
    return Explanation(
        objectives=tuple(objectives),
        slices=tuple(sorted(slices, key=lambda item: (item.serving, -item.requests_per_second, item.slice))),
        servings=tuple(sorted(servings, key=lambda item: (item.serving, item.traffic_class))),
        node_values=node_values,
        binding=tuple(sorted(binding, key=lambda item: (-item.value, item.kind, item.name))),
    )


class _Slices:
    """Margins of the slices of one result."""

    def __init__(self, solved: Solved, result: PlanningResult) -> None:
        assert solved.instance is not None  # noqa: S101 - the caller has looked
        self._problem = solved.problem
        self._spec = solved.instance.spec
        self._result = result
        self._zone = {pool.name: pool.zone for pool in self._spec.pools}
        self._pools = {pool.name: pool for pool in self._spec.pools}
        self._rates: dict[tuple[str, str, str], float] = {
            (o.slice, o.configuration, o.phase): o.max_rate for o in self._spec.options
        }
        self._formulation: Formulation = formulate(self._spec)
        self._costs: dict[str, dict[str, list[tuple[float, str]]]] = {}
        for (name, configuration, phase), cost in option_costs(self._formulation).items():
            self._costs.setdefault(name, {}).setdefault(phase, []).append((cost, configuration))

    def margins(self) -> Iterator[SliceMargin]:
        served: dict[str, dict[str, dict[str, float]]] = {}
        for flow in self._result.flows:
            served.setdefault(flow.slice, {}).setdefault(flow.phase, {})[flow.configuration] = flow.rate
        for item in self._spec.slices:
            if item.name in served:
                yield self._margin(item.name, served[item.name])

    def _margin(self, name: str, served: dict[str, dict[str, float]]) -> SliceMargin:
        slice_ = self._problem.slices[name]
        main = max(
            (phases for phases in (("both",), ("prefill", "decode")) if phases[0] in served),
            key=lambda phases: sum(served[phases[0]].values()),
        )
        chosen = tuple(max(served[phase], key=lambda c: (served[phase][c], c)) for phase in main)
        ways = self._ways(name)
        own = next((way for way in ways if way.configurations == chosen), None) or self._way(
            name, main, chosen
        )
        others = [way for way in ways if way.hardware != own.hardware]
        next_best = min(others, key=lambda way: (way.cost, way.words), default=None)
        adds = None if next_best is None else self._per_thousand(next_best.cost - own.cost, name)
        prices = self._result.marginals.slices if self._result.marginals is not None else {}
        return SliceMargin(
            serving=slice_.serving,
            traffic_class=slice_.traffic_class,
            slice=name,
            requests_per_second=slice_.rate_per_second,
            way=own.words,
            share=served[main[0]][chosen[0]] / slice_.rate_per_second,
            runner_up="" if next_best is None else next_best.words,
            runner_up_adds=adds,
            marginal=None if self._spec.objective == "performance" else prices.get(name),
            why=self._why(next_best, adds),
        )

    def _ways(self, name: str) -> list[_Way]:
        """Return the ways to serve a slice: each configuration alone, and the cheapest pairs in each zone."""
        phases = self._costs[name]
        ways = [self._way(name, ("both",), (c,)) for _, c in phases.get("both", ())]
        for zone in sorted(set(self._zone.values())):
            prefill, decode = (
                sorted(entry for entry in phases.get(phase, ()) if self._zone_of(entry[1]) == zone)[:_WAYS]
                for phase in ("prefill", "decode")
            )
            ways += [
                self._way(name, ("prefill", "decode"), (first, second))
                for _, first in prefill
                for _, second in decode
            ]
        return ways

    def _way(self, name: str, phases: tuple[str, ...], configurations: tuple[str, ...]) -> _Way:
        items = [self._problem.configurations[c] for c in configurations]
        parts = [f"{_devices(item)} on {item.pool.name}" for item in items]
        words = parts[0] if len(parts) == 1 else f"prefill by {parts[0]}, decode by {parts[1]}"
        costs = {(phase, c): cost for phase in phases for cost, c in self._costs[name][phase]}
        return _Way(
            configurations=configurations,
            hardware=tuple((item.pool.name, item.shape) for item in items),
            words=words,
            cost=sum(costs[phase, c] for phase, c in zip(phases, configurations, strict=True))
            + sum(self._first_node(name, c, phase) for phase, c in zip(phases, configurations, strict=True)),
        )

    def _first_node(self, name: str, configuration: str, phase: str) -> float:
        """Return what a pool that is off costs beyond the part of its nodes that the slice needs: the rest of one."""
        item = self._problem.configurations[configuration]
        pool = self._pools[item.pool.name]
        if self._result.nodes[pool.name] > 0:
            return 0.0
        have = pool.node.resources.amounts()
        need = (item.resources.gpu, item.resources.cpu, item.resources.memory_gib)
        largest = max((n / h for n, h in zip(need, have, strict=True) if h > 0), default=0.0)
        usable = self._rates[name, configuration, phase] * (1 - self._spec.headroom)
        nodes = largest * self._problem.slices[name].rate_per_second / usable
        return max(0.0, 1.0 - nodes) * node_cost(self._spec, pool)

    def _zone_of(self, configuration: str) -> str:
        return self._zone[self._problem.configurations[configuration].pool.name]

    def _per_thousand(self, cost: float, name: str) -> float:
        """Turn what a whole slice costs an hour into what 1,000 of its requests do (of latency: each of them)."""
        rate = self._problem.slices[name].rate_per_second
        if self._spec.objective == "performance":
            return cost * sum(item.rate for item in self._spec.slices) / rate
        return cost / rate * _HOURS_PER_THOUSAND

    def _why(self, runner_up: _Way | None, adds: float | None) -> str:
        if runner_up is None or adds is None:
            return "the only hardware that can serve it"
        unit = PER_THOUSAND[self._spec.objective]
        per = "a request" if self._spec.objective == "performance" else "per 1,000 requests"
        if adds >= 0:
            return f"least; next, {runner_up.words} adds {adds:.3g} {unit} {per}"
        pools = {self._problem.configurations[c].pool for c in runner_up.configurations}
        full = sorted(pool.name for pool in pools if self._result.nodes[pool.name] >= pool.nodes)
        stands_against = (
            f"{' and '.join(full)} has no node left" if full else "whole replicas and nodes favour this one"
        )
        return (
            f"{runner_up.words} would take {-adds:.3g} {unit} {per} less in proportion, but {stands_against}"
        )


def node_cost(spec: InstanceSpec, pool: PoolSpec) -> float:
    """Return what a node of a pool that is on costs an hour, in the objective's unit."""
    zone = next(zone for zone in spec.zones if zone.name == pool.zone)
    watts = pool.node.power_watts * zone.pue
    grams = watts / 1000 * zone.carbon_intensity + pool.node.embodied_grams_per_hour
    match spec.objective:
        case "carbon":
            return grams
        case "energy":
            return watts
        case "cost":
            return pool.node.cost_per_hour + grams / GRAMS_PER_TONNE * spec.carbon_price_per_tonne
        case _:
            return 0.0


def _devices(item: Configuration) -> str:
    return f"{item.engine.cpu_cores:g} cores" if item.engine.on_cpu else f"{item.resources.gpu:g} GPU"


def _servings(slices: Iterable[SliceMargin], objective: Objective) -> Iterator[ServingMargin]:
    groups: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for item in slices:
        if item.marginal is not None:
            groups.setdefault((item.serving, item.traffic_class), []).append(
                (item.requests_per_second, item.marginal)
            )
    for (serving, traffic_class), weighted in groups.items():
        rate = sum(rate for rate, _ in weighted)
        if rate > _NOTHING:
            mean = sum(rate * marginal for rate, marginal in weighted) / rate
            yield ServingMargin(
                serving=serving, traffic_class=traffic_class, marginal=mean, objective=objective
            )


def _binding(part: Solved, item: BindingResult) -> Binding:
    assert part.instance is not None  # noqa: S101 - it has a result
    saves = f"would save {item.value:.3g} {PER_HOUR[part.instance.spec.objective]}"
    configuration = part.problem.configurations.get(item.name)
    serving = configuration.serving if configuration is not None else item.name
    match item.kind:
        case "nodes":
            sentence = f"pool {item.name} has no node left: one more node {saves}"
            return Binding(
                kind=item.kind, name=item.name, value=item.value, sentence=sentence, pool=item.name
            )
        case "resource":
            what, one = _RESOURCES[item.resource or "gpu"]
            sentence = f"{what} fill the nodes of pool {item.name}: one {one} more on each {saves}"
            return Binding(
                kind=item.kind, name=item.name, value=item.value, sentence=sentence, pool=item.name
            )
        case "minReplicas":
            sentence = f"minReplicas of {item.name}: one replica fewer {saves}"
        case "maxReplicas":
            sentence = f"maxReplicas of {item.name}: one replica more {saves}"
        case _:
            sentence, serving = f"the churn budget: one move more {saves}", ""
    return Binding(kind=item.kind, name=item.name, value=item.value, sentence=sentence, serving=serving)
