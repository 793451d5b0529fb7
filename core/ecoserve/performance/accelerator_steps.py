"""Step times and power of an engine on accelerators: a roofline per part of a layer, with few fitted constants.

A step over T tokens does, on each device: the matrices every token passes (weights read once, 2·P·T flops), the
experts that its tokens touch, attention over the sequences' keys and values, and between devices one
exchange after attention and one after the feed-forward network. A part takes its bytes or its flops, whichever is
slower, with a soft corner. Kernels that are launched, scheduling and sampling add a fixed time per layer,
step and sequence. A step with a prompt in it can't be replayed as one recorded graph: it takes at least
the time to launch its kernels one by one.

Power is idle, a share for being at work, and what bytes and flops per second add; nearing TDP, clocks give way.
Where a card has no bf16, bf16 runs as fp16 of the same size and rate.
"""

import functools
import math
from dataclasses import dataclass
from statistics import NormalDist

from ecoserve.catalog.model_architecture import BYTES_PER_WEIGHT
from ecoserve.performance import efficiency
from ecoserve.performance.efficiency import AcceleratorConstants
from ecoserve.performance.engine import Engine, Rejection, RejectionReason
from ecoserve.units import GIB

_ACTIVATION_BYTES = 2.0
_CORNER = 3.0  # exponent of the soft maximum of memory and compute time
_POWER_CORNER = 6.0  # of the soft minimum of demanded power and TDP


@dataclass(frozen=True)
class AcceleratorSteps:
    """Step times in seconds and dynamic power in watts (above loaded idle, all devices of the engine).

    What neither batch nor lengths change is computed once and kept, hence no slots.
    """

    engine: Engine
    constants: AcceleratorConstants = efficiency.ACCELERATOR

    def rejection(self) -> Rejection | None:
        """Why this engine can't run at all, or None."""
        model, devices = self.engine.model, self.engine.devices
        accelerator = self.engine.accelerator
        if self.engine.precision == "fp8" and accelerator.fp8_tflops is None:
            detail = f"{accelerator.id} has no fp8 units; use bf16, fp16, int8 or int4"
            return Rejection(reason=RejectionReason.UNSUPPORTED_PRECISION, detail=detail)
        if model.attention_heads % devices:
            detail = f"{model.attention_heads} attention heads of {model.name} can't be split over {devices} devices"
            return Rejection(reason=RejectionReason.UNSUPPORTED_PARALLELISM, detail=detail)
        return None

    @property
    def kv_tokens(self) -> float:
        """Tokens of KV that fit beside the weights, were every layer to keep them all; negative where weights don't fit."""
        return self._kv_bytes / (
            self._kv_copies * self.engine.model.kv_bytes_per_token(self.engine.precision)
        )

    def sequences_held(self, context_tokens: float) -> float:
        """Sequences of that context whose KV fits; 0 or less where not even the weights do."""
        return self._kv_bytes / (self._kv_copies * self.engine.model.kv_bytes(context_tokens))

    @property
    def max_batch(self) -> int:
        """Most sequences at once."""
        return efficiency.MAX_BATCH

    @property
    def prefill_latency_seconds(self) -> float:
        """Waiting around a prefill that doesn't occupy the devices."""
        return self.constants.prefill_latency_seconds

    def prefill_seconds(self, tokens: float) -> float:
        """Time the devices are occupied by the prefill of one prompt of `tokens` tokens."""
        work = self._work_seconds(tokens, 1.0) + self._prompt_attention_seconds(tokens)
        return _soft_max(work, self._launch_seconds)

    def decode_seconds(self, batch: float, context_tokens: float) -> float:
        """Time of one decode step over `batch` sequences with `context_tokens` of context each."""
        return self._host_seconds(batch) + self._device_seconds(batch, context_tokens)

    def interference_seconds(
        self, batch: float, context_tokens: float, tokens: float, prompts_per_step: float
    ) -> float:
        """Mean time per step that the prefill of `prompts_per_step` prompts of `tokens` tokens adds to decode steps."""
        if prompts_per_step == 0.0:
            return 0.0
        with_prompt = 1.0 - math.exp(-prompts_per_step)
        prompts = prompts_per_step / with_prompt
        plain = self._device_seconds(batch, context_tokens)
        work = self._work_seconds(batch + prompts * tokens, batch + prompts) - self._work_seconds(
            batch, batch
        )
        longer = plain + work + prompts * self._prompt_attention_seconds(tokens)
        added = with_prompt * (_soft_max(longer, self._launch_seconds) - plain)
        return added + prompts_per_step * self.constants.request_seconds

    def prefill_watts(self) -> float:
        """Dynamic power during prefill."""
        return self._dynamic_watts(0.0, self._sustained_share, 0.0)

    def decode_watts(self, batch: float, context_tokens: float) -> float:
        """Dynamic power during a decode step."""
        return self.watts(batch, context_tokens, 0.0, 0.0)

    def watts(self, batch: float, context_tokens: float, tokens: float, prompts_per_step: float) -> float:
        """Mean dynamic power of steps over `batch` sequences with `prompts_per_step` prompts of `tokens` tokens each."""
        seconds = self.decode_seconds(batch, context_tokens) + self.interference_seconds(
            batch, context_tokens, tokens, prompts_per_step
        )
        passed = batch + prompts_per_step * tokens
        model = self.engine.model
        multiplied = (model.matmul_parameters - model.embedding_parameters) * passed
        multiplied += model.embedding_parameters * (batch + prompts_per_step)
        flops = 2.0 * multiplied / self.engine.devices
        touched = self._experts_touched(passed) / self._expert_parts
        expert_bytes = touched * self._bytes_of_an_expert * self._unpacking
        moved = self._always_bytes + expert_bytes + self._kv_bytes_read(batch, context_tokens)
        return self._dynamic_watts(
            moved / seconds, flops / seconds / self._peak_flops, self._block_seconds(passed) / seconds
        )

    def _dynamic_watts(self, bytes_per_second: float, compute: float, in_block_kernels: float) -> float:
        """Power above loaded idle of all devices, from each one's bytes per second and shares of peak and of time."""
        c, card = self.constants, self.engine.accelerator
        span = card.tdp_watts - card.idle_watts - card.loaded_idle_watts
        demanded = (
            c.power_base
            + c.power_compute * math.pow(compute, c.power_compute_exponent)
            + c.power_block_experts * in_block_kernels
            + c.joules_per_byte * bytes_per_second / span
        )
        granted = demanded / math.pow(1.0 + math.pow(demanded, _POWER_CORNER), 1.0 / _POWER_CORNER)
        return self.engine.devices * span * granted

    # Bytes and parameters below are of one device.

    @functools.cached_property
    def _always_bytes(self) -> float:
        """Weights that every step reads."""
        return self.engine.model.always_read_bytes(self.engine.precision) / self.engine.devices

    def _experts_touched(self, tokens: float) -> float:
        """Experts of a layer that some token chooses."""
        model = self.engine.model
        if not model.experts:
            return 0.0
        even = self.constants.routing_shape / model.experts
        chosen = tokens * model.experts_per_token / model.experts
        return model.experts * (1.0 - math.pow(1.0 + chosen / even, -even))

    def _experts_read(self, tokens: float) -> float:
        """Experts of a layer that the device with most of them reads."""
        model, parts = self.engine.model, self._expert_parts
        if not model.experts:
            return 0.0
        touched = self._experts_touched(tokens)
        mean = touched / parts
        spread = math.sqrt(mean * (1.0 - touched / model.experts))
        return min(model.experts / parts, mean + _expected_maximum(parts) * spread)

    @functools.cached_property
    def _bytes_of_an_expert(self) -> float:
        """Bytes of one expert of each layer, as one device holds them."""
        engine = self.engine
        return engine.model.expert_parameters * BYTES_PER_WEIGHT[engine.precision] / self._expert_split

    @functools.cached_property
    def _unpacking(self) -> float:
        """Bytes that pass a card's units for each byte of experts in mxfp4: 16-bit weights unless it takes 4 bits."""
        engine = self.engine
        if engine.precision != "mxfp4" or engine.accelerator.fp4_tflops:
            return 1.0
        return BYTES_PER_WEIGHT["bf16"] / BYTES_PER_WEIGHT["mxfp4"]

    @functools.cached_property
    def _expert_parts(self) -> int:
        """Devices that hold experts of their own; one group of devices splits each expert instead."""
        return self.engine.devices if self.engine.expert_parallel > 1 else 1

    @property
    def _expert_split(self) -> float:
        """Devices that share each expert."""
        return self.engine.devices / self._expert_parts

    def _work_seconds(self, tokens: float, sampled: float) -> float:
        """Matrices, experts and exchanges of a step over that many tokens, of which `sampled` pass the output head."""
        multiplied = self._always_flop_seconds * tokens + self._head_flop_seconds * sampled
        seconds = _soft_max(self._always_bytes / self._bytes_per_second, multiplied)
        if self.engine.model.experts:
            seconds += self._expert_seconds(tokens)
        return seconds + self._activation_seconds * tokens + self._exchange_transfer_seconds(tokens)

    def _expert_seconds(self, tokens: float) -> float:
        """Time of a step in its experts.

        Engines tune the tiles of 16-bit kernels to experts as all devices hold them, whole or split. Where each holds
        some, a default serves: made for few rows up to as many tokens as experts, and beyond for many rows, which
        reads and multiplies slower.
        """
        read = self._bytes_of_an_expert * self._experts_read(tokens)
        seconds = _soft_max(
            read / (self._bytes_per_second * self.constants.expert_bandwidth_share),
            self._expert_flop_seconds * tokens,
        )
        in_16_bit = self.engine.precision in ("bf16", "fp16")
        if in_16_bit and self._expert_parts > 1 and tokens > self.engine.model.experts / self._expert_parts:
            seconds /= self.constants.untuned_expert_share
        return seconds + self._block_seconds(tokens) + self._empty_tile_seconds(tokens)

    @functools.cached_property
    def _activation_seconds(self) -> float:
        """Time per token of what lies between multiplications: norms, residuals, gates, writing and reading their values.

        The hidden state is whole on every device, what is inside a block is split.
        """
        model = self.engine.model
        inside = (model.matmul_parameters - model.embedding_parameters) / model.hidden_size
        values = 2.0 * self._blocks * model.hidden_size + inside / self.engine.devices
        return values * _ACTIVATION_BYTES * self.constants.activation_passes / self._bytes_per_second

    @functools.cached_property
    def _always_flop_seconds(self) -> float:
        """Time per token of the multiplications that every token passes."""
        model, precision = self.engine.model, self.engine.precision
        narrow = model.narrow_always_parameters(precision)
        wide = model.always_read_parameters - model.embedding_parameters - narrow
        seconds = narrow / self._flops_per_second(precision) + wide / self._flops_per_second("bf16")
        return 2.0 * seconds / self.engine.devices

    @functools.cached_property
    def _head_flop_seconds(self) -> float:
        """Time of the output head per token that is sampled: of a prompt only the last is."""
        rate = self._flops_per_second("bf16")
        return 2.0 * self.engine.model.embedding_parameters / self.engine.devices / rate

    @functools.cached_property
    def _expert_flop_seconds(self) -> float:
        """Time per token of the multiplications in its experts."""
        model = self.engine.model
        rate = self._flops_per_second(self.engine.precision) * self.constants.expert_compute_share
        return 2.0 * model.expert_parameters * model.experts_per_token / self.engine.devices / rate

    def _block_seconds(self, tokens: float) -> float:
        """Time of a step that block-scaled kernels spend on padding the experts they read."""
        return self._experts_read(tokens) * self._block_seconds_of_an_expert

    def _empty_tile_seconds(self, tokens: float) -> float:
        """Time of a step that they spend on tiles of experts that no token chose: those are launched as well."""
        unread = self.engine.model.experts / self._expert_parts - self._experts_read(tokens)
        return unread * self._block_seconds_of_an_expert * self.constants.empty_tile_share

    @functools.cached_property
    def _block_seconds_of_an_expert(self) -> float:
        """Time of padding one expert of each layer; 0 where nothing is scaled by blocks.

        Half of it, in proportion, is multiplication: it falls with the square root of the card's rate (an assumption).
        """
        model, card = self.engine.model, self.engine.accelerator
        if self.engine.precision != "fp8" or model.fp8_scheme != "block" or not card.fp8_tflops:
            return 0.0
        width = model.hidden_size + model.intermediate_size / self._expert_split
        slower = math.sqrt(efficiency.BLOCK_FP8_TFLOPS / card.fp8_tflops)
        return model.expert_layers * width * slower * self.constants.block_value_seconds

    def _prompt_attention_seconds(self, tokens: float) -> float:
        rate = (
            self.engine.accelerator.bf16_tflops
            * 1e12
            * self._sustained_share
            * self.constants.attention_compute_share
        )
        return self.engine.model.prompt_attention_flops(tokens) / self.engine.devices / rate

    def _kv_bytes_read(self, batch: float, context_tokens: float) -> float:
        keys_and_values = self._kv_copies * (self.engine.model.kv_bytes(context_tokens) - self._state_bytes)
        return batch * (keys_and_values + 2.0 * self._state_bytes) / self.engine.devices

    @functools.cached_property
    def _state_bytes(self) -> float:
        """Bytes of a sequence's state, read and written back by every step."""
        state_space = self.engine.model.state_space
        return state_space.state_bytes if state_space is not None else 0.0

    def _kv_seconds(self, batch: float, context_tokens: float) -> float:
        """Keys and values are gathered in pages; a state lies in one piece, as weights do."""
        states = 2.0 * batch * self._state_bytes / self.engine.devices
        gathered = self._kv_bytes_read(batch, context_tokens) - states
        peak = self.engine.accelerator.memory_bandwidth_gb_per_s * 1e9
        return gathered / (peak * self.constants.kv_efficiency) + states / self._bytes_per_second

    @functools.cached_property
    def _blocks(self) -> int:
        """Attention, state-space and feed-forward blocks; two make a layer of a plain transformer."""
        model = self.engine.model
        states = model.state_space.layers if model.state_space else 0
        return model.attention_layers + states + model.feed_forward_layers

    def _device_seconds(self, batch: float, context_tokens: float) -> float:
        """Time of a decode step on the devices."""
        return (
            self._work_seconds(batch, batch) + self._kv_seconds(batch, context_tokens) + self._graph_seconds
        )

    def _host_seconds(self, batch: float) -> float:
        """Time of a step on the host: scheduling, sampling, detokenising."""
        return self.constants.step_seconds + self.constants.sequence_seconds * batch

    @functools.cached_property
    def _graph_seconds(self) -> float:
        """Time of a recorded step beside its bytes and flops."""
        c, devices = self.constants, self.engine.devices
        exchange = c.exchange_seconds_per_device * devices if devices > 1 else 0.0
        return self._blocks * (c.layer_seconds / 2.0 + exchange)

    @functools.cached_property
    def _launch_seconds(self) -> float:
        """Time to launch all kernels of a step one by one."""
        return self.constants.launch_seconds * (self._blocks / 2.0 + self.engine.model.expert_layers)

    def _exchange_transfer_seconds(self, tokens: float) -> float:
        devices = self.engine.devices
        if devices == 1:
            return 0.0
        card = self.engine.accelerator
        parts = 1.0 if card.interconnect_reduces else 2.0 * (devices - 1) / devices
        sent = parts * tokens * self.engine.model.hidden_size * _ACTIVATION_BYTES
        peak = card.interconnect_gb_per_s * 1e9
        return self._blocks * sent / (peak * self.constants.link_efficiency)

    @functools.cached_property
    def _bytes_per_second(self) -> float:
        """Rate at which weights are read."""
        return self.engine.accelerator.memory_bandwidth_gb_per_s * 1e9 * self.constants.bandwidth_efficiency

    @functools.cached_property
    def _peak_flops(self) -> float:
        card = self.engine.accelerator
        return 1e12 * (
            card.fp8_tflops if self.engine.precision == "fp8" and card.fp8_tflops else card.bf16_tflops
        )

    def _flops_per_second(self, precision: str) -> float:
        """Sustained rate; a card that takes 4 bits multiplies mxfp4 with activations in 8, at the rate of fp8."""
        card = self.engine.accelerator
        in_fp8 = precision == "fp8" or (precision == "mxfp4" and card.fp4_tflops is not None)
        if in_fp8 and card.fp8_tflops:
            return card.fp8_tflops * 1e12 * self._sustained_share * self.constants.fp8_share
        return card.bf16_tflops * 1e12 * self._sustained_share

    @functools.cached_property
    def _sustained_share(self) -> float:
        """Share of its peak a card sustains: cards with GDDR are held by their power limit as well."""
        card, c = self.engine.accelerator, self.constants
        if card.memory_type.startswith("HBM"):
            return c.compute_efficiency
        process = math.sqrt(efficiency.TFLOPS_PER_WATT_PROCESS_NM / card.process_nm)
        sustained_tflops = c.gddr_tflops_per_watt * process * card.tdp_watts
        return min(c.compute_efficiency, sustained_tflops / card.bf16_tflops)

    @functools.cached_property
    def _kv_copies(self) -> float:
        # Every device holds at least one KV head: beyond kv_heads devices they are held more than once. A latent
        # is one head.
        heads = 1 if self.engine.model.latent_kv_width else self.engine.model.kv_heads
        return max(1.0, self.engine.devices / heads)

    @functools.cached_property
    def _kv_bytes(self) -> float:
        card, engine = self.engine.accelerator, self.engine
        usable_gib = efficiency.USABLE_MEMORY_SHARE * card.memory_gib - efficiency.RESERVED_GIB_PER_DEVICE
        return engine.devices * usable_gib * GIB - engine.model.weight_bytes(engine.precision)


def _soft_max(one: float, other: float) -> float:
    return math.pow(math.pow(one, _CORNER) + math.pow(other, _CORNER), 1.0 / _CORNER)


@functools.cache
def _expected_maximum(parts: int) -> float:
    """Expected largest of that many standard normal variables (Blom's approximation)."""
    return NormalDist().inv_cdf((parts - 0.375) / (parts + 0.25)) if parts > 1 else 0.0
