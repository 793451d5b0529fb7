"""Which latency objectives keep load from hardware that would take less.

For each serving the online slice of the highest rate is looked at: hardware that cannot keep its objective is
valued as if there were none, by estimate and at full use, and told where it would beat the best that keeps it.
"""

from collections.abc import Iterator
from dataclasses import replace

from ecoserve.performance import Rejection, RejectionReason, ReplicaCapacity, Role, Slo
from ecoserve.planner.configurations import Configuration, capacity, configurations_of
from ecoserve.planner.levers import Lever
from ecoserve.planner.margins import Binding
from ecoserve.planner.solved import Solved
from ecoserve.units import JOULES_PER_KWH, SECONDS_PER_HOUR
from ecoserve.workload.slices import Slice, slices_of

_LATENCY = {RejectionReason.TTFT_UNREACHABLE, RejectionReason.TPOT_UNREACHABLE}
_LEAST_SHARE = 0.01
"""What would gain less than this share of the slice's carbon is not worth a line."""


def slo_limits(solved: Solved, levers: frozenset[Lever]) -> Iterator[Binding]:
    """Yield at most one limit per serving: the objective that costs most; for carbon plans only."""
    if solved.instance is None or solved.instance.spec.objective != "carbon":
        return
    for serving in solved.snapshot.servings:
        online = [item for item in slices_of(serving) if item.traffic_class == "online"]
        main = max(online, key=lambda item: (item.rate_per_second, item.name), default=None)
        if main is None or main.slo is None:
            continue
        kept: list[float] = []
        refused: list[tuple[float, Configuration, Rejection]] = []
        for item in configurations_of(serving, solved.snapshot.pools, levers):
            if item.traffic_class != "online" or item.engine.role is not Role.BOTH:
                continue
            found = _estimate(item, main)
            if not isinstance(found, Rejection):
                kept += [grams] if (grams := _grams(solved, item, main)) is not None else []
            elif found.reason in _LATENCY:
                free = _grams(solved, replace(item, slo=None), main)
                refused += [(free, item, found)] if free is not None else []
        if kept and refused:
            least, item, rejection = min(refused, key=lambda entry: (entry[0], entry[1].name))
            if least < min(kept) * (1 - _LEAST_SHARE):
                yield _limit(main, item, rejection, min(kept) - least)


def _grams(solved: Solved, item: Configuration, main: Slice) -> float | None:
    """Return grams per request of a slice in full use."""
    found = _estimate(item, main)
    if isinstance(found, Rejection):
        return None
    zone, have = solved.snapshot.zone(item.pool.zone), item.pool.node_resources
    footprint = solved.problem.footprints[item.pool.name]
    part = item.resources.cpu / have.cpu if item.engine.on_cpu else item.resources.gpu / have.gpu
    if item.pool.supply == "fixed":
        part = 0.0
    seconds = 1 / found.max_requests_per_second
    watts = item.loaded_idle_watts + part * footprint.idle_watts
    joules = (found.energy_per_request_joules + seconds * watts) * zone.pue
    embodied = seconds * part * footprint.embodied_grams_per_hour / SECONDS_PER_HOUR
    return joules / JOULES_PER_KWH * zone.carbon_intensity + embodied


def _estimate(item: Configuration, main: Slice) -> ReplicaCapacity | Rejection:
    lengths = main.bucket.input_tokens, main.bucket.output_tokens
    return capacity(item.engine, *lengths, item.slo, main.arrival_cv, searched=False)


def _limit(main: Slice, item: Configuration, rejection: Rejection, grams: float) -> Binding:
    assert main.slo is not None  # noqa: S101 - the caller has looked
    return Binding(
        kind="slo",
        name=main.serving,
        serving=main.serving,
        value=grams * main.rate_per_second * SECONDS_PER_HOUR,
        sentence=f"{_objective(main.slo, rejection.reason)} of {main.serving} keeps "
        f"{main.bucket.input_tokens:.0f}x{main.bucket.output_tokens:.0f} from {item.shape} on {item.pool.title} "
        f"({rejection.detail}), which without it would take {1000 * grams:.3g} gCO2e per 1,000 requests less",
    )


def _objective(slo: Slo, reason: RejectionReason) -> str:
    if reason is RejectionReason.TTFT_UNREACHABLE:
        return f"TTFT {1000 * slo.ttft_seconds:g} ms"
    return f"TPOT {1000 * slo.tpot_seconds:g} ms"
