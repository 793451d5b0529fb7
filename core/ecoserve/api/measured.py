"""Measured profiles as users write them, within a HardwareProfile."""

from typing import Annotated, Self

from pydantic import ConfigDict, Field, model_validator

from ecoserve.api.base import ApiModel, Name, Truth, cel, one_of, rules
from ecoserve.api.llmserving import Precision

MOST_PROFILES = 16
MOST_POINTS = 256

_ONE_SHARE = "give exactly one of tensorParallel and vcpus"

_Tokens = Annotated[float, Field(ge=1, le=10_000_000, strict=True)]
_Seconds = Annotated[float, Field(gt=0, le=100_000, strict=True)]


class MeasuredPointSpec(ApiModel):
    """Means over one load that was held for a while."""

    input_tokens: Annotated[_Tokens, Field(description="Tokens of a prompt.")]
    output_tokens: Annotated[_Tokens, Field(description="Tokens of an answer.")]
    batch: Annotated[
        float, Field(gt=0, le=1_000_000, strict=True, description="Requests in flight, the mean.")
    ]
    tpot_seconds: Annotated[_Seconds, Field(description="Time per output token after the first.")]
    ttft_seconds: Annotated[_Seconds, Field(description="Time to the first token.")] | None = None
    output_tokens_per_second: (
        Annotated[float, Field(gt=0, le=1e9, strict=True, description="Output tokens of all requests.")]
        | None
    ) = None
    power_watts: (
        Annotated[
            float,
            Field(gt=0, le=1e6, strict=True, description="Of the devices or sockets in use, idle included."),
        ]
        | None
    ) = None
    phases_apart: Annotated[
        Truth, Field(description="All prompts were read before the first token was written.")
    ] = False


class MeasuredProfileSpec(ApiModel):
    """Measured points of one model on a share of the node; they take precedence over the performance model."""

    model_config = ConfigDict(
        json_schema_extra=rules(cel("has(self.tensorParallel) != has(self.vcpus)", _ONE_SHARE))
    )

    model: Annotated[Name, Field(description="Hugging Face name.")]
    precision: Annotated[
        Precision, Field(description="Precision of the weights; bf16 and fp16 count as one.")
    ] = "bf16"
    tensor_parallel: (
        Annotated[int, Field(ge=1, le=64, strict=True, description="Devices of one replica.")] | None
    ) = None
    vcpus: (
        Annotated[int, Field(ge=1, le=100_000, strict=True, description="vCPUs of one replica on the host.")]
        | None
    ) = None
    origin: Annotated[str, Field(max_length=512, description="What measured this, and when.")] = ""
    points: Annotated[
        tuple[MeasuredPointSpec, ...],
        Field(min_length=1, max_length=MOST_POINTS, description="What was measured, one load each."),
    ]

    @model_validator(mode="after")
    def _one_share(self) -> Self:
        if (self.tensor_parallel is None) == (self.vcpus is None):
            raise one_of(_ONE_SHARE)
        return self
