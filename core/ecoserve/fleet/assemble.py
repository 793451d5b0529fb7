"""From API objects and readings to the snapshot: the same for a cluster's caches and for files.

`serving_demand` turns one LLMServing into demand at a moment, so that a bad one can be refused by itself;
`assemble_snapshot` puts demand, nodes and grid together. Both are pure: time and intensity come in.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from ecoserve.api import GridZone, HardwareProfile, LLMServing
from ecoserve.api.labels import ZONE
from ecoserve.api.llmserving import SloSpec
from ecoserve.api.load import Load
from ecoserve.api.taints import tolerations_of
from ecoserve.carbon import Accounting, Intensity, intensity_of
from ecoserve.catalog import Catalog
from ecoserve.errors import InvalidInputError
from ecoserve.fleet.nodes import NodeFacts
from ecoserve.fleet.pools import UnknownNode, pools_from_nodes
from ecoserve.fleet.snapshot import Snapshot, Zone
from ecoserve.performance import Role, Slo
from ecoserve.units import parse_duration
from ecoserve.workload.lengths import (
    LengthBucket,
    length_distribution,
    mean_requests_per_second,
    single_length,
)
from ecoserve.workload.measured import MeasuredLoad
from ecoserve.workload.profiles import daily_profile
from ecoserve.workload.slices import ServingDemand, TrafficDemand


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneReading:
    """A GridZone and its intensity now, in gCO2e/kWh; `stale` where it is a held or fallback value.

    What the figure means stands in the GridZone; how it counts, in its source where that says so.
    """

    grid: GridZone
    grams_per_kwh: float
    stale: bool = False
    accounting: Accounting = Accounting.UNSTATED

    @property
    def intensity(self) -> Intensity:
        """The figure as the type of its signal."""
        return intensity_of(self.grid.spec.signal, self.grams_per_kwh, self.accounting)


def assemble_snapshot(
    servings: Iterable[ServingDemand],
    nodes: Iterable[NodeFacts],
    zones: Iterable[ZoneReading],
    profiles: Sequence[HardwareProfile],
    catalog: Catalog,
    now: datetime,
    held: Mapping[str, int] | None = None,
) -> Snapshot:
    """Put a snapshot together; nodes whose hardware or grid is not known are listed with a reason.

    Raises InvalidInputError where two GridZones claim one zone.
    """
    demands = tuple(sorted(servings, key=lambda demand: demand.name))
    by_name = _zones(zones)
    selected_by = {key for demand in demands for key in demand.node_selector}
    pools, unknown = pools_from_nodes(nodes, catalog, profiles, split_labels=selected_by)
    placed = tuple(pool for pool in pools if pool.zone in by_name)
    off_grid = tuple(
        UnknownNode(name=name, reason=f"no GridZone covers the zone {pool.zone!r} of label {ZONE}")
        for pool in pools
        if pool.zone not in by_name
        for name in pool.node_names
    )
    used = {pool.zone for pool in placed}
    return Snapshot(
        taken_at=now,
        zones=tuple(zone for name, zone in sorted(by_name.items()) if name in used),
        pools=placed,
        servings=demands,
        held=dict(held or {}),
        unknown_nodes=unknown + off_grid,
    )


def serving_demand(
    serving: LLMServing, catalog: Catalog, now: datetime, measured: Mapping[str, MeasuredLoad] | None = None
) -> ServingDemand:
    """Return what a serving asks for at `now`; raises InvalidInputError (unknown model, trace or profile).

    `measured` are loads by class, `online` and `offline`, which count instead of those of the spec.
    """
    spec = serving.spec
    loads = measured or {}
    online, offline = spec.online, spec.offline
    return ServingDemand(
        name=f"{serving.metadata.namespace or 'default'}/{serving.metadata.name}",
        model=catalog.model(spec.model.name),
        precision=spec.model.precision,
        online=None
        if online is None
        else replace(
            _traffic(online.load, now, loads.get("online")),
            slo=_slo(online.slo),
            arrival_cv=online.burstiness,
        ),
        offline=None
        if offline is None
        else replace(
            _traffic(offline.load, now, loads.get("offline")),
            deadline_seconds=parse_duration(offline.deadline),
            defers=offline.defer,
        ),
        node_selector=dict(spec.placement.node_selector),
        min_replicas=spec.placement.min_replicas,
        max_replicas=spec.placement.max_replicas,
        roles=tuple(Role(role.value) for role in spec.placement.roles),
        cpu_allowed=spec.placement.cpu,
        tolerations=tolerations_of(spec.template),
        cpu_tolerations=tolerations_of(spec.template if spec.cpu_template is None else spec.cpu_template),
        objective=spec.policy.objective,
    )


def with_intensity(snapshot: Snapshot, grams_per_kwh: Mapping[str, float]) -> Snapshot:
    """Return the snapshot with other intensities, by zone; they mean what those before them meant."""
    zones = (
        replace(
            z, intensity=replace(z.intensity, grams_per_kwh=grams_per_kwh.get(z.name, z.carbon_intensity))
        )
        for z in snapshot.zones
    )
    return replace(snapshot, zones=tuple(zones))


def _zones(readings: Iterable[ZoneReading]) -> dict[str, Zone]:
    zones: dict[str, Zone] = {}
    for reading in readings:
        spec = reading.grid.spec
        for name in spec.zones or (reading.grid.metadata.name,):
            if name in zones:
                raise InvalidInputError(
                    f"GridZone {reading.grid.metadata.name}: spec.zones", name, "one GridZone per zone"
                )
            zones[name] = Zone(name=name, intensity=reading.intensity, pue=spec.pue, stale=reading.stale)
    return zones


def _traffic(load: Load, now: datetime, measured: MeasuredLoad | None) -> TrafficDemand:
    if measured is not None:
        buckets = measured.buckets or _stated_lengths(load)
        return TrafficDemand(rate_per_second=measured.requests_per_second, buckets=buckets)
    if not load.stated:
        raise InvalidInputError(
            "load", "prometheus", "requestsPerSecond or trace beside it, as nothing has been measured"
        )
    multiplier = daily_profile(load.profile).at_hour(now.hour + now.minute / 60)
    rate = load.requests_per_second or 0.0
    if load.trace is not None:
        rate = mean_requests_per_second(load.trace.name) * load.trace.scale
    return TrafficDemand(rate_per_second=rate * multiplier, buckets=_stated_lengths(load))


def _stated_lengths(load: Load) -> tuple[LengthBucket, ...]:
    name = load.trace.name if load.trace is not None else load.lengths
    if name is not None:
        return length_distribution(name)
    if load.input_tokens is None or load.output_tokens is None:
        raise InvalidInputError("load", "prometheus", "lengths beside it, as none have been measured")
    return single_length(load.input_tokens, load.output_tokens)


def _slo(slo: SloSpec) -> Slo:
    return Slo(
        ttft_seconds=parse_duration(slo.ttft),
        tpot_seconds=parse_duration(slo.tpot),
        percentile=slo.percentile,
    )
