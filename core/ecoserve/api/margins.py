"""What a plan's parts are worth at the margin, as PlacementPlan and LLMServing carry it.

Figures are in the objective's unit: for carbon gCO2e per 1,000 requests and gCO2e/h, for energy Wh and W, for
cost $ and $/h, for performance seconds of latency.
"""

from typing import Annotated

from pydantic import Field

from ecoserve.api.base import ApiModel, NonNegative, ServingName, ServingNamespace

_PER_THOUSAND = "Per 1,000 requests, in the objective's unit (carbon: gCO2e)."


class SliceReason(ApiModel):
    """One slice of a serving's load: what serves most of it and why, and what the next best way would add."""

    slice: Annotated[str, Field(description="Class, input and output tokens, such as online/512x128.")]
    requests_per_second: Annotated[NonNegative, Field(description="Load of the slice.")]
    served_by: Annotated[str, Field(description="Devices or cores, and the pool.")]
    share: Annotated[float, Field(description="Share of the slice that it serves, 0 to 1.")]
    runner_up: Annotated[str, Field(description="The next best way to serve it.")] = ""
    runner_up_adds: Annotated[float, Field(description=_PER_THOUSAND)] | None = None
    marginal: Annotated[float, Field(description=f"What more load adds. {_PER_THOUSAND}")] | None = None
    why: Annotated[str, Field(description="Why it is served so, in a sentence.")] = ""


class ClassMargin(ApiModel):
    """What 1,000 requests more of one class would add, by the mix of lengths there is."""

    traffic_class: Annotated[str, Field(alias="class", description="online or offline.")]
    marginal: Annotated[float, Field(description=_PER_THOUSAND)]


class PlanSliceReason(SliceReason):
    """A slice, and whose it is."""

    namespace: ServingNamespace
    serving: ServingName


class PlanClassMargin(ClassMargin):
    """The margin of a class, and of which serving."""

    namespace: ServingNamespace
    serving: ServingName


class BindingConstraint(ApiModel):
    """A constraint that holds the objective up, and what one unit more of room would save."""

    kind: Annotated[str, Field(description="nodes, resource, minReplicas, maxReplicas, churnBudget or slo.")]
    name: Annotated[str, Field(description="Pool or serving that it is about.")] = ""
    saves: Annotated[float, Field(description="Per hour, in the objective's unit (carbon: gCO2e/h).")]
    message: Annotated[str, Field(description="The same in a sentence.")]
