"""Measurements of a model on hardware, as a user brings them: what the step models are corrected by.

A point is one load held for a while: requests of one length, so many in flight, and the latencies, rate and
power seen meanwhile. A profile is the points of one model in one precision on one share of a node.
"""

import math
from dataclasses import dataclass

from ecoserve.catalog.model_architecture import ModelArchitecture, check_precision
from ecoserve.errors import InvalidInputError


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredPoint:
    """Means over one load: `batch` requests in flight, each of `input_tokens` in and `output_tokens` out.

    `tpot_seconds` is the time per output token after the first and holds the prefills of other requests that came
    between, unless `phases_apart`: then all prompts were read before the first token was written (as
    llama-batched-bench does) and `ttft_seconds` is of all of them together. `power_watts` is of the devices or sockets
    in use, idle power included.
    """

    input_tokens: float
    output_tokens: float
    batch: float
    tpot_seconds: float
    ttft_seconds: float | None = None
    output_tokens_per_second: float | None = None
    power_watts: float | None = None
    phases_apart: bool = False

    def __post_init__(self) -> None:
        for field, least in (("input_tokens", 1.0), ("output_tokens", 1.0), ("batch", 0.0)):
            if not least <= getattr(self, field) < math.inf:
                raise InvalidInputError(
                    f"point.{field}", getattr(self, field), f"a number from {least:g} upwards"
                )
        for field in ("tpot_seconds", "ttft_seconds", "output_tokens_per_second", "power_watts", "batch"):
            value = getattr(self, field)
            if value is not None and not 0 < value < math.inf:
                raise InvalidInputError(f"point.{field}", value, "a number above zero")


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredProfile:
    """The measured points of one model on `tensor_parallel` devices of a node, or on `vcpus` of its host.

    `origin` says what measured them, for people.
    """

    model: ModelArchitecture
    precision: str
    points: tuple[MeasuredPoint, ...]
    tensor_parallel: int = 0
    vcpus: int = 0
    origin: str = ""

    def __post_init__(self) -> None:
        check_precision(self.precision)
        if (self.tensor_parallel > 0) == (self.vcpus > 0):
            given = (self.tensor_parallel, self.vcpus)
            raise InvalidInputError(
                "profile.tensorParallel, profile.vcpus", given, "exactly one of them above zero"
            )
        if not self.points:
            raise InvalidInputError("profile.points", (), "at least one point")

    def __hash__(self) -> int:
        """Hash what tells profiles apart cheaply: engines are keys of caches, and points are many."""
        return hash((self.model.name, self.precision, self.tensor_parallel, self.vcpus, len(self.points)))
