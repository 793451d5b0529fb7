"""Why: one sentence for every placement and every slice that is not served.

Alternatives are compared at full use, with replicas and nodes counted in proportion, as in the fluid bound: the
comparison of kinds of hardware, free of what whole replicas and the rest of the plan add.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from ecoserve.api.taints import Taint
from ecoserve.catalog import load_catalog
from ecoserve.fleet.snapshot import Snapshot
from ecoserve.performance import Engine, Rejection, Role
from ecoserve.planner.build import Problem
from ecoserve.planner.configurations import capacity, keeping_off, selects
from ecoserve.planner.instance import FlowResult, PlanningResult
from ecoserve.planner.supply import price_per_hour
from ecoserve.workload.slices import ServingDemand, Slice

_UNITS = {"carbon": "gCO2e/h", "energy": "W", "cost": "$/h", "performance": "s of mean latency"}
_NOTHING = 1e-9


class UnservedReason(StrEnum):
    """Why demand is not met."""

    NO_NODES = "NoNodes"
    NO_POOL_SELECTED = "NoPoolSelected"
    NOT_TOLERATED = "TaintsNotTolerated"
    NO_HARDWARE_FITS = "NoHardwareFits"
    NO_CAPACITY = "NoCapacity"
    REPLICA_LIMIT = "ReplicaLimit"
    TOO_FEW_REPLICAS = "TooFewReplicas"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unserved:
    """A slice that is not served, or not wholly; `detail` is a sentence that tells what would help."""

    serving: str
    slice: str
    requests_per_second: float
    reason: UnservedReason
    detail: str


class PlacementReasons:
    """Says for each configuration of one result why it was chosen."""

    def __init__(self, problem: Problem, result: PlanningResult) -> None:
        assert problem.instance is not None  # noqa: S101 - it has a result
        self._problem = problem
        self._spec = problem.instance.spec
        self._result = result
        self._flows: dict[str, list[FlowResult]] = {}
        for flow in result.flows:
            self._flows.setdefault(flow.configuration, []).append(flow)

    def sentence(self, name: str) -> str:
        """Return why a configuration with replicas is in the plan, with the runner-up and its difference."""
        flows = self._flows.get(name)
        if not flows:
            return "kept to hold minReplicas; it serves no load now"
        main = max(flows, key=lambda flow: flow.rate)
        bucket = self._problem.slices[main.slice].bucket
        load = (
            f"{sum(flow.rate for flow in flows):.3g} requests/s, "
            f"mostly {bucket.input_tokens:.0f} tokens in and {bucket.output_tokens:.0f} out"
        )
        own = self._problem.configurations[name]
        drops = self._problem.drop_costs.of(main.slice)[main.phase]
        costs = {drop.configuration: drop.cost for drop in drops}
        others = [
            other
            for other in costs
            if (self._problem.configurations[other].pool.name, self._problem.configurations[other].shape)
            != (own.pool.name, own.shape)
        ]
        if not others:
            return f"the only hardware that can serve {load}"
        runner_up = min(others, key=lambda other: (costs[other], other))
        part = main.rate / self._problem.slices[main.slice].rate_per_second
        difference = (costs[runner_up] - costs[name]) * part
        unit = _UNITS[self._spec.objective]
        other = self._problem.configurations[runner_up]
        if difference >= 0:
            return (
                f"least for {load}; next, {other.shape} on {other.pool.title}, adds {difference:.3g} {unit}"
            )
        full = self._result.nodes[other.pool.name] >= other.pool.nodes
        why = (
            "all its nodes are in use"
            if full
            else "whole replicas and nodes that are on anyway favour this one"
        )
        return (
            f"serves {load}; {other.shape} on {other.pool.title} would take {-difference:.3g} {unit} less "
            f"at full use, but {why}"
        )


def explain_unserved(
    snapshot: Snapshot, problem: Problem, result: PlanningResult | None
) -> tuple[Unserved, ...]:
    """Return every slice that is not wholly served, with its reason."""
    servings = {serving.name: serving for serving in snapshot.servings}
    unserved = [
        _without_option(servings[problem.slices[name].serving], problem.slices[name], refused, snapshot)
        for name, refused in problem.rejections.items()
    ]
    if result is not None:
        unserved += [
            _without_room(servings[problem.slices[name].serving], problem, result, name, rate)
            for name, rate in result.unserved.items()
            if rate > _NOTHING
        ]
        unserved += [
            _missing(servings, problem, name, missing) for name, missing in result.missing_replicas.items()
        ]
    return tuple(unserved)


def _missing(servings: Mapping[str, ServingDemand], problem: Problem, limit: str, missing: int) -> Unserved:
    """Replicas that a limit asks for, of a serving or of those of its that are to stay, and that find no room."""
    if limit in servings:
        serving, least = limit, servings[limit].min_replicas
        detail = f"{missing} of minReplicas {least} find no room; add nodes or lower it"
    else:
        serving = next(item.serving for item in problem.configurations.values() if item.held_as == limit)
        detail = f"{missing} replicas of {limit} that are to stay find no room"
    return Unserved(
        serving=serving,
        slice="",
        requests_per_second=0.0,
        reason=UnservedReason.TOO_FEW_REPLICAS,
        detail=detail,
    )


def _without_option(
    serving: ServingDemand, item: Slice, refused: tuple[Rejection, ...], snapshot: Snapshot
) -> Unserved:
    if not snapshot.pools:
        reason = UnservedReason.NO_NODES
        detail = "there is no ready node of known hardware in a zone with a GridZone"
        if snapshot.unknown_nodes:
            first = snapshot.unknown_nodes[0]
            detail += f"; {len(snapshot.unknown_nodes)} are unknown, as {first.name}: {first.reason}"
    elif not any(selects(serving, pool) for pool in snapshot.pools):
        reason = UnservedReason.NO_POOL_SELECTED
        selector = ",".join(f"{key}={value}" for key, value in sorted(serving.node_selector.items()))
        detail = f"no pool's nodes carry the labels of placement.nodeSelector, {selector}"
    elif untolerated := _untolerated(serving, snapshot):
        reason = UnservedReason.NOT_TOLERATED
        detail = f"the template tolerates no pool's taints, as {untolerated[0]}; add a toleration to it"
    else:
        reason = UnservedReason.NO_HARDWARE_FITS
        detail = f"{_most_common(refused)}; {_what_would_fit(serving, item)}"
    return Unserved(
        serving=serving.name,
        slice=item.name,
        requests_per_second=item.rate_per_second,
        reason=reason,
        detail=detail,
    )


def _untolerated(serving: ServingDemand, snapshot: Snapshot) -> list[Taint]:
    """Return the taints in the way, empty where some pool lets replicas in."""
    found: list[Taint] = []
    for pool in snapshot.pools:
        if selects(serving, pool):
            kinds = (False, True) if pool.instance.accelerator_count else (True,)
            kept = [keeping_off(serving, pool, on_cpu=on_cpu) for on_cpu in kinds]
            if not all(kept):
                return []
            found += kept[0]
    return found


def _most_common(refused: tuple[Rejection, ...]) -> str:
    if not refused:
        return "no node is large enough for one replica"
    reason, count = Counter(rejection.reason for rejection in refused).most_common(1)[0]
    detail = next(rejection.detail for rejection in refused if rejection.reason == reason)
    return f"{reason.value} on {count} of {len(refused)} kinds of replica ({detail})"


def _what_would_fit(serving: ServingDemand, item: Slice) -> str:
    """Name the cheapest instance type of the catalogue that could serve the slice."""
    instances = load_catalog().instances.values()
    for instance in sorted(instances, key=lambda i: (price_per_hour(i), i.id)):
        for devices in (1, 2, 4, 8):
            if devices > instance.accelerator_count:
                break
            engine = Engine(
                model=serving.model,
                precision=serving.precision,
                instance=instance,
                role=Role.BOTH,
                tensor_parallel=devices,
            )
            found = capacity(
                engine, item.bucket.input_tokens, item.bucket.output_tokens, item.slo, item.arrival_cv
            )
            if not isinstance(found, Rejection):
                return f"{instance.id} with tensor parallel {devices} would fit"
    return "no instance type of the catalogue fits; relax the objective or shorten the requests"


def _without_room(
    serving: ServingDemand, problem: Problem, result: PlanningResult, name: str, rate: float
) -> Unserved:
    own = [item for item in problem.configurations.values() if item.serving == serving.name]
    replicas = sum(result.replicas.get(item.name, 0) for item in own)
    full = sorted({item.pool.whole.name for item in own if result.nodes[item.pool.name] >= item.pool.nodes})
    if replicas >= serving.max_replicas:
        reason = UnservedReason.REPLICA_LIMIT
        detail = f"maxReplicas {serving.max_replicas} is reached; raise it to serve this load"
    else:
        reason = UnservedReason.NO_CAPACITY
        where = ", ".join(full) if full else "the pools that fit it"
        detail = f"no room is left on {where}; add nodes of one of them"
    return Unserved(serving=serving.name, slice=name, requests_per_second=rate, reason=reason, detail=detail)
