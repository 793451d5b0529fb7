"""One engine replica, request by request: continuous batching with chunked prefill in limited KV memory.

A SimPy process steps the engine as vLLM's V1 scheduler does. A step computes one token for every decoding request
and fills the rest of its token budget with chunks of prompts, first come first served; it takes the time of its
decode part plus that of its chunks, as the engine's `Steps` have them (Splitwise measured less for mixed steps,
1.1 times the prefill). A prompt is admitted when its KV fits; where decoding runs out of KV, the request admitted
last gives up its own, waits in front of the queue and computes it anew. A replica in the role prefill is done with a
request at its first token; in the role decode requests bring their KV along, and waiting counts in the time per
output token.

Nothing happens between two arrivals while no prompt waits but decode steps that hardly differ: such a run is one
event, cut short when a request arrives. KV is counted in tokens, half a block wasted per request.
"""

import heapq
import math
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import simpy

from ecoserve.performance.batching import DEFAULT_BATCHING, Batching
from ecoserve.performance.engine import Role
from ecoserve.performance.steps import Steps


@dataclass(slots=True, kw_only=True, eq=False)
class Request:
    """A request in the replica; times in seconds of the simulation, NaN until they are known."""

    input_tokens: int
    output_tokens: int
    arrival: float
    admitted: float = math.nan
    first_token: float = math.nan
    finished: float = math.nan
    preemptions: int = 0
    to_prefill: int = 0
    """Tokens whose KV must be computed before decoding; with what was generated already, after a preemption."""
    prefilled: int = 0
    decode_until: int = 0
    """Decode step of the replica, counted from its start, after which the request is done."""


class ReplicaProcess:
    """A replica in a SimPy environment: `submit` requests to it; `on_finish` is called with each that is done."""

    def __init__(
        self,
        environment: simpy.Environment,
        role: Role,
        steps: Steps,
        *,
        batching: Batching = DEFAULT_BATCHING,
        on_finish: Callable[[Request], None] = lambda _: None,
    ) -> None:
        self.busy_seconds = 0.0
        self.energy_joules = 0.0
        self.preemptions = 0
        self._environment = environment
        self._role = role
        self._batching = batching
        self._on_finish = on_finish
        self._times = _StepTimes(steps, batching.kv_block_tokens)
        self._kv_tokens = steps.kv_tokens
        self._waiting: deque[Request] = deque()
        self._running: dict[Request, None] = {}  # in order of admission
        self._prefilling: deque[Request] = deque()
        self._decoding = 0
        self._finishes: list[tuple[int, int, Request]] = []
        self._sequence = 0
        self._decode_steps = 0
        self._context_tokens = 0  # KV of all that decode
        self._prompt_tokens = 0  # KV given to those that are prefilled
        self._wake: simpy.Event | None = None
        self._interruptible = False
        self._process = environment.process(self._run())

    @property
    def longest_request(self) -> float:
        """Tokens of the longest request that its KV memory can hold."""
        return self._kv_tokens - self._batching.kv_block_tokens

    def submit(self, request: Request) -> None:
        """Queue a request no longer than `longest_request`; a longer one would never be admitted."""
        request.to_prefill = request.input_tokens
        self._waiting.append(request)
        if self._wake is not None:
            self._wake.succeed()
            self._wake = None
        elif self._interruptible:
            self._interruptible = False
            self._process.interrupt()

    def _run(self) -> Generator[simpy.Event, Any, None]:
        while True:
            self._admit()
            if not self._running:
                self._wake = self._environment.event()
                yield self._wake
            elif self._prefilling:
                yield from self._mixed_step()
            else:
                yield from self._decode_run()

    def _admit(self) -> None:
        """Admit waiting requests, first come first served, while there is room for their prompt."""
        while self._waiting and len(self._running) < self._times.steps.max_batch:
            request = self._waiting[0]
            waste = (len(self._running) + 1) * self._batching.kv_waste_tokens
            if self._context_tokens + self._prompt_tokens + request.to_prefill + waste > self._kv_tokens:
                return
            self._waiting.popleft()
            self._running[request] = None
            if math.isnan(request.admitted):
                request.admitted = self._environment.now
            if self._role is Role.DECODE and request.preemptions == 0:
                request.first_token = request.arrival
                self._start_decoding(request)
            else:
                request.prefilled = 0
                self._prompt_tokens += request.to_prefill
                self._prefilling.append(request)

    def _mixed_step(self) -> Generator[simpy.Event, Any, None]:
        """One step with chunks of prompts beside one token of every request that decodes."""
        self._make_room()
        budget = max(self._batching.token_budget - self._decoding, 1)
        seconds, complete = 0.0, []
        for request in self._prefilling:
            chunk = min(budget, request.to_prefill - request.prefilled)
            seconds += self._times.chunk_seconds(request.prefilled, request.prefilled + chunk)
            request.prefilled += chunk
            budget -= chunk
            if request.prefilled == request.to_prefill:
                complete.append(request)
            if budget == 0:
                break
        self.energy_joules += seconds * self._times.prefill_watts
        batch = self._decoding
        if batch:
            decode, watts = self._times.decode(batch, self._context_tokens / batch)
            seconds += decode
            self.energy_joules += decode * watts
        self.busy_seconds += seconds
        yield self._environment.timeout(seconds)
        self._advance(1)
        for request in complete:
            self._prefilling.popleft()
            self._prompt_tokens -= request.to_prefill
            self._end_prefill(request)

    def _decode_run(self) -> Generator[simpy.Event, Any, None]:
        """Decode steps until the first request is done, memory may run out, or a request arrives."""
        self._make_room()
        batch = self._decoding
        free = self._kv_tokens - self._context_tokens - batch * self._batching.kv_waste_tokens
        while self._finishes[0][2].decode_until != self._finishes[0][0]:
            heapq.heappop(self._finishes)  # of a request that was preempted
        steps = min(self._finishes[0][0] - self._decode_steps, max(int(free / batch), 1))
        step, watts = self._times.decode(batch, self._context_tokens / batch + steps / 2.0)
        start = self._environment.now
        self._interruptible = not self._waiting
        try:
            yield self._environment.timeout(steps * step)
        except simpy.Interrupt:
            # Fewer steps, over which the context grows less than was reckoned.
            shortest, _ = self._times.decode(batch, self._context_tokens / batch)
            steps = min(steps, max(math.ceil((self._environment.now - start) / shortest), 1))
            step, watts = self._times.decode(batch, self._context_tokens / batch + steps / 2.0)
            yield self._environment.timeout(max(start + steps * step - self._environment.now, 0.0))
        self._interruptible = False
        self.busy_seconds += steps * step
        self.energy_joules += steps * step * watts
        self._advance(steps)

    def _make_room(self) -> None:
        """Preempt those admitted last until the rest can decode one more token."""
        while (
            self._context_tokens
            + self._prompt_tokens
            + self._decoding
            + len(self._running) * self._batching.kv_waste_tokens
            > self._kv_tokens
            and len(self._running) > 1
        ):
            request = next(reversed(self._running))
            del self._running[request]
            request.preemptions += 1
            self.preemptions += 1
            if request.decode_until:
                generated = request.output_tokens - (request.decode_until - self._decode_steps)
                self._context_tokens -= request.input_tokens + generated - 1
                self._decoding -= 1
                request.decode_until = 0
                request.to_prefill = request.input_tokens + generated
            else:
                self._prefilling.remove(request)
                self._prompt_tokens -= request.to_prefill
            self._waiting.appendleft(request)

    def _advance(self, steps: int) -> None:
        """Account `steps` decode steps and take out the requests that are done."""
        if not self._decoding:
            return
        self._decode_steps += steps
        self._context_tokens += steps * self._decoding
        while self._finishes and self._finishes[0][0] <= self._decode_steps:
            until, _, request = heapq.heappop(self._finishes)
            if request.decode_until == until:
                self._decoding -= 1
                self._context_tokens -= request.input_tokens + request.output_tokens - 1
                self._finish(request)

    def _end_prefill(self, request: Request) -> None:
        """Give out the token that ends a prefill: the first, or the next after a preemption."""
        if math.isnan(request.first_token):
            request.first_token = self._environment.now
        if (
            self._role is Role.PREFILL
            or request.to_prefill + 1 >= request.input_tokens + request.output_tokens
        ):
            self._finish(request)
        else:
            self._start_decoding(request)

    def _start_decoding(self, request: Request) -> None:
        left = request.input_tokens + request.output_tokens - request.to_prefill - 1
        if left == 0:
            self._finish(request)
            return
        request.decode_until = self._decode_steps + left
        self._sequence += 1
        heapq.heappush(self._finishes, (request.decode_until, self._sequence, request))
        self._decoding += 1
        self._context_tokens += request.to_prefill

    def _finish(self, request: Request) -> None:
        del self._running[request]
        request.finished = self._environment.now
        self._on_finish(request)


class _StepTimes:
    """Step times and powers, remembered: a step model is asked for the same batches and contexts again and again."""

    def __init__(self, steps: Steps, context_grain: int) -> None:
        self.steps = steps
        self.prefill_watts = steps.prefill_watts()
        self._grain = context_grain
        self._decode: dict[tuple[int, int], tuple[float, float]] = {}
        self._prefill: dict[int, float] = {0: 0.0}

    def decode(self, batch: int, context_tokens: float) -> tuple[float, float]:
        """Seconds and dynamic watts of a decode step; the context is rounded to blocks."""
        key = batch, round(context_tokens / self._grain)
        if key not in self._decode:
            context = max(key[1] * self._grain, 1)
            self._decode[key] = (
                self.steps.decode_seconds(batch, context),
                self.steps.decode_watts(batch, context),
            )
        return self._decode[key]

    def chunk_seconds(self, start: int, end: int) -> float:
        """Seconds for the tokens of a prompt from `start` to `end`: chunks of a prompt add up to its prefill."""
        return max(self._prefill_seconds(end) - self._prefill_seconds(start), 0.0)

    def _prefill_seconds(self, tokens: int) -> float:
        if tokens not in self._prefill:
            self._prefill[tokens] = self.steps.prefill_seconds(tokens)
        return self._prefill[tokens]
