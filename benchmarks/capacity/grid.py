"""The grid that predicted capacity is held against: engines, lengths with their objectives, arrivals, percentiles."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import log

from ecoserve.catalog import load_catalog
from ecoserve.performance import Engine, ReplicaCapacity, Slo, replica_capacity
from ecoserve.performance.load import LoadedReplica
from ecoserve.performance.steps import engine_steps
from ecoserve.performance.work import work_of
from ecoserve.simulation.arrivals import Stream
from ecoserve.simulation.attainment import simulate_replica
from ecoserve.workload.lengths import single_length

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
        engine = self.engine
        return (
            f"{engine.model.name.split('/')[-1]} on {engine.tensor_parallel} × {engine.accelerator.id}, "
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


def cells() -> Iterator[Cell]:
    """All cells of the grid."""
    catalog = load_catalog()
    for model in MODELS:
        for instance in INSTANCES:
            engine = _smallest(catalog, model, instance)
            if engine is None:
                continue
            for inputs, outputs, slo in LENGTHS:
                for cv in ARRIVAL_CVS:
                    for percentile in PERCENTILES:
                        yield Cell(
                            engine=engine,
                            input_tokens=inputs,
                            output_tokens=outputs,
                            slo=replace(slo, percentile=percentile),
                            arrival_cv=cv,
                        )


def checked(cell: Cell, requests: int) -> Outcome:
    """Predict a cell's capacity and simulate a replica at that rate."""
    found = replica_capacity(cell.engine, cell.input_tokens, cell.output_tokens, cell.slo, cell.arrival_cv)
    if not isinstance(found, ReplicaCapacity):
        return Outcome(cell=cell, capacity=None)
    rate = found.max_requests_per_second
    stream = Stream(
        requests_per_second=rate,
        buckets=single_length(cell.input_tokens, cell.output_tokens),
        arrival_cv=cell.arrival_cv,
    )
    run = simulate_replica(cell.engine, stream, requests=requests, seed=1)
    met = run.attainment(cell.slo).both
    target = cell.slo.percentile / 100.0
    slope = (_predicted(cell, rate * (1 - _STEP)) - _predicted(cell, rate)) / -log(1 - _STEP)
    return Outcome(
        cell=cell,
        capacity=found,
        attained=met.share,
        half_width=met.half_width,
        rate_error=(target - met.share) / max(slope, 1e-3),
    )


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
