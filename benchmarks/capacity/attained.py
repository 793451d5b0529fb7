"""What share of requests meets the objective at a rate, to half a point: streams as long as that takes, on many lanes.

Lanes and SimPy's simulation do the same to each request (`tests/unit/performance/test_lockstep.py`, and `apart` here), at a
fortieth of the cost, so that chance in the check is small against what it checks. Streams are drawn
anew: none is one that the search has seen, nothing is weighed, and a warm-up is twice to four times as long as the search's. Lanes are
independent of each other, hence the confidence interval. How many requests happened to come moves a share by much and is known, so that
it is taken out (a control variate).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student_t

from ecoserve.performance import Question
from ecoserve.performance.lockstep import Lanes, Times, run_lanes
from ecoserve.performance.step_table import step_table
from ecoserve.performance.steps import engine_steps
from ecoserve.simulation.arrivals import Requests
from ecoserve.simulation.attainment import Share, replay

Floats = NDArray[np.float64]

EACH = 6000
"""Requests that one lane counts."""
_WARM_UP = 3000
_AFTER = 600  # requests that keep the last counted ones company
_FIRST_LANES = 32
_LANES_AT_ONCE = 1000  # some 700 MB
_GOAL = 0.005  # half-width of the 95 % interval
_MARGIN = 1.1  # lanes beyond those that the goal seems to take
_CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A rate at which the requests of a question come."""

    question: Question
    requests_per_second: float

    def lanes(self, count: int, each: int, seed: int | Sequence[int]) -> Lanes:
        """Independent streams of which each counts `each` requests."""
        asked = self.question
        shape = 1.0 / asked.arrival_cv**2
        gaps = np.random.default_rng(seed).gamma(shape, 1.0 / shape, (count, _WARM_UP + each + _AFTER))
        return Lanes(
            table=step_table(
                engine_steps(asked.engine), asked.engine.role, asked.input_tokens, asked.output_tokens
            ),
            arrivals=np.cumsum(gaps, axis=1) / self.requests_per_second,
            counted=_WARM_UP + each,
        )

    def met(self, lanes: Lanes, times: Times) -> NDArray[np.bool_]:
        """Which of the counted requests met both times."""
        counted = slice(_WARM_UP, lanes.counted)
        first, finish = (part[:, counted] for part in times)
        asked, slo = self.question, self.question.slo
        ttft = first - lanes.arrivals[:, counted] + engine_steps(asked.engine).prefill_latency_seconds
        tpot = (finish - first) / max(asked.output_tokens - 1, 1)
        return np.asarray((ttft <= slo.ttft_seconds) & (tpot <= slo.tpot_seconds))


def shares(asked: Sequence[Asked], most_requests: int, goal: float = _GOAL) -> list[Share]:
    """Return the share of each, to `goal` unless that takes more than about `most_requests`.

    The same place draws the same streams, scaled to the rate.
    """
    most = max(most_requests // EACH, _FIRST_LANES)
    drawn: list[list[Floats]] = [[] for _ in asked]
    found: list[Share] = [Share(share=math.nan, half_width=math.inf)] * len(asked)
    wanted = dict.fromkeys(range(len(asked)), _FIRST_LANES)
    while wanted:
        for part in _parts(wanted):
            for place, rows in _counted(asked, part, [len(drawn[place]) for place in part]):
                drawn[place].append(rows)
        for place in wanted:
            found[place] = _share(np.hstack(drawn[place]))
        run = {place: sum(rows.shape[1] for rows in drawn[place]) for place in wanted}
        wanted = {
            place: min(
                math.ceil(_MARGIN * lanes * ((found[place].half_width / goal) ** 2 - 1.0)), most - lanes
            )
            for place, lanes in run.items()
            if found[place].half_width > goal and lanes < most
        }
    return found


def _parts(wanted: dict[int, int]) -> Iterator[dict[int, int]]:
    """What is wanted, in parts that fit into memory."""
    part: dict[int, int] = {}
    for place, lanes in wanted.items():
        if part and sum(part.values()) + lanes > _LANES_AT_ONCE:
            yield part
            part = {}
        part[place] = lanes
    if part:
        yield part


def _counted(
    asked: Sequence[Asked], wanted: dict[int, int], rounds: Sequence[int]
) -> Iterator[tuple[int, Floats]]:
    """Run so many lanes of each; what share of each lane met both times, and how far its requests are too far apart."""
    lanes = {
        place: asked[place].lanes(count, EACH, (place, number))
        for (place, count), number in zip(wanted.items(), rounds, strict=True)
    }
    for tight in (False, True):
        places = [place for place, group in lanes.items() if group.table.tight is tight]
        done = run_lanes([lanes[place] for place in places])
        for place, times in zip(places, done, strict=True):
            group = lanes[place]
            spaced = group.arrivals[:, group.counted - 1] * asked[place].requests_per_second / group.counted
            yield place, np.array([asked[place].met(group, times).mean(axis=1), spaced - 1.0])


def _share(drawn: Floats) -> Share:
    met, spaced = drawn
    count = len(met)
    scatter = spaced - spaced.mean()
    slope = float(scatter @ met) / float(scatter @ scatter)
    left = met - met.mean() - slope * scatter
    error = math.sqrt(float(left @ left) / (count - 2) / count)
    width = float(student_t.ppf(0.5 + _CONFIDENCE / 2.0, count - 2)) * error
    return Share(share=float(met.mean()) - slope * float(spaced.mean()), half_width=width)


def apart(asked: Asked, requests: int) -> float:
    """How far the shares of lanes and of SimPy's simulation are from each other on the same arrivals."""
    one = asked.lanes(1, requests, seed=0)
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
