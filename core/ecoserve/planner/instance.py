"""The planning instance: the whole problem as plain numbers, and the result, as they are written to files.

An instance knows nothing of models or machines: zones with an intensity, pools of equal nodes, configurations
that take resources on a pool's nodes, slices of load, and options (which configuration serves which slice, how
fast, at how many joules). Any decision can be exported as one and solved again elsewhere. Every field is
checked here, so that what solves never meets a NaN, a negative figure or a name that refers to nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    ValidationError,
    model_validator,
)

from ecoserve.api.base import ApiModel
from ecoserve.documents import read_document
from ecoserve.errors import InvalidInputError, UnknownNameError
from ecoserve.planner.refusals import first_problem
from ecoserve.units import MOST_CORES, MOST_DEVICES, MOST_GRAMS_PER_KWH, MOST_MEMORY_GIB

MAX_SLICES = 100_000
MAX_OPTIONS = 1_000_000
LEAST_AMOUNT = 1e-12
"""Less of a resource counts as none: so many replicas would fit on a node that they could not be counted."""

_LONGEST: Mapping[str, int] = {
    "zones": 10_000,
    "pools": 10_000,
    "configurations": 100_000,
    "slices": MAX_SLICES,
    "options": MAX_OPTIONS,
    "limits": 100_000,
    "held": 100_000,
}
"""Longer lists are refused before any of their items is looked at."""

Objective = Literal["carbon", "energy", "cost", "performance"]
TrafficClass = Literal["online", "offline"]
Phase = Literal["both", "prefill", "decode"]


def _integral(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _zero_if_tiny(value: float) -> float:
    return value if value >= LEAST_AMOUNT else 0.0


Name = Annotated[str, Field(strict=True, min_length=1, max_length=512)]
Amount = Annotated[float, Field(strict=True, ge=0, le=1e12)]
Count = Annotated[int, BeforeValidator(_integral), Field(strict=True, ge=0, le=1_000_000_000)]
Resource = Annotated[Amount, AfterValidator(_zero_if_tiny)]


class ResourceAmounts(ApiModel):
    """Amounts of what replicas share on a node: devices, cores, GiB of memory; below `LEAST_AMOUNT` they are zero."""

    gpu: Annotated[Resource, Field(le=MOST_DEVICES)] = 0.0
    cpu: Annotated[Resource, Field(le=MOST_CORES)] = 0.0
    memory_gib: Annotated[Resource, Field(alias="memoryGiB", le=MOST_MEMORY_GIB)] = 0.0

    def amounts(self) -> tuple[float, float, float]:
        """Return devices, cores and GiB, in this order."""
        return (self.gpu, self.cpu, self.memory_gib)


class ZoneSpec(ApiModel):
    """A zone: carbon intensity in gCO2e/kWh and power usage effectiveness."""

    name: Name
    carbon_intensity: Annotated[Amount, Field(le=MOST_GRAMS_PER_KWH)]
    pue: Annotated[float, Field(strict=True, ge=1, le=10)] = 1.0


class Costs(ApiModel):
    """What a node that is on, or a replica whatever its load, costs: watts at the device, grams and $ per hour."""

    power_watts: Amount = 0.0
    embodied_grams_per_hour: Amount = 0.0
    cost_per_hour: Amount = 0.0


class NodeSpec(Costs):
    """One node of a pool."""

    resources: ResourceAmounts = Field(default_factory=ResourceAmounts)


class PoolSpec(ApiModel):
    """At most `nodes` equal nodes in a zone."""

    name: Name
    zone: Name
    nodes: Count
    node: NodeSpec


class ConfigurationSpec(Costs):
    """A kind of replica on a pool; `cold_start_grams` counts for each replica beyond those held."""

    name: Name
    pool: Name
    resources: ResourceAmounts = Field(default_factory=ResourceAmounts)
    max_replicas: Count | None = None
    cold_start_grams: Amount = 0.0


class SliceSpec(ApiModel):
    """A part of the load, in requests per second."""

    name: Name
    rate: Amount
    traffic_class: Annotated[TrafficClass, Field(alias="class")] = "online"


class OptionSpec(ApiModel):
    """A configuration that may serve a slice, at most at `max_rate` requests/s per replica."""

    slice: Name
    configuration: Name
    max_rate: Amount
    energy_per_request_joules: Amount = 0.0
    latency_seconds: Amount = 0.0
    phase: Phase = "both"


class LimitSpec(ApiModel):
    """Bounds on the replicas of a group of configurations together."""

    name: Name
    configurations: Annotated[tuple[Name, ...], Field(min_length=1)]
    min_replicas: Count = 0
    max_replicas: Count | None = None


class InstanceSpec(ApiModel):
    """The problem; a price in $ per tonne of CO2e adds the carbon of a plan to its cost.

    `churn_budget` is how many replicas may be started and stopped together against `held` (None: any number).
    It gives way only where load could not be served, or limits not be kept, within it.
    """

    objective: Objective = "carbon"
    carbon_price_per_tonne: Amount = 0.0
    zones: Annotated[tuple[ZoneSpec, ...], FailFast(), Field(min_length=1)]
    pools: Annotated[tuple[PoolSpec, ...], FailFast(), Field(min_length=1)]
    configurations: Annotated[tuple[ConfigurationSpec, ...], FailFast(), Field(min_length=1)]
    slices: Annotated[tuple[SliceSpec, ...], FailFast(), Field(min_length=1, max_length=MAX_SLICES)]
    options: Annotated[tuple[OptionSpec, ...], FailFast(), Field(min_length=1, max_length=MAX_OPTIONS)]
    limits: Annotated[tuple[LimitSpec, ...], FailFast()] = ()
    held: dict[Name, Count] = Field(default_factory=dict)
    churn_budget: Count | None = None
    headroom: Annotated[float, Field(strict=True, ge=0, lt=1)] = 0.0
    divisible: Annotated[bool, Field(strict=True)] = True
    relative_gap: Annotated[float, Field(strict=True, ge=0, le=1)] = 0.0
    time_limit_seconds: Annotated[float, Field(strict=True, gt=0, le=86_400)] = 60.0

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        zones = _unique("zones", (zone.name for zone in self.zones))
        pools = _unique("pools", (pool.name for pool in self.pools))
        configurations = _unique("configurations", (item.name for item in self.configurations))
        slices = _unique("slices", (item.name for item in self.slices))
        _unique("limits", (limit.name for limit in self.limits))
        if self.carbon_price_per_tonne > 0 and self.objective != "cost":
            raise InvalidInputError(
                "spec.carbonPricePerTonne",
                self.carbon_price_per_tonne,
                f"a price is added to the objective cost only, not to {self.objective}",
            )
        for index, pool in enumerate(self.pools):
            _known(f"spec.pools[{index}].zone", pool.zone, zones)
        for index, configuration in enumerate(self.configurations):
            _known(f"spec.configurations[{index}].pool", configuration.pool, pools)
        _pairs(self.options, slices, configurations)
        for index, limit in enumerate(self.limits):
            for name in limit.configurations:
                _known(f"spec.limits[{index}].configurations", name, configurations)
            if limit.max_replicas is not None and limit.min_replicas > limit.max_replicas:
                raise InvalidInputError(
                    f"spec.limits[{index}].minReplicas",
                    limit.min_replicas,
                    f"it must not be above maxReplicas, {limit.max_replicas}",
                )
        for name in self.held:
            _known("spec.held", name, configurations)
        _every_slice_has_options(self.slices, self.options)
        return self


class InstanceMetadata(BaseModel):
    """Name of an instance; other metadata is ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: Name = "instance"


class PlanningInstance(ApiModel):
    """A planning problem (`kind: PlanningInstance`)."""

    api_version: Literal["ecoserve.dev/v1alpha1"] = "ecoserve.dev/v1alpha1"
    kind: Literal["PlanningInstance"] = "PlanningInstance"
    metadata: InstanceMetadata = Field(default_factory=InstanceMetadata)
    spec: InstanceSpec

    def text(self) -> str:
        """Return the instance as compact JSON, defaults left out."""
        head = f'"apiVersion":"{self.api_version}","kind":"{self.kind}"'
        return f"{{{head},{self.model_dump_json(by_alias=True, exclude_defaults=True)[1:]}"


class FlowResult(ApiModel):
    """Requests per second of a slice on a configuration, in a phase."""

    slice: str
    configuration: str
    rate: float
    phase: Phase = "both"


class BoundsResult(ApiModel):
    """Lower bounds on the objective, each at most the next: fluid, LP, MIP."""

    fluid: float
    lp: float
    mip: float


BindingKind = Literal["nodes", "resource", "minReplicas", "maxReplicas", "churnBudget"]


class BindingResult(ApiModel):
    """A constraint that holds the objective up, and what one unit more of room would save.

    `name` is a pool (nodes, resource), a limit or a configuration (replicas), or empty (the churn budget). The
    unit is a node, a device, core or GiB on each of the pool's nodes together, a replica.
    """

    kind: BindingKind
    name: str = ""
    resource: Literal["gpu", "cpu", "memoryGiB"] | None = None
    value: float


class MarginalsResult(ApiModel):
    """Prices at the margin: duals of the linear relaxation that sheds what the plan sheds.

    Units are the objective's. `slices`: what 1,000 requests more add (carbon: gCO2e, energy: Wh, cost: $;
    performance: s of mean latency for 1,000 requests more an hour); a slice that gets nothing has none.
    `replicas`: what the capacity of one replica more is worth, by configuration, in the objective (per hour); so an
    option's price is its own energy plus this over its rate. `nodes`: what one more node would save, from zero up,
    by pool; a pool without nodes has none.
    """

    slices: dict[str, float]
    replicas: dict[str, float]
    nodes: dict[str, float]
    binding: tuple[BindingResult, ...] = ()


class PlanningResult(ApiModel):
    """What was decided, and how far it can be from the best (`kind: PlanningResult`)."""

    kind: Literal["PlanningResult"] = "PlanningResult"
    status: Literal["optimal", "feasible", "infeasible"]
    objective: float
    lower_bound: float
    gap: float
    bounds: BoundsResult
    nodes: dict[str, int]
    replicas: dict[str, int]
    flows: tuple[FlowResult, ...]
    unserved: dict[str, float]
    missing_replicas: dict[str, int] = Field(default_factory=dict)
    operational_grams_per_hour: float
    embodied_grams_per_hour: float
    cold_start_grams: float = 0.0
    power_watts: float
    cost_per_hour: float
    latency_seconds: float = 0.0
    churn: int = 0
    """Replicas started and stopped against those held."""
    marginals: MarginalsResult | None = None
    """None where the linear relaxation has no duals to tell."""
    solve_seconds: float

    def document(self) -> dict[str, Any]:
        """Return the result as it is written to JSON."""
        return self.model_dump(by_alias=True, mode="json")


def parse_instance(document: object) -> PlanningInstance:
    """Check a parsed JSON or YAML document; raises InvalidInputError naming the first bad field."""
    if not isinstance(document, Mapping):
        raise InvalidInputError("instance", document, "a mapping with kind PlanningInstance")
    spec = document.get("spec")
    parts: Mapping[object, object] = spec if isinstance(spec, Mapping) else {}
    for field, most in _LONGEST.items():
        given = parts.get(field)
        if isinstance(given, list | tuple | Mapping) and len(given) > most:
            raise InvalidInputError(f"spec.{field}", f"{len(given)} items", f"at most {most} are possible")
    try:
        return PlanningInstance.model_validate(document)
    except ValidationError as error:
        raise first_problem(error) from None


def load_instance(path: Path) -> PlanningInstance:
    """Read an instance from a JSON or YAML file; raises InvalidInputError with one sentence."""
    return parse_instance(read_document(path, "a planning instance"))


def _unique(field: str, names: Iterable[str]) -> frozenset[str]:
    seen: set[str] = set()
    for index, name in enumerate(names):
        if name in seen:
            raise InvalidInputError(f"spec.{field}[{index}].name", name, "each name may be used once only")
        seen.add(name)
    return frozenset(seen)


def _known(field: str, name: str, known: frozenset[str]) -> None:
    if name not in known:
        raise UnknownNameError(field, name, known)


def _pairs(options: Sequence[OptionSpec], slices: frozenset[str], configurations: frozenset[str]) -> None:
    """Check that options refer to what there is and come once; one by one only where something is wrong."""
    pairs = {(option.slice, option.configuration, option.phase) for option in options}
    known = {pair[0] for pair in pairs} <= slices and {pair[1] for pair in pairs} <= configurations
    if known and len(pairs) == len(options):
        return
    seen: set[tuple[str, str, str]] = set()
    for index, option in enumerate(options):
        _known(f"spec.options[{index}].slice", option.slice, slices)
        _known(f"spec.options[{index}].configuration", option.configuration, configurations)
        key = (option.slice, option.configuration, option.phase)
        if key in seen:
            raise InvalidInputError(
                f"spec.options[{index}]",
                f"{option.slice} on {option.configuration}",
                f"a slice, configuration and phase ({option.phase}) may be paired once only",
            )
        seen.add(key)


def _every_slice_has_options(slices: Iterable[SliceSpec], options: Iterable[OptionSpec]) -> None:
    phases: dict[str, set[str]] = {}
    for name, phase in {(option.slice, option.phase) for option in options}:
        phases.setdefault(name, set()).add(phase)
    for index, item in enumerate(slices):
        offered = phases.get(item.name, set())
        if "both" not in offered and not {"prefill", "decode"} <= offered:
            raise InvalidInputError(
                f"spec.slices[{index}]",
                item.name,
                "it needs at least one option that serves it whole, or one of phase prefill and one of decode",
            )
