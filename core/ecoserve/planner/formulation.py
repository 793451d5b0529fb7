"""The mixed-integer program of an instance.

Columns: the share x of a slice on a configuration (continuous, or 0/1 where slices are indivisible), integer
replicas y of a configuration, integer nodes n of a pool that are on, the share u of a slice that is shed. Rows:

    cover      Σ x + u = 1 per slice (n where one stands for n equal whole ones); with phases, prefill = decode share per slice and zone
    capacity   Σ a·x ≤ y per configuration, a = rate / usable rate of one replica
    packing    Σ resources·y ≤ resources of a node · n per pool and resource
    limits     min ≤ Σ y ≤ max per group of configurations
    churn      y − held = up − down, Σ (up + down) ≤ budget + excess

No column per node: nodes of a pool are alike, and a column each would only add symmetry. Configurations larger
than a node and options without a usable rate are never offered. This formulation is a reconstruction; the
text of the published EcoServe program is not public.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import ceil, inf

from ecoserve.planner.instance import (
    ConfigurationSpec,
    InstanceSpec,
    Objective,
    OptionSpec,
    PoolSpec,
    ZoneSpec,
)
from ecoserve.planner.packing import fits, replicas_per_node
from ecoserve.planner.program import Program, ProgramBuilder
from ecoserve.units import GRAMS_PER_TONNE

_LARGEST_SHARE = 1e7
"""An option that would need more replicas than this for its slice is no option (and would spoil the scaling)."""

_MARGIN = 1e-9
_LINKING_ROWS = 5_000
"""In programs with more slices on pools than this, whole nodes hardly matter and rows cost more than they save."""

Coefficients = dict[int, float]


@dataclass(frozen=True, slots=True)
class UsableOption:
    """An option that is offered: its column, and replicas and requests/s of one unit of it (a whole slice)."""

    option: OptionSpec
    column: int
    replicas: float
    rate: float


@dataclass(frozen=True, slots=True)
class Rows:
    """Which row of the program means what: what duals are read by."""

    capacity: Mapping[str, int]
    packing: Mapping[tuple[str, int], int]
    """By pool and index of the resource."""
    least: Mapping[str, int]
    most: Mapping[str, int]
    churn: int | None


@dataclass(frozen=True, slots=True)
class Churn:
    """Columns of the churn budget: replicas started and stopped by configuration, and what exceeds the budget."""

    up: Mapping[str, int]
    down: Mapping[str, int]
    excess: int


@dataclass(frozen=True, slots=True)
class Formulation:
    """The program of an instance, and which column and row means what."""

    spec: InstanceSpec
    program: Program
    options: tuple[UsableOption, ...]
    replicas: Mapping[str, int]
    nodes: Mapping[str, int]
    shed: Mapping[str, int]
    missing: Mapping[str, int]
    starts: Mapping[str, int]
    churn: Churn | None
    rows: Rows
    metrics: Mapping[str, Coefficients]
    counts: Mapping[str, int]

    def objective(self) -> Coefficients:
        """Return the coefficients of the instance's objective; a price makes $ of its carbon."""
        total = self.combined(*OBJECTIVE_METRICS[self.spec.objective])
        dollars_per_gram = self.spec.carbon_price_per_tonne / GRAMS_PER_TONNE
        if dollars_per_gram > 0:
            for column, grams in self.combined(*OBJECTIVE_METRICS["carbon"]).items():
                total[column] = total.get(column, 0.0) + dollars_per_gram * grams
        return total

    def combined(self, *names: str) -> Coefficients:
        """Return the sum of metrics as one set of coefficients."""
        total: Coefficients = {}
        for name in names:
            for column, value in self.metrics[name].items():
                total[column] = total.get(column, 0.0) + value
        return total

    def shed_rate(self, traffic_class: str) -> Coefficients:
        """Return the coefficients of the requests/s of a class that are shed; missing replicas count as online."""
        total = {
            self.shed[item.name]: item.rate
            for item in self.spec.slices
            if item.traffic_class == traffic_class and item.name in self.shed
        }
        if traffic_class == "online" and self.missing:
            whole = sum(item.rate * self.counts.get(item.name, 1) for item in self.spec.slices) or 1.0
            total |= dict.fromkeys(self.missing.values(), whole)
        return total

    def churn_excess(self) -> Coefficients:
        """Return the coefficients of the replicas started and stopped beyond the budget."""
        return {} if self.churn is None else {self.churn.excess: 1.0}


OBJECTIVE_METRICS: Mapping[Objective, tuple[str, ...]] = {
    "carbon": ("operational", "embodied", "cold_start"),
    "energy": ("watts",),
    "cost": ("cost",),
    "performance": ("latency",),
}


def formulate(spec: InstanceSpec, counts: Mapping[str, int] | None = None) -> Formulation:
    """Write the program of an instance; `counts` tells how many equal whole slices a slice stands for."""
    return _Writer(spec, counts or {}).write()


class _Writer:
    """Writes columns, then rows, in the order of the instance, so that equal instances give equal programs."""

    def __init__(self, spec: InstanceSpec, counts: Mapping[str, int]) -> None:
        self.spec = spec
        self.counts = counts
        self.builder = ProgramBuilder()
        self.zones: dict[str, ZoneSpec] = {zone.name: zone for zone in spec.zones}
        self.pools: dict[str, PoolSpec] = {pool.name: pool for pool in spec.pools}
        self.placeable: dict[str, ConfigurationSpec] = {
            item.name: item for item in spec.configurations if self._placeable(item)
        }
        self.rates = {item.name: item.rate for item in spec.slices if item.rate > 0}
        self.metrics: dict[str, Coefficients] = {
            name: {} for name in ("operational", "embodied", "cold_start", "watts", "cost", "latency")
        }
        self.total_rate = sum(rate * counts.get(name, 1) for name, rate in self.rates.items()) or 1.0

    def write(self) -> Formulation:
        shed = {name: self._share(name) for name in self.rates}
        options = tuple(self._options())
        needs: dict[str, float] = {}
        for usable in options:
            name = usable.option.configuration
            count = self.counts.get(usable.option.slice, 1)
            needs[name] = needs.get(name, 0.0) + usable.replicas * count
        replicas = {name: self._replicas(item, needs.get(name, 0.0)) for name, item in self.placeable.items()}
        nodes = {name: self._nodes(pool) for name, pool in self.pools.items()}
        missing = {
            limit.name: self.builder.column(0.0, float(limit.min_replicas), integer=True)
            for limit in self.spec.limits
            if limit.min_replicas > 0
        }
        self._cover(options, shed)
        capacity = self._capacity(options, replicas)
        packing = self._packing(replicas, nodes)
        self._linking(options, nodes)
        least, most = self._limits(replicas, missing)
        churn, churn_row = self._churn(replicas)
        starts = self._cold_starts(replicas, churn)
        return Formulation(
            spec=self.spec,
            program=self.builder.program(),
            options=options,
            replicas=replicas,
            nodes=nodes,
            shed=shed,
            missing=missing,
            starts=starts,
            churn=churn,
            rows=Rows(capacity, packing, least, most, churn_row),
            metrics=self.metrics,
            counts=self.counts,
        )

    def _share(self, name: str) -> int:
        return self.builder.column(0.0, float(self.counts.get(name, 1)), integer=not self.spec.divisible)

    def _placeable(self, item: ConfigurationSpec) -> bool:
        pool = self.pools[item.pool]
        return pool.nodes > 0 and fits(item.resources.amounts(), pool.node.resources.amounts())

    def _price(self, column: int, zone: ZoneSpec, watts: float, grams: float, dollars: float) -> None:
        facility_watts = watts * zone.pue
        for name, value in (
            ("watts", facility_watts),
            ("operational", facility_watts / 1000 * zone.carbon_intensity),
            ("embodied", grams),
            ("cost", dollars),
        ):
            if value:
                self.metrics[name][column] = value

    def _options(self) -> Iterable[UsableOption]:
        for option in self.spec.options:
            rate = self.rates.get(option.slice, 0.0)
            usable = option.max_rate * (1 - self.spec.headroom)
            configuration = self.placeable.get(option.configuration)
            if rate <= 0 or configuration is None or usable * _LARGEST_SHARE < rate:
                continue
            column = self._share(option.slice)
            zone = self.zones[self.pools[configuration.pool].zone]
            self._price(column, zone, rate * option.energy_per_request_joules, 0.0, 0.0)
            if option.latency_seconds:
                self.metrics["latency"][column] = rate * option.latency_seconds / self.total_rate
            yield UsableOption(option, column, rate / usable, rate)

    def _replicas(self, item: ConfigurationSpec, needed: float) -> int:
        pool = self.pools[item.pool]
        most = replicas_per_node(item.resources.amounts(), pool.node.resources.amounts()) * pool.nodes
        kept = 0 if self.spec.churn_budget is None else self.spec.held.get(item.name, 0)
        wanted = max(
            [
                ceil(needed),
                kept,  # a budget may not suffice to stop them
                *(limit.min_replicas for limit in self.spec.limits if item.name in limit.configurations),
            ]
        )
        caps = [most, wanted + 1]  # one above what can be of use: a bound that is met would take a price
        if item.max_replicas is not None:
            caps.append(item.max_replicas)
        column = self.builder.column(0.0, float(min(caps)), integer=True)
        zone = self.zones[pool.zone]
        self._price(column, zone, item.power_watts, item.embodied_grams_per_hour, item.cost_per_hour)
        return column

    def _nodes(self, pool: PoolSpec) -> int:
        column = self.builder.column(0.0, float(pool.nodes), integer=True)
        node = pool.node
        self._price(
            column, self.zones[pool.zone], node.power_watts, node.embodied_grams_per_hour, node.cost_per_hour
        )
        return column

    def _cover(self, options: Iterable[UsableOption], shed: Mapping[str, int]) -> None:
        cover: dict[str, list[tuple[int, float]]] = {name: [(column, 1.0)] for name, column in shed.items()}
        handover: dict[tuple[str, str], list[tuple[int, float]]] = {}
        for usable in options:
            option = usable.option
            if option.phase != "decode":
                cover[option.slice].append((usable.column, 1.0))
            if option.phase != "both":
                zone = self.pools[self.placeable[option.configuration].pool].zone
                sign = 1.0 if option.phase == "prefill" else -1.0
                handover.setdefault((option.slice, zone), []).append((usable.column, sign))
        for name, entries in cover.items():
            count = float(self.counts.get(name, 1))
            self.builder.row(entries, count, count)
        for entries in handover.values():
            self.builder.row(entries, 0.0, 0.0)

    def _capacity(self, options: Iterable[UsableOption], replicas: Mapping[str, int]) -> dict[str, int]:
        loads: dict[str, list[tuple[int, float]]] = {}
        for usable in options:
            loads.setdefault(usable.option.configuration, []).append((usable.column, usable.replicas))
        return {
            name: self.builder.row([*entries, (replicas[name], -1.0)], upper=0.0)
            for name, entries in loads.items()
        }

    def _packing(self, replicas: Mapping[str, int], nodes: Mapping[str, int]) -> dict[tuple[str, int], int]:
        rows: dict[tuple[str, int], int] = {}
        members: dict[str, list[ConfigurationSpec]] = {}
        for item in self.placeable.values():
            members.setdefault(item.pool, []).append(item)
        for name, items in members.items():
            capacity = self.pools[name].node.resources.amounts()
            for index, have in enumerate(capacity):
                used = [(replicas[item.name], item.resources.amounts()[index]) for item in items]
                if have > 0 and any(amount for _, amount in used):
                    rows[name, index] = self.builder.row([*used, (nodes[name], -have)], upper=0.0)
                large = [(column, 1.0) for column, amount in used if amount > have / 2 * (1 + _MARGIN)]
                if large:  # no two of them share a node, whatever the sum says
                    self.builder.row([*large, (nodes[name], -1.0)], upper=0.0)
            for item in items:
                amounts = item.resources.amounts()
                whole = replicas_per_node(amounts, capacity)
                ratio = min((h / a for a, h in zip(amounts, capacity, strict=True) if a > 0), default=inf)
                if 1 < whole < ratio * (1 - _MARGIN):
                    self.builder.row([(replicas[item.name], 1.0), (nodes[name], -whole)], upper=0.0)
        return rows

    def _linking(self, options: Iterable[UsableOption], nodes: Mapping[str, int]) -> None:
        """Tie shares to nodes: a pool that is off serves no part of a slice.

        Implied for whole nodes, and what lifts the relaxation off fractions of them in small clusters. Rows of
        slices that stand for several would be too weak to be worth their cost.
        """
        if self.counts:
            return
        groups: dict[tuple[str, str, bool], list[tuple[int, float]]] = {}
        for usable in options:
            item = self.placeable[usable.option.configuration]
            if any(item.resources.amounts()):
                key = (usable.option.slice, item.pool, usable.option.phase == "decode")
                groups.setdefault(key, []).append((usable.column, 1.0))
        if len(groups) <= _LINKING_ROWS:
            for (_, pool, _), entries in groups.items():
                self.builder.row([*entries, (nodes[pool], -1.0)], upper=0.0)

    def _limits(
        self, replicas: Mapping[str, int], missing: Mapping[str, int]
    ) -> tuple[dict[str, int], dict[str, int]]:
        least: dict[str, int] = {}
        most: dict[str, int] = {}
        for limit in self.spec.limits:
            group = [(replicas[name], 1.0) for name in sorted(set(limit.configurations)) if name in replicas]
            if limit.min_replicas > 0:
                entries = [*group, (missing[limit.name], 1.0)]
                least[limit.name] = self.builder.row(entries, lower=float(limit.min_replicas))
            if limit.max_replicas is not None and group:
                most[limit.name] = self.builder.row(group, upper=float(limit.max_replicas))
        return least, most

    def _churn(self, replicas: Mapping[str, int]) -> tuple[Churn | None, int | None]:
        budget, held = self.spec.churn_budget, self.spec.held
        if budget is None:
            return None, None
        up: dict[str, int] = {}
        down: dict[str, int] = {}
        for name, column in replicas.items():
            up[name] = self.builder.column()
            entries = [(column, 1.0), (up[name], -1.0)]
            if held.get(name, 0) > 0:
                down[name] = self.builder.column()
                entries.append((down[name], 1.0))
            count = float(held.get(name, 0))
            self.builder.row(entries, count, count)
        churn = Churn(up, down, self.builder.column())
        gone = sum(count for name, count in held.items() if name not in replicas)
        moves = [(column, 1.0) for column in (*up.values(), *down.values())]
        return churn, self.builder.row([*moves, (churn.excess, -1.0)], upper=float(budget - gone))

    def _cold_starts(self, replicas: Mapping[str, int], churn: Churn | None) -> dict[str, int]:
        starts: dict[str, int] = {}
        for name, item in self.placeable.items():
            if item.cold_start_grams > 0:
                starts[name] = self.builder.column() if churn is None else churn.up[name]
                self.metrics["cold_start"][starts[name]] = item.cold_start_grams
                if churn is None:
                    entries = [(replicas[name], 1.0), (starts[name], -1.0)]
                    self.builder.row(entries, upper=float(self.spec.held.get(name, 0)))
        return starts
