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

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import ceil, inf

import numpy as np

from ecoserve.planner.instance import ConfigurationSpec, InstanceSpec, Objective, PoolSpec, ZoneSpec
from ecoserve.planner.offers import BOTH, DECODE, PREFILL, Offered, Options, usable_options
from ecoserve.planner.packing import fits, replicas_per_node
from ecoserve.planner.packing_rows import write_packing
from ecoserve.planner.program import Indices, Program, ProgramBuilder, Vector, distinct
from ecoserve.units import GRAMS_PER_TONNE

_LINKING_ROWS = 5_000
"""In programs with more slices on pools than this, whole nodes hardly matter and rows cost more than they save."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Which row of the program means what: what duals are read by."""

    cover: Mapping[str, int]
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


@dataclass(frozen=True, eq=False)
class Formulation:
    """The program of an instance, and which column and row means what."""

    spec: InstanceSpec
    program: Program
    offered: Offered
    replicas: Mapping[str, int]
    nodes: Mapping[str, int]
    shed: Mapping[str, int]
    missing: Mapping[str, int]
    starts: Mapping[str, int]
    churn: Churn | None
    rows: Rows
    metrics: Mapping[str, Vector]
    counts: Mapping[str, int]

    @cached_property
    def configurations(self) -> Mapping[str, ConfigurationSpec]:
        """The configurations by name."""
        return {item.name: item for item in self.spec.configurations}

    @cached_property
    def replica_columns(self) -> Indices:
        """The column of each configuration's replicas, -1 where it cannot be placed."""
        return np.array([self.replicas.get(item.name, -1) for item in self.spec.configurations], np.int64)

    @cached_property
    def pool_places(self) -> Indices:
        """The pool of each configuration, by its place."""
        places = {pool.name: place for place, pool in enumerate(self.spec.pools)}
        return np.array([places[item.pool] for item in self.spec.configurations], np.int64)

    @cached_property
    def ratios(self) -> Vector:
        """The part of a node that a replica takes, by configuration and resource."""
        amounts = np.array([item.resources.amounts() for item in self.spec.configurations])
        capacity = np.array([pool.node.resources.amounts() for pool in self.spec.pools])[self.pool_places]
        ratios: Vector = np.divide(amounts, capacity, out=np.zeros_like(amounts), where=capacity > 0)
        return ratios

    def objective(self) -> Vector:
        """Return the coefficients of the instance's objective; a price makes $ of its carbon."""
        total = self.combined(*OBJECTIVE_METRICS[self.spec.objective])
        dollars_per_gram = self.spec.carbon_price_per_tonne / GRAMS_PER_TONNE
        if dollars_per_gram > 0:
            total += dollars_per_gram * self.combined(*OBJECTIVE_METRICS["carbon"])
        return total

    def combined(self, *names: str) -> Vector:
        """Return the sum of metrics, by column."""
        total = np.zeros(self.program.columns)
        for name in names:
            total += self.metrics[name]
        return total

    def shed_rate(self, traffic_class: str) -> Vector:
        """Return the coefficients of the requests/s of a class that are shed; missing replicas count as online."""
        total = np.zeros(self.program.columns)
        for item in self.spec.slices:
            if item.traffic_class == traffic_class and item.name in self.shed:
                total[self.shed[item.name]] = item.rate
        if traffic_class == "online" and self.missing:
            whole = sum(item.rate * self.counts.get(item.name, 1) for item in self.spec.slices) or 1.0
            total[list(self.missing.values())] = whole
        return total

    def churn_excess(self) -> Vector:
        """Return the coefficients of the replicas started and stopped beyond the budget."""
        total = np.zeros(self.program.columns)
        if self.churn is not None:
            total[self.churn.excess] = 1.0
        return total


OBJECTIVE_METRICS: Mapping[Objective, tuple[str, ...]] = {
    "carbon": ("operational", "embodied", "cold_start"),
    "energy": ("watts",),
    "cost": ("cost",),
    "performance": ("latency",),
}


def formulate(
    spec: InstanceSpec,
    counts: Mapping[str, int] | None = None,
    options: Options | None = None,
    *,
    tied: bool = False,
) -> Formulation:
    """Write the program of an instance; `counts` tells how many equal whole slices a slice stands for.

    `options` are the instance's, as arrays. `tied` ties shares to nodes though slices may be split, for a better bound.
    """
    return _Writer(spec, counts or {}, options or Options.of(spec), tied=tied).write()


class _Writer:
    """Writes columns, then rows, in the order of the instance, so that equal instances give equal programs."""

    def __init__(self, spec: InstanceSpec, counts: Mapping[str, int], options: Options, *, tied: bool):
        self.spec, self.counts, self.options = spec, counts, options
        self.ties = not counts and (tied or not spec.divisible)
        self.builder = ProgramBuilder()
        self.zones: dict[str, ZoneSpec] = {zone.name: zone for zone in spec.zones}
        self.pools: dict[str, PoolSpec] = {pool.name: pool for pool in spec.pools}
        self.least: dict[str, int] = {}
        for limit in spec.limits:
            for name in limit.configurations:
                self.least[name] = max(limit.min_replicas, self.least.get(name, 0))
        self.placeable: dict[str, ConfigurationSpec] = {
            item.name: item for item in spec.configurations if self._placeable(item)
        }
        places = {pool.name: place for place, pool in enumerate(spec.pools)}
        self.pool_of = np.array([places[item.pool] for item in spec.configurations], np.int64)
        self.prices: list[tuple[str, int, float]] = []

    def write(self) -> Formulation:
        spec = self.spec
        copies = np.array([float(self.counts.get(item.name, 1)) for item in spec.slices])
        rates = np.array([item.rate for item in spec.slices])
        rated = np.flatnonzero(rates > 0)
        first = self.builder.block(copies[rated], integer=not spec.divisible)
        shed = {spec.slices[k].name: first + place for place, k in enumerate(rated.tolist())}
        placeable = np.array([item.name in self.placeable for item in spec.configurations])
        offered = usable_options(self.options, rates, placeable, spec.headroom, first + len(rated))
        self.builder.block(copies[offered.slices], integer=not spec.divisible)
        needed = np.bincount(
            offered.configurations, offered.loads * copies[offered.slices], len(spec.configurations)
        )
        replicas = {
            item.name: self._replicas(item, needed[k])
            for k, item in enumerate(spec.configurations)
            if item.name in self.placeable
        }
        nodes = {name: self._nodes(pool) for name, pool in self.pools.items()}
        missing = {
            limit.name: self.builder.column(0.0, float(limit.min_replicas), integer=True)
            for limit in spec.limits
            if limit.min_replicas > 0
        }
        cover = self._cover(offered, shed, copies, rated)
        capacity = self._capacity(offered, replicas)
        packing = write_packing(self.builder, self.placeable.values(), self.pools, replicas, nodes)
        self._linking(offered, nodes)
        least, most = self._limits(replicas, missing)
        churn, churn_row = self._churn(replicas)
        starts = self._cold_starts(replicas, churn)
        program = self.builder.program()
        return Formulation(
            spec=spec,
            program=program,
            offered=offered,
            replicas=replicas,
            nodes=nodes,
            shed=shed,
            missing=missing,
            starts=starts,
            churn=churn,
            rows=Rows(cover, capacity, packing, least, most, churn_row),
            metrics=self._metrics(offered, program.columns, float((rates * copies).sum()) or 1.0),
            counts=self.counts,
        )

    def _metrics(self, offered: Offered, columns: int, total_rate: float) -> dict[str, Vector]:
        metrics = {
            name: np.zeros(columns)
            for name in ("operational", "embodied", "cold_start", "watts", "cost", "latency")
        }
        for name, column, value in self.prices:
            metrics[name][column] = value
        zones = [self.zones[self.pools[item.pool].zone] for item in self.spec.configurations]
        pue = np.array([zone.pue for zone in zones])[offered.configurations]
        grams = np.array([zone.carbon_intensity for zone in zones])[offered.configurations]
        watts = offered.rates * offered.joules * pue
        metrics["watts"][offered.columns] = watts
        metrics["operational"][offered.columns] = watts / 1000 * grams
        metrics["latency"][offered.columns] = offered.rates * offered.latencies / total_rate
        return metrics

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
                self.prices.append((name, column, value))

    def _replicas(self, item: ConfigurationSpec, needed: float) -> int:
        pool = self.pools[item.pool]
        most = replicas_per_node(item.resources.amounts(), pool.node.resources.amounts()) * pool.nodes
        kept = 0 if self.spec.churn_budget is None else self.spec.held.get(item.name, 0)
        wanted = max(
            [
                ceil(needed),
                kept,  # a budget may not suffice to stop them
                self.least.get(item.name, 0),
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

    def _cover(
        self, offered: Offered, shed: Mapping[str, int], copies: Vector, rated: Indices
    ) -> dict[str, int]:
        place = np.full(len(copies), -1, np.int64)
        place[rated] = np.arange(len(rated))
        entered = offered.phases != DECODE
        rows = np.concatenate([place[offered.slices[entered]], np.arange(len(rated))])
        columns = np.concatenate([offered.columns[entered], np.array(list(shed.values()), np.int64)])
        first = self.builder.rows(rows, columns, np.ones(len(rows)), copies[rated], copies[rated])
        cover = {name: first + k for k, name in enumerate(shed)}
        split = offered.phases != BOTH
        if not split.any():
            return cover
        zone_names = list(self.zones)
        zone_of = np.array([zone_names.index(pool.zone) for pool in self.pools.values()], np.int64)
        zones = zone_of[self.pool_of[offered.configurations[split]]]
        keys, rows, _ = distinct(offered.slices[split] * len(zone_names) + zones)
        signs = np.where(offered.phases[split] == PREFILL, 1.0, -1.0)
        self.builder.rows(rows, offered.columns[split], signs, np.zeros(len(keys)), np.zeros(len(keys)))
        return cover

    def _capacity(self, offered: Offered, replicas: Mapping[str, int]) -> dict[str, int]:
        used = np.flatnonzero(np.bincount(offered.configurations))
        place = np.full(len(self.spec.configurations), -1, np.int64)
        place[used] = np.arange(len(used))
        names = [self.spec.configurations[k].name for k in used.tolist()]
        rows = np.concatenate([place[offered.configurations], np.arange(len(used))])
        columns = np.concatenate([offered.columns, np.array([replicas[n] for n in names], np.int64)])
        values = np.concatenate([offered.loads, np.full(len(used), -1.0)])
        first = self.builder.rows(rows, columns, values, np.full(len(used), -inf), np.zeros(len(used)))
        return {name: first + k for k, name in enumerate(names)}

    def _linking(self, offered: Offered, nodes: Mapping[str, int]) -> None:
        """Tie shares to nodes: a pool that is off serves no part of a slice.

        Implied for whole nodes, and what lifts the relaxation off fractions of them. Too weak to be worth their cost for
        slices that stand for several, and for split ones where nodes are branched on.
        """
        if not self.ties:
            return
        takes = np.array([any(item.resources.amounts()) for item in self.spec.configurations])
        chosen = takes[offered.configurations]
        pools = self.pool_of[offered.configurations[chosen]]
        decode = offered.phases[chosen] == DECODE
        keys = (offered.slices[chosen] * len(self.pools) + pools) * 2 + decode
        groups, rows, _ = distinct(keys)
        if not 0 < len(groups) <= _LINKING_ROWS:
            return
        node_columns = np.array(list(nodes.values()), np.int64)[groups // 2 % len(self.pools)]
        self.builder.rows(
            np.concatenate([rows, np.arange(len(groups))]),
            np.concatenate([offered.columns[chosen], node_columns]),
            np.concatenate([np.ones(len(rows)), np.full(len(groups), -1.0)]),
            np.full(len(groups), -inf),
            np.zeros(len(groups)),
        )

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
        items = [item for item in self.placeable.values() if item.cold_start_grams > 0]
        if churn is not None:
            starts = {item.name: churn.up[item.name] for item in items}
        else:
            first = self.builder.block(np.full(len(items), inf))
            starts = {item.name: first + place for place, item in enumerate(items)}
            self._starting(replicas, starts)
        self.prices += [("cold_start", starts[item.name], item.cold_start_grams) for item in items]
        return starts

    def _starting(self, replicas: Mapping[str, int], starts: Mapping[str, int]) -> None:
        """Add the rows by which a replica that is not held has been started."""
        pairs = np.array([(replicas[name], column) for name, column in starts.items()], np.int64).reshape(
            -1, 2
        )
        most = np.array([float(self.spec.held.get(name, 0)) for name in starts])
        self.builder.rows(
            np.repeat(np.arange(len(most)), 2),
            pairs.reshape(-1),
            np.tile([1.0, -1.0], len(most)),
            np.full(len(most), -inf),
            most,
        )
