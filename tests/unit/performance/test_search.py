"""What is searched, held against long streams that the search has not seen."""

import numpy as np
import pytest

from ecoserve.catalog import load_catalog
from ecoserve.performance import Engine, Question, ReplicaCapacity, Slo, replica_capacities
from ecoserve.performance.lockstep import Lanes, run_lanes
from ecoserve.performance.step_table import step_table
from ecoserve.performance.steps import engine_steps

CATALOG = load_catalog()
LANES, WARM_UP, EACH, AFTER = 200, 1000, 1000, 300


def question(model, instance, devices, tokens, slo, cv) -> Question:
    engine = Engine(
        model=CATALOG.model(model),
        precision="bf16",
        instance=CATALOG.instance(instance),
        tensor_parallel=devices,
    )
    return Question(engine=engine, input_tokens=tokens[0], output_tokens=tokens[1], slo=slo, arrival_cv=cv)


def attained(asked: Question, requests_per_second: float) -> float:
    """The share of 200,000 requests that meets both times."""
    steps, shape = engine_steps(asked.engine), 1 / asked.arrival_cv**2
    table = step_table(steps, asked.engine.role, asked.input_tokens, asked.output_tokens)
    gaps = np.random.default_rng(11).gamma(shape, 1 / shape, (LANES, WARM_UP + EACH + AFTER))
    times = np.cumsum(gaps / gaps.mean(), axis=1) / requests_per_second
    lanes = Lanes(table=table, arrivals=times, counted=WARM_UP + EACH)
    [(first, finish)] = run_lanes([lanes])
    counted = slice(WARM_UP, WARM_UP + EACH)
    ttft = (first - times)[:, counted] + steps.prefill_latency_seconds
    tpot = (finish - first)[:, counted] / (asked.output_tokens - 1)
    return float(((ttft <= asked.slo.ttft_seconds) & (tpot <= asked.slo.tpot_seconds)).mean())


CELLS = {
    "many beside each other, where a closed form was 8 points off": (
        question("Qwen/Qwen2.5-Coder-7B-Instruct", "p5en.48xlarge", 2, (51, 175), Slo(ttft_seconds=0.0763, tpot_seconds=0.01461, percentile=95.0), 1.0)
    ),
    "bursts near what KV memory holds, with a warm-up too short for them": (
        question("meta-llama/Llama-3.3-70B-Instruct", "p5.48xlarge", 2, (736, 1049), Slo(ttft_seconds=0.4334, tpot_seconds=0.1106, percentile=50.0), 2.0)
    ),
    "a share that hardly moves with the rate, told of rates far below those run": (
        question("mistralai/Mistral-Nemo-Base-2407", "p4de.24xlarge", 1, (80, 1263), Slo(ttft_seconds=0.1171, tpot_seconds=0.0335, percentile=90.0), 2.0)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CELLS)
def test_the_percentile_is_attained_within_two_points(name):
    asked = CELLS[name]
    [found] = replica_capacities([asked])
    assert isinstance(found, ReplicaCapacity)
    assert attained(asked, found.max_requests_per_second) == pytest.approx(
        asked.slo.percentile / 100, abs=0.02
    )
