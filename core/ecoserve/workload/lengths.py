"""Request lengths: named distributions on a coarse joint grid, or one explicit length.

A bucket is the mean length of the requests in a cell and the cell's share of all requests, so that mean
tokens per request are kept; within a cell lengths still differ, which the capacity of a replica ignores.
The named distributions are compact figures computed from the Azure LLM inference traces of 2023 (CC-BY-4.0).
"""

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, cast

import yaml

from ecoserve.errors import InvalidInputError, UnknownNameError


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthBucket:
    """Requests of about one length: mean tokens in and out, and their share of all requests (0 to 1)."""

    input_tokens: float
    output_tokens: float
    share: float


@functools.cache
def _distributions() -> Mapping[str, Mapping[str, Any]]:
    text = resources.files("ecoserve.workload").joinpath("lengths.yaml").read_text(encoding="utf-8")
    return cast(Mapping[str, Mapping[str, Any]], yaml.safe_load(text)["distributions"])


def _distribution(name: str, field: str) -> Mapping[str, Any]:
    if name not in _distributions():
        raise UnknownNameError(field, name, _distributions())
    return _distributions()[name]


@functools.cache
def length_distribution(name: str) -> tuple[LengthBucket, ...]:
    """The buckets of a named distribution; shares sum to 1.

    Raises UnknownNameError where there is none of that name.
    """
    return tuple(
        LengthBucket(input_tokens=cell["input"], output_tokens=cell["output"], share=cell["share"])
        for cell in _distribution(name, "lengths")["buckets"]
    )


def mean_requests_per_second(name: str) -> float:
    """The mean request rate of the trace behind a named distribution.

    Raises UnknownNameError where there is none of that name.
    """
    return float(_distribution(name, "trace")["meanRequestsPerSecond"])


def single_length(input_tokens: float, output_tokens: float) -> tuple[LengthBucket, ...]:
    """One bucket for requests of one length.

    Raises InvalidInputError where a length isn't a number of 1 or more.
    """
    for field, tokens in (("lengths.input", input_tokens), ("lengths.output", output_tokens)):
        if not 1 <= tokens < math.inf:
            raise InvalidInputError(field, tokens, "a number of tokens of 1 or more")
    return (LengthBucket(input_tokens=input_tokens, output_tokens=output_tokens, share=1.0),)
