"""The grid that predicted capacity is held against: engines, lengths with their objectives, arrivals, percentiles.

Beside it replicas that serve a distribution's lengths in its mix, as plans let them, at the rate that the capacities of
its buckets add up to; and replicas whose lengths scatter around the one that they were sized for.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import log

import numpy as np

from ecoserve.catalog import load_catalog
from ecoserve.performance import Engine, ReplicaCapacity, Slo, replica_capacity
from ecoserve.performance.load import LoadedReplica
from ecoserve.performance.steps import engine_steps
from ecoserve.performance.work import work_of
from ecoserve.simulation.arrivals import Stream
from ecoserve.simulation.attainment import Share, replay
from ecoserve.workload.lengths import LengthBucket, length_distribution, single_length

MODELS = (
    "meta-llama/Llama-3.1-8B-Instruct",
    "Qwen/Qwen3-32B",
    "meta-llama/Llama-3.1-70B-Instruct",
    "mistralai/Mixtral-8x7B-Instruct-v0.1",
)
INSTANCES = ("g5.48xlarge", "p4de.24xlarge", "p5.48xlarge", "a3-ultragpu-8g")  # A10G, A100-80, H100, H200
LENGTHS = (
    (200, 150, Slo(ttft_seconds=0.5, tpot_seconds=0.05)),
    (1000, 250, Slo(ttft_seconds=1.0, tpot_seconds=0.05)),
    (4000, 400, Slo(ttft_seconds=2.0, tpot_seconds=0.1)),
    (1500, 30, Slo(ttft_seconds=1.0, tpot_seconds=0.1)),
)
CPU_ENGINES = (
    ("meta-llama/Llama-3.2-1B-Instruct", "bf16", "m7i.48xlarge", 48.0),
    ("meta-llama/Llama-3.1-8B-Instruct", "int4", "m7i.48xlarge", 96.0),
)
CPU_LENGTHS = (
    (200, 150, Slo(ttft_seconds=5.0, tpot_seconds=0.25)),
    (1000, 250, Slo(ttft_seconds=15.0, tpot_seconds=0.3)),
)
MIXES = ("azure-conversation-2023", "azure-code-2023")
MIXED_ON = (MODELS[0], "p4de.24xlarge"), (MODELS[0], "p5.48xlarge"), (MODELS[2], "p5.48xlarge")
MIXED_SLO = Slo(ttft_seconds=2.0, tpot_seconds=0.1)
SCATTERS = (0.25, 0.5, 1.0)
ARRIVAL_CVS = (1.0, 2.0, 3.0)
PERCENTILES = (50.0, 90.0, 99.0)
LEAST_KV_TOKENS = 30_000  # the fewest devices that hold the model and this much context
POINTS = 0.02
_STEP = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One point of the grid."""

    engine: Engine
    input_tokens: int
    output_tokens: int
    slo: Slo
    arrival_cv: float

    @property
    def name(self) -> str:
        """In a few words."""
        return (
            f"{_named(self.engine)}, "
            f"{self.input_tokens} in {self.output_tokens} out, CV {self.arrival_cv:g}, p{self.slo.percentile:g}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A cell's predicted capacity and what the simulation attained at it; `capacity` is None where refused."""

    cell: Cell
    capacity: ReplicaCapacity | None
    attained: float = 0.0
    half_width: float = 0.0
    rate_error: float = 0.0
    """By how much the rate is too high, from the error of the share and the predicted slope."""

    @property
    def error(self) -> float:
        """Attained less the target."""
        return self.attained - self.cell.slo.percentile / 100.0

    @property
    def within(self) -> bool:
        """Whether the share is within two points of the target."""
        return abs(self.error) <= POINTS

    @property
    def within_noise(self) -> bool:
        """The same, where the simulation's own 95 % confidence interval reaches."""
        return abs(self.error) <= POINTS + self.half_width


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixed:
    """A replica at a capacity that was found for other lengths than it serves."""

    engine: Engine
    lengths: str
    buckets: tuple[LengthBucket, ...]
    length_cv: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MixedOutcome:
    """What it attained."""

    mixed: Mixed
    name: str
    met: Share


def cells() -> Iterator[Cell]:
    """All cells of the grid."""
    for engine, lengths in _engines():
        for inputs, outputs, slo in lengths:
            for cv in ARRIVAL_CVS:
                for percentile in PERCENTILES:
                    yield Cell(
                        engine=engine,
                        input_tokens=inputs,
                        output_tokens=outputs,
                        slo=replace(slo, percentile=percentile),
                        arrival_cv=cv,
                    )


def mixes() -> Iterator[Mixed]:
    """Replicas with lengths in a mix, and with lengths that scatter."""
    catalog = load_catalog()
    for model, instance in MIXED_ON:
        engine = _smallest(catalog, model, instance)
        assert engine is not None
        for name in MIXES:
            yield Mixed(engine=engine, lengths=name, buckets=length_distribution(name))
        for scatter in SCATTERS:
            name = f"1000 in 250 out ± {scatter:.0%}"
            yield Mixed(engine=engine, lengths=name, buckets=single_length(1000, 250), length_cv=scatter)


def checked(cell: Cell, requests: int) -> Outcome:
    """Predict a cell's capacity and simulate a replica at that rate."""
    found = replica_capacity(cell.engine, cell.input_tokens, cell.output_tokens, cell.slo, cell.arrival_cv)
    if not isinstance(found, ReplicaCapacity):
        return Outcome(cell=cell, capacity=None)
    rate = found.max_requests_per_second
    buckets = single_length(cell.input_tokens, cell.output_tokens)
    stream = Stream(requests_per_second=rate, buckets=buckets, arrival_cv=cell.arrival_cv)
    met = _met(cell.engine, stream, cell.slo, requests)
    target = cell.slo.percentile / 100.0
    slope = (_predicted(cell, rate * (1 - _STEP)) - _predicted(cell, rate)) / -log(1 - _STEP)
    return Outcome(
        cell=cell,
        capacity=found,
        attained=met.share,
        half_width=met.half_width,
        rate_error=(target - met.share) / max(slope, 1e-3),
    )


def checked_mix(mixed: Mixed, requests: int) -> MixedOutcome:
    """Simulate a replica at the rate that the capacities of its buckets add up to; a bucket nothing can serve is left out."""
    slo = replace(MIXED_SLO, percentile=90.0)
    pairs = [
        (bucket, found)
        for bucket in mixed.buckets
        if isinstance(
            found := replica_capacity(mixed.engine, bucket.input_tokens, bucket.output_tokens, slo),
            ReplicaCapacity,
        )
    ]
    shares = sum(bucket.share for bucket, _ in pairs)
    rate = shares / sum(bucket.share / found.max_requests_per_second for bucket, found in pairs)
    buckets = tuple(bucket for bucket, _ in pairs)
    stream = Stream(requests_per_second=rate, buckets=buckets, length_cv=mixed.length_cv)
    return MixedOutcome(mixed=mixed, name=_named(mixed.engine), met=_met(mixed.engine, stream, slo, requests))


def _met(engine: Engine, stream: Stream, slo: Slo, requests: int) -> Share:
    """The share that meets both times in a stream whose sample has exactly its rate: chance in how many come is left out."""
    drawn = stream.draw(requests, np.random.default_rng(1))
    exact = requests / stream.requests_per_second / drawn.arrival_seconds[-1]
    drawn = replace(drawn, arrival_seconds=drawn.arrival_seconds * exact)
    return replay(engine, drawn, warm_up=0.1).attainment(slo).both


def _named(engine: Engine) -> str:
    on = (
        f"{engine.cpu_cores:g} cores of {engine.instance.id}"
        if engine.on_cpu
        else f"{engine.tensor_parallel} × {engine.accelerator.id}"
    )
    return f"{engine.model.name.split('/')[-1]} on {on}"


def _engines() -> Iterator[tuple[Engine, tuple[tuple[int, int, Slo], ...]]]:
    catalog = load_catalog()
    for model in MODELS:
        for instance in INSTANCES:
            engine = _smallest(catalog, model, instance)
            if engine is not None:
                yield engine, LENGTHS
    for model, precision, instance, cores in CPU_ENGINES:
        engine = Engine(
            model=catalog.model(model),
            precision=precision,
            instance=catalog.instance(instance),
            tensor_parallel=0,
            cpu_cores=cores,
        )
        yield engine, CPU_LENGTHS


def _predicted(cell: Cell, rate: float) -> float:
    work = work_of(engine_steps(cell.engine), cell.engine.role, cell.input_tokens, cell.output_tokens)
    return LoadedReplica(work, rate, cell.arrival_cv).within_both(
        cell.slo.ttft_seconds, cell.slo.tpot_seconds
    )


def _smallest(catalog, model, instance) -> Engine | None:
    for devices in (1, 2, 4, 8):
        engine = Engine(
            model=catalog.model(model),
            precision="bf16",
            instance=catalog.instance(instance),
            tensor_parallel=devices,
        )
        if engine_steps(engine).kv_tokens >= LEAST_KV_TOKENS:
            return engine
    return None
