"""The arrays that capacity is searched on, held against the simulation of one replica request by request."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecoserve.catalog import load_catalog
from ecoserve.performance import Engine, Rejection, Role
from ecoserve.performance.lockstep import LanePool, Lanes, run_lanes
from ecoserve.performance.step_table import step_table
from ecoserve.performance.steps import engine_steps
from ecoserve.performance.streams import arrivals, gaps
from ecoserve.simulation.arrivals import Requests
from ecoserve.simulation.attainment import replay
from properties import examples

CATALOG = load_catalog()


@dataclass(frozen=True)
class FlatSteps:
    """Step times that don't depend on context, so that both ways of stepping sum up the same figures."""

    kv_tokens: float = 1e6
    max_batch: int = 64
    prefill_latency_seconds: float = 0.0

    def rejection(self) -> Rejection | None:
        return None

    def prefill_seconds(self, tokens: float) -> float:
        return 1e-4 * tokens

    def decode_seconds(self, batch: float, context_tokens: float) -> float:  # noqa: ARG002 as Steps has it
        return 0.01 + 1e-3 * batch

    def prefill_watts(self) -> float:
        return 400.0

    def decode_watts(self, batch: float, context_tokens: float) -> float:  # noqa: ARG002 as Steps has it
        return 200.0


def engine(model: str, instance: str, role: Role) -> Engine:
    return Engine(
        model=CATALOG.model(model), precision="bf16", instance=CATALOG.instance(instance), role=role
    )


def both_ways(of: Engine, steps, times, tokens):
    """Seconds to the first token and from there to the last, on lanes and request by request."""
    count = len(times)
    [(first, finish)] = run_lanes(
        [Lanes(table=step_table(steps, of.role, *tokens), arrivals=times[None], counted=count)]
    )
    run = replay(
        of,
        Requests(
            arrival_seconds=times,
            input_tokens=np.full(count, tokens[0]),
            output_tokens=np.full(count, tokens[1]),
        ),
        steps=steps,
    )
    lanes = first[0] - times, (finish[0] - first[0]) / max(tokens[1] - 1, 1)
    return lanes, (run.ttft_seconds, run.tpot_seconds)


LLAMA, QWEN = "meta-llama/Llama-3.1-8B-Instruct", "Qwen/Qwen3-32B"


@examples(30)
@given(
    st.lists(st.integers(0, 20_000), min_size=1, max_size=30, unique=True),
    st.integers(1, 3000),
    st.integers(1, 50),
    st.sampled_from([Role.BOTH, Role.PREFILL]),
)
def test_lanes_do_to_each_request_what_the_simulation_does(ticks, inputs, outputs, role):
    times = np.sort(np.array(ticks)) * 1e-4 + np.arange(1, len(ticks) + 1) * 1e-6  # none as a step ends
    lanes, run = both_ways(engine(LLAMA, "p5.48xlarge", role), FlatSteps(), times, (inputs, outputs))
    assert lanes[0] == pytest.approx(run[0], abs=1e-6)
    if role is Role.BOTH:
        assert lanes[1] == pytest.approx(run[1], abs=1e-6)


@pytest.mark.parametrize(
    ("model", "instance", "role", "tokens", "rate"),
    [
        (LLAMA, "p5.48xlarge", Role.BOTH, (1000, 250), 14.0),
        (LLAMA, "p5.48xlarge", Role.DECODE, (1000, 250), 40.0),
        (QWEN, "p5.48xlarge", Role.BOTH, (4000, 400), 0.4),  # out of KV memory: some are preempted
        (QWEN, "p5.48xlarge", Role.DECODE, (4000, 400), 0.15),
    ],
)
def test_lanes_keep_the_means_of_real_engines(model, instance, role, tokens, rate):
    of = engine(model, instance, role)
    steps = engine_steps(of)
    times = np.cumsum(np.random.default_rng(5).exponential(1.0 / rate, 1500))
    lanes, run = both_ways(of, steps, times, tokens)
    latency = 0.0 if role is Role.DECODE else steps.prefill_latency_seconds
    assert lanes[0].mean() + latency == pytest.approx(run[0].mean(), rel=0.02)
    assert lanes[1].mean() == pytest.approx(run[1].mean(), rel=0.005)


def test_lanes_beside_each_other_do_not_meet():
    steps = engine_steps(engine(LLAMA, "p5.48xlarge", Role.BOTH))
    table, other = (step_table(steps, Role.BOTH, *tokens) for tokens in ((1000, 100), (200, 40)))
    times = arrivals(gaps(4, 75, 2.0), 8.0)
    groups = [Lanes(table=part, arrivals=times, counted=70) for part in (table, other)]
    alone = [run_lanes([group])[0] for group in groups]
    for (first, finish), (first_alone, finish_alone) in zip(run_lanes(groups), alone, strict=True):
        assert np.array_equal(first[:, :70], first_alone[:, :70])
        assert np.array_equal(finish[:, :70], finish_alone[:, :70])


@pytest.mark.parametrize("tight", [True, False])
def test_lanes_that_join_others_on_their_way_do_what_they_do_alone(tight):
    steps = FlatSteps(kv_tokens=4000.0 if tight else 1e6)
    groups = [
        Lanes(
            table=step_table(steps, role, 400 + 100 * place, 20 + 7 * place),
            arrivals=arrivals(gaps(6, 50 + 30 * place, 1.5, place), 10.0),
            counted=40 + 20 * place,
        )
        for place, role in enumerate([Role.BOTH, Role.DECODE, Role.BOTH, Role.PREFILL, Role.BOTH])
    ]
    assert all(group.table.tight is tight for group in groups)
    pool, told = LanePool(), {}
    for place, group in enumerate(groups):
        pool.add(place, group)
        told.update(pool.advance(least=len(pool) - 3))
    assert len(told) < len(groups) - 1  # some were under way when others joined
    told.update(pool.advance(least=0))
    assert len(pool) == 0
    for place, group in enumerate(groups):
        [alone] = run_lanes([group])
        for part, part_alone in zip(told[place], alone, strict=True):
            assert np.array_equal(part[:, : group.counted], part_alone[:, : group.counted])


def test_lanes_begin_with_what_is_in_decode_and_what_waits():
    table = step_table(FlatSteps(), Role.BOTH, 100, 41)
    arriving = np.full((3, 6), 0.0)
    decoding, waiting = np.array([4, 2, 0]), np.array([0, 1, 3])
    [(first, finish)] = run_lanes(
        [Lanes(table=table, arrivals=arriving, counted=4, decoding=decoding, waiting=waiting)]
    )
    assert np.isnan(finish[1, 0])  # as it has one fewer than the lane with most
    assert np.isnan(finish[2, 0])
    steps = FlatSteps().decode_seconds(4, 0), FlatSteps().decode_seconds(2, 0)
    assert first[0, 4] == pytest.approx(steps[0] + 0.02)  # both that arrive at once share the first step
    assert first[1, 3] == pytest.approx(steps[1] + 0.03)  # and the one that waited
    assert np.all(np.diff(finish[0, :4]) > 0)  # at even distances to their ends
    assert finish[2, 1] == finish[2, 3]


@pytest.mark.parametrize("cv", [0.0, 1.0, 3.0])
def test_gaps_have_exactly_their_mean_and_their_variation(cv):
    drawn = gaps(40, 1000, cv)
    assert drawn.mean() == pytest.approx(1.0, abs=1e-12)
    assert drawn.std() == pytest.approx(cv, rel=0.1, abs=1e-9)
    assert np.array_equal(drawn, gaps(40, 1000, cv))


def test_streams_are_independent_of_each_other():
    one, other = (gaps(8, 500, 1.0, stream).ravel() for stream in (0, 1))
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.1
