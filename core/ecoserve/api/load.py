"""The load of an LLMServing: from its spec (a rate or a built-in trace), or measured by a Prometheus.

A rate or trace beside `prometheus` is the fallback until something has been measured; lengths beside it are those of an
engine that tells none.
"""

import re
from enum import StrEnum
from typing import Annotated, Self

from pydantic import ConfigDict, Field, model_validator

from ecoserve.api.base import ApiModel, Labels, Name, NonNegative, Positive, cel, one_of, rules
from ecoserve.api.gridsource import Account, Url

_ONE_LOAD = "give requestsPerSecond or trace, not both, or prometheus with or without one of them"
_ONE_LENGTH = "with requestsPerSecond give either lengths, or both inputTokens and outputTokens"
_ONE_ADDRESS = "give url or account, not both: an account's address stands beside its key"

_LABELS = "selector must hold label names as Prometheus has them: letters, digits and _, no digit first"
_LABEL_NAME = "^[a-zA-Z_][a-zA-Z0-9_]*$"

PromQl = Annotated[str, Field(min_length=1, max_length=4096, description="PromQL.")]


class Engine(StrEnum):
    """Whose metrics are read: an engine's, or those of llm-d's inference scheduler in front of engines."""

    VLLM = "vllm"
    SGLANG = "sglang"
    TGI = "tgi"
    LLM_D = "llm-d"


class TraceLoad(ApiModel):
    """A load taken from a built-in trace: its lengths and its mean rate, scaled."""

    name: Annotated[Name, Field(description="Built-in trace, such as azure-conversation-2023.")]
    scale: Annotated[Positive, Field(le=1e6, description="Factor on the trace's mean request rate.")] = 1.0


class LoadQueries(ApiModel):
    """Queries of one's own, each in place of a built-in one."""

    requests: Annotated[PromQl, Field(description="Requests/s that arrive: one series.")] | None = None
    waiting: Annotated[PromQl, Field(description="Requests that wait in a queue: one series.")] | None = None
    input_tokens: (
        Annotated[
            PromQl, Field(description="Input lengths: rates of a histogram's buckets by le, or a mean.")
        ]
        | None
    ) = None
    output_tokens: (
        Annotated[
            PromQl, Field(description="Output lengths: rates of a histogram's buckets by le, or a mean.")
        ]
        | None
    ) = None


class PrometheusLoad(ApiModel):
    """Load as engines' or a gateway's metrics in a Prometheus tell it."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel("!has(self.url) || !has(self.account)", _ONE_ADDRESS),
            cel(f"!has(self.selector) || self.selector.all(name, name.matches('{_LABEL_NAME}'))", _LABELS),
        )
    )

    url: Annotated[Url, Field(description="The operator's --prometheus-url where absent.")] | None = None
    account: Account | None = None
    engine: Annotated[Engine, Field(description="What the template runs where absent.")] | None = None
    selector: Annotated[
        Labels,
        Field(
            max_length=16,
            description="Labels of the series. Where empty: namespace and ecoserve_dev_serving of the pods' metrics; "
            "namespace and model_name of llm-d's.",
        ),
    ] = Field(default_factory=dict)
    queries: LoadQueries = Field(default_factory=LoadQueries)
    interval_seconds: Annotated[
        int, Field(ge=1, le=3600, strict=True, description="How often it is asked.")
    ] = 30
    window_seconds: Annotated[
        int,
        Field(
            ge=10,
            le=3600,
            strict=True,
            description="What rates are taken over; at least four times the interval of scrapes.",
        ),
    ] = 300

    @property
    def measured(self) -> tuple[object, ...]:
        """What tells the requests that are counted from others."""
        return self.url, self.account, self.engine, self.selector, self.queries.requests

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.url is not None and self.account is not None:
            raise one_of(_ONE_ADDRESS)
        if not all(re.search(_LABEL_NAME, name) for name in self.selector):
            raise one_of(_LABELS)
        return self


def same_measure_rule(one: str, other: str) -> str:
    """CEL: whether two PrometheusLoads, at these places, count the same requests (see `measured`)."""

    def has(load: str, field: str) -> str:
        outer = field.rpartition(".")[0]
        return f"has({load}.{outer}) && has({load}.{field})" if outer else f"has({load}.{field})"

    return " && ".join(
        f"(({has(one, field)}) ? ({has(other, field)}) && {one}.{field} == {other}.{field} : !({has(other, field)}))"
        for field in ("url", "account", "engine", "selector", "queries.requests")
    )


class Load(ApiModel):
    """A stream of requests: how many, how long, and how they vary over the day."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "has(self.prometheus) ? !(has(self.requestsPerSecond) && has(self.trace)) : "
                "has(self.requestsPerSecond) != has(self.trace)",
                _ONE_LOAD,
            ),
            cel(
                "has(self.trace) ? !has(self.lengths) && !has(self.inputTokens) && !has(self.outputTokens) : "
                "has(self.lengths) ? !has(self.inputTokens) && !has(self.outputTokens) : "
                "has(self.inputTokens) && has(self.outputTokens) || "
                "has(self.prometheus) && !has(self.requestsPerSecond) && "
                "!has(self.inputTokens) && !has(self.outputTokens)",
                _ONE_LENGTH + "; a trace has lengths of its own",
            ),
        )
    )

    requests_per_second: Annotated[Positive, Field(le=1e6, description="Mean request rate.")] | None = None
    lengths: Annotated[Name, Field(description="Named distribution of input and output lengths.")] | None = (
        None
    )
    input_tokens: (
        Annotated[int, Field(gt=0, le=2_000_000, strict=True, description="Input length of every request.")]
        | None
    ) = None
    output_tokens: (
        Annotated[int, Field(gt=0, le=2_000_000, strict=True, description="Output length of every request.")]
        | None
    ) = None
    trace: TraceLoad | None = None
    prometheus: (
        Annotated[
            PrometheusLoad,
            Field(description="Measured load; a rate or trace beside it counts until something is measured."),
        ]
        | None
    ) = None
    profile: Annotated[Name, Field(description="Named daily profile that multiplies the mean rate.")] = "flat"

    @property
    def stated(self) -> bool:
        """Whether the spec itself tells a rate."""
        return self.requests_per_second is not None or self.trace is not None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        rates = (self.requests_per_second is not None) + (self.trace is not None)
        if rates > 1 or (rates == 0 and self.prometheus is None):
            raise one_of(_ONE_LOAD)
        explicit = (self.input_tokens is not None, self.output_tokens is not None)
        if self.trace is not None:
            consistent = self.lengths is None and not any(explicit)
        elif self.lengths is not None:
            consistent = not any(explicit)
        else:
            consistent = all(explicit) or (self.requests_per_second is None and not any(explicit))
        if not consistent:
            raise one_of(_ONE_LENGTH + "; a trace has lengths of its own")
        return self


class LengthShare(ApiModel):
    """Requests of about one length, in tokens, and their share of all."""

    input_tokens: Annotated[Positive, Field(description="Tokens of a prompt.")]
    output_tokens: Annotated[Positive, Field(description="Tokens of an answer.")]
    share: Annotated[float, Field(gt=0, le=1, strict=True, description="Share of all requests, 0 to 1.")]


class LoadStatus(ApiModel):
    """What is planned for of one stream, which is what holds while nothing can be measured."""

    requests_per_second: Annotated[
        NonNegative, Field(description="Planned for: what is measured, or expected soon, in steps.")
    ]
    observed_at: Annotated[str, Field(description="When it was last measured.")]
    lengths: Annotated[
        tuple[LengthShare, ...], Field(max_length=16, description="Lengths that are planned for.")
    ] = ()


class LoadsStatus(ApiModel):
    """Measured streams of a serving."""

    online: LoadStatus | None = None
    offline: LoadStatus | None = None
