"""Predicted capacity held against the simulation of one replica: a small part of `make check-capacity`."""

from dataclasses import replace

import pytest

from ecoserve.catalog import load_catalog
from ecoserve.performance import Engine, ReplicaCapacity, Role, Slo, replica_capacity
from ecoserve.simulation.arrivals import Stream
from ecoserve.simulation.attainment import Share, simulate_replica
from ecoserve.workload.lengths import single_length

CATALOG = load_catalog()
LLAMA, LARGE, QWEN, MIXTRAL = (
    "meta-llama/Llama-3.1-8B-Instruct",
    "meta-llama/Llama-3.1-70B-Instruct",
    "Qwen/Qwen3-32B",
    "mistralai/Mixtral-8x7B-Instruct-v0.1",
)
CHAT, LONG = Slo(ttft_seconds=0.5, tpot_seconds=0.05), Slo(ttft_seconds=1.0, tpot_seconds=0.05)
POINTS = 0.02


def engine(model: str, instance: str, tp: int, role: Role = Role.BOTH) -> Engine:
    return Engine(
        model=CATALOG.model(model),
        precision="bf16",
        instance=CATALOG.instance(instance),
        role=role,
        tensor_parallel=tp,
    )


def attained(of: Engine, tokens: tuple[int, int], slo: Slo, cv: float, factor: float = 1.0) -> Share:
    found = replica_capacity(of, *tokens, slo, arrival_cv=cv)
    assert isinstance(found, ReplicaCapacity), found
    stream = Stream(
        requests_per_second=factor * found.max_requests_per_second,
        buckets=single_length(*tokens),
        arrival_cv=cv,
    )
    return simulate_replica(of, stream, requests=8_000, seed=3).attainment(slo).both


@pytest.mark.parametrize(
    ("model", "instance", "tp", "tokens", "slo", "cv", "percentile"),
    [
        # Small batches: where many run together, 8,000 requests are too few to judge two points.
        (LLAMA, "g5.48xlarge", 1, (1000, 250), LONG, 1.0, 90.0),
        (LLAMA, "g5.48xlarge", 1, (1000, 250), LONG, 1.0, 50.0),
        (LARGE, "g5.48xlarge", 8, (200, 150), CHAT, 1.0, 90.0),
        (QWEN, "p4de.24xlarge", 1, (200, 150), CHAT, 2.0, 90.0),
        (MIXTRAL, "g5.48xlarge", 8, (200, 150), CHAT, 3.0, 90.0),
        (LARGE, "p5.48xlarge", 4, (1000, 250), LONG, 1.0, 99.0),
        (MIXTRAL, "p5.48xlarge", 2, (200, 150), CHAT, 1.0, 99.0),
    ],
)
def test_the_percentile_is_attained_at_the_capacity(model, instance, tp, tokens, slo, cv, percentile):
    met = attained(engine(model, instance, tp), tokens, replace(slo, percentile=percentile), cv)
    assert abs(met.share - percentile / 100) <= POINTS + met.half_width


@pytest.mark.parametrize(
    ("role", "slo"),
    [
        (Role.PREFILL, Slo(ttft_seconds=0.12, tpot_seconds=1.0)),
        (Role.DECODE, Slo(ttft_seconds=1.0, tpot_seconds=0.015)),
    ],
)
def test_phases_apart_attain_theirs(role, slo):
    met = attained(engine(LLAMA, "p5.48xlarge", 1, role), (1000, 200), slo, 1.0)
    assert abs(met.share - 0.9) <= POINTS + met.half_width


def test_where_queues_bound_the_rate_the_objective_holds_close_to_saturation():
    of = engine(LLAMA, "p5.48xlarge", 1, Role.DECODE)
    found = replica_capacity(of, 1000, 200, CHAT)
    assert isinstance(found, ReplicaCapacity)
    assert found.load > 0.97
    assert attained(of, (1000, 200), CHAT, 1.0).share >= 0.9 - POINTS


@pytest.mark.parametrize(
    ("model", "instance", "tp", "tokens"),
    [(LLAMA, "p5.48xlarge", 1, (1000, 200)), (LARGE, "a3-ultragpu-8g", 4, (200, 150))],
)
def test_a_rate_that_is_off_by_some_percent_shows(model, instance, tp, tokens):
    of = engine(model, instance, tp)
    for factor, sign in ((1 / 1.12, 1), (1.12, -1)):
        met = attained(of, tokens, CHAT, 1.0, factor)
        assert sign * (met.share - 0.9) > POINTS + met.half_width


def test_offline_throughput_is_that_of_a_replica_never_short_of_requests():
    of = engine(LLAMA, "p5.48xlarge", 1)
    found = replica_capacity(of, 1000, 200, None)
    assert isinstance(found, ReplicaCapacity)
    stream = Stream(requests_per_second=2 * found.max_requests_per_second, buckets=single_length(1000, 200))
    run = simulate_replica(of, stream, requests=6_000, seed=1)
    assert run.requests_per_second == pytest.approx(found.max_requests_per_second, rel=0.05)
    assert run.energy_per_request_joules == pytest.approx(found.energy_per_request_joules, rel=0.05)
