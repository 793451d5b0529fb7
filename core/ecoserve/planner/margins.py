"""What a plan's parts are worth at the margin: per slice, per serving, per pool, and which constraints bind.

Ways to serve a slice are compared as the plan stands: replicas, and nodes of pools that are on, count in
proportion, as in the fluid bound; a pool that is off would have to turn a whole node on.
Prices and values are duals of the linear relaxation (see `planner.marginals`). Units follow the objective: for
carbon, gCO2e per 1,000 requests and gCO2e/h.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from ecoserve.api.llmserving import Objective
from ecoserve.planner.configurations import Configuration
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


_Way = tuple[float, tuple[str, ...]]
"""What a whole slice costs on one configuration, or on one per phase, and which these are."""


def outline(parts: Iterable[Solved]) -> Explanation:
    """Return what the solver told itself, in no time: objectives and what nodes are worth, no slices, servings and constraints."""
    objectives: list[SolvedObjective] = []
    node_values: dict[str, float] = {}
    for part in parts:
        if part.instance is None or part.result is None:
            continue
        objectives.append(
            SolvedObjective(
                objective=Objective(part.instance.spec.objective),
                value=part.result.objective,
                lower_bound=part.result.lower_bound,
                instance=part.instance.metadata.name,
            )
        )
        if part.result.marginals is not None:
            left_over = _left_over(part)
            for name, value in part.result.marginals.nodes.items():
                if name not in left_over:
                    node_values[name] = max(value, node_values.get(name, 0.0))
    return Explanation(
        objectives=tuple(objectives), slices=(), servings=(), node_values=node_values, binding=()
    )


def explain(parts: Sequence[Solved]) -> Explanation:
    """Return the margins of everything that was solved."""
    slices: list[SliceMargin] = []
    servings: list[ServingMargin] = []
    binding: list[Binding] = []
    for part in parts:
        if part.instance is None or part.result is None:
            continue
        own = tuple(_Slices(part, part.result).margins())
        slices += own
        servings += _servings(own, Objective(part.instance.spec.objective))
        if part.result.marginals is not None:
            left_over = _left_over(part)
            binding += [
                _binding(part, item) for item in part.result.marginals.binding if item.name not in left_over
            ]
    return replace(
        outline(parts),
        slices=tuple(sorted(slices, key=lambda item: (item.serving, -item.requests_per_second, item.slice))),
        servings=tuple(sorted(servings, key=lambda item: (item.serving, item.traffic_class))),
        binding=tuple(sorted(binding, key=lambda item: (-item.value, item.kind, item.name))),
    )


def _left_over(part: Solved) -> set[str]:
    """Return the pools that are what others left on nodes in use: nobody can buy those."""
    return {pool.name for pool in part.snapshot.pools if pool.part_of is not None}


class _Slices:
    """Margins of the slices of one result."""

    def __init__(self, solved: Solved, result: PlanningResult) -> None:
        assert solved.free.instance is not None  # noqa: S101 - the caller has looked
        self._problem = solved.free
        self._spec = solved.free.instance.spec
        self._result = result
        self._zone = {pool.name: pool.zone for pool in self._spec.pools}
        self._first_nodes = dict(self._nodes_to_turn_on())
        self._kinds = {
            name: (item.pool.title, _devices(item)) for name, item in self._problem.configurations.items()
        }

    def _nodes_to_turn_on(self) -> Iterator[tuple[str, tuple[float, float]]]:
        """Yield for configurations on pools that are off what a node costs, and the part of it a replica takes."""
        off = {pool.name: pool for pool in self._spec.pools if not self._result.nodes[pool.name]}
        for item in self._spec.configurations:
            if item.pool in off:
                pool = off[item.pool]
                amounts = zip(item.resources.amounts(), pool.node.resources.amounts(), strict=True)
                part = max((need / have for need, have in amounts if have > 0), default=0.0)
                yield item.name, (node_cost(self._spec, pool), part)

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
        phases = self._by_phase(name)
        costs = {way: cost for phase in main for cost, way in phases[phase]}
        cost = sum(costs[(configuration,)] for configuration in chosen)
        others = [way for way in self._ways(phases) if self._hardware(way[1]) != self._hardware(chosen)]
        next_best = min(others, default=None)
        adds = None if next_best is None else self._per_thousand(next_best[0] - cost, name)
        prices = self._result.marginals.slices if self._result.marginals is not None else {}
        return SliceMargin(
            serving=slice_.serving,
            traffic_class=slice_.traffic_class,
            slice=name,
            requests_per_second=slice_.rate_per_second,
            way=self._words(chosen),
            share=served[main[0]][chosen[0]] / slice_.rate_per_second,
            runner_up="" if next_best is None else self._words(next_best[1]),
            runner_up_adds=adds,
            marginal=None if self._spec.objective == "performance" else prices.get(name),
            why=self._why(next_best, adds),
        )

    def _by_phase(self, name: str) -> dict[str, list[_Way]]:
        """Return what a slice costs on each configuration, where its pool is off with the whole of a first node."""
        found: dict[str, list[_Way]] = {}
        for phase, drops in self._problem.drop_costs.of(name).items():
            for drop in drops:
                node, part = self._first_nodes.get(drop.configuration, (0.0, 0.0))
                whole = drop.cost + max(0.0, 1.0 - part * drop.load) * node
                found.setdefault(phase, []).append((whole, (drop.configuration,)))
        return found

    def _ways(self, phases: dict[str, list[_Way]]) -> Iterator[_Way]:
        """Yield the ways to serve a slice: each configuration alone, and the cheapest pairs in each zone."""
        yield from phases.get("both", ())
        if "prefill" not in phases or "decode" not in phases:
            return
        for zone in sorted(set(self._zone.values())):
            prefill, decode = (
                sorted(way for way in phases[phase] if self._zone_of(way[1][0]) == zone)[:_WAYS]
                for phase in ("prefill", "decode")
            )
            yield from (
                (first + second, (*sends, *receives))
                for first, sends in prefill
                for second, receives in decode
            )

    def _hardware(self, configurations: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
        return tuple(self._kinds[name] for name in configurations)

    def _words(self, configurations: tuple[str, ...]) -> str:
        parts = [f"{devices} on {pool}" for pool, devices in self._hardware(configurations)]
        return parts[0] if len(parts) == 1 else f"prefill by {parts[0]}, decode by {parts[1]}"

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
            return f"least; next, {self._words(runner_up[1])} adds {adds:.3g} {unit} {per}"
        pools = {self._problem.configurations[name].pool for name in runner_up[1]}
        full = sorted(pool.name for pool in pools if self._result.nodes[pool.name] >= pool.nodes)
        stands_against = (
            f"{' and '.join(full)} has no node left" if full else "whole replicas and nodes favour this one"
        )
        words = self._words(runner_up[1])
        return f"{words} would take {-adds:.3g} {unit} {per} less in proportion, but {stands_against}"


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
            what = (
                f"replicas of {item.name} stay"
                if configuration is not None
                else f"minReplicas of {item.name}"
            )
            sentence = f"{what}: one replica fewer {saves}"
        case "maxReplicas":
            sentence = f"maxReplicas of {item.name}: one replica more {saves}"
        case _:
            sentence, serving = f"the churn budget: one move more {saves}", ""
    return Binding(kind=item.kind, name=item.name, value=item.value, sentence=sentence, serving=serving)
