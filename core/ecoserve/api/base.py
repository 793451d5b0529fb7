"""What all kinds share: the model base, checked scalar types, conditions.

A constraint is stated once, on the type: pydantic checks it when a file is read without a cluster,
and the same annotation becomes an OpenAPI keyword or a CEL rule with a readable message in the CRD.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from ecoserve.errors import InvalidInputError
from ecoserve.units import parse_duration, parse_quantity

RULES = "x-kubernetes-validations"


class ApiModel(BaseModel):
    """Base of everything users write: frozen, camelCase in YAML, unknown fields refused."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        populate_by_name=True,
        allow_inf_nan=False,
    )


def cel(rule: str, message: str) -> dict[str, str]:
    """One CEL rule of a CRD schema, with the sentence the API server answers."""
    return {"rule": rule, "message": message}


def rules(*validations: dict[str, str], **more: Any) -> dict[str, Any]:
    """`json_schema_extra` that carries CEL rules into the CRD."""
    return {RULES: list(validations), **more}


def one_of(message: str) -> PydanticCustomError:
    """The error of a model validator, in words that a user can act on."""
    return PydanticCustomError("ecoserve", "{message}", {"message": message})


def _with_a_unit(value: object) -> object:
    if isinstance(value, int | float):
        raise one_of("must be a positive duration with a unit, such as 500ms, 30s, 24h or 1h30m")
    return value


def _check_duration(text: str) -> str:
    try:
        parse_duration(text)
    except InvalidInputError as error:
        raise one_of(error.accepted) from None
    return text


def _check_quantity(text: str) -> str:
    try:
        parse_quantity(text)
    except InvalidInputError as error:
        raise one_of(error.accepted) from None
    return text


Duration = Annotated[
    str,
    BeforeValidator(_with_a_unit),
    AfterValidator(_check_duration),
    Field(
        max_length=32,
        json_schema_extra=rules(
            cel(
                r"self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h|d))+$') && self.matches('[1-9]')",
                "must be a positive duration with a unit, such as 500ms, 30s, 24h or 1h30m",
            )
        ),
    ),
]
"""A positive duration with a unit: `500ms`, `24h`, `1h30m`."""

Quantity = Annotated[
    str,
    AfterValidator(_check_quantity),
    Field(
        max_length=32,
        json_schema_extra=rules(
            cel(
                "isQuantity(self) && quantity(self).compareTo(quantity('0')) >= 0",
                "must be a Kubernetes quantity of zero or more, such as 500m, 4 or 16Gi",
            )
        ),
    ),
]
"""A Kubernetes quantity: `500m`, `4`, `16Gi`."""

Positive = Annotated[float, Field(gt=0, strict=True)]
NonNegative = Annotated[float, Field(ge=0, strict=True)]
Truth = Annotated[bool, Field(strict=True)]
"""True or false: YAML's strings and numbers that read like one are refused, as the API server does."""

Name = Annotated[str, Field(min_length=1, max_length=253)]
Labels = dict[str, Annotated[str, Field(max_length=63)]]
ServingNamespace = Annotated[str, Field(description="Namespace of the LLMServing.")]
ServingName = Annotated[str, Field(description="Name of the LLMServing.")]


class Condition(ApiModel):
    """`metav1.Condition`: one aspect of an object's state, with its reason."""

    type: Annotated[str, Field(max_length=316, description="What the condition is about.")]
    status: Annotated[Literal["True", "False", "Unknown"], Field(description="Whether it holds.")]
    reason: Annotated[str, Field(min_length=1, max_length=1024, description="Why, in one constant word.")]
    message: Annotated[str, Field(max_length=32768, description="Why, in a sentence.")] = ""
    last_transition_time: Annotated[datetime, Field(description="When status last became another.")]
    observed_generation: (
        Annotated[int, Field(ge=0, description="Generation of the spec that this is about.")] | None
    ) = None


Conditions = Annotated[
    tuple[Condition, ...],
    Field(
        description="Aspects of the object's state, one of each type.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    ),
]
"""The conditions of a status, merged by type where it is applied."""


class ObjectMeta(BaseModel):
    """The part of an object's metadata that planning needs; the rest is left to the API server."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)

    name: Name
    namespace: str | None = None
    uid: str | None = None
    generation: int | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
