"""The grid that predicted capacity is held against: engines, lengths with their objectives, arrivals, percentiles."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import log

from attained import Asked, apart, shares

from ecoserve.catalog import load_catalog
from ecoserve.performance import Engine, Question, ReplicaCapacity, Slo, replica_capacities
from ecoserve.performance.steps import engine_steps

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
ARRIVAL_CVS = (1.0, 2.0, 3.0)
PERCENTILES = (50.0, 90.0, 99.0)
LEAST_KV_TOKENS = 30_000  # the fewest devices that hold the model and this much context
POINTS = 0.02
_STEP = 0.01
_LEAST_SLOPE = 1e-3
_SIMPY_REQUESTS = 2000
_CROSS_CHECKED_EVERY = 11


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One point of the grid."""

    engine: Engine
    input_tokens: int
    output_tokens: int
    slo: Slo
    arrival_cv: float
    cross_checked: bool = False

    @property
    def question(self) -> Question:
        """What capacity is asked for."""
        return Question(
            engine=self.engine,
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            slo=self.slo,
            arrival_cv=self.arrival_cv,
        )

    @property
    def name(self) -> str:
        """In a few words."""
        return (
            f"{named(self.engine)}, "
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
    """By how much the rate is too high, from the error of the share and its slope."""
    apart: float | None = None
    """Share of lanes less that of SimPy's simulation on the same arrivals, where both were run."""

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
    number = itertools.count()
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
                        cross_checked=next(number) % _CROSS_CHECKED_EVERY == 0,
                    )


def checked(chosen: Sequence[Cell], requests: int) -> list[Outcome]:
    """Predict the cells' capacities and count who meets the objective at those rates, and a little below for the slope."""
    found = replica_capacities([cell.question for cell in chosen])
    asked = {
        cell: Asked(question=cell.question, requests_per_second=capacity.max_requests_per_second)
        for cell, capacity in zip(chosen, found, strict=True)
        if isinstance(capacity, ReplicaCapacity)
    }
    below = [
        replace(item, requests_per_second=item.requests_per_second * (1 - _STEP)) for item in asked.values()
    ]
    met = dict(zip(asked, shares(list(asked.values()), requests), strict=True))
    # On the same streams, of which few tell what a step of the rate does.
    fewer = dict(zip(asked, zip(shares(below, 0), shares(list(asked.values()), 0), strict=True), strict=True))
    outcomes = []
    for cell, capacity in zip(chosen, found, strict=True):
        if not isinstance(capacity, ReplicaCapacity):
            outcomes.append(Outcome(cell=cell, capacity=None))
            continue
        share = met[cell].share
        lower, here = fewer[cell]
        slope = (lower.share - here.share) / -log(1 - _STEP)
        outcomes.append(
            Outcome(
                cell=cell,
                capacity=capacity,
                attained=share,
                half_width=met[cell].half_width,
                rate_error=(cell.slo.percentile / 100.0 - share) / max(slope, _LEAST_SLOPE),
                apart=apart(asked[cell], _SIMPY_REQUESTS) if cell.cross_checked else None,
            )
        )
    return outcomes


def named(engine: Engine) -> str:
    """An engine in a few words."""
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
            engine = smallest(catalog, model, instance)
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


def smallest(catalog, model, instance) -> Engine | None:
    """The fewest devices of the instance that hold the model and some context; None where all don't."""
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
