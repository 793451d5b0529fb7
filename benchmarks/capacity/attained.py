"""What share of requests meets the objective at a rate, to a fraction of a point: long streams on many lanes.

Lanes and SimPy's simulation do the same to each request (`tests/unit/performance/test_lockstep.py`, and `apart` here), at a
fortieth of the cost, so that chance in the check is small against what it checks. Streams are drawn
anew: none is one that the search has seen. Lanes are independent of each other, hence the confidence interval. How many
requests happened to come moves a share by much and is known, so that it is taken out (a control variate).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student_t

from ecoserve.performance import Question
from ecoserve.performance.lockstep import Lanes, run_lanes
from ecoserve.performance.step_table import step_table
from ecoserve.performance.steps import engine_steps
from ecoserve.simulation.arrivals import Requests
from ecoserve.simulation.attainment import Share, replay

Floats = NDArray[np.float64]

LANES = 48
_WARM_UP = 1000
_AFTER = 300  # requests that keep the last counted ones company
_CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A rate at which the requests of a question come."""

    question: Question
    requests_per_second: float

    def lanes(self, requests: int, seed: int) -> Lanes:
        """Independent streams that count about `requests` requests together."""
        asked = self.question
        each = math.ceil(requests / LANES)
        shape = 1.0 / asked.arrival_cv**2
        gaps = np.random.default_rng(seed).gamma(shape, 1.0 / shape, (LANES, _WARM_UP + each + _AFTER))
        return Lanes(
            table=step_table(
                engine_steps(asked.engine), asked.engine.role, asked.input_tokens, asked.output_tokens
            ),
            arrivals=np.cumsum(gaps, axis=1) / self.requests_per_second,
            residents=0,
            counted=_WARM_UP + each,
        )

    def met(self, lanes: Lanes, times: tuple[Floats, Floats]) -> NDArray[np.bool_]:
        """Which of the counted requests met both times."""
        counted = slice(_WARM_UP, lanes.counted)
        first, finish = (part[:, counted] for part in times)
        asked, slo = self.question, self.question.slo
        ttft = first - lanes.arrivals[:, counted] + engine_steps(asked.engine).prefill_latency_seconds
        tpot = (finish - first) / max(asked.output_tokens - 1, 1)
        return np.asarray((ttft <= slo.ttft_seconds) & (tpot <= slo.tpot_seconds))


def shares(asked: Sequence[Asked], requests: int) -> list[Share]:
    """Return the share of each; the same place draws the same stream, scaled to the rate."""
    lanes = [item.lanes(requests, seed=place) for place, item in enumerate(asked)]
    found: dict[int, Share] = {}
    for kind in {group.table.tight for group in lanes}:
        places = [place for place, group in enumerate(lanes) if group.table.tight == kind]
        for place, times in zip(places, run_lanes([lanes[place] for place in places]), strict=True):
            found[place] = _share(asked[place], lanes[place], times)
    return [found[place] for place in range(len(asked))]


def _share(asked: Asked, lanes: Lanes, times: tuple[Floats, Floats]) -> Share:
    met = asked.met(lanes, times).mean(axis=1)
    spaced = lanes.arrivals[:, lanes.counted - 1] * asked.requests_per_second / lanes.counted - 1.0
    scatter = spaced - spaced.mean()
    slope = float(scatter @ met) / float(scatter @ scatter)
    left = met - met.mean() - slope * scatter
    error = math.sqrt(float(left @ left) / (LANES - 2) / LANES)
    width = float(student_t.ppf(0.5 + _CONFIDENCE / 2.0, LANES - 2)) * error
    return Share(share=float(met.mean()) - slope * float(spaced.mean()), half_width=width)


def apart(asked: Asked, requests: int) -> float:
    """How far the shares of lanes and of SimPy's simulation are from each other on the same arrivals."""
    lanes = asked.lanes(LANES * requests, seed=0)
    one = replace(lanes, arrivals=lanes.arrivals[:1])
    [times] = run_lanes([one])
    count = one.arrivals.shape[1]
    stream = Requests(
        arrival_seconds=one.arrivals[0],
        input_tokens=np.full(count, asked.question.input_tokens),
        output_tokens=np.full(count, asked.question.output_tokens),
    )
    run = replay(asked.question.engine, stream)
    counted = slice(_WARM_UP, one.counted)
    slo = asked.question.slo
    met = (run.ttft_seconds[counted] <= slo.ttft_seconds) & (run.tpot_seconds[counted] <= slo.tpot_seconds)
    return float(asked.met(one, times).mean() - met.mean())
