"""What capacity and prediction need to know of an engine, whatever it runs on."""

import functools
from typing import Protocol

from ecoserve.performance.accelerator_steps import AcceleratorSteps
from ecoserve.performance.cpu_steps import CpuSteps
from ecoserve.performance.engine import Engine, Rejection
from ecoserve.performance.profiled_steps import profiled
from ecoserve.performance.profiles import profile_of


class Steps(Protocol):
    """Step times in seconds and dynamic power in watts of one engine."""

    @property
    def kv_tokens(self) -> float:
        """Tokens of KV that fit; negative where not even the weights do."""

    def sequences_held(self, context_tokens: float) -> float:
        """Sequences of that context whose KV fits; 0 or less where not even the weights do."""

    @property
    def max_batch(self) -> int:
        """Most sequences at once."""

    @property
    def prefill_latency_seconds(self) -> float:
        """Waiting around a prefill that doesn't occupy the devices."""

    def rejection(self) -> Rejection | None:
        """Why the engine can't run at all, or None."""

    def prefill_seconds(self, tokens: float) -> float:
        """Time one prompt's prefill occupies the devices."""

    def decode_seconds(self, batch: float, context_tokens: float) -> float:
        """Time of one decode step."""

    def interference_seconds(
        self, batch: float, context_tokens: float, tokens: float, prompts_per_step: float
    ) -> float:
        """Mean time per decode step that the prefills of `prompts_per_step` prompts of `tokens` tokens add."""

    def watts(self, batch: float, context_tokens: float, tokens: float, prompts_per_step: float) -> float:
        """Mean dynamic power of decode steps with so many prefills among them."""

    def prefill_watts(self) -> float:
        """Dynamic power during prefill."""

    def decode_watts(self, batch: float, context_tokens: float) -> float:
        """Dynamic power during a decode step."""


def engine_steps(engine: Engine) -> Steps:
    """The step model of `engine`, on accelerators or on the host's cores, corrected by what was measured on such nodes."""
    return _profiled_steps(engine) if engine.instance.measured else _modelled_steps(engine)


@functools.lru_cache(maxsize=1024)
def _modelled_steps(engine: Engine) -> Steps:
    return CpuSteps(engine) if engine.on_cpu else AcceleratorSteps(engine)


@functools.lru_cache(maxsize=1024)
def _profiled_steps(engine: Engine) -> Steps:
    """Correct the model by the engine's profile; where it can't run at all, its own answer stands."""
    modelled, profile = _modelled_steps(engine), profile_of(engine)
    if profile is None or modelled.rejection() is not None:
        return modelled
    return profiled(engine, modelled, profile)
