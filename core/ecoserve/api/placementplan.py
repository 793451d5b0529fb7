"""`PlacementPlan`: what was decided, written by the operator, read by the extender and by people.

It carries all the extender needs (pools, how to recognise their nodes, their power and embodied
carbon, the zones' intensities), so that the extender answers from its watch caches alone and both
speak of the same figures.
"""

from typing import Annotated, Literal

from pydantic import Field

from ecoserve.api.accounts import Account, LeverContribution
from ecoserve.api.base import ApiModel, Conditions, NonNegative, ObjectMeta, Positive, cel
from ecoserve.api.labels import API_VERSION, CURRENT_PLAN
from ecoserve.api.llmserving import DesignPoint, Objective, RoleName
from ecoserve.api.margins import BindingConstraint, PlanClassMargin, PlanSliceReason
from ecoserve.carbon import Accounting, Signal


class PlanZone(ApiModel):
    """A grid zone as the plan saw it."""

    name: str
    carbon_intensity: Annotated[NonNegative, Field(description="gCO2e/kWh")]
    pue: Annotated[float, Field(ge=1)]
    stale: bool = False
    signal: Annotated[Signal, Field(description="What the intensity means.")] = Signal.AVERAGE
    accounting: Annotated[Accounting, Field(description="Which emissions it counts.")] = Accounting.UNSTATED


class NodeLabel(ApiModel):
    """One label that a pool's nodes carry, or must not carry where value is left out."""

    key: str
    value: str | None = None


class PlanPool(ApiModel):
    """A pool: nodes alike in hardware, zone and age."""

    name: str
    zone: str
    instance_type: str
    supply: Literal["scalable", "fixed"]
    node_selector: tuple[NodeLabel, ...]
    nodes: Annotated[int, Field(ge=0, description="Nodes there are.")]
    nodes_on: Annotated[int, Field(ge=0, description="Nodes the plan uses.")]
    accelerators_per_node: Annotated[int, Field(ge=0)] = 0
    cores_per_node: NonNegative = 0.0
    idle_watts_per_node: NonNegative
    embodied_grams_per_hour_per_node: NonNegative
    dynamic_watts_per_core: NonNegative = 0.0
    dynamic_watts_per_accelerator: NonNegative = 0.0
    one_more_node_saves: (
        Annotated[NonNegative, Field(description="Per hour, in the objective's unit (carbon: gCO2e/h).")]
        | None
    ) = None


class PlanPlacement(ApiModel):
    """Replicas of one serving on one pool, in one role."""

    namespace: str
    serving: str
    pool: str
    role: RoleName
    traffic_class: Annotated[Literal["online", "offline"], Field(alias="class")]
    tensor_parallel: Annotated[int, Field(ge=0, description="Accelerators per replica; 0 on CPU cores.")]
    cpu_cores: NonNegative = 0.0
    memory_gib: NonNegative = 0.0
    replicas: Annotated[int, Field(ge=0)]
    share: Annotated[float, Field(ge=0)]
    kv_bytes_per_second: Annotated[
        NonNegative, Field(description="KV cache that crosses the network between prefill and decode.")
    ] = 0.0
    operational_grams_per_hour: NonNegative
    embodied_grams_per_hour: NonNegative
    reason: str = ""


class Unserved(ApiModel):
    """Demand the plan does not meet, and why."""

    namespace: str
    serving: str
    slice: str
    requests_per_second: NonNegative
    reason: str
    message: str = ""


class Bounds(ApiModel):
    """Lower bounds on the objective: fluid ≤ LP ≤ MIP ≤ plan."""

    fluid: float
    lp: float
    mip: float


class Recommendation(ApiModel):
    """Host memory and storage that the plan does not need, beyond the shape it orders where it orders one."""

    pool: str
    nodes_on: Annotated[int, Field(ge=0)] = 0
    ordered_memory_gib: Positive | None = None
    ordered_ssd_gb: NonNegative | None = None
    removable_dram_gib_per_node: NonNegative
    removable_ssd_gb_per_node: NonNegative = 0.0
    removable_dram_kg_per_node: NonNegative = 0.0
    removable_ssd_kg_per_node: NonNegative = 0.0
    removable_embodied_kg_per_node: NonNegative
    removable_embodied_kg: Annotated[NonNegative, Field(description="Of all nodes that are on.")] = 0.0


class Reuse(ApiModel):
    """Whether the cores of a pool serve a serving's traffic, and below which intensity they emit less than a GPU.

    A break-even that is left out is above every intensity: the cores take no more energy than the GPU would.
    """

    namespace: str
    serving: str
    traffic_class: Annotated[Literal["online", "offline"], Field(alias="class")]
    pool: str
    full_gpu_pool: str
    break_even_against_full: (
        Annotated[NonNegative, Field(description="gCO2e/kWh, against a GPU in full use.")] | None
    ) = None
    marginal_gpu_pool: str
    break_even_against_marginal: (
        Annotated[NonNegative, Field(description="gCO2e/kWh, against one more GPU replica for this load.")]
        | None
    ) = None
    marginal_use: Annotated[float, Field(ge=0, le=1, description="Part of the time it would be in use.")]
    carbon_intensity: NonNegative
    accepted: bool
    message: str = ""


class PlanObjective(ApiModel):
    """An objective that servings follow: what its planning instance solves to."""

    objective: Objective
    value: Annotated[NonNegative, Field(description="Of the plan as solved, in gCO2e/h, W, $/h or s.")]
    lower_bound: float
    instance: Annotated[str, Field(description="Name of the planning instance.")]


class PlacementPlanSpec(ApiModel):
    """A decision, whole."""

    id: str
    planned_at: str
    objective: Objective = Objective.CARBON
    zones: tuple[PlanZone, ...] = ()
    pools: tuple[PlanPool, ...] = ()
    placements: tuple[PlanPlacement, ...] = ()
    unserved: tuple[Unserved, ...] = ()
    operational_grams_per_hour: NonNegative = 0.0
    embodied_grams_per_hour: NonNegative = 0.0
    grams_per_hour: NonNegative = 0.0
    watts: NonNegative = 0.0
    cost_per_hour: NonNegative = 0.0
    nodes_on: Annotated[int, Field(ge=0)] = 0
    gap_percent: NonNegative = 0.0
    bounds: Bounds | None = None
    design_points: tuple[DesignPoint, ...] = ()
    recommendations: tuple[Recommendation, ...] = ()
    reuse: Annotated[
        tuple[Reuse, ...],
        Field(description="Cores that are used, or for each serving and class the nearest to it."),
    ] = ()
    objectives: tuple[PlanObjective, ...] = ()
    slices: Annotated[
        tuple[PlanSliceReason, ...], Field(description="Those of the highest rates, at most 200.")
    ] = ()
    margins: tuple[PlanClassMargin, ...] = ()
    binding: tuple[BindingConstraint, ...] = ()


class PlanInstances(ApiModel):
    """Where the planning instances behind the plan are kept, one file per objective, JSON in xz."""

    config_map: Annotated[str, Field(description="namespace/name; empty where they could not be kept.")] = ""
    parts: Annotated[
        int, Field(ge=1, description="ConfigMaps that hold them; names of others end in -2, -3, ….")
    ] = 1
    plan: Annotated[str, Field(description="Identity of the plan they are of.")] = ""
    problem: Annotated[str, Field(description="Why they could not be kept.")] = ""


class PlacementPlanStatus(ApiModel):
    """How far the plan has been carried out, and how it was found."""

    phase: Annotated[
        str, Field(description="Applying, Applied or Held; Past where another has followed.")
    ] = ""
    since: Annotated[str, Field(description="When these replicas were planned first.")] = ""
    until: Annotated[str, Field(description="When others were planned in their place.")] = ""
    decision: Annotated[str, Field(description="Planned, KeptWithinHysteresis or Rerouted.")] = ""
    message: Annotated[str, Field(description="The decision in a sentence.")] = ""
    levers: Annotated[
        tuple[LeverContribution, ...], Field(description="What each of the four R saves, all in all.")
    ] = ()
    account: Annotated[Account, Field(description="Of all servings; up to date to the minute.")] | None = None
    instances: PlanInstances = Field(default_factory=PlanInstances)
    conditions: Conditions = ()


PAST_PLANS_STAY = cel(
    f"self.metadata.name == '{CURRENT_PLAN}' || self.spec == oldSelf.spec", "a past plan does not change"
)
"""Rule of the whole object, as a spec does not know its name."""


class PlacementPlan(ApiModel):
    """A decided placement (cluster-scoped): `current`, and past ones as they were when another followed."""

    api_version: Literal["ecoserve.dev/v1alpha1"] = API_VERSION
    kind: Literal["PlacementPlan"] = "PlacementPlan"
    metadata: ObjectMeta
    spec: PlacementPlanSpec
    status: PlacementPlanStatus | None = None
