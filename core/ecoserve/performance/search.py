"""The highest rate at which a share of requests meets both latency objectives, found on simulated lanes.

Three rates around a guess are run together; a line through their shares crosses the target at the rate that is
sought, or says where to look next. Where a replica is slow to forget, short lanes do for looking (scouts), and count for nothing else. Once it is found, streams as long as the scatter of lanes asks for confirm it: most
are spent where little of the rate is much of the share. What a stream shows is weighed by how common it is in the long
run (`strata`). The guess is the closed form's (`load`). A search asks for lanes and is sent what they did (`searches`).
"""

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ecoserve.performance.crossing import CLEARLY, LEAST_SLOPE, NEAR, Seen, crossing_of, density
from ecoserve.performance.engine import Role, Slo
from ecoserve.performance.load import LoadedReplica
from ecoserve.performance.lockstep import Integers, Lanes, Times
from ecoserve.performance.step_table import Floats, StepTable, step_table
from ecoserve.performance.steps import Steps
from ecoserve.performance.strata import Weighing, strata_of
from ecoserve.performance.streams import LEAST_CV, arrivals, gaps
from ecoserve.performance.work import Work

_OFFSETS = np.array([-1.0, 0.0, 1.0])
_FIRST_REQUESTS, _MOST_REQUESTS = 4000.0, 60_000.0  # at each rate
_GOAL, _GOAL_OF_MISSES = 0.008, 0.4  # standard error of a share, and at most of those that may miss
_WORTH_IT = 0.25  # of the requests spent: for fewer no stream is run
_THERE = 1.1  # widths from the middle of three rates, at most
_LEAST_LANES = 16  # fewer don't tell their scatter
_MEMORIES, _LEAST_MEMORIES, _WARM_UP = 8.0, 3.0, 1.5
_SCOUTED = 250  # requests of a lane that only looks about where the target is crossed
_SCOUT = 0.5  # of the requests of long lanes: where scouting takes more, it saves nothing
_MOST_GAIN = 0.93  # of a batch by itself: nearer to 1 the slots bound what it can grow to
_LEAST_VARIATION = 0.5  # squared, of gaps: evener ones are forgotten no sooner
_LONGEST, _LONGEST_WARM_UP = 1600.0, 1600.0
_APART = 0.2  # shares of neighbouring rates, in normal deviates
_LEAST_WIDTH, _MOST_WIDTH = 0.004, 0.4  # logarithm of the ratio of neighbouring rates
_SAME = 1e-9
_MOST_MOVES = 8
_BISECTIONS = 12  # of a factor of at most some 10,000: to 0.2 %
_STEP = 0.02
_QUANTILE_POINTS = 129

Asked = list[Lanes]
Told = list[Times]
"""What lanes that were asked for did, in order."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """What is searched: requests of one length on one engine, as steps and as work, the objective and the arrivals.

    Rates are sought from `lowest` to `highest` requests/s.
    """

    steps: Steps
    input_tokens: float
    output_tokens: float
    work: Work
    slo: Slo
    arrival_cv: float
    lowest: float
    highest: float

    @property
    def target(self) -> float:
        """Share of requests that must meet both times."""
        return self.slo.percentile / 100.0

    @cached_property
    def guess(self) -> tuple[float, float]:
        """Logarithm of the rate at which the share is about what it should be, and how fast the share falls there."""
        return _guess(self)

    @property
    def memory(self) -> float:
        """Requests after which a replica has forgotten how it was: a search takes the longer, the more they are."""
        return _memory(self, math.exp(self.guess[0]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A rate and what requests meet there.

    `share` meets both times with a standard error of `error`, `late` misses the TTFT and `slow` the TPOT. `rate_error` is the
    relative standard error of the rate: 0 where it is a bound of the search, or an estimate.
    `ttft_seconds` and `tpot_seconds` are at the objective's percentile, `batch` is the mean number in decode.
    """

    requests_per_second: float
    rate_error: float
    share: float
    error: float
    late: float
    slow: float
    ttft_seconds: float
    tpot_seconds: float
    batch: float


def search(case: Case) -> Generator[Asked, Told, Found]:
    """Search: yield the lanes to be run, be sent what they did. Where the share at the lowest rate is below the target, that is found."""
    low, high = math.log(case.lowest), math.log(case.highest)
    scale = density(case.target)
    goal = min(_GOAL, _GOAL_OF_MISSES * (1.0 - case.target)) / scale
    centre, slope = case.guess[0], case.guess[1] / scale
    table = step_table(case.steps, case.work.role, case.input_tokens, case.output_tokens)
    width = min(max(_APART / slope, _LEAST_WIDTH), _MOST_WIDTH)
    requests = _FIRST_REQUESTS * max(case.arrival_cv, 1.0)
    seen: list[Seen] = []
    scouting = True
    for move in range(_MOST_MOVES):
        width = min(width, (high - low) / 2.0)
        centre = min(max(centre, low + width), high - width)
        logs = centre + width * _OFFSETS
        form = _form(case, math.exp(centre), requests)
        scouting = scouting and form.scout.requests <= _SCOUT * form.requests
        form = form.scout if scouting else form
        last = yield from _sample(case, table, np.exp(logs), form, move)
        seen += [
            Seen(float(log), item.share, item.error, form.requests, form.pieces, long=not scouting)
            for log, item in zip(logs, last, strict=True)
        ]
        crossing = crossing_of(seen, case.target)
        root = crossing.log
        at_end = (root < logs[0] and logs[0] <= low + _SAME) or (root > logs[-1] and logs[-1] >= high - _SAME)
        there = at_end or abs(root - centre) <= _THERE * width
        beyond = crossing.slope * max(low - root, root - high)
        spent = sum(item.requests for item in seen if item.long) / len(logs)
        lacking = min(spent * ((crossing.error / goal) ** 2 - 1.0), _MOST_REQUESTS - spent)
        if there and not scouting:
            if lacking <= _WORTH_IT * spent or beyond > max(CLEARLY * crossing.error, NEAR):
                break
            requests = max(lacking, requests)  # shorter ones would not count beside these
        scouting = scouting and not there
        centre = min(max(root, centre - 3.0 * width), centre + 3.0 * width)
        width = min(max(_APART / max(crossing.slope, _APART / _MOST_WIDTH), _LEAST_WIDTH), 2.0 * width)
    found = _between(last, logs, min(max(root, logs[0] - width, low), logs[-1] + width, high))
    return (
        found
        if at_end
        else replace(found, rate_error=crossing.error / crossing.slope, error=crossing.error * scale)
    )


def in_closed_form(case: Case) -> Found:
    """What the closed form finds: an estimate, and the first guess of a search."""
    rate = math.exp(case.guess[0])
    replica = LoadedReplica(case.work, rate, case.arrival_cv)
    ttft, tpot = case.slo.ttft_seconds, case.slo.tpot_seconds
    return Found(
        requests_per_second=rate,
        rate_error=0.0,
        share=replica.within_both(ttft, tpot),
        error=0.0,
        late=1.0 - float(replica.within_ttft(ttft)),
        slow=1.0 - float(replica.within_tpot(tpot)),
        ttft_seconds=_quantile(replica.within_ttft, ttft, case.target),
        tpot_seconds=_quantile(replica.within_tpot, tpot, case.target),
        batch=replica.mean_batch,
    )


def _quantile(within: Callable[[Floats], Floats], most: float, share: float) -> float:
    """The time within which a share of requests is; `most` where it is longer."""
    times = np.linspace(0.0, most, _QUANTILE_POINTS)
    shares = np.maximum.accumulate(within(times))
    return float(np.interp(share, shares, times))


def _guess(case: Case) -> tuple[float, float]:
    low, high = math.log(case.lowest), math.log(case.highest)

    def share(log: float) -> float:
        replica = LoadedReplica(case.work, math.exp(log), case.arrival_cv)
        return replica.within_both(case.slo.ttft_seconds, case.slo.tpot_seconds)

    for _ in range(_BISECTIONS):
        middle = (low + high) / 2.0
        low, high = (middle, high) if share(middle) >= case.target else (low, middle)
    return low, max((share(low - _STEP) - share(low)) / _STEP, LEAST_SLOPE)


@dataclass(frozen=True, slots=True)
class _Form:
    """How many lanes run at a rate, how many requests each of them counts, and how many come before."""

    memory: float
    lanes: int
    each: int
    before: int

    @property
    def requests(self) -> int:
        """All that count."""
        return self.lanes * self.each

    @property
    def pieces(self) -> float:
        """Stretches of two memories, which are about independent."""
        return self.requests / max(2.0 * self.memory, 1.0)

    @property
    def scout(self) -> "_Form":
        """As many lanes, too short to forget how they began: they tell about where to look."""
        each = min(_SCOUTED, self.each)
        return replace(self, each=each, before=min(each, self.before))


def _form(case: Case, rate: float, requests: float) -> _Form:
    """Lanes that forget how they began and count about so many requests."""
    memory, variation = _memory(case, rate), _variation(case)
    longest = max(_MEMORIES * memory, 24.0 * variation, 64.0)
    each = int(min(longest, _LONGEST, max(requests / _LEAST_LANES, _LEAST_MEMORIES * memory, 64.0)))
    return _Form(
        memory=memory,
        lanes=2 * max(math.ceil(requests / each / 2), _LEAST_LANES // 2),
        each=each,
        before=int(min(_WARM_UP * memory + 8.0 * variation, _LONGEST_WARM_UP)),
    )


def _variation(case: Case) -> float:
    return max(case.arrival_cv**2, _LEAST_VARIATION)


def _sample(
    case: Case, table: StepTable, rates: Floats, form: _Form, stream: int
) -> Generator[Asked, Told, list[Found]]:
    """Run streams at several rates, independent of each other."""
    asked, weighings = [], []
    for place, rate in enumerate(rates):
        running = case.work.batch_at(float(rate))
        after = int(2.0 * running + 8.0 * _variation(case) + 4.0)
        of = gaps(form.lanes, form.before + form.each + after, case.arrival_cv, len(rates) * stream + place)
        beside, weighing = _weighing(case, float(rate), form, of)
        decoding = np.minimum(beside, 0 if case.work.role is Role.PREFILL else case.work.slots)
        residents = int(beside.max())
        times = np.hstack([np.zeros((form.lanes, residents)), arrivals(of, float(rate))])
        weighings.append(weighing)
        asked.append(
            Lanes(
                table=table,
                arrivals=times,
                decoding=decoding,
                waiting=beside - decoding,
                counted=residents + form.before + form.each,
            )
        )
    results = yield asked
    return [
        _found(case, float(rate), group, weighing, result)
        for rate, group, weighing, result in zip(rates, asked, weighings, results, strict=True)
    ]


def _weighing(case: Case, rate: float, form: _Form, of: Floats) -> tuple[Integers, Weighing]:
    """How many requests each lane begins with, as in the long run, and how what it counts is weighed."""
    if case.arrival_cv < LEAST_CV:
        beside = np.full(len(of), round(case.work.batch_at(rate)))
        return beside, Weighing(np.zeros((len(of), form.each), np.int64), np.ones(1))
    strata = strata_of(case.work, rate, case.arrival_cv, form.memory)
    starts = strata.starts(len(of))
    return strata.beside[starts], Weighing(strata.of(of, starts, form.before, form.each), strata.often)


def _memory(case: Case, rate: float) -> float:
    """Requests after which a replica has forgotten how it was.

    A stay's worth, and more the closer a change of the batch comes to bringing itself about; where prompts or slots are what is
    waited for, the relaxation of such a queue.
    """
    work, variation = case.work, _variation(case)
    if work.role is Role.PREFILL:
        busy = min(rate / work.saturation, 0.95)
        return variation / (1.0 - busy) ** 2
    batch = work.batch_at(rate)
    near = batch * np.array([0.95, 1.05])
    tpot = np.interp(near, np.arange(1, work.slots + 1), work.tpot_seconds)
    gain = min(max(math.log(tpot[1] / tpot[0]) / math.log(near[1] / near[0]), 0.0), _MOST_GAIN)
    busy = (
        min(rate * (work.prefill_seconds + work.chunks * work.step_at(batch)), 0.9)
        if work.role is Role.BOTH
        else 0.0
    )
    full = min(rate / work.saturation, 0.97)
    return max(batch / (1.0 - gain), 0.5 * variation / (1.0 - busy) ** 2, 0.5 * variation / (1.0 - full) ** 2)


def _found(case: Case, rate: float, group: Lanes, weighing: Weighing, times: tuple[Floats, Floats]) -> Found:
    counted = slice(group.counted - weighing.stratum.shape[1], group.counted)
    first, finish = (part[:, counted] for part in times)
    ttft, tpot = np.zeros_like(first), np.zeros_like(first)
    if case.work.role is not Role.DECODE:
        ttft = first - group.arrivals[:, counted] + case.work.latency_seconds
    if case.work.role is not Role.PREFILL:
        tpot = (finish - first) / case.work.decode_steps
    late, slow = ttft > case.slo.ttft_seconds, tpot > case.slo.tpot_seconds
    met = ~(late | slow)
    share = weighing.share(met)
    batch = rate * float((finish - first).mean())
    if case.work.role is Role.PREFILL:
        batch = rate * case.work.prefill_seconds
    return Found(
        requests_per_second=rate,
        rate_error=0.0,
        share=share,
        error=max(weighing.error(met), math.sqrt(share * (1.0 - share) / first.size)),
        late=weighing.share(late),
        slow=weighing.share(slow),
        ttft_seconds=float(np.quantile(ttft, case.target)),
        tpot_seconds=float(np.quantile(tpot, case.target)),
        batch=batch,
    )


def _between(seen: list[Found], logs: Floats, root: float) -> Found:
    """What is found at a rate between those that were run."""

    def at(name: str) -> float:
        return float(np.interp(root, logs, [getattr(item, name) for item in seen]))

    return Found(
        requests_per_second=math.exp(root),
        rate_error=0.0,
        **{
            name: at(name)
            for name in ("share", "error", "late", "slow", "ttft_seconds", "tpot_seconds", "batch")
        },
    )
