"""Fit the constants of `ecoserve.performance.load` to simulated quantiles of TTFT and TPOT.

Engines, lengths, arrivals and loads are random; none of the grid's lengths is among them by intent. Each cell is
simulated once, on lanes; the fit minimises the error of the predicted shares at the simulated quantiles, weighted by how
well a share can be known, and damped for cells that no constants fit.
"""

from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, fields
from math import exp, log
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from scipy.optimize import least_squares

from ecoserve.catalog import load_catalog
from ecoserve.errors import EcoserveError
from ecoserve.performance import Engine
from ecoserve.performance.load import FITTED, LoadConstants, LoadedReplica
from ecoserve.performance.lockstep import Lanes, run_lanes
from ecoserve.performance.step_table import step_table
from ecoserve.performance.steps import engine_steps
from ecoserve.performance.streams import arrivals, gaps
from ecoserve.performance.work import Work, work_of

QUANTILES = np.array([0.1, 0.3, 0.5, 0.7, 0.9, 0.95, 0.99])
_WEIGHTS = 0.5 / np.sqrt(QUANTILES * (1 - QUANTILES) + 0.01)
_UNLOADED = 1.15  # times its own prefill and steps: a TTFT below says nothing about waiting
_LANES, _REQUESTS, _WARM_UP = 40, 600, 800
_FIXED = ("together",)  # fitted on the grid's shares by hand: quantiles don't show it


@dataclass(frozen=True)
class Sample:
    """A simulated cell: its work, rate, variation, and the quantiles of TTFT and TPOT."""

    work: Work
    rate: float
    arrival_cv: float
    ttft: Any
    tpot: Any


def fitted(count: int, jobs: int, console: Console) -> dict[str, float]:
    """Simulate `count` random cells and return the constants that fit them best."""
    with ProcessPoolExecutor(jobs) as pool:
        drawn = pool.map(_sample, range(count))
        samples = [s for s in track(drawn, "simulating", total=count, console=console) if s is not None]
    names = [field.name for field in fields(LoadConstants) if field.name not in _FIXED]
    start = asdict(FITTED)

    def errors(values: Any) -> Any:
        constants = LoadConstants(**{**start, **dict(zip(names, values, strict=True))})
        return np.concatenate([_errors(sample, constants) for sample in samples])

    initial = np.array([start[name] for name in names])
    with console.status("fitting"):
        found = least_squares(
            errors, initial, loss="soft_l1", f_scale=0.03, diff_step=1e-3, max_nfev=10, bounds=(0, 10)
        )
    return {name: round(float(value), 3) for name, value in zip(names, found.x, strict=True)}


def _sample(seed: int) -> Sample | None:
    rng = np.random.default_rng(seed)
    catalog = load_catalog()
    instances = [item for item in catalog.instances.values() if item.accelerator_count]
    while True:
        instance = instances[rng.integers(len(instances))]
        model = list(catalog.models.values())[rng.integers(len(catalog.models))]
        inputs = int(exp(rng.uniform(log(50), log(8000))))
        outputs = int(exp(rng.uniform(log(20), log(1500))))
        try:
            engine = Engine(
                model=model,
                precision="bf16",
                instance=instance,
                tensor_parallel=int(rng.choice([1, 2, 4, 8])),
            )
        except EcoserveError:
            continue
        steps = engine_steps(engine)
        if steps.rejection() is None and steps.kv_tokens > 3 * (inputs + outputs):
            break
    work = work_of(steps, engine.role, inputs, outputs)
    load = 1.0 - exp(rng.uniform(log(0.03), log(0.97)))  # from 3 to 97 %
    cv = float(rng.choice([1.0, 1.0, 1.5, 2.0, 3.0]))
    rate = load * work.saturation
    before = int(min(4.0 * work.batch_at(rate) + 100.0, _WARM_UP))
    times = arrivals(gaps(_LANES, before + _REQUESTS, cv), rate)
    [(first, finish)] = run_lanes(
        [
            Lanes(
                table=step_table(steps, engine.role, inputs, outputs),
                arrivals=times,
                counted=before + _REQUESTS,
            )
        ]
    )
    ttft = (first - times)[:, before:] + work.latency_seconds
    tpot = (finish - first)[:, before:] / work.decode_steps
    return Sample(
        work=work,
        rate=rate,
        arrival_cv=cv,
        ttft=np.quantile(ttft, QUANTILES),
        tpot=np.quantile(tpot, QUANTILES),
    )


def _errors(sample: Sample, constants: LoadConstants) -> Any:
    replica = LoadedReplica(sample.work, sample.rate, sample.arrival_cv, constants)
    work = sample.work
    step = work.step_at(max(replica.mean_batch, 1.0))
    alone = work.latency_seconds + _UNLOADED * (work.prefill_seconds + 2.0 * step)
    tpot = (replica.within_tpot(sample.tpot) - QUANTILES) * _WEIGHTS
    waited = (QUANTILES >= 0.3) & (sample.ttft > alone)
    ttft = np.where(waited, (replica.within_ttft(sample.ttft) - QUANTILES) * _WEIGHTS, 0.0)
    return np.concatenate([tpot, ttft])
