"""The highest request rate one replica sustains within its latency objective, and what a request costs there.

Continuous batching in steady state: with B requests decoding, each of n input and m output tokens, the engine
spends B prefills and m−1 decode steps of batch B to finish B requests, so

    rate(B) = B / (B·t_prefill + (m−1)·t_decode(B)),      TPOT(B) = t_decode(B) + B·t_prefill / (m−1).

Requests arrive at random: the number in the engine scatters like a Poisson variable, so TPOT and memory must
hold at B + z·√B, z being the normal quantile of the objective's percentile. The wait for a prefill is that of a
queue with fixed service (M/D/1) with an exponential tail. Everything rises with B, so the capacity is found by
bisection on B. Offline work has no objective: its batch grows to the memory or the engine's limit.

Not in the model: prefix caching, speculative decoding, KV transfer between prefill and decode replicas,
burstier arrivals than Poisson, preemption. Capacity at one length is offered per length bucket.
"""

import functools
import math
from dataclasses import dataclass
from statistics import NormalDist

from ecoserve.errors import InvalidInputError
from ecoserve.performance.engine import Engine, Rejection, RejectionReason, Role, Slo
from ecoserve.performance.steps import Steps, engine_steps

_LEAST_BATCH = 0.05  # a replica that may be in use a twentieth of the time only is no option worth offering
_BISECTIONS = 24
_REMEMBERED = 1 << 16  # a re-plan asks for the same engines and lengths again


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaCapacity:
    """What one replica sustains for requests of one length.

    `batch` is the mean number of requests in decode (in the role prefill, the share of time it is busy); `ttft_seconds` and `tpot_seconds` are at the objective's
    percentile (means, offline), 0 for a role that doesn't produce them. `energy_per_request_joules` is dynamic
    energy above loaded idle at this batch. `latency_seconds` is the time of a whole request in this role.
    """

    max_requests_per_second: float
    batch: float
    ttft_seconds: float
    tpot_seconds: float
    energy_per_request_joules: float
    latency_seconds: float


@dataclass(frozen=True, slots=True)
class _Operation:
    """One engine at steady state, as functions of the mean batch; z is the quantile of the scatter."""

    steps: Steps
    role: Role
    input_tokens: float
    output_tokens: float
    percentile: float
    z: float

    @property
    def context(self) -> float:
        return self.input_tokens + self.output_tokens / 2.0

    @property
    def decode_steps(self) -> float:
        return max(self.output_tokens - 1.0, 1.0)

    @property
    def prefill_seconds(self) -> float:
        return 0.0 if self.role is Role.DECODE else self.steps.prefill_seconds(self.input_tokens)

    @property
    def batch_limit(self) -> float:
        """Largest batch the KV memory and the engine allow at full length; below 1 where not one request fits."""
        tokens = self.input_tokens if self.role is Role.PREFILL else self.input_tokens + self.output_tokens
        return min(self.steps.kv_tokens / tokens, float(self.steps.max_batch))

    def scattered(self, batch: float) -> float:
        """The batch not exceeded at the percentile, around the mean `batch`."""
        return batch + self.z * math.sqrt(batch)

    def decode_seconds(self, batch: float) -> float:
        return self.steps.decode_seconds(max(batch, 1.0), self.context)

    def rate(self, batch: float) -> float:
        """Requests per second; for the role prefill `batch` is the utilisation."""
        if self.role is Role.PREFILL:
            return min(batch, 1.0) / self.prefill_seconds
        return batch / (batch * self.prefill_seconds + self.decode_steps * self.decode_seconds(batch))

    def tpot_seconds(self, batch: float) -> float:
        """TPOT at the percentile."""
        if self.role is Role.PREFILL:
            return 0.0
        high = self.scattered(batch)
        # By Little's law as many prefills interrupt a request's decode as requests run beside it.
        return self.decode_seconds(high) + high * self.prefill_seconds / self.decode_steps

    def ttft_seconds(self, batch: float) -> float:
        """TTFT at the percentile: the running step, the queue of prefills, the prefill."""
        if self.role is Role.DECODE:
            return 0.0
        service = self.prefill_seconds
        busy = self.rate(batch) * service
        if busy >= 1.0:
            return math.inf
        tail = 1.0 - self.percentile / 100.0
        wait = service / (2.0 * (1.0 - busy)) * math.log(busy / tail) if busy > tail else 0.0
        step = 0.0 if self.role is Role.PREFILL else self.decode_seconds(batch)
        return self.steps.prefill_latency_seconds + step + wait + service

    def energy_joules(self, batch: float) -> float:
        """Dynamic energy of one request."""
        joules = self.prefill_seconds * self.steps.prefill_watts()
        if self.role is not Role.PREFILL:
            running = max(batch, 1.0)
            step_joules = self.decode_seconds(running) * self.steps.decode_watts(running, self.context)
            joules += self.decode_steps * step_joules / running
        return joules

    def violation(self, batch: float, slo: Slo) -> RejectionReason | None:
        """The first objective that doesn't hold at `batch`."""
        if self.ttft_seconds(batch) > slo.ttft_seconds:
            return RejectionReason.TTFT_UNREACHABLE
        if self.tpot_seconds(batch) > slo.tpot_seconds:
            return RejectionReason.TPOT_UNREACHABLE
        if self.role is not Role.PREFILL and self.scattered(batch) > self.batch_limit:
            return RejectionReason.MEMORY_TOO_SMALL
        return None


def replica_capacity(
    engine: Engine, input_tokens: float, output_tokens: float, slo: Slo | None
) -> ReplicaCapacity | Rejection:
    """The highest rate at which `slo` holds on one replica of `engine`; without one, the offline rate.

    Returns a Rejection where the engine can't run, or no rate meets the objective.
    Raises InvalidInputError where a length isn't at least 1.
    """
    for field, tokens in (("inputTokens", input_tokens), ("outputTokens", output_tokens)):
        if not 1 <= tokens < math.inf:
            raise InvalidInputError(field, tokens, "a number of tokens of 1 or more")
    return _capacity(engine, input_tokens, output_tokens, slo)


@functools.lru_cache(maxsize=_REMEMBERED)
def _capacity(
    engine: Engine, input_tokens: float, output_tokens: float, slo: Slo | None
) -> ReplicaCapacity | Rejection:
    steps = engine_steps(engine)
    rejection = steps.rejection()
    if rejection is not None:
        return rejection
    operation = _Operation(
        steps=steps,
        role=engine.role,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        percentile=slo.percentile if slo else 50.0,
        z=NormalDist().inv_cdf(slo.percentile / 100.0) if slo else 0.0,
    )
    if operation.batch_limit < 1.0:
        return Rejection(reason=RejectionReason.MEMORY_TOO_SMALL, detail=_memory_detail(operation, engine))
    return _offline(operation) if slo is None else _online(operation, slo)


def _memory_detail(operation: _Operation, engine: Engine) -> str:
    fit = operation.steps.kv_tokens
    where = f"{engine.tensor_parallel} × {engine.accelerator.id}" if not engine.on_cpu else "the host"
    if fit <= 0:
        return f"{engine.model.name} in {engine.precision} doesn't fit into {where}"
    return f"a request of {operation.input_tokens + operation.output_tokens:.0f} tokens needs more KV than the {fit:.0f} that fit on {where}"


def _offline(operation: _Operation) -> ReplicaCapacity:
    if operation.role is Role.PREFILL:
        return _at(operation, 1.0, operation.prefill_seconds + operation.steps.prefill_latency_seconds)
    batch = math.floor(operation.batch_limit)
    ttft = operation.prefill_seconds + operation.decode_seconds(batch)
    return _at(operation, float(batch), 0.0 if operation.role is Role.DECODE else ttft)


def _online(operation: _Operation, slo: Slo) -> ReplicaCapacity | Rejection:
    reason = operation.violation(_LEAST_BATCH, slo)
    if reason is not None:
        return Rejection(reason=reason, detail=_latency_detail(operation, slo, reason))
    low, high = _LEAST_BATCH, operation.batch_limit
    if operation.role is Role.PREFILL:
        high = 1.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2.0
        low, high = (low, middle) if operation.violation(middle, slo) else (middle, high)
    return _at(operation, low, operation.ttft_seconds(low))


def _latency_detail(operation: _Operation, slo: Slo, reason: RejectionReason) -> str:
    lengths = f"{operation.input_tokens:.0f} input and {operation.output_tokens:.0f} output tokens"
    if reason is RejectionReason.TTFT_UNREACHABLE:
        reached, wanted, name = operation.ttft_seconds(_LEAST_BATCH), slo.ttft_seconds, "TTFT"
    elif reason is RejectionReason.TPOT_UNREACHABLE:
        reached, wanted, name = operation.tpot_seconds(_LEAST_BATCH), slo.tpot_seconds, "TPOT"
    else:
        return f"the KV memory holds less than one request of {lengths} at the percentile"
    return (
        f"{name} is {reached * 1000:.0f} ms almost unloaded, {wanted * 1000:.0f} ms is asked, for {lengths}"
    )


def _at(operation: _Operation, batch: float, ttft_seconds: float) -> ReplicaCapacity:
    tpot = operation.tpot_seconds(batch)
    steps = 0.0 if operation.role is Role.PREFILL else operation.decode_steps
    return ReplicaCapacity(
        max_requests_per_second=operation.rate(batch),
        batch=batch,
        ttft_seconds=ttft_seconds,
        tpot_seconds=tpot,
        energy_per_request_joules=operation.energy_joules(batch),
        latency_seconds=ttft_seconds + steps * tpot,
    )
