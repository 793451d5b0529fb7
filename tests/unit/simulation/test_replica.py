from dataclasses import dataclass

import numpy as np
import pytest
import simpy
from hypothesis import given
from hypothesis import strategies as st

from ecoserve.catalog import load_catalog
from ecoserve.errors import InvalidInputError
from ecoserve.performance import Engine, Rejection, Role, Slo
from ecoserve.performance.batching import Batching
from ecoserve.simulation.arrivals import Requests, Stream
from ecoserve.simulation.attainment import replay, simulate_replica
from ecoserve.simulation.replica import ReplicaProcess, Request
from ecoserve.workload.lengths import LengthBucket, single_length
from properties import examples

CATALOG = load_catalog()


@dataclass(frozen=True)
class FlatSteps:
    """Step times by three numbers: a prefilled token, a step, and a sequence in it."""

    kv_tokens: float = 1e6
    max_batch: int = 256
    token_seconds: float = 1e-4
    step_seconds: float = 0.01
    sequence_seconds: float = 1e-3
    prefill_latency_seconds: float = 0.02

    def rejection(self) -> Rejection | None:
        return None

    def prefill_seconds(self, tokens: float) -> float:
        return self.token_seconds * tokens

    def decode_seconds(self, batch: float, context_tokens: float) -> float:  # noqa: ARG002 as Steps has it
        return self.step_seconds + self.sequence_seconds * batch

    def prefill_watts(self) -> float:
        return 400.0

    def decode_watts(self, batch: float, context_tokens: float) -> float:  # noqa: ARG002 as Steps has it
        return 200.0


def engine(role: Role = Role.BOTH) -> Engine:
    model, instance = CATALOG.model("meta-llama/Llama-3.1-8B-Instruct"), CATALOG.instance("p5.48xlarge")
    return Engine(model=model, precision="bf16", instance=instance, role=role, tensor_parallel=1)


def requests(*rows: tuple[float, int, int]) -> Requests:
    times, inputs, outputs = zip(*rows, strict=True)
    return Requests(
        arrival_seconds=np.array(times, dtype=float),
        input_tokens=np.array(inputs),
        output_tokens=np.array(outputs),
    )


def stepped(rows, steps, budget):
    """One step at a time, without limits of memory: when each request had its first and its last token."""
    now, waiting, running, times = 0.0, [list(row) for row in rows], [], {}
    order = {id(row): number for number, row in enumerate(waiting)}
    while waiting or running:
        if not running and waiting[0][0] > now:
            now = waiting[0][0]
        left = budget - len(running)
        seconds = steps.decode_seconds(len(running), 0) if running else 0.0
        complete = []
        for row in waiting:
            if row[0] > now or left == 0:
                break
            chunk = min(left, row[1])
            row[1] -= chunk
            left -= chunk
            seconds += steps.prefill_seconds(chunk)
            complete += [row] if row[1] == 0 else []
        now += seconds
        for row in running:
            row[2] -= 1
        for row in complete:
            waiting.remove(row)
            times[order[id(row)]] = [now, now]
            row[2] -= 1
            running.append(row)
        for row in [row for row in running if row[2] == 0]:
            running.remove(row)
            times[order[id(row)]][1] = now
    return np.array([times[number] for number in range(len(times))]).T


def test_a_request_on_its_own():
    steps = FlatSteps()
    run = replay(engine(), requests((0.0, 1000, 101)), steps=steps)
    assert run.ttft_seconds[0] == pytest.approx(0.1 + 0.02)
    assert run.tpot_seconds[0] == pytest.approx(0.011)
    assert run.energy_per_request_joules == pytest.approx(0.1 * 400 + 100 * 0.011 * 200)
    assert run.queue_seconds[0] == 0


def test_roles_serve_their_phase():
    one = requests((0.0, 1000, 101))
    prefill = replay(engine(Role.PREFILL), one, steps=FlatSteps())
    assert (prefill.ttft_seconds[0], prefill.tpot_seconds[0]) == (pytest.approx(0.12), 0)
    decode = replay(engine(Role.DECODE), one, steps=FlatSteps())
    assert (decode.ttft_seconds[0], decode.tpot_seconds[0]) == (0, pytest.approx(0.011))


def test_a_long_prompt_goes_in_chunks_beside_decoding():
    steps = FlatSteps()
    run = replay(
        engine(),
        requests((0.0, 100, 1001), (1.005, 1000, 2)),
        steps=steps,
        batching=Batching(token_budget=251),  # 250 tokens of the prompt beside the one that decodes
    )
    waited = 0.011 - (1.005 - 0.01) % 0.011  # until the running step ends
    assert run.ttft_seconds[1] == pytest.approx(waited + 4 * 0.011 + 0.1 + 0.02)


def apart(rows):
    """Set the rows' arrivals apart by microseconds, each its own: no other arrival falls on the end of a step.

    Steps take multiples of 0.1 ms and start, after a pause, at an arrival. Who comes as a step ends waits for the next
    one or does not as the last bit of a sum is rounded, which two ways of summing may do differently.
    """
    return [(ticks * 1e-4 + (k + 1) * 1e-6, *lengths) for k, (ticks, *lengths) in enumerate(sorted(rows))]


ROWS = st.lists(
    st.tuples(st.integers(0, 30_000), st.integers(1, 400), st.integers(1, 60)), min_size=1, max_size=40
).map(apart)


@examples(60)
@given(ROWS, st.integers(64, 600))
def test_leaping_over_steps_changes_nothing(rows, budget):
    steps = FlatSteps()
    run = replay(engine(), requests(*rows), steps=steps, batching=Batching(token_budget=budget))
    first, last = stepped(rows, steps, budget)
    arrival = np.array([row[0] for row in rows])
    assert run.ttft_seconds == pytest.approx(first - arrival + 0.02, abs=1e-6)
    decode_steps = np.array([max(row[2] - 1, 1) for row in rows])
    assert run.tpot_seconds == pytest.approx((last - first) / decode_steps, abs=1e-6)


@examples(30)
@given(ROWS, st.integers(520, 1500), st.integers(1, 8))
def test_nothing_is_lost_where_memory_is_short(rows, kv_tokens, max_batch):
    done: list[Request] = []
    environment = simpy.Environment()
    steps = FlatSteps(kv_tokens=kv_tokens, max_batch=max_batch)
    replica = ReplicaProcess(environment, Role.BOTH, steps, on_finish=done.append)
    for arrival, inputs, outputs in rows:
        replica.submit(Request(input_tokens=inputs, output_tokens=outputs, arrival=arrival))
    environment.run()
    assert len(done) == len(rows)
    assert all(request.finished >= request.first_token >= request.admitted for request in done)
    least = sum(
        inputs * steps.token_seconds + (outputs - 1) * steps.sequence_seconds for _, inputs, outputs in rows
    )
    assert replica.busy_seconds >= least - 1e-9


def test_short_memory_costs_time_twice_over():
    rows = [(0.0, 400, 200)] * 6
    ample = replay(engine(), requests(*rows), steps=FlatSteps())
    short = replay(engine(), requests(*rows), steps=FlatSteps(kv_tokens=1500))
    assert ample.preemptions == 0 < short.preemptions
    assert short.energy_per_request_joules > ample.energy_per_request_joules


def test_a_request_that_never_fits_is_refused():
    with pytest.raises(InvalidInputError, match="600"):
        replay(engine(), requests((0.0, 400, 200)), steps=FlatSteps(kv_tokens=500))


def test_prefills_wait_as_in_a_queue_with_fixed_service():
    steps = FlatSteps(token_seconds=1e-3)
    stream = Stream(requests_per_second=6.0, buckets=single_length(100, 1))
    drawn = stream.draw(60_000, np.random.default_rng(1))
    run = replay(engine(Role.PREFILL), drawn, steps=steps, batching=Batching(token_budget=100), warm_up=0.05)
    wait = 0.6 * 0.1 / (2 * (1 - 0.6))  # Pollaczek–Khinchine
    assert run.ttft_seconds.mean() == pytest.approx(0.1 + 0.02 + wait, rel=0.03)
    assert (run.queue_seconds > 1e-9).mean() == pytest.approx(0.6, abs=0.01)


@pytest.mark.parametrize("cv", [0.0, 0.5, 1.0, 3.0])
def test_gaps_have_their_mean_and_variation(cv):
    stream = Stream(requests_per_second=4.0, buckets=single_length(10, 10), arrival_cv=cv)
    gaps = np.diff(stream.draw(200_000, np.random.default_rng(2)).arrival_seconds)
    assert gaps.mean() == pytest.approx(0.25, rel=0.03)
    assert gaps.std() / gaps.mean() == pytest.approx(cv, rel=0.03, abs=1e-6)


def test_lengths_follow_the_buckets_and_scatter():
    buckets = (
        LengthBucket(input_tokens=100, output_tokens=10, share=0.75),
        LengthBucket(input_tokens=2000, output_tokens=500, share=0.25),
    )
    stream = Stream(requests_per_second=1.0, buckets=buckets, length_cv=0.5)
    drawn = stream.draw(100_000, np.random.default_rng(3))
    assert drawn.input_tokens.mean() == pytest.approx(0.75 * 100 + 0.25 * 2000, rel=0.02)
    assert drawn.output_tokens.mean() == pytest.approx(0.75 * 10 + 0.25 * 500, rel=0.02)
    assert drawn.input_tokens.min() >= 1
    assert len(np.unique(drawn.input_tokens)) > 100


def test_the_same_seed_gives_the_same_run():
    stream = Stream(requests_per_second=10.0, buckets=single_length(500, 100), arrival_cv=2.0)
    one, same, other = (simulate_replica(engine(), stream, requests=300, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one.ttft_seconds, same.ttft_seconds)
    assert not np.array_equal(one.ttft_seconds, other.ttft_seconds)


def test_attainment_counts_requests_and_knows_its_error():
    stream = Stream(requests_per_second=15.0, buckets=single_length(1000, 200))
    run = simulate_replica(engine(), stream, requests=4000, seed=1)
    slo = Slo(
        ttft_seconds=float(np.median(run.ttft_seconds)), tpot_seconds=float(np.median(run.tpot_seconds))
    )
    met = run.attainment(slo)
    assert met.ttft.share == pytest.approx(0.5, abs=0.01)
    assert met.tpot.share == pytest.approx(0.5, abs=0.01)
    assert met.both.share <= min(met.ttft.share, met.tpot.share)
    assert 0 < met.tpot.half_width < 0.5


@pytest.mark.parametrize(
    ("field", "values"),
    [("requestsPerSecond", {"requests_per_second": 0.0}), ("arrivalCv", {"arrival_cv": -1.0}), ("lengthCv", {"length_cv": float("nan")})],
)  # fmt: skip
def test_a_stream_that_cannot_be_is_refused(field, values):
    with pytest.raises(InvalidInputError, match=field):
        Stream(**({"requests_per_second": 1.0, "buckets": single_length(1, 1)} | values))
