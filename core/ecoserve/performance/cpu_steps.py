"""Step times and power of an engine on a host's cores, from memory bandwidth and sustained matrix rate.

Prefill is bound by the matrix rate of the cores it has; a decode step reads the weights and KV at a share of
the sockets' bandwidth and computes 2·P·B. Two runtimes are told apart. llama.cpp's rates were measured on Sapphire
Rapids and stand for every precision but one: int8, where the processor has matrix units (AMX), is a server made for
them, known from one published figure. So bf16 and int4 err against reuse of CPUs.
Power is what the busy cores add to the idle host.
"""

from dataclasses import dataclass

from ecoserve.carbon import watts_per_core_dynamic
from ecoserve.performance import efficiency
from ecoserve.performance.engine import Engine, Rejection, RejectionReason, engine_resources
from ecoserve.units import GIB


@dataclass(frozen=True, slots=True)
class CpuSteps:
    """Step times in seconds and dynamic power in watts (above the idle host)."""

    engine: Engine

    def rejection(self) -> Rejection | None:
        """Why this engine can't run at all, or None."""
        if self.engine.precision == "fp8":
            detail = "processors have no fp8 units; use bf16, int8 or int4"
            return Rejection(reason=RejectionReason.UNSUPPORTED_PRECISION, detail=detail)
        needed_gib, held_gib = engine_resources(self.engine).memory_gib, self.engine.instance.memory_gib
        if needed_gib > held_gib:
            detail = (
                f"weights and KV need {needed_gib:.0f} GiB, {self.engine.instance.id} has {held_gib:.0f} GiB"
            )
            return Rejection(reason=RejectionReason.MEMORY_TOO_SMALL, detail=detail)
        return None

    @property
    def kv_tokens(self) -> float:
        """Tokens of KV that fit into the memory set aside for it."""
        return efficiency.CPU_KV_GIB * GIB / self.engine.model.kv_bytes_per_token(self.engine.precision)

    def sequences_held(self, context_tokens: float) -> float:
        """Sequences of that context whose KV fits into all of the host's memory beside the weights."""
        held = self.engine.instance.memory_gib * GIB - self.engine.model.weight_bytes(self.engine.precision)
        return held / self.engine.model.kv_bytes(context_tokens)

    @property
    def max_batch(self) -> int:
        """Most sequences at once."""
        return efficiency.CPU_MAX_BATCH

    @property
    def prefill_latency_seconds(self) -> float:
        """Waiting around a prefill that doesn't occupy the cores."""
        return efficiency.PREFILL_LATENCY_SECONDS

    def prefill_seconds(self, tokens: float) -> float:
        """Time the cores are occupied by the prefill of one prompt of `tokens` tokens."""
        model = self.engine.model
        flops = 2.0 * model.matmul_parameters * tokens + model.prompt_attention_flops(tokens)
        compute = flops / self._flops_per_second(efficiency.CPU_PREFILL_GFLOPS_PER_CORE)
        return max(compute, self._weight_seconds(tokens))

    def decode_seconds(self, batch: float, context_tokens: float) -> float:
        """Time of one decode step over `batch` sequences with `context_tokens` of context each."""
        model = self.engine.model
        kv_bytes = batch * model.kv_bytes(context_tokens)
        flops = 2.0 * model.matmul_parameters * batch
        compute = flops / self._flops_per_second(efficiency.CPU_DECODE_GFLOPS_PER_CORE)
        reads = self._weight_seconds(batch) + kv_bytes / self._bytes_per_second
        return efficiency.CPU_STEP_SECONDS + reads + compute

    def interference_seconds(
        self,
        batch: float,  # noqa: ARG002
        context_tokens: float,  # noqa: ARG002
        tokens: float,
        prompts_per_step: float,
    ) -> float:
        """Mean time per step that prefills add to decode steps: nothing overlaps."""
        return prompts_per_step * self.prefill_seconds(tokens)

    def prefill_watts(self) -> float:
        """Dynamic power during prefill: all cores of the engine busy."""
        return efficiency.CPU_PREFILL_POWER_SHARE * self._busy_watts

    def decode_watts(self, batch: float, context_tokens: float) -> float:  # noqa: ARG002
        """Dynamic power during decode: cores that wait for memory spin, so all are nearly as busy."""
        return efficiency.CPU_DECODE_POWER_SHARE * self._busy_watts

    def watts(self, batch: float, context_tokens: float, tokens: float, prompts_per_step: float) -> float:
        """Mean dynamic power of steps with prefills."""
        decode = self.decode_seconds(batch, context_tokens)
        prefill = self.interference_seconds(batch, context_tokens, tokens, prompts_per_step)
        joules = decode * self.decode_watts(batch, context_tokens) + prefill * self.prefill_watts()
        return joules / (decode + prefill)

    @property
    def _busy_watts(self) -> float:
        return self.engine.cpu_cores * watts_per_core_dynamic(self.engine.instance)

    @property
    def _feeds_matrix_units(self) -> bool:
        cpu = self.engine.instance.cpu
        wide = cpu.matrix_tflops / cpu.cores >= efficiency.CPU_MATRIX_UNIT_TFLOPS_PER_CORE
        return wide and self.engine.precision == "int8"

    @property
    def _cores(self) -> float:
        instance = self.engine.instance
        return self.engine.cpu_cores / instance.vcpus * instance.physical_cores

    @property
    def _bytes_per_second(self) -> float:
        instance = self.engine.instance
        peak = instance.sockets * instance.cpu.memory_bandwidth_gb_per_s * 1e9
        share = min(1.0, self.engine.cpu_cores / instance.vcpus / efficiency.CPU_BANDWIDTH_SATURATION)
        if self._feeds_matrix_units:
            return peak * efficiency.CPU_MATRIX_RUNTIME_BANDWIDTH_EFFICIENCY * share
        return peak * efficiency.CPU_BANDWIDTH_EFFICIENCY * share

    def _flops_per_second(self, gflops_per_core: float) -> float:
        cpu = self.engine.instance.cpu
        peak = cpu.matrix_tflops * 1000.0 / cpu.cores
        if self._feeds_matrix_units:
            in_int8 = 2.0 * peak
            return self._cores * in_int8 * efficiency.CPU_MATRIX_RUNTIME_SHARE * 1e9
        return self._cores * min(gflops_per_core, efficiency.CPU_MATRIX_SHARE * peak) * 1e9

    def _weight_seconds(self, tokens: float) -> float:
        return self.engine.model.weight_bytes_read(tokens, self.engine.precision) / self._bytes_per_second
