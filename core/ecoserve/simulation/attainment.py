"""A stationary stream on one replica: simulated, and what share of the requests met their objective.

A request attains its SLO when both its TTFT and its mean time per output token are within. Requests that run
together share their fate, so the confidence interval comes from means over batches of consecutive requests, not
from the count alone.
"""

import math
from dataclasses import dataclass

import numpy as np
import simpy
from numpy.typing import NDArray

from ecoserve.errors import InvalidInputError
from ecoserve.performance.batching import DEFAULT_BATCHING, Batching
from ecoserve.performance.engine import Engine, Role, Slo
from ecoserve.performance.steps import Steps, engine_steps
from ecoserve.simulation.arrivals import Requests, Stream
from ecoserve.simulation.replica import ReplicaProcess, Request

_BATCHES = 20
_STUDENT_T = 2.093
"""Two-sided 95 % of Student's t with 19 degrees of freedom."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A share of requests with the half-width of its 95 % confidence interval, both 0 to 1."""

    share: float
    half_width: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Attainment:
    """Shares of requests within the TTFT, within the TPOT, and within both."""

    ttft: Share
    tpot: Share
    both: Share


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaRun:
    """What one replica did with a stream: one entry per request, in order of arrival, the warm-up left out.

    `queue_seconds` is the time until a request's first chunk is scheduled. `ttft_seconds` is 0 in the role decode,
    `tpot_seconds` is 0 in the role prefill and for requests of one token. `busy_share` is the share of time the engine
    was stepping; `energy_per_request_joules` is dynamic. These two, and preemptions, count the warm-up, too.
    """

    ttft_seconds: Floats
    tpot_seconds: Floats
    queue_seconds: Floats
    requests_per_second: float
    busy_share: float
    energy_per_request_joules: float
    preemptions: int

    def attainment(self, slo: Slo) -> Attainment:
        """Shares of the requests that met `slo`."""
        ttft, tpot = self.ttft_seconds <= slo.ttft_seconds, self.tpot_seconds <= slo.tpot_seconds
        return Attainment(ttft=_share(ttft), tpot=_share(tpot), both=_share(ttft & tpot))


def simulate_replica(
    engine: Engine,
    stream: Stream,
    *,
    requests: int,
    seed: int,
    warm_up: float = 0.1,
    batching: Batching = DEFAULT_BATCHING,
) -> ReplicaRun:
    """Run `requests` requests of `stream` through one replica; the first share `warm_up` of them isn't counted.

    Raises InvalidInputError where a request can't fit into the KV memory.
    """
    return replay(
        engine, stream.draw(requests, np.random.default_rng(seed)), warm_up=warm_up, batching=batching
    )


def replay(
    engine: Engine,
    requests: Requests,
    *,
    warm_up: float = 0.0,
    batching: Batching = DEFAULT_BATCHING,
    steps: Steps | None = None,
) -> ReplicaRun:
    """Run given requests through one replica, to the last; `steps` stands in for the engine's own step times.

    Raises InvalidInputError where a request can't fit into the KV memory.
    """
    steps = steps or engine_steps(engine)
    environment = simpy.Environment()
    served: list[Request] = []
    replica = ReplicaProcess(environment, engine.role, steps, batching=batching)
    kept = requests.input_tokens + (0 if engine.role is Role.PREFILL else requests.output_tokens)
    if kept.max() > replica.longest_request:
        accepted = f"at most the {max(replica.longest_request, 0.0):.0f} that fit into the KV memory"
        raise InvalidInputError("tokens of a request", int(kept.max()), accepted)

    def arrive() -> "simpy.events.ProcessGenerator":
        columns = (requests.arrival_seconds, requests.input_tokens, requests.output_tokens)
        for arrival, inputs, outputs in zip(*(column.tolist() for column in columns), strict=True):
            if arrival > environment.now:  # those that come together are seen together
                yield environment.timeout(arrival - environment.now)
            request = Request(input_tokens=inputs, output_tokens=outputs, arrival=arrival)
            served.append(request)
            replica.submit(request)

    environment.process(arrive())
    environment.run()
    counted = served[int(warm_up * len(served)) :]
    latency = 0.0 if engine.role is Role.DECODE else steps.prefill_latency_seconds
    times = np.array([(r.arrival, r.admitted, r.first_token, r.finished) for r in counted])
    arrival, admitted, first_token, finished = times.T
    tokens = np.array([max(request.output_tokens - 1, 1) for request in counted])
    return ReplicaRun(
        ttft_seconds=first_token - arrival + latency,
        tpot_seconds=(finished - first_token) / tokens,
        queue_seconds=admitted - arrival,
        requests_per_second=len(served) / environment.now,
        busy_share=replica.busy_seconds / environment.now,
        energy_per_request_joules=replica.energy_joules / len(served),
        preemptions=replica.preemptions,
    )


def _share(met: NDArray[np.bool_]) -> Share:
    means = np.array([part.mean() for part in np.array_split(met, _BATCHES)])
    half_width = _STUDENT_T * float(means.std(ddof=1)) / math.sqrt(_BATCHES)
    return Share(share=float(met.mean()), half_width=half_width)
