"""One point of operation by name: which model on which devices, at which lengths and batch, and what to expect.

Devices beyond one tensor-parallel group are more groups. For a dense model each is a replica with its part of
the batch. For a mixture of experts all work in step: each device holds whole experts of its own, and attention is
split over all of them (expert parallelism).
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ecoserve.catalog import (
    Accelerator,
    Catalog,
    Cpu,
    InstanceType,
    MeasuredProfile,
    ModelArchitecture,
    load_catalog,
)
from ecoserve.errors import InvalidInputError, UnknownNameError
from ecoserve.performance.engine import Engine, Role
from ecoserve.performance.expected_error import expected_error
from ecoserve.performance.prediction import Prediction, engine_idle_watts, predict
from ecoserve.performance.profiles import REPEATED, Source, figures_at, interpolation_error, profile_of
from ecoserve.performance.steps import engine_steps

_MOST_DEVICES_OF_AN_ENGINE = 8
_MOST_DEVICES = 4096
_MOST_TOKENS = 10_000_000
_MOST_SEQUENCES = 1_000_000
_MEASURED_OVER_MEMORY = 1.8
"""Most sequences over those that fit by our reckoning that published rows have: prefixes are shared, others wait."""
_OTHER_NAMES = {
    "bfloat16": "bf16", "float16": "fp16", "half": "fp16", "awq": "int4", "gptq": "int4",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingPoint:
    """`batch` sequences in flight over all `gpus`, each of `input_tokens` in and `output_tokens` out.

    `device` is an accelerator or a processor; for a processor `gpus` counts its sockets.
    """

    model: str
    device: str
    gpus: int = 1
    tensor_parallel: int = 1
    precision: str = "bf16"
    input_tokens: float
    output_tokens: float
    batch: float

    def __post_init__(self) -> None:
        for field, value, most in (
            ("gpus", self.gpus, _MOST_DEVICES),
            ("tensor_parallel", self.tensor_parallel, _MOST_DEVICES),
            ("input_tokens", self.input_tokens, _MOST_TOKENS),
            ("output_tokens", self.output_tokens, _MOST_TOKENS),
            ("batch", self.batch, _MOST_SEQUENCES),
        ):
            if not 1 <= value <= most:
                raise InvalidInputError(field, value, f"a number from 1 to {most}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PointPrediction:
    """What to expect at a point, where that is from, and the median relative error of such figures."""

    prediction: Prediction
    source: Source
    expected_error: float


def predict_point(
    point: OperatingPoint, catalog: Catalog | None = None, measured: Sequence[MeasuredProfile] = ()
) -> PointPrediction:
    """Predict one point of operation; `measured` are profiles of the device, which take precedence.

    Where a profile was measured, or measured around, its figures are the answer; what it lacks (power, say) and what
    lies outside is the model's, corrected by the nearest measured ratio.

    Raises InvalidInputError where it can't be: an unknown name, devices that can't be grouped so, a model
    or its KV cache that doesn't fit, a precision the devices don't have.
    """
    engine, replicas = engine_at(point, catalog or load_catalog())
    if measured:
        engine = replace(engine, instance=replace(engine.instance, measured=tuple(measured)))
    _check(engine, point, replicas)
    busy = min(float(replicas), point.batch)
    one, source, error = _one_replica(engine, point, point.batch / busy)
    return PointPrediction(
        prediction=_over_replicas(engine, one, replicas, busy), source=source, expected_error=error
    )


def _one_replica(engine: Engine, point: OperatingPoint, batch: float) -> tuple[Prediction, Source, float]:
    modelled = predict(engine, point.input_tokens, point.output_tokens, batch)
    profile = profile_of(engine)
    found = figures_at(profile, point.input_tokens, point.output_tokens, batch) if profile else None
    if profile is None or found is None:
        return modelled, Source.MODELLED, expected_error(engine)
    rate = found.output_tokens_per_second or modelled.output_tokens_per_second
    watts = found.power_watts or modelled.power_watts
    prediction = replace(
        modelled,
        tpot_seconds=found.tpot_seconds,
        output_tokens_per_second=rate,
        power_watts=watts,
        joules_per_output_token=watts / rate,
    )
    error = REPEATED if found.source is Source.MEASURED else interpolation_error(profile)
    return prediction, found.source, error


def engine_at(point: OperatingPoint, known: Catalog) -> tuple[Engine, int]:
    """Return one engine of the point and how many there are; raises InvalidInputError where there is none."""
    model = known.model(point.model)
    precision = _OTHER_NAMES.get(point.precision.lower(), point.precision.lower())
    if point.device in known.cpus:
        return _on_processors(point, model, known.cpu(point.device), precision), 1
    if point.device in known.accelerators:
        card = known.accelerator(point.device)
        return _on_accelerators(point, model, card, precision, next(iter(known.cpus.values())))
    raise UnknownNameError("gpu", point.device, {*known.accelerators, *known.cpus})


def engine_on_gpu(
    catalog: Catalog, model: str, gpu: str, tensor_parallel: int, precision: str, role: Role = Role.BOTH
) -> Engine:
    """Return one engine on devices of a host of their own.

    Raises InvalidInputError for an unknown name, and for more devices than work as one.
    """
    card = catalog.accelerator(gpu)
    if not 1 <= tensor_parallel <= _MOST_DEVICES_OF_AN_ENGINE:
        accepted = f"1 to {_MOST_DEVICES_OF_AN_ENGINE}: links between nodes are not modelled"
        raise InvalidInputError("tensor_parallel", tensor_parallel, accepted)
    return Engine(
        model=catalog.model(model),
        precision=precision,
        instance=_accelerator_host(card, tensor_parallel, next(iter(catalog.cpus.values()))),
        role=role,
        tensor_parallel=tensor_parallel,
    )


def _on_processors(point: OperatingPoint, model: ModelArchitecture, cpu: Cpu, precision: str) -> Engine:
    host = _processor_host(cpu, point.gpus)
    return Engine(model=model, precision=precision, instance=host, tensor_parallel=0, cpu_cores=host.vcpus)


def _on_accelerators(
    point: OperatingPoint, model: ModelArchitecture, card: Accelerator, precision: str, host_cpu: Cpu
) -> tuple[Engine, int]:
    groups, rest = divmod(point.gpus, point.tensor_parallel)
    if rest or not groups:
        accepted = f"a multiple of tensor_parallel {point.tensor_parallel}"
        raise InvalidInputError("gpus", point.gpus, accepted)
    expert_parallel, replicas = (groups, 1) if model.experts else (1, groups)
    devices = point.tensor_parallel * expert_parallel
    if devices > _MOST_DEVICES_OF_AN_ENGINE:
        accepted = (
            f"at most {_MOST_DEVICES_OF_AN_ENGINE} devices work as one: links between nodes are not modelled"
        )
        raise InvalidInputError("gpus" if model.experts else "tensor_parallel", devices, accepted)
    engine = Engine(
        model=model,
        precision=precision,
        instance=_accelerator_host(card, devices, host_cpu),
        tensor_parallel=point.tensor_parallel,
        expert_parallel=expert_parallel,
    )
    return engine, replicas


@functools.lru_cache(maxsize=1024)
def _accelerator_host(card: Accelerator, devices: int, cpu: Cpu) -> InstanceType:
    """Return a host of its own for the devices: the prediction is about them alone."""
    return InstanceType(
        id=f"{devices} × {card.id}",
        provider="",
        vcpus=16.0 * devices,
        memory_gib=256.0 * devices,
        ssd_gb=0.0,
        cpu=cpu,
        sockets=1.0,
        accelerator=card,
        accelerator_count=devices,
    )


@functools.lru_cache(maxsize=1024)
def _processor_host(cpu: Cpu, sockets: int) -> InstanceType:
    """Return a host with memory for any model: what a socket holds is the buyer's choice."""
    return InstanceType(
        id=f"{sockets} × {cpu.id}",
        provider="",
        vcpus=float(sockets * cpu.cores),
        vcpus_per_core=1,
        memory_gib=1e6,
        ssd_gb=0.0,
        cpu=cpu,
        sockets=float(sockets),
        accelerator=None,
        accelerator_count=0,
    )


def _check(engine: Engine, point: OperatingPoint, replicas: int) -> None:
    steps = engine_steps(engine)
    rejection = steps.rejection()
    if rejection is not None:
        raise InvalidInputError("point", f"{point.model} on {engine.instance.id}", rejection.detail)
    context = point.input_tokens + point.output_tokens / 2.0
    held = steps.sequences_held(context)
    if held <= 0:
        accepted = f"its weights in {engine.precision} don't fit"
        raise InvalidInputError("point", f"{point.model} on {engine.instance.id}", accepted)
    batch = max(point.batch / replicas, 1.0)
    if batch > _MEASURED_OVER_MEMORY * held:
        accepted = f"{math.floor(_MEASURED_OVER_MEMORY * held * replicas)} sequences of {context:.0f} tokens fit beside the weights"
        raise InvalidInputError("batch", point.batch, accepted)


def _over_replicas(engine: Engine, one: Prediction, replicas: int, busy: float) -> Prediction:
    """Add up replicas, of which `busy` have an even part of the batch and the rest idle, loaded."""
    rate = one.output_tokens_per_second * busy
    idle = engine_idle_watts(engine) if replicas > busy else 0.0
    watts = one.power_watts * busy + idle * (replicas - busy)
    return Prediction(
        prefill_seconds=one.prefill_seconds,
        tpot_seconds=one.tpot_seconds,
        output_tokens_per_second=rate,
        power_watts=watts,
        joules_per_output_token=watts / rate if rate else math.inf,
    )
