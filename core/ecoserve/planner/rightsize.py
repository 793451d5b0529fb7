"""Rightsize: hardware chosen per slice by model size, phase, demand and SLO.

The lever itself is the program's freedom of choice. Without it, a serving gets what operators commonly do: one
kind of replica on one instance type for all its traffic, the cheapest in $ that serves every slice.
"""

from collections.abc import Iterable, Mapping, Sequence

from ecoserve.performance import Rejection, Role
from ecoserve.planner.configurations import Configuration, capacity
from ecoserve.planner.supply import price_per_hour
from ecoserve.workload.slices import Slice

Sku = tuple[str, str]


def single_sku(configurations: Sequence[Configuration], slices: Iterable[Slice]) -> tuple[Configuration, ...]:
    """Return the configurations of the cheapest single kind of replica (all if none serves every slice)."""
    demand = tuple(slices)
    kinds: dict[Sku, list[Configuration]] = {}
    for item in configurations:
        if item.engine.role is Role.BOTH and not item.engine.on_cpu:
            kinds.setdefault((item.pool.instance.id, item.shape), []).append(item)
    prices = {kind: _price(members, demand, searched=False) for kind, members in kinds.items()}
    estimated: Mapping[Sku, float] = {kind: price for kind, price in prices.items() if price is not None}
    for kind in sorted(estimated, key=lambda kind: (estimated[kind], kind)):
        if _price(kinds[kind], demand, searched=True) is not None:
            return tuple(kinds[kind])
    return tuple(configurations)


def _price(members: Sequence[Configuration], demand: Iterable[Slice], *, searched: bool) -> float | None:
    """Return the $ per hour of serving all slices on fractions of replicas, or None where one can't be served."""
    total = 0.0
    for item in demand:
        member = next(m for m in members if m.traffic_class == item.traffic_class)
        found = capacity(
            member.engine,
            item.bucket.input_tokens,
            item.bucket.output_tokens,
            member.slo,
            item.arrival_cv,
            searched=searched,
        )
        if isinstance(found, Rejection):
            return None
        part = member.resources.gpu / member.pool.instance.accelerator_count
        replicas = item.rate_per_second / found.max_requests_per_second
        total += replicas * part * price_per_hour(member.pool.instance)
    return total
