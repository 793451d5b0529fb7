"""What requests of one length ask of an engine, and how many of them it can hold at once."""

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from ecoserve.performance.batching import DEFAULT_BATCHING, Batching
from ecoserve.performance.engine import Role
from ecoserve.performance.steps import Steps

Floats = NDArray[np.float64]

_NODES_PER_DOUBLING = 2
_PREEMPTIONS = 0.45
"""Preemptions per request with full memory where outputs are as long as prompts (fitted, see `load`)."""
_PREEMPTION_EXPONENT = 0.8
"""How they grow with output over input: counted in simulations of overload, 0.1 (0.03) to 3.8 (8.6) per request."""


class SlotLimit(StrEnum):
    """What bounds the number of requests in decode."""

    KV_MEMORY = "KvMemory"
    BATCH_LIMIT = "BatchLimit"
    CHUNKED_PREFILL = "ChunkedPrefill"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Work:
    """Requests of one length on one engine.

    `step_seconds` holds the time of a decode step with 1, 2, … requests, to the most that can be in decode at once:
    what the KV memory holds at the mean context, the engine's limit, or what chunked prefill can feed (a step has
    room for so many prompt tokens only, so at most M·T / (input + M) requests with M decode steps and a budget of T).
    It is empty where not one request fits. `chunks` is the part of a step's token budget that one prompt takes.
    """

    role: Role
    prefill_seconds: float
    latency_seconds: float
    decode_steps: float
    chunks: float
    slot_limit: SlotLimit
    step_seconds: Floats
    recompute_seconds: float
    """Time lost per request to preemptions once the KV memory is full."""

    @property
    def slots(self) -> int:
        """Most requests in decode."""
        return len(self.step_seconds)

    @property
    def saturation(self) -> float:
        """Requests per second of an engine with all slots in use."""
        if self.role is Role.PREFILL:
            return 1.0 / self.prefill_seconds
        decode = self.decode_steps * float(self.step_seconds[-1]) / self.slots
        return 1.0 / (self.prefill_seconds + self.recompute_seconds + decode)

    @property
    def tpot_seconds(self) -> Floats:
        """Mean time per output token with 1, 2, … requests beside each other: as many prefills interrupt a stay (Little)."""
        beside = np.arange(1, self.slots + 1)
        return self.step_seconds + beside * self.prefill_seconds / self.decode_steps

    @property
    def rates(self) -> Floats:
        """Requests per second that keep 1, 2, … requests in decode."""
        return np.arange(1, self.slots + 1) / (self.decode_steps * self.tpot_seconds)

    def batch_at(self, requests_per_second: float) -> float:
        """Mean number in decode at a rate, without scatter; 1 at least, the slots at most."""
        if self.role is Role.PREFILL:
            return 1.0
        return float(np.interp(requests_per_second, self.rates, np.arange(1, self.slots + 1)))

    def step_at(self, batch: float) -> float:
        """Time of a decode step with `batch` requests, any number from 1 to the slots."""
        below = min(max(int(batch), 1), self.slots)
        above = min(below + 1, self.slots)
        part = min(max(batch - below, 0.0), 1.0)
        return float(self.step_seconds[below - 1] * (1.0 - part) + self.step_seconds[above - 1] * part)


def work_of(
    steps: Steps, role: Role, input_tokens: float, output_tokens: float, batching: Batching = DEFAULT_BATCHING
) -> Work:
    """Return the work of requests of one length; without slots where one doesn't fit."""
    decode_steps = max(output_tokens - 1.0, 1.0)
    context = input_tokens + output_tokens / 2.0
    kept = input_tokens if role is Role.PREFILL else input_tokens + output_tokens
    fits = steps.kv_tokens >= kept + batching.kv_block_tokens
    # A prompt is admitted whole: on average half of one lies idle.
    in_memory = (steps.kv_tokens - input_tokens / 2.0) / (context + batching.kv_waste_tokens)
    limits = {SlotLimit.BATCH_LIMIT: float(steps.max_batch), SlotLimit.KV_MEMORY: in_memory}
    if role is Role.BOTH:
        fed = decode_steps * batching.token_budget / (input_tokens + decode_steps)
        limits[SlotLimit.CHUNKED_PREFILL] = fed
    limit = min(limits, key=limits.__getitem__)
    slots = max(int(limits[limit] + (0.5 if limit is SlotLimit.CHUNKED_PREFILL else 0.0)), 1) if fits else 0
    recompute = 0.0
    if role is not Role.PREFILL and limit is SlotLimit.KV_MEMORY:
        preemptions = _PREEMPTIONS * min(output_tokens / input_tokens, 8.0) ** _PREEMPTION_EXPONENT
        recompute = preemptions * steps.prefill_seconds(context)
    return Work(
        role=role,
        prefill_seconds=0.0 if role is Role.DECODE else steps.prefill_seconds(input_tokens),
        latency_seconds=0.0 if role is Role.DECODE else steps.prefill_latency_seconds,
        decode_steps=decode_steps,
        chunks=input_tokens / max(batching.token_budget - slots, batching.token_budget / 2),
        slot_limit=limit,
        step_seconds=_step_seconds(steps, context, slots),
        recompute_seconds=recompute,
    )


def _step_seconds(steps: Steps, context: float, slots: int) -> Floats:
    """Step times of 1 to `slots` requests: computed at a few batches, linear between."""
    if slots < 1:
        return np.empty(0)
    count = math.ceil(math.log2(slots) * _NODES_PER_DOUBLING) + 1
    nodes = np.unique(np.rint(np.geomspace(1, slots, count)))
    times = np.array([steps.decode_seconds(float(node), context) for node in nodes])
    return np.asarray(np.interp(np.arange(1, slots + 1), nodes, times))
