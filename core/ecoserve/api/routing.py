"""What an LLMServing says about routing: the Services, InferencePools and weights by which a router finds its pools."""

from typing import Annotated, Literal

from pydantic import Field

from ecoserve.api.base import ApiModel, Name


class EndpointPickerSpec(ApiModel):
    """The endpoint picker of the serving's InferencePools: who chooses a replica for each request."""

    name: Annotated[
        Name,
        Field(
            description="Service of the endpoint picker, in the same namespace. ${inferencePool} in it stands for the "
            "name of each InferencePool, as the reference picker serves one InferencePool only."
        ),
    ] = "${inferencePool}-epp"
    port: Annotated[int, Field(ge=1, le=65535, strict=True, description="Port of that Service.")] = 9002
    failure_mode: Annotated[
        Literal["FailOpen", "FailClose"],
        Field(description="Whether requests go to any replica, or are refused, while the picker is away."),
    ] = "FailOpen"


class RoutingSpec(ApiModel):
    """Where a router finds the serving's pools: Services and weights are made where this is given."""

    port: Annotated[
        int, Field(ge=1, le=65535, strict=True, description="Port that the engine listens on.")
    ] = 8000
    http_route: (
        Annotated[
            Name,
            Field(
                description="HTTPRoute of the Gateway API in the same namespace, the weights of whose backends are set."
            ),
        ]
        | None
    ) = None
    endpoint_picker: (
        Annotated[
            EndpointPickerSpec,
            Field(
                description="Where it is given, each Deployment that takes whole online requests has an InferencePool of the "
                "Gateway API's Inference Extension, and those are the HTTPRoute's backends."
            ),
        ]
        | None
    ) = None
