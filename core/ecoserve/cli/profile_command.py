"""`ecoserve profile …`: HardwareProfiles from own measurements, printed to be applied."""

import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import yaml

from ecoserve.api import HardwareProfile
from ecoserve.catalog import MeasuredPoint, load_catalog
from ecoserve.cli.console import progress_bar
from ecoserve.cli.sources import read_sources
from ecoserve.errors import InvalidInputError
from ecoserve.fleet.hardware import matching_profile
from ecoserve.fleet.suggestion import suggested_profiles
from ecoserve.measuring.document import MeasuredOn, hardware_profile, profile_document, profile_yaml
from ecoserve.measuring.endpoint import Endpoint
from ecoserve.measuring.power import PrometheusPower
from ecoserve.measuring.results import read_result
from ecoserve.measuring.sweep import Load, measure

_POWER_HOLD_SECONDS, _HOLD_SECONDS = 60.0, 10.0
_MOST_LOADS = 256
_PROMETHEUS_TOKEN = "ECOSERVE_PROMETHEUS_TOKEN"  # noqa: S105  # the name of a variable


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureRequest:
    """What was asked for at the command line, beside the subject."""

    endpoint: str
    served_model: str | None
    concurrency: str
    input_tokens: str
    output_tokens: int
    hold_seconds: float | None
    silence_seconds: float
    api_key_env: str
    prometheus: str | None
    power_selector: str


def subject(
    model: str | None,
    base: str,
    precision: str | None,
    tensor_parallel: int | None,
    vcpus: int | None,
    match: Sequence[str],
    name: str | None,
) -> MeasuredOn:
    """Return what is measured; raises InvalidInputError for a label that is no KEY=VALUE."""
    return MeasuredOn(
        model=model or "",
        base=base,
        precision=precision,
        tensor_parallel=tensor_parallel,
        vcpus=vcpus,
        match_labels=_labels(match),
        name=name,
    )


def run_import(files: Sequence[Path], on: MeasuredOn, *, as_json: bool) -> int:
    """Read results of benchmark tools and print the profile of them all; returns the exit status."""
    results = [read_result(path) for path in files]
    models = {result.model for result in results if result.model}
    if not on.model:
        if len(models) != 1:
            accepted = "needed: the files name " + (", ".join(sorted(models)) if models else "no model")
            raise InvalidInputError("--model", None, accepted)
        on = replace(on, model=models.pop())
    points = [point for result in results for point in result.points]
    tools = ", ".join(sorted({result.tool for result in results}))
    _show(hardware_profile(on, points, f"imported from {tools}", load_catalog()), as_json)
    return 0


def run_suggest(files: Sequence[Path], *, as_json: bool) -> int:
    """Print profiles for nodes that neither the catalogue nor a given profile knows; returns the exit status."""
    sources = read_sources(files, needs_servings=False)
    profiles = sources.manifests.profiles
    unmatched = [node for node in sources.nodes if matching_profile(node.labels, profiles) is None]
    documents = suggested_profiles(unmatched, load_catalog())
    if as_json:
        json.dump([yaml.safe_load(document) for document in documents], sys.stdout, indent=2)
        print()
    else:
        print("---\n".join(documents), end="")
    if not documents:
        print("every node is known", file=sys.stderr)
    return 0


def run_measure(request: MeasureRequest, on: MeasuredOn, *, as_json: bool) -> int:
    """Measure an endpoint and print the profile; returns the exit status."""
    catalog = load_catalog()
    power = _power(request, on)
    hold = request.hold_seconds
    if hold is None:
        hold = _HOLD_SECONDS if power is None else _POWER_HOLD_SECONDS
    loads = [
        Load(input_tokens=tokens, output_tokens=request.output_tokens, concurrency=streams, seconds=hold)
        for tokens in _whole_numbers("--input", request.input_tokens)
        for streams in _whole_numbers("--concurrency", request.concurrency)
    ]
    if len(loads) > _MOST_LOADS:
        raise InvalidInputError("--input, --concurrency", len(loads), f"at most {_MOST_LOADS} loads together")
    endpoint = Endpoint(
        url=request.endpoint,
        model=request.served_model or on.model,
        api_key=os.environ.get(request.api_key_env) or None,
        silence_seconds=request.silence_seconds,
    )
    placeholder = MeasuredPoint(input_tokens=1, output_tokens=1, batch=1, tpot_seconds=1)
    hardware_profile(on, [placeholder], "", catalog)  # what is wrong is told before anything is measured
    with progress_bar(f"measuring {len(loads)} loads") as progress:
        measured = asyncio.run(measure(endpoint, loads, power, progress))
    origin = f"ecoserve profile measure, {datetime.now(UTC).date().isoformat()}"
    if not measured.tokens_reported:
        origin += ", the server told no token counts: words and chunks were counted"
        print(
            f"note: {request.endpoint} tells no token counts: words and chunks were counted", file=sys.stderr
        )
    _show(hardware_profile(on, measured.points, origin, catalog), as_json)
    return 0


def _power(request: MeasureRequest, on: MeasuredOn) -> PrometheusPower | None:
    if request.prometheus is None:
        return None
    instance = load_catalog().instance(on.base)
    on_cpu = on.vcpus is not None or instance.accelerator is None
    return PrometheusPower(
        url=request.prometheus,
        selector=request.power_selector,
        devices=0 if on_cpu else on.tensor_parallel or 1,
        token=os.environ.get(_PROMETHEUS_TOKEN) or None,
    )


def _show(profile: HardwareProfile, as_json: bool) -> None:
    if as_json:
        json.dump(profile_document(profile), sys.stdout, indent=2)
        print()
    else:
        print(profile_yaml(profile), end="")


def _labels(match: Sequence[str]) -> Mapping[str, str] | None:
    labels = {}
    for text in match:
        key, equals, value = text.partition("=")
        if not (key and equals):
            raise InvalidInputError("--match", text, "a label as KEY=VALUE")
        labels[key] = value
    return labels or None


def _whole_numbers(option: str, text: str) -> list[int]:
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 1:
        raise InvalidInputError(option, text, "whole numbers from 1 by commas, such as 1,4,16")
    return numbers
