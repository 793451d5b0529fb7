"""The highest request rate one replica sustains within its latency objective, and what a request costs there.

Online, the rate is sought at which the share of requests that meet both the TTFT and the TPOT is the objective's
percentile, on simulated streams (`search`). Where that share is still above it just below saturation,
queues bound the rate and not the objective. Offline work has no objective: all slots are in use.

Not in the model: prefix caching, speculative decoding, KV transfer between prefill and decode replicas. Capacity at
one length is offered per length bucket: requests of other lengths beside them and of differing lengths within a
bucket count by their means alone.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from hashlib import blake2b

from ecoserve.errors import InvalidInputError
from ecoserve.performance.engine import Engine, Rejection, RejectionReason, Role, Slo
from ecoserve.performance.search import Case, Found, in_closed_form
from ecoserve.performance.searches import search_all
from ecoserve.performance.steps import Steps, engine_steps
from ecoserve.performance.work import SlotLimit, Work, work_of

_LEAST_BATCH = 0.05  # a replica that may be in use a twentieth of the time only is no option worth offering
_MOST_LOAD = 0.99  # of saturation: closer to it, queues outlive what is simulated
_MOST_LOAD_OF_MEMORY = 0.98  # where KV memory bounds the batch: what preemptions cost is estimated
MOST_ARRIVAL_CV = 5.0
"""Burstier arrivals than this have not been simulated."""
_FULL = 0.6  # of the slots in use on average: from here it is them that requests wait for
_NEARLY = 0.3  # of the requests that may miss a time do so at the most load: it would bound the rate soon
_SAME = 1e-6
_REMEMBERED = 1 << 16  # a re-plan asks for the same engines and lengths again
_CASES = 1 << 12  # what was estimated is searched soon
_ENGINES = 1 << 12
_KEY_BYTES = 16  # of a million answers no two will ever have the same


class CapacityLimit(StrEnum):
    """What bounds a replica's rate."""

    TTFT = "Ttft"
    TPOT = "Tpot"
    KV_MEMORY = "KvMemory"
    BATCH_LIMIT = "BatchLimit"
    CHUNKED_PREFILL = "ChunkedPrefill"
    SATURATION = "Saturation"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaCapacity:
    """What one replica sustains for requests of one length.

    `batch` is the mean number of requests in decode (in the role prefill, the share of time it is busy); `ttft_seconds` and `tpot_seconds` are at the objective's
    percentile (means, offline), 0 for a role that doesn't produce them. `energy_per_request_joules` is dynamic
    energy above loaded idle at this batch. `latency_seconds` is the time of a whole request in this role. `load` is
    the rate over the one with all slots in use; `limit` is what keeps it from being higher.

    `rate_error` and `share_error` are the search's own standard errors: relative of the rate, and of the share of requests
    that meet the objective at it. They say nothing of the step times' error (`capacity_range`).
    """

    max_requests_per_second: float
    batch: float
    ttft_seconds: float
    tpot_seconds: float
    energy_per_request_joules: float
    latency_seconds: float
    load: float
    limit: CapacityLimit
    rate_error: float = 0.0
    share_error: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What capacity is asked for: an engine, requests of one length, the objective (None offline), the arrivals.

    `arrival_cv` is the coefficient of variation of the gaps between a replica's arrivals: 1 is Poisson, above it
    requests come in bursts. Raises InvalidInputError where a length isn't at least 1, or the variation isn't from 0 to 5.
    """

    engine: Engine
    input_tokens: float
    output_tokens: float
    slo: Slo | None
    arrival_cv: float = 1.0

    def __post_init__(self) -> None:
        for field, tokens in (("inputTokens", self.input_tokens), ("outputTokens", self.output_tokens)):
            if not 1 <= tokens < math.inf:
                raise InvalidInputError(field, tokens, "a number of tokens of 1 or more")
        if not 0 <= self.arrival_cv <= MOST_ARRIVAL_CV:
            raise InvalidInputError(
                "arrivalCv", self.arrival_cv, f"a coefficient of variation from 0 to {MOST_ARRIVAL_CV:g}"
            )


Answer = ReplicaCapacity | Rejection
Known = Mapping[bytes, Answer]
"""Answers by `question_key`."""


def replica_capacity(
    engine: Engine, input_tokens: float, output_tokens: float, slo: Slo | None, arrival_cv: float = 1.0
) -> ReplicaCapacity | Rejection:
    """The highest rate at which `slo` holds on one replica of `engine`; without one, the offline rate.

    Returns a Rejection where the engine can't run, or no rate meets the objective; raises as `Question` does.
    """
    question = Question(
        engine=engine, input_tokens=input_tokens, output_tokens=output_tokens, slo=slo, arrival_cv=arrival_cv
    )
    return replica_capacities([question])[0]


def replica_capacities(questions: Sequence[Question]) -> list[Answer]:
    """The capacities of many replicas: what `replica_capacity` tells of each, several times as fast."""
    return _found(questions, searched=True)


def estimated_capacities(questions: Sequence[Question]) -> list[Answer]:
    """What the closed form tells of many replicas: the guess of a search.

    What only a search would refuse is given the lowest rate: an estimate refuses nothing that might be of use.
    """
    return _found(questions, searched=False)


def capacity_range(question: Question, error: float) -> tuple[float, float]:
    """The capacities, in requests/s, if all step times are longer or shorter by a share `error`; 0 where no rate would do.

    A replica that takes k times as long for everything serves within an objective what one serves k times as fast within times
    that are k times as short, so that both are searches of the same engine.
    """
    if not 0.0 <= error < 1.0:
        raise InvalidInputError("error", error, "a share from 0 to below 1")
    factors = 1.0 + error, 1.0 - error
    found = replica_capacities([_times_shorter(question, factor) for factor in factors])
    slower, faster = (
        answer.max_requests_per_second / factor if isinstance(answer, ReplicaCapacity) else 0.0
        for answer, factor in zip(found, factors, strict=True)
    )
    return slower, faster


def _times_shorter(question: Question, factor: float) -> Question:
    slo = question.slo
    if slo is None:
        return question
    times = {"ttft_seconds": slo.ttft_seconds / factor, "tpot_seconds": slo.tpot_seconds / factor}
    return replace(question, slo=replace(slo, **times))


def asked_capacities() -> Known:
    """Return what this process has been asked and remembers, in order, for another to take over."""
    return dict(_known)


def take_over_capacities(known: Known) -> None:
    """Answer from what another process has found."""
    _taken_over.update(known)


def count_capacities() -> int:
    """Return how many answers are at hand: those asked for, and those taken over."""
    return len(_known.keys() | _taken_over.keys())


@lru_cache(maxsize=_REMEMBERED)
def question_key(question: Question, *, searched: bool) -> bytes:
    """Return what tells a question from all others, in any process: a digest of each figure that its answer depends on.

    `searched` tells the answer of a search from an estimate.
    """
    rest = (question.input_tokens, question.output_tokens, question.slo, question.arrival_cv, searched)
    return blake2b(_engine_digest(question.engine) + repr(rest).encode(), digest_size=_KEY_BYTES).digest()


@lru_cache(maxsize=_ENGINES)
def _engine_digest(engine: Engine) -> bytes:
    """Digest an engine by its text, in which stand all its figures and nothing that changes from process to process."""
    return blake2b(repr(engine).encode()).digest()


_known: dict[bytes, Answer] = {}
_taken_over: dict[bytes, Answer] = {}


def _found(questions: Sequence[Question], *, searched: bool) -> list[Answer]:
    keys = {question: question_key(question, searched=searched) for question in questions}
    new = [question for question, key in keys.items() if key not in _known]
    if len(_known) + len(new) > _REMEMBERED:
        _known.clear()
        new = list(keys)
    left: list[tuple[Question, Case]] = []
    for question in new:
        answer = _taken_over.get(keys[question]) or _without_search(question)
        if isinstance(answer, Case):
            if searched:
                left.append((question, answer))
                continue
            answer = _sustained(question, answer, in_closed_form(answer))
        _known[keys[question]] = answer
    for (question, case), found in zip(left, search_all([case for _, case in left]), strict=True):
        _known[keys[question]] = _refused(case, found) or _sustained(question, case, found)
    return [_known[keys[question]] for question in questions]


@lru_cache(maxsize=_CASES)
def _without_search(question: Question) -> ReplicaCapacity | Rejection | Case:
    """The answer where none has to be searched; what to search otherwise."""
    engine, slo = question.engine, question.slo
    steps = engine_steps(engine)
    tokens = question.input_tokens + question.output_tokens
    rejection = steps.rejection()
    if rejection is not None:
        return rejection
    if steps.kv_tokens <= 0:
        return _too_small(engine, steps, tokens)
    work = work_of(steps, engine.role, question.input_tokens, question.output_tokens)
    if work.slots == 0:
        return _too_small(engine, steps, tokens)
    if slo is None:
        return _offline(steps, work, question.input_tokens + question.output_tokens / 2.0)
    alone = work.latency_seconds + work.prefill_seconds
    if alone > slo.ttft_seconds:
        return _unreachable(work, slo, late=1.0, slow=0.0)
    if work.role is not Role.PREFILL and work.step_at(1.0) > slo.tpot_seconds:
        return _unreachable(work, slo, late=0.0, slow=1.0)
    lone = work.prefill_seconds + work.decode_steps * work.step_at(1.0) * (work.role is not Role.PREFILL)
    highest = _most_load(work) * work.saturation
    lowest = min(_LEAST_BATCH / lone, 0.9 * highest)
    return Case(
        steps=steps,
        input_tokens=question.input_tokens,
        output_tokens=question.output_tokens,
        work=work,
        slo=slo,
        arrival_cv=question.arrival_cv,
        lowest=lowest,
        highest=highest,
    )


def _too_small(engine: Engine, steps: Steps, tokens: float) -> Rejection:
    fit = steps.kv_tokens
    where = f"{engine.tensor_parallel} × {engine.accelerator.id}" if not engine.on_cpu else "the host"
    detail = f"a request of {tokens:.0f} tokens needs more KV than the {fit:.0f} that fit on {where}"
    if fit <= 0:
        detail = f"{engine.model.name} in {engine.precision} doesn't fit into {where}"
    return Rejection(reason=RejectionReason.MEMORY_TOO_SMALL, detail=detail)


def _offline(steps: Steps, work: Work, context: float) -> ReplicaCapacity:
    """All slots in use; latencies are means, as nobody waits."""
    tpot = ttft = 0.0
    batch = 1.0
    if work.role is not Role.PREFILL:
        batch = float(work.slots)
        step = work.step_at(batch)
        tpot = step + batch * work.prefill_seconds / work.decode_steps
        ttft = 0.0 if work.role is Role.DECODE else work.prefill_seconds + step
    else:
        ttft = work.prefill_seconds + work.latency_seconds
    return ReplicaCapacity(
        max_requests_per_second=work.saturation,
        batch=batch,
        ttft_seconds=ttft,
        tpot_seconds=tpot,
        energy_per_request_joules=_energy_joules(steps, work, context, batch),
        latency_seconds=ttft + work.decode_steps * tpot,
        load=1.0,
        limit=_of_slots(work),
    )


def _refused(case: Case, found: Found) -> Rejection | None:
    """Why no rate is sustained, where not even the lowest is."""
    if found.requests_per_second > case.lowest * (1.0 + _SAME) or found.share >= case.target:
        return None
    return _unreachable(case.work, case.slo, late=found.late, slow=found.slow)


def _sustained(question: Question, case: Case, found: Found) -> ReplicaCapacity:
    work, slo = case.work, case.slo
    ttft, tpot = min(found.ttft_seconds, slo.ttft_seconds), min(found.tpot_seconds, slo.tpot_seconds)
    context = question.input_tokens + question.output_tokens / 2.0
    return ReplicaCapacity(
        max_requests_per_second=found.requests_per_second,
        batch=found.batch,
        ttft_seconds=ttft,
        tpot_seconds=tpot,
        energy_per_request_joules=_energy_joules(engine_steps(question.engine), work, context, found.batch),
        latency_seconds=ttft + work.decode_steps * tpot,
        load=found.requests_per_second / work.saturation,
        limit=_limit(case, found),
        rate_error=found.rate_error,
        share_error=found.error,
    )


def _limit(case: Case, found: Found) -> CapacityLimit:
    """What most requests miss at the capacity; the slots, where most are taken and it is for them that a time is missed."""
    work = case.work
    load = found.requests_per_second / work.saturation
    missed = 1.0 - case.target
    if load > _most_load(work) * (1.0 - 1e-3) and max(found.late, found.slow) < _NEARLY * missed:
        return CapacityLimit.SATURATION
    full = work.role is not Role.PREFILL and found.batch > _FULL * work.slots
    if work.role is Role.DECODE:
        waiting = work.step_seconds[-1] <= case.slo.tpot_seconds
        return _of_slots(work) if full and waiting else CapacityLimit.TPOT
    if found.late > found.slow:
        return _of_slots(work) if full else CapacityLimit.TTFT
    return CapacityLimit.TPOT


def _most_load(work: Work) -> float:
    return _MOST_LOAD_OF_MEMORY if work.slot_limit is SlotLimit.KV_MEMORY else _MOST_LOAD


def _of_slots(work: Work) -> CapacityLimit:
    if work.role is Role.PREFILL:
        return CapacityLimit.SATURATION
    return {
        SlotLimit.KV_MEMORY: CapacityLimit.KV_MEMORY,
        SlotLimit.BATCH_LIMIT: CapacityLimit.BATCH_LIMIT,
        SlotLimit.CHUNKED_PREFILL: CapacityLimit.CHUNKED_PREFILL,
    }[work.slot_limit]


def _energy_joules(steps: Steps, work: Work, context: float, batch: float) -> float:
    """Dynamic energy of one request."""
    joules = work.prefill_seconds * steps.prefill_watts()
    if work.role is not Role.PREFILL:
        running = max(batch, 1.0)
        step_joules = work.step_at(running) * steps.decode_watts(running, context)
        joules += work.decode_steps * step_joules / running
    return joules


def _unreachable(work: Work, slo: Slo, *, late: float, slow: float) -> Rejection:
    """Why not even a replica that hardly has anything to do meets the objective: shares that miss the times there."""
    if late >= slow:
        reason, name, wanted = RejectionReason.TTFT_UNREACHABLE, "TTFT", slo.ttft_seconds
        reached, share = work.latency_seconds + work.prefill_seconds, 1.0 - late
    else:
        reason, name, wanted = RejectionReason.TPOT_UNREACHABLE, "TPOT", slo.tpot_seconds
        reached, share = work.step_at(1.0), 1.0 - slow
    return Rejection(
        reason=reason,
        detail=f"{name} is {reached * 1000:.0f} ms almost unloaded, {wanted * 1000:.0f} ms is asked: "
        f"{share:.0%} of requests are within it, {slo.percentile:g} % should be",
    )
