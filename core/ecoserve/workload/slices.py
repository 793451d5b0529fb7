"""Demand cut into slices: serving × online or offline × length bucket, each with a rate and an SLO."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ecoserve.api.llmserving import Objective
from ecoserve.api.taints import Toleration
from ecoserve.catalog import ModelArchitecture
from ecoserve.performance import Role, Slo
from ecoserve.workload.lengths import LengthBucket


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficDemand:
    """A stream of requests: its rate now, lengths (shares sum to one), and SLO (online) or deadline (offline).

    `arrival_cv` is the coefficient of variation of the gaps between a replica's arrivals, 1 for Poisson. `defers` tells
    whether the stream may wait for a cleaner hour before its deadline.
    """

    rate_per_second: float
    buckets: tuple[LengthBucket, ...]
    slo: Slo | None = None
    deadline_seconds: float | None = None
    defers: bool = False
    arrival_cv: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingDemand:
    """What one serving asks for; `name` is `namespace/name`. Tolerations are those of its pods, and of those on cores."""

    name: str
    model: ModelArchitecture
    precision: str
    online: TrafficDemand | None = None
    offline: TrafficDemand | None = None
    node_selector: Mapping[str, str] = field(default_factory=dict)
    min_replicas: int = 0
    max_replicas: int = 64
    roles: tuple[Role, ...]
    cpu_allowed: bool = True
    tolerations: tuple[Toleration, ...] = ()
    cpu_tolerations: tuple[Toleration, ...] = ()
    objective: Objective = Objective.CARBON

    @property
    def rate_per_second(self) -> float:
        """Online and offline requests together."""
        return sum(demand.rate_per_second for demand in (self.online, self.offline) if demand is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """A part of one serving's load that is planned as one."""

    name: str
    serving: str
    traffic_class: str
    bucket: LengthBucket
    rate_per_second: float
    slo: Slo | None
    arrival_cv: float = 1.0


def slices_of(serving: ServingDemand) -> tuple[Slice, ...]:
    """Cut a serving's demand into slices; those without load are left out."""
    demands = (("online", serving.online), ("offline", serving.offline))
    return tuple(
        Slice(
            name=f"{serving.name}/{traffic_class}/{bucket.input_tokens}x{bucket.output_tokens}",
            serving=serving.name,
            traffic_class=traffic_class,
            bucket=bucket,
            rate_per_second=demand.rate_per_second * bucket.share,
            slo=demand.slo,
            arrival_cv=demand.arrival_cv,
        )
        for traffic_class, demand in demands
        if demand is not None
        for bucket in demand.buckets
        if demand.rate_per_second * bucket.share > 0
    )
