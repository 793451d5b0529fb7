"""The highest request rate one replica sustains within its latency objective, and what a request costs there.

Online, the rate is sought at which the share of requests that meet both the TTFT and the TPOT is the objective's
percentile, by bisection on the distributions of `load`. Where that share is still above it just below saturation,
queues bound the rate and not the objective. Offline work has no objective: all slots are in use.

Not in the model: prefix caching, speculative decoding, KV transfer between prefill and decode replicas. Capacity at
one length is offered per length bucket: requests of other lengths beside them and of differing lengths within a
bucket count by their means alone.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from ecoserve.errors import InvalidInputError
from ecoserve.performance.engine import Engine, Rejection, RejectionReason, Role, Slo
from ecoserve.performance.load import LoadedReplica
from ecoserve.performance.steps import Steps, engine_steps
from ecoserve.performance.work import Floats, SlotLimit, Work, work_of

_LEAST_BATCH = 0.05  # a replica that may be in use a twentieth of the time only is no option worth offering
_MOST_LOAD = 0.998  # of saturation: closer to it, queues take days to settle
_BISECTIONS = 15  # of a factor of at most some 10,000 between the least and the most rate: to 0.03 %
MOST_ARRIVAL_CV = 5.0
"""Burstier arrivals than this have not been simulated."""
_QUANTILE_POINTS = 129
_FED_LOAD = 0.9  # from here chunked prefill, where it bounds the batch, is what prompts wait for
_REMEMBERED = 1 << 16  # a re-plan asks for the same engines and lengths again


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
    """

    max_requests_per_second: float
    batch: float
    ttft_seconds: float
    tpot_seconds: float
    energy_per_request_joules: float
    latency_seconds: float
    load: float
    limit: CapacityLimit


def replica_capacity(
    engine: Engine, input_tokens: float, output_tokens: float, slo: Slo | None, arrival_cv: float = 1.0
) -> ReplicaCapacity | Rejection:
    """The highest rate at which `slo` holds on one replica of `engine`; without one, the offline rate.

    `arrival_cv` is the coefficient of variation of the gaps between a replica's arrivals: 1 is Poisson, above it
    requests come in bursts. Returns a Rejection where the engine can't run, or no rate meets the objective.
    Raises InvalidInputError where a length isn't at least 1, or the variation isn't from 0 to 5.
    """
    for field, tokens in (("inputTokens", input_tokens), ("outputTokens", output_tokens)):
        if not 1 <= tokens < math.inf:
            raise InvalidInputError(field, tokens, "a number of tokens of 1 or more")
    if not 0 <= arrival_cv <= MOST_ARRIVAL_CV:
        raise InvalidInputError(
            "arrivalCv", arrival_cv, f"a coefficient of variation from 0 to {MOST_ARRIVAL_CV:g}"
        )
    return _capacity(engine, input_tokens, output_tokens, slo, arrival_cv)


@functools.lru_cache(maxsize=_REMEMBERED)
def _capacity(
    engine: Engine, input_tokens: float, output_tokens: float, slo: Slo | None, arrival_cv: float
) -> ReplicaCapacity | Rejection:
    steps = engine_steps(engine)
    rejection = steps.rejection()
    if rejection is not None:
        return rejection
    if steps.kv_tokens <= 0:
        return _too_small(engine, steps, input_tokens + output_tokens)
    work = work_of(steps, engine.role, input_tokens, output_tokens)
    if work.slots == 0:
        return _too_small(engine, steps, input_tokens + output_tokens)
    context = input_tokens + output_tokens / 2.0
    if slo is None:
        return _offline(steps, work, context)
    return _online(steps, work, context, slo, arrival_cv)


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


def _online(
    steps: Steps, work: Work, context: float, slo: Slo, arrival_cv: float
) -> ReplicaCapacity | Rejection:
    target = slo.percentile / 100.0

    def share(load: float) -> float:
        replica = LoadedReplica(work, load * work.saturation, arrival_cv)
        return replica.within_both(slo.ttft_seconds, slo.tpot_seconds)

    lone = work.prefill_seconds + work.decode_steps * work.step_at(1.0) * (work.role is not Role.PREFILL)
    low = min(_LEAST_BATCH / lone / work.saturation, _MOST_LOAD)
    if share(low) < target:
        return _unreachable(LoadedReplica(work, low * work.saturation, arrival_cv), slo)
    high = _MOST_LOAD
    if share(high) >= target:
        low = high
    for _ in range(_BISECTIONS):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if share(middle) >= target else (low, middle)
    return _at(steps, context, LoadedReplica(work, low * work.saturation, arrival_cv), slo)


def _at(steps: Steps, context: float, replica: LoadedReplica, slo: Slo) -> ReplicaCapacity:
    work = replica.work
    ttft = 0.0 if work.role is Role.DECODE else _quantile(replica.within_ttft, slo.ttft_seconds, slo)
    tpot = 0.0 if work.role is Role.PREFILL else _quantile(replica.within_tpot, slo.tpot_seconds, slo)
    batch = replica.mean_batch
    return ReplicaCapacity(
        max_requests_per_second=replica.requests_per_second,
        batch=batch,
        ttft_seconds=ttft,
        tpot_seconds=tpot,
        energy_per_request_joules=_energy_joules(steps, work, context, batch),
        latency_seconds=ttft + work.decode_steps * tpot,
        load=replica.load,
        limit=_limit(replica, slo),
    )


def _quantile(within: Callable[[Floats], Floats], most: float, slo: Slo) -> float:
    """The time within which the objective's share of requests is; at the capacity it is at most `most`."""
    times = np.linspace(0.0, most, _QUANTILE_POINTS)
    shares = np.maximum.accumulate(within(times))
    reached = int(np.searchsorted(shares, slo.percentile / 100.0))
    if not 0 < reached < len(times):
        return most
    below, above = float(shares[reached - 1]), float(shares[reached])
    part = (slo.percentile / 100.0 - below) / max(above - below, 1e-12)
    return float(times[reached - 1] + part * (times[reached] - times[reached - 1]))


def _limit(replica: LoadedReplica, slo: Slo) -> CapacityLimit:
    """What most requests miss at the capacity; the slots, where it is for them that the TTFT is missed."""
    if replica.load > _MOST_LOAD * (1.0 - 1e-3):
        return CapacityLimit.SATURATION
    late = 1.0 - float(replica.within_ttft(slo.ttft_seconds))
    slow = 1.0 - float(replica.within_tpot(slo.tpot_seconds))
    by_slots = float(replica.misses_slot(slo.ttft_seconds, slo.tpot_seconds))
    # Prompts that wait because steps have no more room wait for their prefill, not for a slot.
    fed = replica.work.slot_limit is SlotLimit.CHUNKED_PREFILL and replica.load > _FED_LOAD and late > slow
    if fed or by_slots > 0.5 * max(late, slow):
        return _of_slots(replica.work)
    return CapacityLimit.TTFT if late > slow else CapacityLimit.TPOT


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


def _unreachable(replica: LoadedReplica, slo: Slo) -> Rejection:
    """Why not even a replica that hardly has anything to do meets the objective."""
    work = replica.work
    late, slow = replica.within_ttft(slo.ttft_seconds), replica.within_tpot(slo.tpot_seconds)
    if late <= slow:
        reason, name, wanted = RejectionReason.TTFT_UNREACHABLE, "TTFT", slo.ttft_seconds
        reached = work.latency_seconds + work.prefill_seconds
        if work.role is Role.BOTH:
            reached += work.step_at(1.0)
        share = float(late)
    else:
        reason, name, wanted = RejectionReason.TPOT_UNREACHABLE, "TPOT", slo.tpot_seconds
        reached, share = work.step_at(1.0), float(slow)
    return Rejection(
        reason=reason,
        detail=f"{name} is {reached * 1000:.0f} ms almost unloaded, {wanted * 1000:.0f} ms is asked: "
        f"{share:.0%} of requests are within it, {slo.percentile:g} % should be",
    )
