"""Step times of one engine for requests of one length, as tables: what lanes look up (`lockstep`)."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecoserve.performance.batching import DEFAULT_BATCHING, Batching
from ecoserve.performance.engine import Role
from ecoserve.performance.steps import Steps

Floats = NDArray[np.float64]

_PROMPT_NODES = 40
_BATCH_NODES_PER_DOUBLING = 6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StepTable:
    """Step times of one engine for requests of one length, as tables.

    `prefill_seconds[x]` is the time of the first x tokens of a prompt. A decode step of n requests that hold c tokens
    of KV together takes `decode_seconds[n] + context_seconds[n] · c`. `input_tokens` and `decode_steps` are whole; step
    times make up for what rounding takes away. `joins_at_once` is the role decode: no prefill.
    """

    input_tokens: int
    decode_steps: int
    prefill_seconds: Floats
    decode_seconds: Floats
    context_seconds: Floats
    token_budget: int
    kv_tokens: float
    kv_waste_tokens: float
    joins_at_once: bool

    @property
    def max_batch(self) -> int:
        """Most sequences at once."""
        return len(self.decode_seconds) - 1

    @property
    def tight(self) -> bool:
        """Whether KV memory can run out before the batch is full."""
        each = self.input_tokens + self.decode_steps + 1 + self.kv_waste_tokens
        return self.max_batch * each > self.kv_tokens


def step_table(
    steps: Steps, role: Role, input_tokens: float, output_tokens: float, batching: Batching = DEFAULT_BATCHING
) -> StepTable:
    """Tabulate `steps` for requests of one length."""
    prompt = max(round(input_tokens), 1)
    decode_steps = 0 if role is Role.PREFILL else max(round(output_tokens) - 1, 0)
    longest = prompt + decode_steps + 1
    nodes = np.unique(np.append(np.rint(np.geomspace(1, longest, _PROMPT_NODES)), prompt))
    prefill = np.interp(
        np.arange(longest + 1), nodes, [steps.prefill_seconds(float(tokens)) for tokens in nodes]
    )
    prefill[0] = 0.0
    most = steps.max_batch
    decode = np.zeros((2, most + 1))
    if decode_steps:
        count = math.ceil(math.log2(max(most, 2)) * _BATCH_NODES_PER_DOUBLING) + 1
        batches = np.unique(np.rint(np.geomspace(1, most, count)))
        contexts = float(prompt), float(prompt + decode_steps)
        sizes = np.arange(1, most + 1)
        first, last = (
            np.interp(sizes, batches, [steps.decode_seconds(float(n), context) for n in batches])
            for context in contexts
        )
        scale = max(output_tokens - 1.0, 1.0) / decode_steps
        slope = (last - first) / (contexts[1] - contexts[0])
        decode[:, 1:] = (first - slope * contexts[0]) * scale, slope / sizes * scale
    return StepTable(
        input_tokens=prompt,
        decode_steps=decode_steps,
        prefill_seconds=prefill,
        decode_seconds=decode[0],
        context_seconds=decode[1],
        token_budget=batching.token_budget,
        kv_tokens=steps.kv_tokens,
        kv_waste_tokens=batching.kv_waste_tokens,
        joins_at_once=role is Role.DECODE,
    )
