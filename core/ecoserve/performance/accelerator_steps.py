"""Step times and power of an engine on accelerators: a roofline with a few measured efficiencies.

Prefill of n tokens: matrix work 2·P·n plus causal attention 2·L·h·d·n² at a share of the matrix peak, but
no faster than reading the weights once; with tensor parallelism two all-reduces of n activations per layer.
A decode step over B sequences of context c reads the weights and B·c tokens of KV at a share of the memory
bandwidth, computes 2·P·B, and pays a fixed cost and one per sequence; nothing is taken to overlap.
A mixture of experts reads the experts its tokens touch.

Power goes from loaded idle to TDP: prefill at TDP, decode from a memory-bound share upwards as weights are reused,
time in all-reduces at a low share. Where a card has no bf16, bf16 runs as fp16 of the same size and rate.
"""

import math
from dataclasses import dataclass

from ecoserve.catalog import Accelerator
from ecoserve.performance import efficiency
from ecoserve.performance.engine import Engine, Rejection, RejectionReason
from ecoserve.units import GIB

_ACTIVATION_BYTES = 2.0


@dataclass(frozen=True, slots=True)
class AcceleratorSteps:
    """Step times in seconds and dynamic power in watts (above loaded idle, all devices of the engine)."""

    engine: Engine

    def rejection(self) -> Rejection | None:
        """Why this engine can't run at all, or None."""
        model, tp = self.engine.model, self.engine.tensor_parallel
        accelerator = self.engine.accelerator
        if self.engine.precision == "fp8" and accelerator.fp8_tflops is None:
            detail = f"{accelerator.id} has no fp8 units; use bf16, fp16, int8 or int4"
            return Rejection(reason=RejectionReason.UNSUPPORTED_PRECISION, detail=detail)
        if model.attention_heads % tp:
            detail = (
                f"{model.attention_heads} attention heads of {model.name} can't be split over {tp} devices"
            )
            return Rejection(reason=RejectionReason.UNSUPPORTED_PARALLELISM, detail=detail)
        return None

    @property
    def kv_tokens(self) -> float:
        """Tokens of KV that fit beside the weights; negative where the weights themselves don't fit."""
        return self._kv_bytes / self._kv_bytes_per_token

    def sequences_held(self, context_tokens: float) -> float:
        """Sequences of that context whose KV fits; 0 or less where not even the weights do."""
        per_sequence = self._kv_copies * self.engine.model.kv_bytes(context_tokens)
        return self._kv_bytes / per_sequence

    @property
    def max_batch(self) -> int:
        """Most sequences at once."""
        return efficiency.MAX_BATCH

    @property
    def prefill_latency_seconds(self) -> float:
        """Waiting around a prefill that doesn't occupy the devices."""
        return efficiency.PREFILL_LATENCY_SECONDS

    def prefill_seconds(self, tokens: float) -> float:
        """Time the devices are occupied by the prefill of one prompt of `tokens` tokens."""
        model = self.engine.model
        matrix = 2.0 * model.matmul_parameters * tokens
        attention = 2.0 * model.layers * model.attention_heads * model.head_dim * tokens**2
        compute = (matrix + attention) / self._flops_per_second
        return max(compute, self._weight_seconds(tokens)) + self._all_reduce_seconds(tokens)

    def decode_seconds(self, batch: float, context_tokens: float) -> float:
        """Time of one decode step over `batch` sequences with `context_tokens` of context each."""
        compute = 2.0 * self.engine.model.matmul_parameters * batch / self._flops_per_second
        overhead = efficiency.STEP_SECONDS + efficiency.SEQUENCE_SECONDS * batch
        reads = self._weight_seconds(batch) + self._kv_seconds(batch, context_tokens)
        return overhead + reads + compute + self._all_reduce_seconds(batch)

    def prefill_watts(self) -> float:
        """Dynamic power during prefill."""
        return efficiency.PREFILL_POWER_SHARE * self._span_watts

    def decode_watts(self, batch: float, context_tokens: float) -> float:
        """Dynamic power during a decode step."""
        waiting = self._all_reduce_seconds(batch) / self.decode_seconds(batch, context_tokens)
        weights, kv = self._weight_seconds(batch), self._kv_seconds(batch, context_tokens)
        reuse = batch * weights / (weights + kv)  # how often a byte read is computed with: KV is used once
        least = efficiency.DECODE_POWER_SHARE_LEAST
        share = least + (1.0 - least) * reuse / (reuse + efficiency.DECODE_POWER_HALF_REUSE)
        return self._span_watts * ((1.0 - waiting) * share + waiting * efficiency.COMMUNICATION_POWER_SHARE)

    @property
    def _span_watts(self) -> float:
        card = self.engine.accelerator
        return self.engine.devices * (card.tdp_watts - card.idle_watts - card.loaded_idle_watts)

    @property
    def _flops_per_second(self) -> float:
        card = self.engine.accelerator
        tflops = card.bf16_tflops
        if self.engine.precision == "fp8" and card.fp8_tflops is not None:
            tflops = card.fp8_tflops
        return self.engine.devices * tflops * 1e12 * _sustained_share(card)

    @property
    def _bytes_per_second(self) -> float:
        peak = self.engine.accelerator.memory_bandwidth_gb_per_s * 1e9
        return self.engine.devices * peak * efficiency.MEMORY_BANDWIDTH_EFFICIENCY

    @property
    def _kv_bytes_per_token(self) -> float:
        return self._kv_copies * self.engine.model.kv_bytes_per_token(self.engine.precision)

    @property
    def _kv_copies(self) -> float:
        # Every device holds at least one KV head: beyond kv_heads devices they are held more than once. A latent
        # is one head.
        heads = 1 if self.engine.model.latent_kv_width else self.engine.model.kv_heads
        return max(1.0, self.engine.tensor_parallel / heads)

    @property
    def _kv_bytes(self) -> float:
        card = self.engine.accelerator
        usable_gib = efficiency.USABLE_MEMORY_SHARE * card.memory_gib - efficiency.RESERVED_GIB_PER_DEVICE
        return self.engine.devices * usable_gib * GIB - self.engine.model.weight_bytes(self.engine.precision)

    def _kv_seconds(self, batch: float, context_tokens: float) -> float:
        return batch * context_tokens * self._kv_bytes_per_token / self._bytes_per_second

    def _weight_seconds(self, tokens: float) -> float:
        model = self.engine.model
        read_share = model.parameters_read(tokens) / model.parameters
        return read_share * model.weight_bytes(self.engine.precision) / self._bytes_per_second

    def _all_reduce_seconds(self, tokens: float) -> float:
        """Two ring all-reduces per layer over the activations of `tokens` tokens."""
        tp = self.engine.devices
        if tp == 1:
            return 0.0
        model = self.engine.model
        sent_bytes = 2.0 * (tp - 1) / tp * tokens * model.hidden_size * _ACTIVATION_BYTES
        peak = self.engine.accelerator.interconnect_gb_per_s * 1e9
        transfer = sent_bytes / (peak * efficiency.INTERCONNECT_EFFICIENCY)
        latency = efficiency.ALL_REDUCE_SECONDS + (
            efficiency.EXPERT_DISPATCH_SECONDS if model.experts else 0.0
        )
        return 2.0 * model.layers * (latency + transfer)


def _sustained_share(card: Accelerator) -> float:
    """Share of its bf16 peak a card sustains: cards with GDDR are held by their power limit as well."""
    if card.memory_type.startswith("HBM"):
        return efficiency.COMPUTE_EFFICIENCY
    process = math.sqrt(efficiency.TFLOPS_PER_WATT_PROCESS_NM / card.process_nm)
    sustained_tflops = efficiency.TFLOPS_PER_WATT_GDDR * process * card.tdp_watts
    return min(efficiency.COMPUTE_EFFICIENCY, sustained_tflops / card.bf16_tflops)
